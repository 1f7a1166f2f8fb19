//! What policies said of a flow: names in the flow, its verdict, and an event of its own
//! where that is new, as Hubble has it (`policy-verdict`).

use sextant_ebpf_common::{
    Event, Kind, initiator,
    policy::{DENIED_BY_POLICY, decision_of, verdict, verdict_of},
    protocol, reason,
};
use sextant_policy::{
    compile::{Because, Told, Why},
    policy::Direction,
};
use sextant_proto::flow::{self as pb, DropReason};

use crate::{
    flow::{EventType, Flow},
    policy::verdicts::{Hits, Verdicts},
};

/// Monitor event types.
const DROP: i32 = 1;
const POLICY_VERDICT: i32 = 5;

/// What is said of one end of a connection.
pub(super) struct Judged {
    because: Because,
    direction: Direction,
    /// It is another than before.
    is_new: bool,
}

/// What is said of both ends, as far as policies are about them.
pub(super) fn of(event: &Event, verdicts: &Verdicts) -> Vec<Judged> {
    let mut found = Vec::new();
    if event.judged == [0; 2] {
        return found;
    }
    for (side, new) in [reason::JUDGED_A, reason::JUDGED_B].into_iter().enumerate() {
        let decision = decision_of(event.judged[side]);
        let known = verdict_of(decision) != verdict::NONE;
        if let Some(because) = verdicts.because(decision).filter(|_| known) {
            found.push(Judged {
                because,
                direction: match opened_by(event) == side {
                    true => Direction::Egress,
                    false => Direction::Ingress,
                },
                is_new: event.reasons & new != 0,
            });
        }
    }
    found
}

/// As the programs take it.
fn opened_by(event: &Event) -> usize {
    let known = event.initiator;
    let is_guess = known & initiator::GUESSED != 0 && known & initiator::BY_SOCKET == 0;
    if is_guess && event.protocol != protocol::TCP {
        return usize::from(event.direction & 1);
    }
    usize::from(known & initiator::B)
}

/// Names the policies in a flow; one that they denied is dropped.
pub(super) fn mark(flow: &mut Flow, event: &Event, judged: &[Judged]) {
    for judged in judged {
        judged.name(flow);
    }
    let is_denied = event.reasons & reason::DENIED != 0
        || flow.verdict == i32::from(pb::Verdict::Dropped) && event.drop_reason == DENIED_BY_POLICY;
    if !is_denied {
        return;
    }
    let denying = judged.iter().find(|judged| judged.denies());
    let reason = denying.map_or(DropReason::PolicyDenied, Judged::drop_reason);
    drop_for(flow, reason);
    flow.event_type = Some(EventType {
        kind: DROP,
        sub_type: reason.into(),
    });
    flow.is_reply = None;
    flow.reply = false;
    flow.trace_observation_point = 0;
    flow.trace_reason = 0;
    if let Some(judged) = denying {
        flow.traffic_direction = judged.traffic_direction().into();
    }
    if let Some(counters) = &mut flow.counters {
        counters.kernel_drop_reason = None;
    }
}

/// Counts for the rules: a connection when a verdict on it is new, its packets when it
/// ends.
pub(super) fn count(event: &Event, judged: &[Judged], verdicts: &Verdicts, wall_ns: i64) {
    let ended = event.kind == Kind::Ended as u8;
    for judged in judged.iter().filter(|judged| judged.is_new || ended) {
        let total = |pair: [u64; 2]| if ended { pair[0] + pair[1] } else { 0 };
        verdicts.count(
            &judged.because,
            Hits {
                flows: u64::from(judged.is_new),
                packets: total(event.packets),
                bytes: total(event.bytes),
                last_ns: u64::try_from(wall_ns).unwrap_or(0),
            },
        );
    }
}

/// Whether the event is for what policies say and for nothing else: the packet was told
/// where it was counted, or is no news.
pub(super) fn is_verdict_alone(event: &Event) -> bool {
    event.kind == Kind::Packet as u8
        && event.reasons != 0
        && event.reasons & !(reason::JUDGED_A | reason::JUDGED_B) == 0
}

