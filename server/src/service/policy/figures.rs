//! What is counted of each policy, at one moment.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use sextant_policy::policy::PolicyId;
use sextant_proto::sextant::policy::v1 as api;

use super::hits::{last, verdict};
use crate::policy::{
    ends::Known,
    enforce::{Hit, InForce},
};

/// Of all policies.
#[derive(Default)]
pub(super) struct Figures {
    /// Who is judged.
    pub(super) known: Known,
    /// None where nothing is enforced.
    pub(super) in_force: Option<InForce>,
    hits: HashMap<PolicyId, BTreeMap<i32, Hit>>,
}

impl Figures {
    pub(super) fn new(known: Known, in_force: Option<InForce>, hits: Vec<Hit>) -> Self {
        let mut sums: HashMap<_, BTreeMap<_, Hit>> = HashMap::new();
        for hit in hits {
            let of_policy = sums.entry(hit.policy.clone()).or_default();
            match of_policy.entry(verdict(&hit).into()) {
                Entry::Vacant(place) => {
                    place.insert(hit);
                }
                Entry::Occupied(mut sum) => sum.get_mut().add(&hit),
            }
        }
        Self {
            known,
            in_force,
            hits: sums,
        }
    }

    /// Entries of rules that it decides.
    pub(super) fn entries(&self, policy: &PolicyId) -> u64 {
        let in_force = self.in_force.as_ref();
        let entries = in_force.and_then(|now| now.entries.get(policy));
        entries.copied().unwrap_or(0)
    }

    /// What it did, by verdict.
    pub(super) fn hits(&self, policy: &PolicyId) -> Vec<api::VerdictHits> {
        let sums = self.hits.get(policy).into_iter().flatten();
        sums.map(|(verdict, sum)| api::VerdictHits {
            verdict: *verdict,
            flows: sum.flows,
            packets: sum.packets,
            bytes: sum.bytes,
            last: last(sum),
        })
        .collect()
    }
}
