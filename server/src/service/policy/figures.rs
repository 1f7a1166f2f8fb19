//! What is counted of each policy, at one moment.

use std::collections::BTreeMap;

use sextant_policy::policy::PolicyId;
use sextant_proto::sextant::policy::v1 as api;

use super::hits::{last, summed, verdict};
use crate::policy::{
    ends::Known,
    enforce::{Hit, InForce},
    policies::Policies,
};

/// How the set stands.
#[derive(Default)]
pub(super) struct Now {
    /// None where nothing is enforced.
    pub(super) in_force: Option<InForce>,
    /// Why it is not the one that was kept.
    pub(super) unkept: Option<String>,
}

impl Now {
    pub(super) fn of(policies: &Policies) -> Self {
        Self {
            in_force: policies.in_force(),
            unkept: policies.unkept(),
        }
    }
}

/// Of all policies.
#[derive(Default)]
pub(super) struct Figures {
    /// Who is judged.
    pub(super) known: Known,
    pub(super) now: Now,
    /// By policy and verdict.
    hits: BTreeMap<(PolicyId, i32), Hit>,
}

impl Figures {
    pub(super) fn new(known: Known, policies: &Policies) -> Self {
        let key = |hit: &Hit| (hit.policy.clone(), i32::from(verdict(hit)));
        Self {
            known,
            now: Now::of(policies),
            hits: summed(policies.hits(), key),
        }
    }

    /// Entries of rules that it decides.
    pub(super) fn entries(&self, policy: &PolicyId) -> u64 {
        let in_force = self.now.in_force.as_ref();
        let entries = in_force.and_then(|now| now.entries.get(policy));
        entries.copied().unwrap_or(0)
    }

    /// What it did, by verdict.
    pub(super) fn hits(&self, policy: &PolicyId) -> Vec<api::VerdictHits> {
        let of_policy = (policy.clone(), i32::MIN)..=(policy.clone(), i32::MAX);
        let sums = self.hits.range(of_policy);
        sums.map(|((_, verdict), sum)| api::VerdictHits {
            verdict: *verdict,
            flows: sum.flows,
            packets: sum.packets,
            bytes: sum.bytes,
            last: last(sum),
        })
        .collect()
    }
}
