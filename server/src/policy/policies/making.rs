//! How a change is made: planned, checked, written, put in force, told.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{Done, Inner, traced, until};
use crate::{
    flow::Time,
    policy::{
        change::{Ask, ChangeError, Options, Plan, check_size, kind_of},
        database::{Database, Pending},
        enforce::{Cost, EnforceError, Proposed, Unconfirmed},
        entry::{ChangeKind, Entries, Revision},
        rulebook::Rulebook,
        state::{Standing, State, after, proposed},
    },
};

/// A confirmation is on the disk after so long, also on one that is slow.
const WRITING: Duration = Duration::from_secs(60);

/// A set in the making.
struct Next {
    entries: Entries,
    rulebook: Arc<Rulebook>,
    proposed: Proposed,
}

impl Inner {
    pub(super) fn database(&self) -> Result<&Database, ChangeError> {
        let database = self.database.as_ref();
        database.map_err(|why| ChangeError::NoDatabase(why.clone()))
    }

    pub(super) fn change(&self, ask: &Ask, options: &Options) -> Result<Done, ChangeError> {
        let span = traced::span(traced::action(ask));
        let done = span.in_scope(|| self.try_change(ask, options));
        traced::changed(&span, &done, options.validate_only);
        done
    }

    fn try_change(&self, ask: &Ask, options: &Options) -> Result<Done, ChangeError> {
        let before = self.state.load_full();
        let undoes = matches!(ask, Ask::Undo(_) | Ask::Rollback(_));
        check_revision(&before, options, undoes)?;
        let revision = self.plan(ask, options, &before)?;
        let next = self.next_of(&before, &revision)?;
        let is_undo = matches!(ask, Ask::Undo(_));
        if !is_undo && !options.force {
            let (was, is) = (&before.rulebook, &next.rulebook);
            self.parts.guard.check(was, is, options.arriving)?;
        }
        let standing = match self.parts.enforce.check(&next.proposed) {
            Ok(cost) => Standing::Active(cost),
            // What was not confirmed goes, also where the set before it does not fit.
            Err(error) if is_undo => Standing::Failed(error.to_string()),
            Err(EnforceError::NotHere(_)) if options.validate_only => {
                Standing::Active(Cost::default())
            }
            Err(error) => return Err(error.into()),
        };
        // A rollback to what is there already still ends the wait.
        let ends_wait = undoes && before.pending.is_some();
        if options.validate_only || revision.steps.is_empty() && !ends_wait {
            let state = match revision.steps.is_empty() {
                true => before,
                false => Arc::new(next.state(&revision, standing)),
            };
            let revision = Arc::new(revision);
            return Ok(Done { revision, state });
        }
        self.make(&before, next, revision, is_undo)
    }

    /// The set after a change, if it is within the bounds.
    fn next_of(&self, before: &State, revision: &Revision) -> Result<Next, ChangeError> {
        let entries = after(&before.entries, revision);
        check_size(&entries)?;
        let enforcement = self.parts.enforcement;
        Ok(Next {
            rulebook: Arc::new(Rulebook::new(&entries, enforcement)),
            proposed: proposed(&entries, revision.number, enforcement),
            entries,
        })
    }

    /// What a request comes to.
    fn plan(&self, ask: &Ask, options: &Options, before: &State) -> Result<Revision, ChangeError> {
        let now = Time::now();
        let mut plan = Plan::new(&before.entries, before.revision + 1, now);
        let mut to = 0;
        match ask {
            Ask::Apply { given, mode, prune } => plan.apply(given, *mode, *prune),
            Ask::Delete(which) => plan.delete(which)?,
            Ask::SetMode(which, mode) => plan.set_mode(which, *mode)?,
            Ask::Rollback(asked) => {
                to = asked.unwrap_or(before.revision.saturating_sub(1));
                let later = self.later(to, before.revision)?;
                let undone = ChangeKind::NotConfirmed { change: to };
                let is_safe = options.force || options.confirm_within.is_some();
                if !is_safe && later.iter().any(|revision| revision.kind == undone) {
                    return Err(ChangeError::NeverConfirmed(to));
                }
                plan.take_back(&later);
            }
            Ask::Undo(change) => plan.take_back(&self.later(change - 1, before.revision)?),
        }
        let confirm_by = options.confirm_within.map(|within| {
            let nanos = i64::try_from(within.as_nanos()).unwrap_or(i64::MAX);
            Time::from_nanos(now.as_nanos().saturating_add(nanos))
        });
        Ok(Revision {
            number: before.revision + 1,
            time: now,
            who: options.who.clone(),
            kind: kind_of(ask, to),
            steps: plan.steps(),
            confirm_by,
        })
    }

