//! `Simulate`, `Suggest` and the flow of `Explain`: the stored flows that a caller may
//! see, shown to `sextant_policy`.
//!
//! Bound: what `sextant_policy::simulation` and `suggestion` keep, and steps to judge;
//! heavy questions take turns.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sextant_policy::{
    document::{Written, is_value},
    label::NAMESPACE,
    selector::{Operator, Requirement, Selector},
    set::{Enforcement, PolicySet},
    simulation::{MAX_GROUPS, Simulation},
    suggestion::Suggestion,
};
use sextant_proto::{flow as pb, sextant::policy::v1 as api};
use tonic::Status;

use crate::{
    filter::Filters,
    flow::{Flow, Time},
    policy::{ends::Ends, state::State},
    selection::{Selection, View},
    service::{
        error::{RequestError, check_time, invalid},
        stream::scan::scan_slowly,
    },
    store::Ring,
};

/// Steps that a simulation may take, and more for each flow that it judges: as filters.
const MAX_STEPS: u64 = 500_000_000;
const STEPS_A_FLOW: u64 = 10_000;
/// Changes in a message.
const CHUNK: usize = 500;
/// Labels of a selector.
const MAX_LABELS: usize = 64;
/// Bytes of a name.
const MAX_NAME: usize = 253;

/// Which flows.
pub(super) struct Flows {
    selection: Selection,
    since: Option<Time>,
    until: Option<Time>,
}

impl Flows {
    /// Of the lists and times of a request, in view.
    pub(super) fn of(
        (white, black): (&[pb::FlowFilter], &[pb::FlowFilter]),
        (since, until): (
            Option<prost_types::Timestamp>,
            Option<prost_types::Timestamp>,
        ),
        view: &View,
    ) -> Result<Self, Status> {
        let time = |time: Option<prost_types::Timestamp>, field: &str| {
            let checked = check_time(time.as_ref());
            checked.map_err(|error| invalid(field, &error.to_string()))?;
            Ok::<_, Status>(time.map(Time::from))
        };
        let filters = Filters::compile(white, black)
            .map_err(|error| invalid("whitelist, blacklist", &error.to_string()))?;
        Ok(Self {
            selection: Selection::new(view, filters).map_err(RequestError::from)?,
            since: time(since, "since")?,
            until: time(until, "until")?,
        })
    }

    /// Shows each once; may take long with each, and ends it by an error.
    pub(super) async fn each(
        mut self,
        ring: &Ring,
        mut see: impl FnMut(&Flow) -> Result<(), RequestError>,
    ) -> Result<(), Status> {
        let (since, until) = (self.since, self.until);
        let in_time = |flow: &Flow| {
            let time = flow.time.unwrap_or_default();
            since.is_none_or(|since| time >= since) && until.is_none_or(|until| time <= until)
        };
        let see = |flow: &Flow| match in_time(flow) {
            true => see(flow),
            false => Ok(()),
        };
        Ok(scan_slowly(ring, &mut self.selection, see).await?)
    }
}

/// The flow with an id, if it is stored and in view.
pub(super) async fn flow(uuid: &str, ring: &Ring, view: &View) -> Result<Option<Flow>, Status> {
    if uuid.is_empty() || uuid.len() > MAX_NAME {
        return Err(invalid("flow_uuid", "give the uuid of a flow"));
    }
    let wanted = pb::FlowFilter {
        uuid: vec![uuid.to_owned()],
        ..pb::FlowFilter::default()
    };
    let flows = Flows::of((&[wanted], &[]), (None, None), view)?;
    let mut found = None;
    let find = |flow: &Flow| {
        found = Some(flow.clone());
        Ok(())
    };
    flows.each(ring, find).await?;
    Ok(found)
}

