//! A number of equal things, such as places or bytes, shared out among peers.
//!
//! Nobody waits here: who finds none is told. Bound: an entry for each peer that
//! holds something.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::listener::{Caller, Share};

/// A pool of this size or a smaller one is not shared out: there is nothing to gain.
const WHOLE: usize = 16;
/// One part in so many is kept for root's unix socket.
const RESERVE: usize = 16;

/// How many there are, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    all: usize,
    /// For one peer.
    share: usize,
    /// Of all, for root's unix socket alone.
    reserve: usize,
}

impl Caps {
    /// So many, of which a peer gets `percent`.
    pub(super) fn shared(all: usize, percent: usize) -> Self {
        let share = (all as u128 * percent as u128 / 100) as usize;
        Self {
            all,
            share: share.max(WHOLE.min(all)),
            reserve: all / RESERVE,
        }
    }
}

/// There is none left, of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// For anybody.
    All(usize),
    /// For this peer.
    Share(usize),
}

/// The pool; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    caps: Caps,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by: HashMap<Share, usize>,
}

impl Pool {
    pub(super) fn new(caps: Caps) -> Self {
        Self(Arc::new(Shared {
            caps,
            held: Mutex::default(),
        }))
    }

    /// Takes so many, given back when dropped.
    pub(super) fn take(&self, caller: &Caller, count: usize) -> Result<Place, Full> {
        let mut place = Place {
            pool: self.clone(),
            share: caller.share(),
            count: 0,
        };
        place.resize(caller, count)?;
        Ok(place)
    }

    /// How many are taken, and how many there are.
    pub(super) fn used(&self) -> (usize, usize) {
        (self.lock().all, self.0.caps.all)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some of a pool.
#[derive(Debug)]
pub(super) struct Place {
    pool: Pool,
    share: Share,
    count: usize,
}

impl Place {
    /// Holds so many from now on. More are refused where there are not; then it
    /// holds what it did.
    pub(super) fn resize(&mut self, caller: &Caller, count: usize) -> Result<(), Full> {
        let caps = self.pool.0.caps;
        let mut held = self.pool.lock();
        let others = held.by.get(&self.share).map_or(0, |all| all - self.count);
        let all = held.all - self.count + count;
        if count > self.count {
            let (most, share) = match caller.is_root() {
                true => (caps.all, caps.all),
                false => (caps.all - caps.reserve, caps.share),
            };
            if others + count > share {
                return Err(Full::Share(share));
            }
            if all > most {
                return Err(Full::All(most));
            }
        }
        held.all = all;
        match others + count {
            0 => held.by.remove(&self.share),
            own => held.by.insert(self.share, own),
        };
        self.count = count;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.pool.lock();
        held.all -= self.count;
        if let Some(own) = held.by.get_mut(&self.share) {
            *own -= self.count;
            if *own == 0 {
                held.by.remove(&self.share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Origin, Process};

    fn tcp(address: &str) -> Caller {
        Caller::from(Origin::Tcp(address.parse().unwrap()))
    }

    fn user(uid: u32) -> Caller {
        Caller::from(Origin::Unix(Process {
            uid,
            groups: Vec::new(),
            pid: None,
        }))
    }

    #[test]
    fn one_peer_gets_its_share_others_theirs_and_root_what_is_kept_for_it() {
        let pool = Pool::new(Caps::shared(1024, 25));
        let mut held = Vec::new();
        let mut take = |caller: &Caller| pool.take(caller, 1).map(|place| held.push(place));
        let peers = [
            tcp("192.0.2.1:1"),
            user(1000),
            // All of one network of 64 bits are one.
            tcp("[2001:db8::1]:1"),
            tcp("192.0.2.2:1"),
        ];
        for peer in &peers[..3] {
            for _ in 0..256 {
                take(peer).unwrap();
            }
            assert_eq!(take(peer), Err(Full::Share(256)));
        }
        assert_eq!(take(&tcp("[2001:db8::2]:7")), Err(Full::Share(256)));
        for _ in 0..192 {
            take(&peers[3]).unwrap();
        }
        assert_eq!(take(&peers[3]), Err(Full::All(960)));
        for _ in 0..64 {
            take(&user(0)).unwrap();
        }
        assert_eq!(take(&user(0)), Err(Full::All(1024)));
        drop(held);
        assert_eq!((pool.used(), pool.lock().by.len()), ((0, 1024), 0));
    }

    #[test]
    fn a_small_pool_is_whole_and_a_large_part_is_refused_whole() {
        let pool = Pool::new(Caps::shared(4, 25));
        let held: Vec<_> = (0..4).map(|_| pool.take(&user(7), 1)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(pool.take(&user(7), 1).err(), Some(Full::Share(4)));
        drop(held);
        let pool = Pool::new(Caps::shared(1000, 25));
        assert_eq!(pool.take(&user(7), 251).err(), Some(Full::Share(250)));
        let mut place = pool.take(&user(7), 250).unwrap();
        assert_eq!(place.resize(&user(7), 251), Err(Full::Share(250)));
        assert_eq!(pool.used().0, 250);
        place.resize(&user(7), 3).unwrap();
        assert_eq!(pool.used().0, 3);
        place.resize(&user(7), 0).unwrap();
        drop(place);
        assert_eq!((pool.used().0, pool.lock().by.len()), (0, 0));
    }
}
