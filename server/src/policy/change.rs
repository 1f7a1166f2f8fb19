//! What a request makes of the set. Pure: nothing is written or put in force here.
//!
//! Bound: `MAX_POLICIES` policies, `MAX_RULES` rules, `MAX_BYTES` bytes of documents.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sextant_policy::{
    document::Written,
    policy::{Kind, PolicyId},
};

use super::{
    database::DatabaseError,
    enforce::{EnforceError, Mode},
    entry::{Action, ChangeKind, Entries, Entry, Revision, Step},
    guard::{Arriving, LockedOut},
};
use crate::flow::Time;

/// Policies of the set.
pub const MAX_POLICIES: usize = 10_000;
/// Rules of all of them.
pub const MAX_RULES: usize = 100_000;
/// Bytes of their documents.
pub const MAX_BYTES: usize = 32 << 20;

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// To create and update policies.
    Apply {
        /// They.
        given: Vec<Written>,
        /// How far they go; as they did, where it is not said.
        mode: Option<Mode>,
        /// Others are deleted.
        prune: bool,
    },
    /// To delete policies.
    Delete(Vec<Reference>),
    /// To say how far policies go.
    SetMode(Vec<Reference>, Mode),
    /// To make the set as it was at a revision; the one before the last change where
    /// it is not said.
    Rollback(Option<u64>),
    /// To undo this change, which was not confirmed.
    Undo(u64),
}

/// A policy by its name; the kind may be left out where one alone has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its kind.
    pub kind: Option<Kind>,
    /// Its namespace; of a kind with namespaces, `default` when empty.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Nothing is changed.
    pub validate_only: bool,
    /// The revision that the set must be at.
    pub expected: Option<u64>,
    /// It is undone unless it is confirmed in this time.
    pub confirm_within: Option<Duration>,
    /// Made even if it locks the caller out.
    pub force: bool,
    /// Who asks, as in the audit log.
    pub who: String,
    /// On which connection; none over a unix socket.
    pub arriving: Option<Arriving>,
}

/// Why there is no change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No such policy.
    #[error("there is no {0}; `sextant policy list` tells which there are")]
    NotFound(Reference),
    /// Policies of several kinds have the name.
    #[error("{0} is of several kinds; name one of them by `kind` (`--kind`): {1}")]
    Ambiguous(Reference, String),
    /// The set has changed meanwhile.
    #[error("the set is at revision {is}, not {expected}; look at it again, then change it")]
    Conflict {
        /// At which it is.
        is: u64,
        /// At which it was expected.
        expected: u64,
    },
    /// Another change waits.
    #[error(
        "revision {0} waits to be confirmed; confirm it first, or roll it back with no time to confirm that"
    )]
    Pending(u64),
    /// No change waits, or another one.
    #[error("{0}")]
    NotPending(String),
    /// That revision is not known any more, or not yet.
    #[error("revision {asked} is not kept; those from {oldest} to {newest} are")]
    NotKept {
        /// Which was asked for.
        asked: u64,
        /// The oldest that can be gone back to.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
    /// Nobody confirmed what would come back.
    #[error(
        "the change of revision {0} was never confirmed, and so undone; name another revision, or have this one confirmed (`confirm_within`, `--confirm-within`) or forced (`force`, `--force`)"
    )]
    NeverConfirmed(u64),
    /// The set is too large.
    #[error("the set would have {has} {what}, and {most} are the most; make it smaller")]
    TooLarge {
        /// What of.
        what: &'static str,
        /// How many.
        has: usize,
        /// The most.
        most: usize,
    },
    /// Too many changes wait for their turn.
    #[error("{0} changes wait already; try again later")]
    Busy(usize),
    /// It cannot be enforced.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
    /// It would lock somebody out.
    #[error(transparent)]
    LockedOut(#[from] LockedOut),
    /// It cannot be kept.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Nothing can be kept.
    #[error("policies cannot be kept: {0}")]
    NoDatabase(String),
    /// The server failed.
    #[error("the change failed in the server: {0}; its log has more")]
    Internal(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind} ")?,
            None => f.write_str("policy ")?,
        }
        if self.kind != Some(Kind::CiliumClusterwide) {
            write!(f, "{}/", self.namespace())?;
        }
        f.write_str(&self.name)
    }
}

impl Reference {
    /// The namespace that is meant.
    fn namespace(&self) -> &str {
        match (self.kind, self.namespace.as_str()) {
            (Some(Kind::CiliumClusterwide), _) => "",
            (_, "") => "default",
            (_, namespace) => namespace,
        }
    }