/// The set that is held against flows.
pub(super) fn proposal(
    given: Option<Vec<Written>>,
    prune: bool,
    state: &State,
    enforcement: Enforcement,
) -> Result<PolicySet, Status> {
    let Some(given) = given else {
        if prune {
            return Err(invalid("prune", "goes with documents or policies"));
        }
        return Ok(state.rulebook.with_audit().clone());
    };
    let given = given.into_iter().map(|written| Arc::new(written.policy));
    let before = match prune {
        true => &[],
        false => state.rulebook.enforced().policies(),
    };
    // Of two with one name the later one counts.
    let policies = before.iter().cloned().chain(given);
    Ok(PolicySet::new(policies, enforcement))
}

/// What a set would have done, in messages.
pub(super) async fn simulate(
    set: &PolicySet,
    ends: &Ends,
    flows: Flows,
    ring: &Ring,
    (limit, revision): (u32, u64),
) -> Result<Vec<api::SimulateResponse>, Status> {
    let limit = match limit as usize {
        0 => MAX_GROUPS,
        limit if limit <= MAX_GROUPS => limit,
        _ => return Err(invalid("limit", &format!("give at most {MAX_GROUPS}"))),
    };
    let mut simulation = Simulation::new(set);
    let mut most = MAX_STEPS;
    let judge = |flow: &Flow| {
        simulation.see_as(flow, |party| ends.complete(party));
        most += STEPS_A_FLOW;
        match simulation.steps() > most {
            true => Err(RequestError::Steps(MAX_STEPS, STEPS_A_FLOW)),
            false => Ok(()),
        }
    };
    flows.each(ring, judge).await?;
    let (changes, summary) = simulation.told(limit);
    let mut messages: Vec<_> = changes
        .chunks(CHUNK)
        .map(|chunk| api::SimulateResponse {
            changes: chunk.to_vec(),
            summary: None,
        })
        .collect();
    messages.push(api::SimulateResponse {
        changes: Vec::new(),
        summary: Some(api::SimulationSummary {
            revision,
            ..summary
        }),
    });
    Ok(messages)
}

/// The least policy for some endpoints.
pub(super) async fn suggest(
    request: &api::SuggestRequest,
    view: &View,
    ends: &Ends,
    ring: &Ring,
) -> Result<api::SuggestResponse, Status> {
    let labels = labels(&request.labels)?;
    let name = match request.name.as_str() {
        "" => "suggested",
        name => name,
    };
    for (field, value) in [("namespace", request.namespace.as_str()), ("name", name)] {
        if value.is_empty() || value.len() > MAX_NAME || !is_value(value) {
            return Err(invalid(field, "give a name"));
        }
    }
    let is = |key: &str, value: &str| Requirement::new(key, Operator::In(vec![value.to_owned()]));
    let mut requirements: Vec<_> = labels.iter().map(|(key, value)| is(key, value)).collect();
    requirements.push(is(NAMESPACE, &request.namespace));
    let flows = Flows::of(
        (&request.whitelist, &request.blacklist),
        (request.since, request.until),
        view,
    )?;
    let mut suggestion = Suggestion::new(Selector::new(requirements));
    let see = |flow: &Flow| {
        suggestion.see_as(flow, |party| ends.complete(party));
        Ok(())
    };
    flows.each(ring, see).await?;
    let labels: Map<_, _> = labels
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect();
    let selector = json!({ "matchLabels": labels });
    let document = suggestion.document(name, &request.namespace, &selector);
    let counts = suggestion.counts();
    Ok(api::SuggestResponse {
        document: document.to_string(),
        allowed: counts.allowed,
        left_out: counts.left_out,
    })
}

fn labels(given: &[String]) -> Result<Vec<(&str, &str)>, Status> {
    if given.is_empty() || given.len() > MAX_LABELS {
        return Err(invalid("labels", &format!("give 1 to {MAX_LABELS}")));
    }
    let pair = |(number, text): (usize, &'_ String)| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && key.len() <= MAX_NAME && is_value(value) => Ok(()),
        _ => Err(invalid(&format!("labels[{number}]"), "write key=value")),
    };
    given.iter().enumerate().try_for_each(pair)?;
    Ok(given
        .iter()
        .filter_map(|text| text.split_once('='))
        .collect())
}
