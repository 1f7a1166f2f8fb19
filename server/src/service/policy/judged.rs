//! `Evaluate` and `Explain`: connections, and how they are judged.

use std::net::IpAddr;

use sextant_flows::flow::{Flow, Time};
use sextant_policy::{
    endpoint::Endpoint,
    explanation::{Outcome, considered},
    judgement::{Judgement, Reason},
    label::{Label, Labels, NAMESPACE},
    policy::{Direction, Effect, PolicyId},
    ports::protocol::TCP,
    simulation::by,
    traffic::{Party, Traffic},
};
use sextant_proto::{flow as pb, sextant::policy::v1 as api};
use tonic::Status;

use super::answer::{mode, reference};
use crate::{
    policy::{
        ends::Ends,
        rulebook::{Verdict, connection},
        state::State,
    },
    selection::View,
    service::error::invalid,
};

/// Labels of an end.
const MAX_LABELS: usize = 256;
/// Bytes of one.
const MAX_LABEL: usize = 1024;
/// Rules that a judgement names.
const MAX_NAMED: usize = 100;
/// Rules that an explanation tells.
const MAX_CONSIDERED: usize = 1000;

/// A connection that is judged.
#[derive(Debug)]
pub(super) struct Question {
    client: Party,
    server: Party,
    protocol: u8,
    port: u16,
}

impl Question {
    /// Of a request.
    pub(super) fn of(given: Option<&api::Connection>, ends: &Ends) -> Result<Self, Status> {
        let default = api::Connection::default();
        let given = given.unwrap_or(&default);
        let end = |end: &Option<api::End>, field: &str| {
            party(end.as_ref(), &format!("connection.{field}"), ends)
        };
        let number = |number: u32, field: &str| {
            let text = "is no port; give 0 to 65535";
            u16::try_from(number).map_err(|_| invalid(&format!("connection.{field}"), text))
        };
        number(given.source_port, "source_port")?;
        let protocol = match u8::try_from(given.protocol) {
            Ok(0) => TCP,
            Ok(protocol) => protocol,
            Err(_) => {
                let text = "is no IP protocol number; give 0 to 255";
                return Err(invalid("connection.protocol", text));
            }
        };
        Ok(Self {
            client: end(&given.source, "source")?,
            server: end(&given.destination, "destination")?,
            protocol,
            port: number(given.destination_port, "destination_port")?,
        })
    }

    /// Of a flow that was seen.
    pub(super) fn of_flow(flow: &Flow, ends: &Ends) -> Result<Self, Status> {
        let traffic = Traffic::of(flow).map_err(|reason| {
            Status::failed_precondition(format!(
                "the flow cannot be judged: it is one of those {reason}"
            ))
        })?;
        Ok(Self {
            client: ends.complete(traffic.client),
            server: ends.complete(traffic.server),
            protocol: traffic.protocol,
            port: traffic.port,
        })
    }

    /// The verdict at the ends that are asked for.
    pub(super) fn evaluate(
        &self,
        direction: api::PolicyDirection,
        state: &State,
    ) -> api::EvaluateResponse {
        let directions: &[Direction] = match direction {
            api::PolicyDirection::Unspecified => &[Direction::Egress, Direction::Ingress],
            api::PolicyDirection::Egress => &[Direction::Egress],
            api::PolicyDirection::Ingress => &[Direction::Ingress],
        };
        let mut worst = Verdict::Allow;
        let judgements = directions.iter().map(|direction| {
            let (verdict, judgement) = self.judge(*direction, state);
            worst = worst.max(verdict);
            message(*direction, verdict, &judgement, state)
        });
        let judgements = judgements.collect();
        api::EvaluateResponse {
            verdict: verdict(worst).into(),
            judgements,
            revision: state.revision,
        }
    }

