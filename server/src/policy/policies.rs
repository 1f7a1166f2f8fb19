//! The set of policies at work: changes it, one change at a time, keeps it in the
//! database and puts it in force.
//!
//! A change is checked, written, put in force, and only then seen by readers; one that
//! cannot be put in force is taken out of the database again. Who asks may go away
//! meanwhile. Bound: `QUEUE` changes that wait for their turn.

#[cfg(test)]
mod tests;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use sextant_policy::set::Enforcement;
use tokio::sync::{Semaphore, watch};

use super::{
    change::{Ask, ChangeError, Options, Plan, check_size, kind_of},
    database::{Database, Pending},
    enforce::{Cost, Enforce, EnforceError, Hit, Proposed},
    entry::{ChangeKind, Revision},
    state::{Entries, Standing, State, after, proposed},
};
use crate::flow::Time;

/// Changes that wait or are made.
pub const QUEUE: usize = 32;
/// After a failure of the server's own work.
const RETRY: Duration = Duration::from_secs(5);

/// The set; clones share it.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    enforce: Arc<dyn Enforce>,
    enforcement: Enforcement,
    /// Why there is none, otherwise.
    database: Result<Database, String>,
    state: ArcSwap<State>,
    /// Held by the change that is made.
    changing: Mutex<()>,
    queue: Semaphore,
    /// The last change, and those who wait for it.
    news: watch::Sender<News>,
}

/// What was done last.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The change; none before the first one since the start.
    pub revision: Option<Arc<Revision>>,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Done {
    /// The change that was made, or would be; without steps if there is nothing to do.
    pub revision: Arc<Revision>,
    /// The set after it.
    pub state: Arc<State>,
}

impl Policies {
    /// The set of a state folder, put in force. What cannot be is told, and no reason
    /// not to start: without a database there are no policies and no changes. Blocks.
    #[must_use]
    pub fn open(folder: &Path, enforcement: Enforcement, enforce: Arc<dyn Enforce>) -> Self {
        let (database, stored) = match Database::open(folder) {
            Ok((database, stored)) => (Ok(database), stored),
            Err(error) => {
                tracing::warn!(%error, "policies are not kept: none is in force, and none is taken");
                (Err(error.to_string()), super::database::Stored::default())
            }
        };
        let state = State {
            entries: stored.entries,
            revision: stored.revision,
            pending: stored.pending,
            standing: Standing::default(),
        };
        let policies = Self::new(database, state, enforcement, enforce);
        policies.begin();
        policies
    }

