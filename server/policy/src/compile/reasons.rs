//! Reasons of decisions, by the numbers that the kernel hands back.
//!
//! The same reason keeps its number from one set to the next, since flows remember
//! numbers. One that no set has used for `GENERATIONS` sets is remembered by no flow,
//! and its number may become another's.
//!
//! Bound: as many as were asked for; a set that needs more is refused.

use std::{
    hash::{BuildHasher as _, Hash, Hasher},
    sync::Arc,
};

use rustc_hash::{FxBuildHasher, FxHashMap};
use sextant_ebpf_common::policy::{GENERATIONS, REASONS};

use super::TooLarge;
use crate::{
    label::Label,
    policy::{Direction, Effect, PolicyId, Rule, Spec},
};

/// Policies and rules that a reason tells at most.
pub const TOLD: usize = 8;
/// Reasons among which none is looked for that may go.
const FEW: usize = 1 << 16;

/// Why a decision is so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Because {
    /// The decision's verdict, see `sextant_ebpf_common::policy::verdict`.
    pub verdict: u32,
    /// What it comes from.
    pub why: Why,
    /// How close what decides is to the connection.
    pub match_type: MatchType,
    /// What decides, the closest first: rules, or policies. At most `TOLD`.
    pub told: Vec<Arc<Told>>,
}

/// What a decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Rules say so.
    Rules,
    /// No rule allows it, and policies deny by default.
    DefaultDeny,
    /// No rule denies it, and no policy denies by default.
    DefaultAllow,
    /// Rules allow it once both ends have shown who they are, which they have not.
    Authentication,
}

/// What a rule tells of the connection, as Hubble numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MatchType {
    /// There is no rule.
    #[default]
    None = 0,
    /// The peer.
    Peer = 1,
    /// Peer and port.
    PeerAndPort = 2,
    /// The port.
    Port = 3,
    /// Nothing: it is about each connection.
    Everything = 4,
    /// Peer and protocol.
    PeerAndProtocol = 5,
    /// The protocol.
    Protocol = 6,
}

/// A policy, and a rule of it.
#[derive(Debug)]
pub struct Told {
    /// Which policy.
    pub policy: PolicyId,
    /// Number of the change that last changed it.
    pub revision: u64,
    /// Labels of the part that it is.
    pub labels: Vec<Label>,
    /// What somebody wrote of the part.
    pub description: String,
    /// Which rule, as `egressDeny[0]`; empty for denial by default.
    pub place: String,
    /// The policy is enforced, not in audit.
    pub is_enforced: bool,
    list: Option<RuleNumber>,
    hash: u64,
}

/// Direction and effect of a rule's list, and its number in it.
type RuleNumber = (Direction, Effect, usize);

/// What a `Told` is made of, where it stands.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) policy: &'a PolicyId,
    pub(super) revision: u64,
    pub(super) spec: &'a Spec,
    /// None for denial by default.
    pub(super) rule: Option<&'a Rule>,
    pub(super) is_enforced: bool,
}

impl Telling<'_> {
    fn parts(&self) -> Parts<'_> {
        let list = self
            .rule
            .map(|rule| (rule.direction, rule.effect, rule.number));
        let Spec {
            labels,
            description,
            ..
        } = self.spec;
        let what = (self.policy, self.revision, self.is_enforced);
        (what, labels, description, list)
    }

    fn told(&self, hash: u64) -> Told {
        let ((policy, revision, is_enforced), labels, description, list) = self.parts();
        Told {
            policy: policy.clone(),
            revision,
            labels: labels.to_owned(),
            description: description.to_owned(),
            place: self.rule.map(Rule::place).unwrap_or_default(),
            is_enforced,
            list,
            hash,
        }
    }
}

/// Policy, its revision and whether it is enforced; labels, description, rule.
type Parts<'a> = (
    (&'a PolicyId, u64, bool),
    &'a [Label],
    &'a str,
    Option<RuleNumber>,
);

impl Told {
    fn parts(&self) -> Parts<'_> {
        let Self {
            policy,
            revision,
            labels,
            description,
            is_enforced,
            list,
            ..
        } = self;
        let what = (policy, *revision, *is_enforced);
        (what, labels, description, *list)
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.hash == other.hash && self.parts() == other.parts()
    }
}

impl Eq for Told {}

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// All reasons, by number.
#[derive(Debug)]
pub struct Reasons {
    numbers: FxHashMap<Arc<Because>, u32>,
    /// What reasons tell, by hash.
    told: FxHashMap<u64, Arc<Told>>,
    /// By number, with the set that used it last. The first one is none.
    all: Vec<Option<(Arc<Because>, u64)>>,
    free: Vec<u32>,
    /// Sets that were put in force.
    sets: u64,
    most: usize,
    /// With so many, those are looked for that may go.
    many: usize,
}