    /// How it comes about.
    pub(super) fn explain(&self, state: &State) -> api::ExplainResponse {
        let [egress, ingress] =
            [Direction::Egress, Direction::Ingress].map(|direction| self.side(direction, state));
        let worst = egress.0.max(ingress.0);
        api::ExplainResponse {
            verdict: verdict(worst).into(),
            egress: Some(egress.1),
            ingress: Some(ingress.1),
            protocol: self.protocol.into(),
            port: self.port.into(),
            revision: state.revision,
            ..api::ExplainResponse::default()
        }
    }

    fn judge<'a>(&self, direction: Direction, state: &'a State) -> (Verdict, Judgement<'a>) {
        state.rulebook.judge(&self.connection(direction))
    }

    fn connection(&self, direction: Direction) -> sextant_policy::set::Connection<'_> {
        let (client, server) = (&self.client.endpoint, &self.server.endpoint);
        connection(client, server, direction, self.protocol, self.port)
    }

    fn side(&self, direction: Direction, state: &State) -> (Verdict, api::Side) {
        let (judged, judgement) = self.judge(direction, state);
        let party = match direction {
            Direction::Egress => &self.client,
            Direction::Ingress => &self.server,
        };
        let mut rules = match judgement.reason {
            Reason::Elsewhere | Reason::Exempt => Vec::new(),
            _ => considered(state.rulebook.with_audit(), &self.connection(direction)),
        };
        let more = rules.len().saturating_sub(MAX_CONSIDERED);
        rules.truncate(MAX_CONSIDERED);
        let rules = rules.into_iter().map(|one| {
            let id = one.source.policy;
            let entry = state.entries.get(id);
            api::ConsideredRule {
                rule: Some(rule(id, one.source.rule.place(), state)),
                denies: one.source.rule.effect == Effect::Deny,
                outcome: match one.outcome {
                    Outcome::Matches => api::RuleOutcome::Matches,
                    Outcome::OtherPeer => api::RuleOutcome::OtherPeer,
                    Outcome::OtherPort => api::RuleOutcome::OtherPort,
                }
                .into(),
                mode: entry.map_or(0, |entry| mode(entry.mode).into()),
            }
        });
        let labels = party.endpoint.labels.iter();
        let side = api::Side {
            subject: party.name.clone(),
            labels: labels.map(ToString::to_string).collect(),
            rules: rules.collect(),
            judgement: Some(message(direction, judged, &judgement, state)),
            more_rules: more as u32,
        };
        (judged, side)
    }
}

/// What an explanation of a flow has beside that of its connection.
pub(super) fn with_flow(answer: api::ExplainResponse, flow: &Flow) -> api::ExplainResponse {
    let verdict = pb::Verdict::try_from(flow.verdict);
    api::ExplainResponse {
        flow_time: flow.time.map(Time::into),
        flow_verdict: verdict.map_or(String::new(), |verdict| verdict.as_str_name().into()),
        ..answer
    }
}

/// Who is at an address is told to those alone who see everything.
pub(super) fn check_view(connection: &api::Connection, view: &View) -> Result<(), Status> {
    let ends = [&connection.source, &connection.destination];
    let is_looked_up = |end: &api::End| end.labels.is_empty() && !end.address.is_empty();
    match ends.into_iter().flatten().any(is_looked_up) && !view.is_whole() {
        true => Err(Status::permission_denied(
            "the answer would tell who is at an address, and the [[grant]] of this caller is limited to some flows; \
             give labels, or have a [[grant]] without limits",
        )),
        false => Ok(()),
    }
}

/// A direction that is asked for.
pub(super) fn direction(number: i32) -> Result<api::PolicyDirection, Status> {
    api::PolicyDirection::try_from(number)
        .map_err(|_| invalid("direction", &format!("there is no direction {number}")))
}

