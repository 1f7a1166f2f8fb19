//! Turns at work that is heavy in memory, or in time: so many at once, of one peer
//! so many. Others wait, in the order in which they came; how many wait is bound
//! by the places for calls and streams.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::listener::{Caller, Share};

/// So many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtOnce {
    /// Beside root's.
    pub(super) all: usize,
    /// Of one peer.
    pub(super) share: usize,
}

/// Each may hold tables of all flows and groups of the store, some 60 MiB with the usual
/// one; scans are no faster when there are more.
pub(super) const HEAVY: AtOnce = AtOnce { all: 2, share: 1 };
/// What takes milliseconds.
pub(super) const SHORT: AtOnce = AtOnce { all: 8, share: 2 };

/// The turns; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    share: usize,
    all: Arc<Semaphore>,
    by: Arc<Mutex<HashMap<Share, Arc<Semaphore>>>>,
}

/// One's turn, until it is dropped.
#[derive(Debug)]
pub(in crate::service) struct Turn {
    _all: Option<OwnedSemaphorePermit>,
    _own: Own,
}

/// A peer's place among its own calls.
#[derive(Debug)]
struct Own {
    share: Share,
    semaphore: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    by: Arc<Mutex<HashMap<Share, Arc<Semaphore>>>>,
}

impl Turns {
    pub(super) fn new(at_once: AtOnce) -> Self {
        Self {
            share: at_once.share,
            all: Arc::new(Semaphore::new(at_once.all)),
            by: Arc::default(),
        }
    }

    /// Waits for a turn. First among the peer's own calls: so one peer's many are
    /// at most that many in the line of all. Root's unix socket stands in no line.
    pub(super) async fn take(&self, caller: &Caller) -> Turn {
        let mut own = self.own(caller.share());
        // The semaphores are never closed.
        own.permit = Arc::clone(&own.semaphore).acquire_owned().await.ok();
        let all = match caller.is_root() {
            true => None,
            false => Arc::clone(&self.all).acquire_owned().await.ok(),
        };
        Turn {
            _all: all,
            _own: own,
        }
    }

    fn own(&self, share: Share) -> Own {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(self.share));
        let semaphore = Arc::clone(by.entry(share).or_insert_with(new));
        Own {
            share,
            semaphore,
            permit: None,
            by: Arc::clone(&self.by),
        }
    }
}

/// The last of a peer takes its entry away.
impl Drop for Own {
    fn drop(&mut self) {
        self.permit = None;
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        // In the table and here: the lock keeps others from taking it meanwhile.
        if Arc::strong_count(&self.semaphore) == 2 {
            by.remove(&self.share);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::listener::Origin;

    fn peer(last: u8) -> Caller {
        Caller::from(Origin::Tcp(([192, 0, 2, last], 1).into()))
    }

    #[test]
    fn many_of_one_peer_do_not_stand_before_others() {
        let turns = Turns::new(SHORT);
        let take = |last| turns.take(&peer(last)).now_or_never();
        let mut at_work: Vec<_> = (0..SHORT.share).map(|_| take(1).unwrap()).collect();
        let one = peer(1);
        let many: Vec<_> = (0..100).map(|_| Box::pin(turns.take(&one))).collect();
        assert!(take(1).is_none());
        let others: Vec<_> = (2..5)
            .flat_map(|last| [last, last])
            .filter_map(take)
            .collect();
        assert_eq!(others.len(), SHORT.all - SHORT.share);
        assert!(take(9).is_none());
        at_work.pop();
        assert!(take(9).is_some());
        drop((at_work, many, others));
        assert!(turns.by.lock().unwrap().is_empty());
    }
}