impl Default for Reasons {
    fn default() -> Self {
        Self::new(REASONS as usize - 1)
    }
}

impl Reasons {
    /// For so many, and no more than the kernel can tell apart.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            numbers: FxHashMap::default(),
            told: FxHashMap::default(),
            all: vec![None],
            free: Vec::new(),
            sets: 0,
            most: most.min(REASONS as usize - 1),
            many: FEW,
        }
    }

    /// The reason of a number; none for 0, and for what was none of the last sets'.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Because> {
        let (because, _) = self.all.get(number as usize)?.as_ref()?;
        Some(because)
    }

    /// What was compiled last is in force from now on.
    pub fn activated(&mut self) {
        self.sets += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// What a reason tells, the same one if it was told before.
    pub(super) fn told(&mut self, telling: Telling<'_>) -> Arc<Told> {
        let hash = FxBuildHasher.hash_one(telling.parts());
        let is_same = |told: &&Arc<Told>| told.parts() == telling.parts();
        if let Some(told) = self.told.get(&hash).filter(is_same) {
            return told.clone();
        }
        let told = Arc::new(telling.told(hash));
        self.told.insert(hash, told.clone());
        told
    }

    /// The number of a reason.
    pub(super) fn number(&mut self, because: Because) -> Result<u32, TooLarge> {
        let next = self.sets + 1;
        if let Some(number) = self.numbers.get(&because) {
            if let Some(Some((_, used))) = self.all.get_mut(*number as usize) {
                *used = next;
            }
            return Ok(*number);
        }
        if self.len() >= self.many.min(self.most) {
            self.forget();
        }
        if self.len() >= self.most {
            return Err(TooLarge::of(
                "reasons of verdicts",
                self.len() + 1,
                self.most,
            ));
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() as u32 - 1
        });
        let because = Arc::new(because);
        self.all[number as usize] = Some((because.clone(), next));
        self.numbers.insert(because, number);
        Ok(number)
    }

    /// Frees the numbers that no set of the last generations used.
    fn forget(&mut self) {
        for (number, entry) in self.all.iter_mut().enumerate() {
            let is_old = |(_, used): &mut (_, u64)| *used + u64::from(GENERATIONS) <= self.sets;
            if let Some((because, _)) = entry.take_if(is_old) {
                self.numbers.remove(&because);
                self.free.push(number as u32);
            }
        }
        self.told.retain(|_, told| Arc::strong_count(told) > 1);
        self.many = (self.len() * 2).max(FEW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::{Kind, Subject},
        selector::Selector,
    };

    fn because(reasons: &mut Reasons, revision: u64) -> Because {
        let policy = &PolicyId {
            kind: Kind::Cilium,
            namespace: "shop".into(),
            name: "web".into(),
        };
        let spec = &Spec {
            subject: Subject::Endpoints(Selector::default()),
            description: String::new(),
            labels: Vec::new(),
            rules: Vec::new(),
        };
        let telling = Telling {
            policy,
            revision,
            spec,
            rule: None,
            is_enforced: true,
        };
        Because {
            verdict: 1,
            why: Why::Rules,
            match_type: MatchType::Peer,
            told: vec![reasons.told(telling)],
        }
    }

    fn number(reasons: &mut Reasons, revision: u64) -> Result<u32, TooLarge> {
        let because = because(reasons, revision);
        reasons.number(because)
    }

    fn revision(reasons: &Reasons, number: u32) -> Option<u64> {
        Some(reasons.get(number)?.told[0].revision)
    }

    #[test]
    fn a_reason_keeps_its_number_and_none_is_0() {
        let mut reasons = Reasons::default();
        let [one, other] = [1, 2].map(|revision| number(&mut reasons, revision).unwrap());
        assert!(one != other && one > 0 && other > 0);
        reasons.activated();
        assert_eq!(number(&mut reasons, 1), Ok(one));
        assert_eq!(revision(&reasons, other), Some(2));
        assert_eq!(reasons.get(0), None);
        assert_eq!(reasons.len(), 2);
    }

    #[test]
    fn a_number_becomes_another_s_once_no_flow_can_remember_it() {
        let mut reasons = Reasons::new(2);
        let [old, used] = [1, 2].map(|revision| number(&mut reasons, revision).unwrap());
        for _ in 0..GENERATIONS {
            number(&mut reasons, 2).unwrap();
            assert!(number(&mut reasons, 3).is_err(), "it is full");
            reasons.activated();
        }
        reasons.activated();
        assert_eq!(number(&mut reasons, 3), Ok(old));
        assert_eq!(revision(&reasons, used), Some(2));
        assert_eq!(revision(&reasons, old), Some(3));
        assert_eq!(number(&mut reasons, 1).unwrap_err().room, 2);
        assert_eq!(reasons.told.len(), 3, "what was forgotten is told no more");
    }
}
