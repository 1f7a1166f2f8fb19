//! The set of policies at work: changes it, one change at a time, keeps it in the
//! database and puts it in force.
//!
//! A change is checked, written, put in force, and only then seen by readers; one that
//! cannot be put in force is taken out of the database again. Who asks may go away
//! meanwhile. Bound: `QUEUE` changes that wait for their turn.

mod making;
mod traced;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use sextant_policy::{endpoint::Endpoint, set::Enforcement};
use tokio::sync::{Semaphore, watch};
use tracing::Span;

use super::{
    change::{Ask, ChangeError, Options},
    database::{Database, DatabaseError, Stored},
    enforce::{Enforce, Hit, InForce},
    entry::Revision,
    guard::Guard,
    rulebook::Rulebook,
    state::{Standing, State},
};
use crate::flow::Time;

/// Changes that wait or are made.
pub const QUEUE: usize = 32;
/// After a failure of the server's own work.
const RETRY: Duration = Duration::from_secs(5);
/// As often it is asked whether programs took a change back: they have a clock of their own.
const LOOK: Duration = Duration::from_secs(1);

/// The set; clones share it.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Why there is none, otherwise.
    database: Result<Database, String>,
    state: ArcSwap<State>,
    /// Held by the change that is made.
    changing: Mutex<()>,
    queue: Semaphore,
    /// Held by who reads past changes.
    reading: Semaphore,
    /// Who waits for changes.
    news: watch::Sender<()>,
}

/// What the set needs.
pub struct Parts {
    /// Puts it in force.
    pub enforce: Arc<dyn Enforce>,
    /// Who denies by default.
    pub enforcement: Enforcement,
    /// Keeps it from locking people out.
    pub guard: Guard,
    /// Is told of each change that was made; it must not wait.
    pub told: Box<dyn Fn(&Revision) + Send + Sync>,
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
    pub fn open(folder: &Path, parts: Parts) -> Self {
        let (database, stored) = match Database::open(folder) {
            Ok((database, stored)) => (Ok(database), stored),
            Err(error) => {
                tracing::warn!(%error, "policies are not kept: none is in force, and none is taken");
                (Err(error.to_string()), Stored::default())
            }
        };
        let policies = Self::new(database, stored, parts);
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
        Ok(Self::new(database, Stored::default(), Parts::of(enforce)))
    }

    fn new(database: Result<Database, String>, stored: Stored, parts: Parts) -> Self {
        let state = State {
            rulebook: Arc::new(Rulebook::new(&stored.entries, parts.enforcement)),
            entries: stored.entries,
            revision: stored.revision,
            pending: stored.pending,
            standing: Standing::default(),
        };
        Self(Arc::new(Inner {
            parts,
            database,
            state: ArcSwap::from_pointee(state),
            changing: Mutex::default(),
            queue: Semaphore::new(QUEUE),
            reading: Semaphore::new(1),
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
        self.0.parts.enforcement
    }

    /// Is woken by each change.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.0.news.subscribe()
    }

    /// Who is judged here now; none where nobody is.
    #[must_use]
    pub fn judged(&self) -> Option<Vec<Endpoint>> {
        self.0.parts.enforce.judged()
    }

    /// What is in force now, where anything can be.
    #[must_use]
    pub fn in_force(&self) -> Option<InForce> {
        self.0.parts.enforce.in_force()
    }

    /// Why the set is not the one that was kept, or will not be there after a restart.
    #[must_use]
    pub fn unkept(&self) -> Option<String> {
        match &self.0.database {
            Ok(database) => database.trouble(),
            Err(why) => Some(why.clone()),
        }
    }

    /// What the rules did.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        self.0.parts.enforce.hits()
    }

    /// Connections of rules that found no place to be counted.
    #[must_use]
    pub fn uncounted_hits(&self) -> u64 {
        self.0.parts.enforce.uncounted_hits()
    }

    /// Makes a change, or tells what it would do. It goes on if this is dropped.
    ///
    /// # Errors
    ///
    /// Why there is none; all is then as it was.
    pub async fn change(&self, ask: Ask, options: Options) -> Result<Done, ChangeError> {
        self.in_turn(move |inner| inner.change(&ask, &options))
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

    /// Up to `limit` changes before a number, the newest first and without what policies
    /// were before, and the oldest revision that can be gone back to.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub async fn revisions(
        &self,
        before: u64,
        limit: usize,
    ) -> Result<(Vec<Revision>, u64), ChangeError> {
        self.history(move |database| database.told(before, limit))
            .await
    }

    /// The first change after a number, likewise.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn revision_after(
        &self,
        number: u64,
    ) -> Result<(Option<Revision>, u64), ChangeError> {
        self.history(move |database| database.told_after(number))
            .await
    }

    /// One reads at a time: a change can have megabytes.
    async fn history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<(T, u64), ChangeError> {
        let inner = Arc::clone(&self.0);
        let _one = self.0.reading.acquire().await;
        let read = move || {
            let database = inner.database()?;
            let oldest = database.oldest()?;
            let current = inner.state.load().revision;
            let found = read(database)?;
            Ok((found, oldest.map_or(current, |oldest| oldest - 1)))
        };
        blocking(read).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let (inner, call) = (Arc::clone(&self.0), Span::current());
        let run = move || {
            let _entered = call.enter();
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
            && self.0.is_overdue(pending)
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
            let waits = state
                .pending
                .map(|pending| until(pending.deadline).min(LOOK));
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
                    Some(pending) if inner.is_overdue(pending) => {
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

impl Parts {
    /// With nothing to guard and nobody to tell.
    #[must_use]
    pub fn of(enforce: Arc<dyn Enforce>) -> Self {
        Self {
            enforce,
            enforcement: Enforcement::default(),
            guard: Guard::default(),
            told: Box::new(|_| {}),
        }
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