    /// The changes after a revision, the newest first.
    fn later(&self, to: u64, current: u64) -> Result<Vec<Revision>, ChangeError> {
        let database = self.database()?;
        let oldest = database.oldest()?.map_or(current, |oldest| oldest - 1);
        if to < oldest || to > current {
            return Err(ChangeError::NotKept {
                asked: to,
                oldest,
                newest: current,
            });
        }
        Ok(database.revisions(u64::MAX, (current - to) as usize)?)
    }

    /// Writes a change and puts it in force.
    fn make(
        &self,
        before: &State,
        next: Next,
        revision: Revision,
        is_undo: bool,
    ) -> Result<Done, ChangeError> {
        let database = self.database()?;
        database.commit(&revision)?;
        let unconfirmed = revision.confirm_by.map(|deadline| Unconfirmed {
            before: proposed(&before.entries, before.revision, self.parts.enforcement),
            within: until(deadline),
        });
        let activated = self.activate(&next.proposed, unconfirmed.as_ref());
        let standing = match (activated, is_undo) {
            (Ok(cost), _) => Standing::Active(cost),
            (Err(error), true) => {
                tracing::error!(%error, "the set before a change that was not confirmed is not in force");
                Standing::Failed(error.to_string())
            }
            (Err(error), false) => match database.revert(&revision, before.pending) {
                Ok(()) => return Err(error.into()),
                Err(kept) => {
                    tracing::error!(%error, %kept, "a change is kept that is not in force");
                    Standing::Failed(error.to_string())
                }
            },
        };
        let state = Arc::new(next.state(&revision, standing));
        let revision = Arc::new(revision);
        self.tell(&state, &revision);
        Ok(Done { revision, state })
    }

    fn tell(&self, state: &Arc<State>, revision: &Arc<Revision>) {
        self.state.store(Arc::clone(state));
        tracing::info!(
            revision = revision.number,
            who = revision.who,
            kind = ?revision.kind,
            policies = revision.steps.len(),
            "policies changed"
        );
        (self.parts.told)(revision);
        self.news.send_modify(|()| {});
    }

    /// Whether a change was to be confirmed by now: by this clock, which somebody may set,
    /// or by that of the kernel, where the set before is in force again.
    pub(super) fn is_overdue(&self, pending: Pending) -> bool {
        until(pending.deadline).is_zero() || self.parts.enforce.went_back()
    }

    pub(super) fn undo(&self, change: u64) -> Result<Done, ChangeError> {
        tracing::warn!(revision = change, "not confirmed in time: undone");
        let options = Options {
            who: "sextantd".into(),
            ..Options::default()
        };
        self.change(&Ask::Undo(change), &options)
    }

    pub(super) fn confirm(&self, revision: Option<u64>) -> Result<Arc<State>, ChangeError> {
        let span = traced::span("confirm");
        let confirmed = span.in_scope(|| self.try_confirm(revision));
        match &confirmed {
            Ok(state) => traced::confirmed(&span, state.revision),
            Err(_) => traced::refused(&span),
        }
        confirmed
    }