/// The events that tell what is new, of the flow that was marked.
pub(super) fn verdict_events(flow: &Flow, judged: &[Judged]) -> impl Iterator<Item = Flow> {
    let new = judged.iter().filter(|judged| judged.is_new);
    new.map(|judged| judged.event(flow))
}

impl Judged {
    fn denies(&self) -> bool {
        self.because.verdict == verdict::DENY
    }

    fn traffic_direction(&self) -> pb::TrafficDirection {
        match self.direction {
            Direction::Ingress => pb::TrafficDirection::Ingress,
            Direction::Egress => pb::TrafficDirection::Egress,
        }
    }

    fn drop_reason(&self) -> DropReason {
        match self.because.why {
            Why::Rules => DropReason::PolicyDeny,
            Why::Authentication => DropReason::AuthRequired,
            Why::DefaultDeny | Why::DefaultAllow => DropReason::PolicyDenied,
        }
    }

    fn name(&self, flow: &mut Flow) {
        let policies = self.because.told.iter().map(|told| policy(told));
        let cold = flow.cold_mut();
        let place = match (self.direction, self.because.verdict) {
            (Direction::Egress, verdict::ALLOW) => &mut cold.egress_allowed_by,
            (Direction::Ingress, verdict::ALLOW) => &mut cold.ingress_allowed_by,
            (Direction::Egress, _) => &mut cold.egress_denied_by,
            (Direction::Ingress, _) => &mut cold.ingress_denied_by,
        };
        for policy in policies {
            // Several rules of one are one.
            if !place.contains(&policy) {
                place.push(policy);
            }
        }
    }

    fn event(&self, flow: &Flow) -> Flow {
        let mut event = flow.clone();
        let cold = event.cold_mut();
        cold.egress_allowed_by.clear();
        cold.egress_denied_by.clear();
        cold.ingress_allowed_by.clear();
        cold.ingress_denied_by.clear();
        self.name(&mut event);
        event.drop_reason = 0;
        event.drop_reason_desc = 0;
        event.is_reply = Some(false);
        event.reply = false;
        match self.because.verdict {
            verdict::DENY => {
                drop_for(&mut event, self.drop_reason());
                event.is_reply = None;
            }
            verdict::AUDIT => event.verdict = pb::Verdict::Audit.into(),
            _ => event.verdict = pb::Verdict::Forwarded.into(),
        }
        event.policy_match_type = self.because.match_type as u32;
        event.event_type = Some(EventType {
            kind: POLICY_VERDICT,
            sub_type: 0,
        });
        event.trace_observation_point = 0;
        event.trace_reason = 0;
        event.traffic_direction = self.traffic_direction().into();
        // They are the flow's, which tells them.
        if let Some(counters) = &mut event.counters {
            counters.forward = Default::default();
            counters.reverse = Default::default();
        }
        event
    }
}

fn drop_for(flow: &mut Flow, reason: DropReason) {
    flow.verdict = pb::Verdict::Dropped.into();
    flow.drop_reason = reason as u32;
    flow.drop_reason_desc = reason.into();
}

