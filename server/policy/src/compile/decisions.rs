//! What becomes of connections by the rules that are about them, and the number of the
//! reason.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_ebpf_common::policy::{Decision, decision, verdict};

use super::{
    TooLarge,
    reasons::{Because, MatchType, Reasons, Telling, Told, Why},
    rules::{AUDITED, ENFORCED, Placed},
    tally::{Few, Side, Specific, Tally},
};

/// What one set makes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Finding {
    is_denied: bool,
    /// None: the set is not about the subject.
    why: Option<Why>,
    /// Rules that decide; one of each policy that denies by default.
    few: Few,
}

impl Finding {
    /// The set is not about the subject.
    pub(super) const NOT_SELECTED: Self = Self::by_default(false, None, Few::NONE);

    /// What no rule is about.
    pub(super) const fn by_default(is_denied: bool, why: Option<Why>, few: Few) -> Self {
        Self {
            is_denied,
            why,
            few,
        }
    }

    fn of(side: &Side, otherwise: &Self) -> Self {
        let by = |is_denied, why, few| Self {
            is_denied,
            why: Some(why),
            few,
        };
        if !side.denying.is_empty() {
            by(true, Why::Rules, side.denying)
        } else if side.allowing.is_empty() {
            *otherwise
        } else if side.needs_authentication() {
            by(true, Why::Authentication, side.allowing)
        } else {
            by(false, Why::Rules, side.allowing)
        }
    }
}

/// What both sets come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    verdict: u32,
    why: Option<Why>,
    few: Few,
}

impl Outcome {
    /// What becomes of connections that these rules are about.
    pub(super) fn of(tally: &Tally, otherwise: &[Finding; 2]) -> Self {
        let [enforced, audited] =
            [ENFORCED, AUDITED].map(|set| Finding::of(&tally.0[set], &otherwise[set]));
        let (verdict, told) = match (enforced.is_denied, audited.is_denied) {
            (true, _) => (verdict::DENY, enforced),
            (false, true) => (verdict::AUDIT, audited),
            (false, false) => (verdict::ALLOW, enforced),
        };
        Self {
            verdict,
            why: told.why,
            few: told.few,
        }
    }

    /// Whether it is the same, though more or fewer rules may say so.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.verdict, self.why) == (other.verdict, other.why)
    }
}

/// Gives decisions their reasons' numbers.
pub(super) struct Decisions<'a> {
    rules: &'a [Placed<'a>],
    reasons: &'a mut Reasons,
    numbers: FxHashMap<Outcome, Decision>,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(rules: &'a [Placed<'a>], reasons: &'a mut Reasons) -> Self {
        Self {
            rules,
            reasons,
            numbers: FxHashMap::default(),
        }
    }

    /// The decision of an outcome.
    pub(super) fn of(&mut self, outcome: &Outcome) -> Result<Decision, TooLarge> {
        if let Some(known) = self.numbers.get(outcome) {
            return Ok(*known);
        }
        let number = match outcome.why {
            None => 0,
            Some(why) => {
                let because = self.because(outcome, why);
                self.reasons.number(because)?
            }
        };
        let decision = decision(outcome.verdict, number);
        self.numbers.insert(*outcome, decision);
        Ok(decision)
    }

    fn because(&mut self, outcome: &Outcome, why: Why) -> Because {
        let is_default = why == Why::DefaultDeny;
        let rules = outcome.few.rules().iter();
        let told = rules.map(|rule| self.told(*rule, is_default)).collect();
        let match_type = match why {
            Why::DefaultDeny | Why::DefaultAllow => MatchType::None,
            Why::Rules | Why::Authentication => match_type(outcome.few.specific),
        };
        Because {
            verdict: outcome.verdict,
            why,
            match_type,
            told,
        }
    }

    fn told(&mut self, rule: u32, is_default: bool) -> Arc<Told> {
        let placed = &self.rules[rule as usize];
        let telling = Telling {
            policy: &placed.policy.id,
            revision: placed.revision,
            spec: placed.spec,
            rule: (!is_default).then_some(placed.rule),
            is_enforced: placed.sets[ENFORCED],
        };
        self.reasons.told(telling)
    }
}

fn match_type((bits, is_peer_told): Specific) -> MatchType {
    match (is_peer_told, bits) {
        (false, 0) => MatchType::Everything,
        (false, 1) => MatchType::Protocol,
        (false, _) => MatchType::Port,
        (true, 0) => MatchType::Peer,
        (true, 1) => MatchType::PeerAndProtocol,
        (true, _) => MatchType::PeerAndPort,
    }
}