fn party(end: Option<&api::End>, field: &str, ends: &Ends) -> Result<Party, Status> {
    let wrong = |text: &str| invalid(field, text);
    let Some(end) = end.filter(|end| !end.address.is_empty() || !end.labels.is_empty()) else {
        return Err(wrong("give an address or labels"));
    };
    let address: Option<IpAddr> = match end.address.as_str() {
        "" => None,
        text => {
            let address = text.parse::<IpAddr>();
            let address = address.map_err(|_| wrong("`address` is no IP address"))?;
            Some(address.to_canonical())
        }
    };
    if end.labels.is_empty() {
        if !end.namespace.is_empty() {
            return Err(wrong("`namespace` goes with labels"));
        }
        return address
            .map(|address| ends.at(address))
            .ok_or_else(|| wrong("give an address"));
    }
    let is_long = |label: &String| label.len() > MAX_LABEL;
    if end.labels.len() > MAX_LABELS || end.labels.iter().any(is_long) || is_long(&end.namespace) {
        let text = format!("give at most {MAX_LABELS} labels of {MAX_LABEL} bytes");
        return Err(wrong(&text));
    }
    let labels = end.labels.iter().map(|text| Label::parse(text));
    let namespace = Some(Label::new("k8s", NAMESPACE, &end.namespace));
    let namespace = namespace.filter(|label| !label.value.is_empty());
    let labels: Labels = labels.chain(namespace).collect();
    let mut endpoint = Endpoint::new(labels);
    if endpoint.is_world() {
        endpoint.outside = address;
    }
    let name = match address {
        Some(address) => address.to_string(),
        None => end.labels.join(","),
    };
    let endpoint = ends.with_node_labels(endpoint);
    Ok(Party { name, endpoint })
}

fn message(
    direction: Direction,
    judged: Verdict,
    judgement: &Judgement<'_>,
    state: &State,
) -> api::Judgement {
    let (reason, rules) = match &judgement.reason {
        Reason::Elsewhere => (api::PolicyReason::Elsewhere, Vec::new()),
        Reason::Exempt => (api::PolicyReason::Exempt, Vec::new()),
        Reason::NotSelected => (api::PolicyReason::NotSelected, Vec::new()),
        Reason::DefaultAllow => (api::PolicyReason::DefaultAllow, Vec::new()),
        Reason::Rules(sources) => {
            let sources = sources.iter().take(MAX_NAMED);
            let rules = sources.map(|source| rule(source.policy, source.rule.place(), state));
            (api::PolicyReason::Rules, rules.collect())
        }
        Reason::DefaultDeny(policies) => {
            let policies = policies.iter().take(MAX_NAMED);
            let rules = policies.map(|id| rule(id, String::new(), state));
            (api::PolicyReason::DefaultDeny, rules.collect())
        }
    };
    api::Judgement {
        direction: match direction {
            Direction::Ingress => api::PolicyDirection::Ingress,
            Direction::Egress => api::PolicyDirection::Egress,
        }
        .into(),
        verdict: verdict(judged).into(),
        reason: reason.into(),
        rules,
        is_default: reason != api::PolicyReason::Rules,
        text: cut(by(judgement)),
    }
}

/// Texts that name many rules.
fn cut(mut text: String) -> String {
    const MOST: usize = 4096;
    if text.len() > MOST {
        let ends = (0..=MOST).rev();
        let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// A rule of a policy.
pub(super) fn rule(id: &PolicyId, place: String, state: &State) -> api::RuleReference {
    api::RuleReference {
        policy: Some(reference(id)),
        rule: place,
        revision: state.entries.get(id).map_or(0, |entry| entry.revision),
    }
}

/// A verdict.
pub(super) fn verdict(verdict: Verdict) -> api::PolicyVerdict {
    match verdict {
        Verdict::Allow => api::PolicyVerdict::Allow,
        Verdict::Audit => api::PolicyVerdict::Audit,
        Verdict::Authenticate => api::PolicyVerdict::Authenticate,
        Verdict::Deny => api::PolicyVerdict::Deny,
    }
}
