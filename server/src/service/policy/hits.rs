//! `ListHits`: what the rules did.

use std::collections::{BTreeMap, btree_map::Entry};

use sextant_flows::flow::Time;
use sextant_proto::sextant::policy::v1 as api;
use tonic::Status;

use super::{judged::rule, request::reference};
use crate::{
    policy::{enforce::Hit, state::State},
    service::error::invalid,
};

const DEFAULT: usize = 1000;
const MOST: usize = 10_000;

/// Those that are asked for.
pub(super) fn list(
    request: &api::ListHitsRequest,
    mut hits: Vec<Hit>,
    state: &State,
) -> Result<api::ListHitsResponse, Status> {
    let limit = match request.limit as usize {
        0 => DEFAULT,
        limit if limit <= MOST => limit,
        _ => return Err(invalid("limit", &format!("give at most {MOST}"))),
    };
    if let Some(policy) = &request.policy {
        let wanted = reference(policy, "policy")?;
        let id = wanted.find(&state.entries)?.policy.id.clone();
        hits.retain(|hit| hit.policy == id);
    }
    let mut hits = whatever_mode(hits);
    hits.sort_by(|one, other| {
        let key = |hit: &Hit| (std::cmp::Reverse(hit.flows), hit.policy.clone());
        key(one)
            .cmp(&key(other))
            .then_with(|| one.rule.cmp(&other.rule))
    });
    let count = hits.len() as u64;
    hits.truncate(limit);
    Ok(api::ListHitsResponse {
        hits: hits.into_iter().map(|hit| message(hit, state)).collect(),
        count,
    })
}

/// What was met while its policy was enforced, and while it was in audit, together.
fn whatever_mode(hits: Vec<Hit>) -> Vec<Hit> {
    let key = |hit: &Hit| (hit.policy.clone(), hit.rule.clone(), hit.verdict);
    summed(hits, key).into_values().collect()
}

/// The sums of those that have a key in common.
pub(super) fn summed<K: Ord>(hits: Vec<Hit>, key: impl Fn(&Hit) -> K) -> BTreeMap<K, Hit> {
    let mut sums: BTreeMap<_, Hit> = BTreeMap::new();
    for hit in hits {
        match sums.entry(key(&hit)) {
            Entry::Vacant(place) => {
                place.insert(hit);
            }
            Entry::Occupied(mut sum) => sum.get_mut().add(&hit),
        }
    }
    sums
}

/// What was done with the connections.
pub(super) fn verdict(hit: &Hit) -> api::PolicyVerdict {
    match hit.verdict {
        "DENY" => api::PolicyVerdict::Deny,
        "AUDIT" => api::PolicyVerdict::Audit,
        _ => api::PolicyVerdict::Allow,
    }
}

/// When it was met last.
pub(super) fn last(hit: &Hit) -> Option<prost_types::Timestamp> {
    let last = i64::try_from(hit.last_ns).ok().filter(|last| *last > 0);
    last.map(|last| Time::from_nanos(last).into())
}

fn message(hit: Hit, state: &State) -> api::Hit {
    let (verdict, last) = (verdict(&hit), last(&hit));
    api::Hit {
        rule: Some(rule(&hit.policy, hit.rule, state)),
        verdict: verdict.into(),
        flows: hit.flows,
        packets: hit.packets,
        bytes: hit.bytes,
        last,
    }
}
