//! The set of policies as it is now: immutable, swapped whole by each change.

use std::sync::Arc;

use sextant_policy::set::Enforcement;

use super::{
    database::Pending,
    enforce::{Cost, Member, Mode, Proposed},
    entry::{Entries, Entry, Revision},
    rulebook::Rulebook,
};

/// The set.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The policies.
    pub entries: Entries,
    /// Number of the last change; 0 before the first one.
    pub revision: u64,
    /// The change that waits to be confirmed.
    pub pending: Option<Pending>,
    /// Whether it is in force.
    pub standing: Standing,
    /// It, as it judges.
    pub rulebook: Arc<Rulebook>,
}

/// Whether a set is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is, and takes so much.
    Active(Cost),
    /// It is not, and this is why.
    Failed(String),
}

impl Default for Standing {
    fn default() -> Self {
        Self::Active(Cost::default())
    }
}

impl State {
    /// Policies that do something.
    #[must_use]
    pub fn active(&self) -> usize {
        let is_active = |entry: &&Arc<Entry>| entry.mode != Mode::Disabled;
        match self.standing {
            Standing::Active(_) => self.entries.values().filter(is_active).count(),
            Standing::Failed(_) => 0,
        }
    }
}

/// The policies after a change.
#[must_use]
pub fn after(entries: &Entries, revision: &Revision) -> Entries {
    let mut entries = entries.clone();
    for step in &revision.steps {
        match &step.after {
            Some(entry) => entries.insert(step.id.clone(), Arc::clone(entry)),
            None => entries.remove(&step.id),
        };
    }
    entries
}

/// The set as what enforces takes it.
#[must_use]
pub fn proposed(entries: &Entries, revision: u64, enforcement: Enforcement) -> Proposed {
    let members = entries.values().map(|entry| Member {
        policy: Arc::clone(&entry.policy),
        mode: entry.mode,
        revision: entry.revision,
    });
    Proposed {
        revision,
        policies: members.collect(),
        enforcement,
    }
}