    /// The policy that it names.
    ///
    /// # Errors
    ///
    /// There is none, or several.
    pub fn find<'a>(&self, entries: &'a Entries) -> Result<&'a Arc<Entry>, ChangeError> {
        let kinds = match self.kind {
            Some(kind) => vec![kind],
            None => super::entry::KINDS.to_vec(),
        };
        let mut found = Vec::new();
        for kind in kinds {
            let of_kind = Self {
                kind: Some(kind),
                ..self.clone()
            };
            // Who names a namespace does not mean what has none.
            if kind == Kind::CiliumClusterwide && self.kind.is_none() && !self.namespace.is_empty()
            {
                continue;
            }
            let id = PolicyId {
                kind,
                namespace: of_kind.namespace().to_owned(),
                name: self.name.clone(),
            };
            found.extend(entries.get(&id));
        }
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(ChangeError::NotFound(self.clone())),
            several => {
                let ids = several.iter().map(|entry| entry.policy.id.to_string());
                let ids = ids.collect::<Vec<_>>().join(", ");
                Err(ChangeError::Ambiguous(self.clone(), ids))
            }
        }
    }
}

/// A change in the making: what it becomes, by policy.
pub(super) struct Plan<'a> {
    pub(super) entries: &'a Entries,
    /// Number of the change.
    pub(super) number: u64,
    pub(super) now: Time,
    changed: BTreeMap<PolicyId, Option<Arc<Entry>>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(entries: &'a Entries, number: u64, now: Time) -> Self {
        Self {
            entries,
            number,
            now,
            changed: BTreeMap::new(),
        }
    }

    /// Policies that are given are created or updated.
    pub(super) fn apply(&mut self, given: &[Written], mode: Option<Mode>, prune: bool) {
        if prune {
            let gone = self.entries.keys().map(|id| (id.clone(), None));
            self.changed = gone.collect();
        }
        for written in given {
            let before = self.entries.get(&written.policy.id);
            let was = before.map(|entry| entry.mode);
            let entry = Entry {
                policy: Arc::new(written.policy.clone()),
                bytes: written.document.to_string().len(),
                document: written.document.clone(),
                mode: mode.or(was).unwrap_or_default(),
                revision: self.number,
                created: before.map_or(self.now, |entry| entry.created),
                updated: self.now,
            };
            self.put(entry);
        }
    }

    /// Policies go.
    pub(super) fn delete(&mut self, which: &[Reference]) -> Result<(), ChangeError> {
        for reference in which {
            let id = reference.find(self.entries)?.policy.id.clone();
            self.changed.insert(id, None);
        }
        Ok(())
    }

    /// Policies get a mode.
    pub(super) fn set_mode(&mut self, which: &[Reference], mode: Mode) -> Result<(), ChangeError> {
        for reference in which {
            let before = reference.find(self.entries)?;
            self.put(Entry {
                mode,
                revision: self.number,
                updated: self.now,
                ..Entry::clone(before)
            });
        }
        Ok(())
    }

    /// What later changes did is taken back, the newest first.
    pub(super) fn take_back(&mut self, later: &[Revision]) {
        for step in later.iter().flat_map(|revision| &revision.steps) {
            let was = step.before.as_ref().map(|entry| {
                Arc::new(Entry {
                    revision: self.number,
                    updated: self.now,
                    ..Entry::clone(entry)
                })
            });
            self.changed.insert(step.id.clone(), was);
        }
    }

    fn put(&mut self, entry: Entry) {
        let id = entry.policy.id.clone();
        self.changed.insert(id, Some(Arc::new(entry)));
    }

    /// What is another than before.
    pub(super) fn steps(self) -> Vec<Step> {
        let entries = self.entries;
        let steps = self.changed.into_iter().filter_map(|(id, after)| {
            let before = entries.get(&id).cloned();
            let action = match (&before, &after) {
                (None, None) => return None,
                (None, Some(_)) => Action::Created,
                (Some(_), None) => Action::Deleted,
                (Some(before), Some(after)) if is_same(before, after) => return None,
                (Some(_), Some(_)) => Action::Updated,
            };
            Some(Step {
                id,
                action,
                before,
                after,
            })
        });
        steps.collect()
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    one.mode == other.mode && one.document == other.document
}

/// Whether a set is within the bounds.
pub(super) fn check_size(entries: &Entries) -> Result<(), ChangeError> {
    let sum = |of: fn(&Entry) -> usize| entries.values().map(|entry| of(entry)).sum();
    for (what, has, most) in [
        ("policies", entries.len(), MAX_POLICIES),
        ("rules", sum(Entry::rules), MAX_RULES),
        ("bytes of documents", sum(|entry| entry.bytes), MAX_BYTES),
    ] {
        if has > most {
            return Err(ChangeError::TooLarge { what, has, most });
        }
    }
    Ok(())
}

/// What made the change, as it is remembered.
pub(super) fn kind_of(ask: &Ask, to: u64) -> ChangeKind {
    match ask {
        Ask::Apply { .. } => ChangeKind::Apply,
        Ask::Delete(_) => ChangeKind::Delete,
        Ask::SetMode(..) => ChangeKind::SetMode,
        Ask::Rollback(_) => ChangeKind::Rollback { to },
        Ask::Undo(change) => ChangeKind::NotConfirmed { change: *change },
    }
}
