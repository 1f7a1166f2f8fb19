//! What the numbers mean that the kernel hands back with a flow: reasons of verdicts; and
//! how often rules were met.
//!
//! Bound: `MOST` rules are counted; what others did is added up.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use sextant_ebpf_common::policy::{Decision, reason_of, verdict};
use sextant_policy::{
    compile::{Because, Reasons, Told},
    policy::PolicyId,
};

use super::enforce::Hit;

/// Rules that are counted.
const MOST: usize = 65_536;

/// The reasons of this daemon; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Verdicts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    reasons: RwLock<Reasons>,
    hits: Mutex<HashMap<Met, Hits>>,
    /// Connections that no place was left to count for.
    uncounted: AtomicU64,
}

/// A rule of a policy that said this, and whether the policy was enforced then, not in
/// audit; without a rule the policy denies by default.
type Met = (PolicyId, String, u32, bool);

/// What it was said of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Connections.
    pub flows: u64,
    /// Their packets in both directions, once they ended.
    pub packets: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Nanoseconds since 1970 of the latest.
    pub last_ns: u64,
}

impl Verdicts {
    /// Why a decision is so; `None` where no policy said anything.
    #[must_use]
    pub fn because(&self, decision: Decision) -> Option<Because> {
        let number = reason_of(decision);
        if number == 0 {
            return None;
        }
        let reasons = self.0.reasons.read();
        let reasons = reasons.unwrap_or_else(PoisonError::into_inner);
        reasons.get(number).cloned()
    }

    /// Counts what each rule said that a verdict comes from.
    pub fn count(&self, because: &Because, of: Hits) {
        let mut hits = self.hits_now();
        for told in &because.told {
            let Told {
                policy,
                place,
                is_enforced,
                ..
            } = &**told;
            let met = (policy.clone(), place.clone(), because.verdict, *is_enforced);
            if hits.len() >= MOST && !hits.contains_key(&met) {
                self.0.uncounted.fetch_add(of.flows, Relaxed);
                continue;
            }
            let sum = hits.entry(met).or_default();
            sum.flows += of.flows;
            sum.packets += of.packets;
            sum.bytes += of.bytes;
            sum.last_ns = sum.last_ns.max(of.last_ns);
        }
    }

    /// What was counted, in no order.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        let hits = self.hits_now();
        let hit = |((policy, rule, verdict, is_enforced), hits): (&Met, &Hits)| Hit {
            policy: policy.clone(),
            rule: rule.clone(),
            verdict: name(*verdict),
            is_enforced: *is_enforced,
            flows: hits.flows,
            packets: hits.packets,
            bytes: hits.bytes,
            last_ns: hits.last_ns,
        };
        hits.iter().map(hit).collect()
    }

    /// Connections of rules that found no place to be counted.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.0.uncounted.load(Relaxed)
    }

    /// Forgets what was counted of policies that are no more.
    pub(super) fn keep_hits(&self, is_there: impl Fn(&PolicyId) -> bool) {
        self.hits_now().retain(|(policy, ..), _| is_there(policy));
    }

    /// To change them.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Reasons) -> T) -> T {
        let reasons = self.0.reasons.write();
        change(&mut reasons.unwrap_or_else(PoisonError::into_inner))
    }

    fn hits_now(&self) -> MutexGuard<'_, HashMap<Met, Hits>> {
        self.0.hits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(of: u32) -> &'static str {
    match of {
        verdict::ALLOW => "ALLOW",
        verdict::AUDIT => "AUDIT",
        _ => "DENY",
    }
}
