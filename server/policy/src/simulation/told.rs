//! What came of a simulation, as messages.

use sextant_proto::sextant::policy::v1 as api;

use super::{Change, Count, Counts, Simulation};
use crate::{judgement::Verdict, policy::Direction};

impl Simulation<'_> {
    /// The kinds of changes, those of most flows first and so many at most, and what was
    /// counted.
    #[must_use]
    pub fn told(self, most: usize) -> (Vec<api::SimulatedChange>, api::SimulationSummary) {
        let (changes, counts) = self.finish();
        let (told, further) = changes.split_at(changes.len().min(most));
        let further: u64 = further.iter().map(|(_, count)| count.flows).sum();
        let summary = api::SimulationSummary {
            not_told: counts.not_told + further,
            kinds: changes.len() as u64,
            ..summary(counts)
        };
        (told.iter().map(change).collect(), summary)
    }
}

fn change((change, count): &(Change, Count)) -> api::SimulatedChange {
    api::SimulatedChange {
        verdict: match change.verdict {
            Verdict::Allow => api::PolicyVerdict::Allow,
            Verdict::AllowAuthenticated => api::PolicyVerdict::Authenticate,
            Verdict::Deny => api::PolicyVerdict::Deny,
        }
        .into(),
        source: change.client.clone(),
        destination: change.server.clone(),
        protocol: change.protocol.into(),
        port: change.port.into(),
        direction: match change.direction {
            Direction::Ingress => api::PolicyDirection::Ingress,
            Direction::Egress => api::PolicyDirection::Egress,
        }
        .into(),
        by: change.by.clone(),
        flows: count.flows,
        first: Some(count.first.into()),
        last: Some(count.last.into()),
    }
}

fn summary(counts: Counts) -> api::SimulationSummary {
    let not_judged = counts.not_judged.into_iter();
    let not_judged = not_judged.map(|(reason, flows)| api::NotJudged {
        reason: reason.to_string(),
        flows,
    });
    api::SimulationSummary {
        judged: counts.judged,
        selected: counts.selected,
        denied: counts.denied,
        allowed: counts.allowed,
        authenticated: counts.authenticated,
        not_told: counts.not_told,
        not_judged: not_judged.collect(),
        ..api::SimulationSummary::default()
    }
}