    fn try_confirm(&self, revision: Option<u64>) -> Result<Arc<State>, ChangeError> {
        let state = self.state.load_full();
        let pending = match (state.pending, revision) {
            (Some(pending), None) => pending,
            (Some(pending), Some(asked)) if pending.revision == asked => pending,
            (Some(pending), Some(asked)) => {
                return Err(ChangeError::NotPending(format!(
                    "revision {} waits to be confirmed, not {asked}",
                    pending.revision
                )));
            }
            (None, _) => {
                return Err(ChangeError::NotPending(
                    "no change waits to be confirmed; it was confirmed, rolled back or undone"
                        .into(),
                ));
            }
        };
        let database = self.database()?;
        // Not while it is written: packets would be judged by the set before for a moment.
        if self.is_overdue(pending) || !self.parts.enforce.comes_back_after(WRITING) {
            return Err(ChangeError::NotPending(format!(
                "revision {} was not confirmed in time: the set before it comes back",
                pending.revision
            )));
        }
        if let Err(error) = database.confirm(pending.revision) {
            self.parts.enforce.comes_back_after(until(pending.deadline));
            return Err(error.into());
        }
        self.parts.enforce.confirmed();
        let state = Arc::new(State {
            pending: None,
            ..State::clone(&state)
        });
        self.state.store(Arc::clone(&state));
        tracing::info!(revision = pending.revision, "change of policies confirmed");
        self.news.send_modify(|()| {});
        Ok(state)
    }

    /// Puts in force what is kept.
    pub(super) fn activate_again(&self) {
        let state = self.state.load_full();
        let proposed = proposed(&state.entries, state.revision, self.parts.enforcement);
        let unconfirmed = state
            .pending
            .map(|pending| self.unconfirmed(&state, pending));
        let unconfirmed = unconfirmed.transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "what was before a change that is not confirmed is not known");
            None
        });
        let standing = match self.activate(&proposed, unconfirmed.as_ref()) {
            Ok(cost) => Standing::Active(cost),
            Err(error) => Standing::Failed(error.to_string()),
        };
        if standing == state.standing {
            return;
        }
        match &standing {
            Standing::Failed(error) => tracing::error!(
                revision = state.revision,
                policies = state.entries.len(),
                "the policies are not in force: {error}"
            ),
            Standing::Active(_) => tracing::info!(
                revision = state.revision,
                policies = state.entries.len(),
                "the policies are in force"
            ),
        }
        self.state.store(Arc::new(State {
            standing,
            ..State::clone(&state)
        }));
        self.news.send_modify(|()| {});
    }

    /// The set before the change that waits.
    fn unconfirmed(&self, state: &State, pending: Pending) -> Result<Unconfirmed, ChangeError> {
        let undo = self.plan(&Ask::Undo(pending.revision), &Options::default(), state)?;
        let entries = after(&state.entries, &undo);
        Ok(Unconfirmed {
            before: proposed(&entries, pending.revision - 1, self.parts.enforcement),
            within: until(pending.deadline),
        })
    }

    fn activate(
        &self,
        proposed: &Proposed,
        unconfirmed: Option<&Unconfirmed>,
    ) -> Result<Cost, EnforceError> {
        let activate = || self.parts.enforce.activate(proposed, unconfirmed);
        let activated = catch_unwind(AssertUnwindSafe(activate));
        activated.unwrap_or_else(|_| {
            let why = "what enforces panicked; see the log of the server";
            Err(EnforceError::Kernel(why.into()))
        })
    }
}

impl Next {
    fn state(self, revision: &Revision, standing: Standing) -> State {
        State {
            entries: self.entries,
            revision: revision.number,
            pending: revision.confirm_by.map(|deadline| Pending {
                revision: revision.number,
                deadline,
            }),
            standing,
            rulebook: self.rulebook,
        }
    }
}

/// Whether the set is where it was expected, and no other change waits.
fn check_revision(before: &State, options: &Options, undoes: bool) -> Result<(), ChangeError> {
    let is = before.revision;
    if let Some(expected) = options.expected
        && expected != is
    {
        return Err(ChangeError::Conflict { is, expected });
    }
    // What was never confirmed is nothing to come back.
    let waits = options.confirm_within.is_some();
    match before.pending {
        Some(pending) if (!undoes || waits) && !options.validate_only => {
            Err(ChangeError::Pending(pending.revision))
        }
        _ => Ok(()),
    }
}
