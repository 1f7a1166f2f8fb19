//! What puts policies in force, as the service sees it. What it is not: how they get into
//! the kernel.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sextant_policy::{
    endpoint::Endpoint,
    policy::{Policy, PolicyId},
    set::{Enforcement, PolicySet},
};

/// How far a policy goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What it denies is dropped.
    #[default]
    Enforce,
    /// What it denies is let through, and told.
    Audit,
    /// It is kept and does nothing.
    Disabled,
}

/// Policies that are, or are to be, in force together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposed {
    /// Number of the change that made the set.
    pub revision: u64,
    /// All policies, also those that are disabled.
    pub policies: Vec<Member>,
    /// Who denies by default.
    pub enforcement: Enforcement,
}

/// A policy of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The policy.
    pub policy: Arc<Policy>,
    /// How far it goes.
    pub mode: Mode,
    /// Number of the change that last changed it.
    pub revision: u64,
}

/// The policies that are enforced, and those with the ones in audit, if there is any.
pub(super) fn by_mode<'a>(
    policies: impl Iterator<Item = (Mode, &'a Arc<Policy>)> + Clone,
    enforcement: Enforcement,
) -> (PolicySet, Option<PolicySet>) {
    let of = |takes: fn(Mode) -> bool| {
        let taken = policies.clone().filter(|(mode, _)| takes(*mode));
        PolicySet::new(taken.map(|(_, policy)| Arc::clone(policy)), enforcement)
    };
    let has_audit = policies.clone().any(|(mode, _)| mode == Mode::Audit);
    (
        of(|mode| mode == Mode::Enforce),
        has_audit.then(|| of(|mode| mode != Mode::Disabled)),
    )
}

/// What a set takes in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Entries of rules and ranges of addresses.
    pub entries: u64,
    /// Bytes of all tables of the set.
    pub bytes: u64,
    /// Endpoints that one of the policies selects.
    pub selected: u64,
}

/// Of policies that do not follow the host; why stands behind it.
pub const OUTDATED: &str = "in force for the host as it was before";

/// What is in force now.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// What it takes.
    pub cost: Cost,
    /// How many entries of rules each policy decides, alone or with others.
    pub entries: Arc<HashMap<PolicyId, u64>>,
    /// Why it is for the host as it was before, if it is.
    pub outdated: Option<String>,
}

/// What a rule did so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The policy, as Hubble calls its kind, its namespace and name.
    pub policy: PolicyId,
    /// Which rule, as `egressDeny[0]`; empty for denial by default.
    pub rule: String,
    /// `ALLOW`, `DENY` or `AUDIT`.
    pub verdict: &'static str,
    /// The policy was enforced then, not in audit.
    pub is_enforced: bool,
    /// Connections.
    pub flows: u64,
    /// Packets of those that ended, in both directions.
    pub packets: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Nanoseconds since 1970 of the last one; 0 for never.
    pub last_ns: u64,
}

impl Hit {
    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// Why a set is not put in force.
#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
    /// Nothing here enforces.
    #[error(
        "policies are not enforced here: {0}; `--validate-only`, `evaluate` and `simulate` work"
    )]
    NotHere(String),
    /// It does not fit.
    #[error("the set needs {needed} {what}, and there is room for {room}: raise `{setting}`")]
    TooLarge {
        /// What of.
        what: &'static str,
        /// How many it takes.
        needed: u64,
        /// How many there may be.
        room: u64,
        /// What says how many there may be.
        setting: &'static str,
    },
    /// The kernel refused.
    #[error("{0}")]
    Kernel(String),
}

/// What comes back if a set is not confirmed.
#[derive(Clone, Debug)]
pub struct Unconfirmed {
    /// The set before.
    pub before: Proposed,
    /// After how long.
    pub within: Duration,
}

/// Puts sets in force.
pub trait Enforce: Send + Sync + 'static {
    /// Whether a set could be put in force, and what it would take. Changes nothing.
    ///
    /// # Errors
    ///
    /// It could not.
    fn check(&self, set: &Proposed) -> Result<Cost, EnforceError>;

    /// Whether a set that was not confirmed in time was taken back by itself, and nothing
    /// else was put in force since.
    fn went_back(&self) -> bool {
        false
    }

    /// Puts a set in force, whole: no packet is judged by a part of it. Returns when it is.
    /// Unless it is confirmed in time the one before comes back, whether or not anything
    /// here lives then.
    ///
    /// # Errors
    ///
    /// It is not, and the one before still is.
    fn activate(
        &self,
        set: &Proposed,
        unconfirmed: Option<&Unconfirmed>,
    ) -> Result<Cost, EnforceError>;

    /// What was there before a change that waits to be confirmed comes back after so long
    /// from now, and not before; false where it did already.
    fn comes_back_after(&self, _within: Duration) -> bool {
        !self.went_back()
    }

    /// What is in force stays.
    fn confirmed(&self);

    /// Who is judged here now; none where nobody is.
    fn judged(&self) -> Option<Vec<Endpoint>> {
        None
    }

    /// What is in force now, where anything can be.
    fn in_force(&self) -> Option<InForce> {
        None
    }

    /// What the rules did, of the policies in force.
    fn hits(&self) -> Vec<Hit>;

    /// Connections of rules that found no place to be counted.
    fn uncounted_hits(&self) -> u64 {
        0
    }
}

/// Where nothing can be enforced: a set without policies that would do something is fine.
#[derive(Debug)]
pub struct Nowhere {
    /// Why.
    pub why: String,
}

impl Nowhere {
    fn refuse(&self, set: &Proposed) -> Result<Cost, EnforceError> {
        let does_nothing = |member: &Member| member.mode == Mode::Disabled;
        if set.policies.iter().all(does_nothing) {
            Ok(Cost::default())
        } else {
            Err(EnforceError::NotHere(self.why.clone()))
        }
    }
}

impl Enforce for Nowhere {
    fn check(&self, set: &Proposed) -> Result<Cost, EnforceError> {
        self.refuse(set)
    }

    fn activate(&self, set: &Proposed, _: Option<&Unconfirmed>) -> Result<Cost, EnforceError> {
        self.refuse(set)
    }

    fn confirmed(&self) {}

    fn hits(&self) -> Vec<Hit> {
        Vec::new()
    }
}