    /// An empty set that ends with the process, for tests.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn in_memory(enforce: Arc<dyn Enforce>) -> Result<Self, ChangeError> {
        let database = Ok(Database::in_memory()?);
        let enforcement = Enforcement::default();
        Ok(Self::new(database, State::default(), enforcement, enforce))
    }

    fn new(
        database: Result<Database, String>,
        state: State,
        enforcement: Enforcement,
        enforce: Arc<dyn Enforce>,
    ) -> Self {
        Self(Arc::new(Inner {
            enforce,
            enforcement,
            database,
            state: ArcSwap::from_pointee(state),
            changing: Mutex::default(),
            queue: Semaphore::new(QUEUE),
            news: watch::Sender::default(),
        }))
    }

    /// The set as it is.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.0.state.load_full()
    }

    /// Who denies by default.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.0.enforcement
    }

    /// Is told of each change.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<News> {
        self.0.news.subscribe()
    }

    /// What the rules did.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        self.0.enforce.hits()
    }

    /// Makes a change, or tells what it would do. It goes on if this is dropped.
    ///
    /// # Errors
    ///
    /// Why there is none; all is then as it was.
    pub async fn change(
        &self,
        ask: Ask,
        options: Options,
        who: String,
    ) -> Result<Done, ChangeError> {
        self.in_turn(move |inner| inner.change(&ask, &options, who))
            .await
    }

    /// Confirms the change that waits, if it is this one or none is named.
    ///
    /// # Errors
    ///
    /// None waits, or another one.
    pub async fn confirm(&self, revision: Option<u64>) -> Result<Arc<State>, ChangeError> {
        self.in_turn(move |inner| inner.confirm(revision)).await
    }

    /// Up to `limit` changes before a number, the newest first, and the oldest
    /// revision that can be gone back to.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub async fn revisions(
        &self,
        before: u64,
        limit: usize,
    ) -> Result<(Vec<Revision>, u64), ChangeError> {
        let inner = Arc::clone(&self.0);
        let read = move || {
            let database = inner.database()?;
            let oldest = database.oldest()?;
            let current = inner.state.load().revision;
            let revisions = database.revisions(before, limit)?;
            Ok((revisions, oldest.map_or(current, |oldest| oldest - 1)))
        };
        blocking(read).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let inner = Arc::clone(&self.0);
        let run = move || {
            let Ok(_place) = inner.queue.try_acquire() else {
                return Err(ChangeError::Busy(QUEUE));
            };
            let _one = inner
                .changing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            work(&inner)
        };
        // Threads are taken for those alone that have a place.
        if self.0.queue.available_permits() == 0 {
            return Err(ChangeError::Busy(QUEUE));
        }
        blocking(run).await
    }

    /// Puts what was stored in force; a change that was to be confirmed by now is
    /// undone first.
    fn begin(&self) {
        let state = self.state();
        if let Some(pending) = state.pending
            && pending.deadline <= Time::now()
        {
            match self.0.undo(pending.revision) {
                Ok(_) => return,
                Err(error) => tracing::error!(
                    revision = pending.revision, %error,
                    "a change that was not confirmed cannot be undone"
                ),
            }
        }
        self.0.activate_again();
    }

    /// Undoes changes that are not confirmed in time, and tries again to put in force
    /// what could not be. Never ends.
    pub async fn watch(self) {
        let mut news = self.news();
        loop {
            let state = self.state();
            let waits = state.pending.map(|pending| until(pending.deadline));
            let retries = match state.standing {
                Standing::Failed(_) => Some(RETRY),
                Standing::Active(_) => None,
            };
            let next = waits.into_iter().chain(retries).min();
            tokio::select! {
                _ = news.changed() => continue,
                () = tokio::time::sleep(next.unwrap_or(Duration::MAX)) => {}
            }
            let inner = Arc::clone(&self.0);
            let work = move || {
                let _one = inner
                    .changing
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let state = inner.state.load_full();
                match state.pending {
                    Some(pending) if until(pending.deadline).is_zero() => {
                        inner.undo(pending.revision).map(drop)
                    }
                    _ => {
                        if matches!(state.standing, Standing::Failed(_)) {
                            inner.activate_again();
                        }
                        Ok(())
                    }
                }
            };
            if let Err(error) = blocking(work).await {
                tracing::error!(%error, "a change that was not confirmed cannot be undone; tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Inner {
    fn database(&self) -> Result<&Database, ChangeError> {
        let database = self.database.as_ref();
        database.map_err(|why| ChangeError::NoDatabase(why.clone()))
    }

    fn change(&self, ask: &Ask, options: &Options, who: String) -> Result<Done, ChangeError> {
        let before = self.state.load_full();
        if let Some(expected) = options.expected
            && expected != before.revision
        {
            let is = before.revision;
            return Err(ChangeError::Conflict { is, expected });
        }
        let undoes = matches!(ask, Ask::Undo(_) | Ask::Rollback(_));
        if let Some(pending) = before.pending
            && !undoes
            && !options.validate_only
        {
            return Err(ChangeError::Pending(pending.revision));
        }
        let revision = self.plan(ask, options, who, &before)?;
        let entries = after(&before.entries, &revision);
        check_size(&entries)?;
        let proposed = proposed(&entries, revision.number, self.enforcement);
        let is_undo = matches!(ask, Ask::Undo(_));
        let checked = match self.enforce.check(&proposed) {
            // What was not confirmed goes, also where the set before it does not fit.
            Err(error) if is_undo => Err(error),
            Err(EnforceError::NotHere(_)) if options.validate_only => Ok(Cost::default()),
            Err(error) => return Err(error.into()),
            Ok(cost) => Ok(cost),
        };
        let standing = match checked {
            Ok(cost) => Standing::Active(cost),
            Err(error) => Standing::Failed(error.to_string()),
        };
        // A rollback to what is there already still ends the wait.
        let ends_wait = undoes && before.pending.is_some();
        if options.validate_only || revision.steps.is_empty() && !ends_wait {
            let state = match revision.steps.is_empty() {
                true => before,
                false => Arc::new(self.next(entries, &revision, standing)),
            };
            let revision = Arc::new(revision);
            return Ok(Done { revision, state });
        }
        self.make(&before, entries, revision, &proposed, is_undo)
    }

    /// What a request comes to.
    fn plan(
        &self,
        ask: &Ask,
        options: &Options,
        who: String,
        before: &State,
    ) -> Result<Revision, ChangeError> {
        let now = Time::now();
        let mut plan = Plan::new(&before.entries, before.revision + 1, now);
        let mut to = 0;
        match ask {
            Ask::Apply { given, mode, prune } => plan.apply(given, *mode, *prune),
            Ask::Delete(which) => plan.delete(which)?,
            Ask::SetMode(which, mode) => plan.set_mode(which, *mode)?,
            Ask::Rollback(asked) => {
                to = asked.unwrap_or(before.revision.saturating_sub(1));
                plan.take_back(&self.later(to, before.revision)?);
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
            who,
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
        entries: Entries,
        revision: Revision,
        proposed: &Proposed,
        is_undo: bool,
    ) -> Result<Done, ChangeError> {
        let database = self.database()?;
        database.commit(&revision)?;
        let standing = match (self.activate(proposed), is_undo) {
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
        let state = Arc::new(self.next(entries, &revision, standing));
        let revision = Arc::new(revision);
        self.tell(&state, &revision);
        Ok(Done { revision, state })
    }

    fn next(&self, entries: Entries, revision: &Revision, standing: Standing) -> State {
        State {
            entries,
            revision: revision.number,
            pending: revision.confirm_by.map(|deadline| Pending {
                revision: revision.number,
                deadline,
            }),
            standing,
        }
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
        self.news.send_replace(News {
            revision: Some(Arc::clone(revision)),
        });
    }

    fn undo(&self, change: u64) -> Result<Done, ChangeError> {
        tracing::warn!(revision = change, "not confirmed in time: undone");
        let who = "sextantd".to_owned();
        self.change(&Ask::Undo(change), &Options::default(), who)
    }

    fn confirm(&self, revision: Option<u64>) -> Result<Arc<State>, ChangeError> {
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
        self.database()?.confirm(pending.revision)?;
        let state = Arc::new(State {
            pending: None,
            ..State::clone(&state)
        });
        self.state.store(Arc::clone(&state));
        tracing::info!(revision = pending.revision, "change of policies confirmed");
        self.news.send_modify(|_| {});
        Ok(state)
    }

    /// Puts in force what is kept.
    fn activate_again(&self) {
        let state = self.state.load_full();
        let proposed = proposed(&state.entries, state.revision, self.enforcement);
        let standing = match self.activate(&proposed) {
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
    }

    fn activate(&self, proposed: &Proposed) -> Result<Cost, EnforceError> {
        let activated = catch_unwind(AssertUnwindSafe(|| self.enforce.activate(proposed)));
        activated.unwrap_or_else(|_| {
            let why = "what enforces panicked; see the log of the server";
            Err(EnforceError::Kernel(why.into()))
        })
    }
}

fn until(deadline: Time) -> Duration {
    let nanos = deadline.as_nanos().saturating_sub(Time::now().as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, ChangeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ChangeError::Internal(error.to_string())))
}

/// The kind of a change, for those who read it.
impl std::fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Apply => f.write_str("apply"),
            Self::Delete => f.write_str("delete"),
            Self::SetMode => f.write_str("mode"),
            Self::Rollback { to } => write!(f, "rollback to {to}"),
            Self::NotConfirmed { change } => write!(f, "{change} was not confirmed"),
        }
    }
}