fn policy(told: &Told) -> pb::Policy {
    pb::Policy {
        name: told.policy.name.clone(),
        namespace: told.policy.namespace.clone(),
        labels: told.labels.iter().map(ToString::to_string).collect(),
        revision: told.revision,
        kind: told.policy.kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sextant_ebpf_common::{Kind, policy::remembered};
    use sextant_policy::{
        compile::{Limits, Sets, World, compile},
        document,
        endpoint::Endpoint,
        label::Label,
        set::{Enforcement, PolicySet},
    };

    use super::*;

    const POLICIES: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: host}
spec:
  nodeSelector: {}
  ingress: [{fromEntities: [world], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]
  ingressDeny: [{fromCIDR: [192.0.2.0/24]}]
"#;

    /// What is said of a connection from this address to port 80 or another of the host,
    /// which is side `b`.
    fn judged(from: &str, port: u16, reasons: u8) -> (Event, Verdicts) {
        let set = PolicySet::new(document::parse(POLICIES).unwrap(), Enforcement::Default);
        let sets = Sets {
            enforced: &set,
            with_audit: &set,
            revisions: &HashMap::new(),
        };
        let host = Endpoint::new([Label::parse("reserved:host")].into_iter().collect());
        let world = World {
            addresses: &[],
            subjects: &[host],
            peers: &[],
        };
        let verdicts = Verdicts::default();
        let made = verdicts
            .change(|known| compile(&sets, &world, known, &Limits::default()))
            .unwrap();
        let class = made.class_of(from.parse().unwrap());
        let decision = made.judge(1, Direction::Ingress, class, 6, port);
        let event = Event {
            judged: [0, remembered(decision, 5)],
            protocol: 6,
            kind: Kind::Packet as u8,
            reasons,
            ..Event::default()
        };
        (event, verdicts)
    }

    fn told(from: &str, port: u16, reasons: u8) -> Vec<Flow> {
        let (event, verdicts) = judged(from, port, reasons);
        let judged = of(&event, &verdicts);
        let mut flow = Flow {
            verdict: pb::Verdict::Forwarded.into(),
            ..Flow::default()
        };
        mark(&mut flow, &event, &judged);
        count(&event, &judged, &verdicts, 7);
        let hits = verdicts.hits();
        assert_eq!(hits.len(), usize::from(reasons & reason::JUDGED_B != 0));
        assert!(hits.iter().all(|hit| hit.last_ns == 7));
        let mut all: Vec<Flow> = verdict_events(&flow, &judged).collect();
        all.push(flow);
        all
    }

    fn reason_of(flow: &Flow) -> DropReason {
        DropReason::try_from(flow.drop_reason_desc).unwrap()
    }

    #[test]
    fn an_allowed_connection_names_who_allows_it_in_the_verdict_and_in_the_flow() {
        let all = told("203.0.113.1", 80, reason::JUDGED_B | reason::FIRST);
        let [verdict, flow] = &all[..] else {
            panic!("{all:?}")
        };
        for one in [verdict, flow] {
            assert_eq!(one.verdict, i32::from(pb::Verdict::Forwarded));
            assert_eq!(
                one.cold.as_ref().unwrap().ingress_allowed_by[0].name,
                "host"
            );
        }
        assert_eq!(verdict.event_type.as_ref().unwrap().kind, POLICY_VERDICT);
        assert_eq!(verdict.is_reply, Some(false));
        assert_eq!(verdict.policy_match_type, 2, "peer and port");
    }

    #[test]
    fn a_denied_packet_is_dropped_for_the_reason_of_who_denies_it() {
        let denied = reason::JUDGED_B | reason::DENIED;
        for (from, port, wanted) in [
            ("203.0.113.1", 81, DropReason::PolicyDenied),
            ("192.0.2.1", 80, DropReason::PolicyDeny),
        ] {
            let all = told(from, port, denied);
            assert_eq!(all.len(), 2);
            for one in &all {
                assert_eq!(one.verdict, i32::from(pb::Verdict::Dropped));
                assert_eq!(reason_of(one), wanted, "{from}");
                assert_eq!(one.is_reply, None);
                assert_eq!(one.cold.as_ref().unwrap().ingress_denied_by[0].name, "host");
                let ingress = pb::TrafficDirection::Ingress;
                assert_eq!(one.traffic_direction, i32::from(ingress));
            }
        }
    }

    #[test]
    fn what_was_said_before_is_no_event_and_what_nobody_said_no_name() {
        let all = told("203.0.113.1", 80, reason::TCP_FLAGS);
        assert_eq!(all.len(), 1);
        assert!(!is_verdict_alone(
            &judged("203.0.113.1", 80, reason::FIRST).0
        ));
        assert!(is_verdict_alone(
            &judged("203.0.113.1", 80, reason::JUDGED_B).0
        ));
        let (event, _) = judged("203.0.113.1", 80, reason::JUDGED_B);
        assert!(
            of(&event, &Verdicts::default()).is_empty(),
            "numbers of another time"
        );
    }
}
