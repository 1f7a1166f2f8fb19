//! How many connections there may be: in all, and for each peer.
//!
//! A connection is silent until its first bytes told what it speaks. Silent ones
//! cost a descriptor and nothing else, so anybody can make many: where a place is
//! wanted and there is none, the oldest silent connection goes (of the same peer
//! where the peer has its share already). Connections that speak are never closed
//! for others. A few places are for root's unix socket alone.
//!
//! Bound: an entry for each open connection.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::Share;

/// Kept free for root's unix socket.
const FOR_ROOT: usize = 16;

/// All places of a server; clones are the same.
#[derive(Clone, Debug)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_one: usize,
    refused: AtomicU64,
    evicted: AtomicU64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    all: usize,
    of: HashMap<Share, Own>,
    /// By age; told when it is to go.
    silent: BTreeMap<u64, (Share, Arc<Notify>)>,
}

/// Of one peer.
#[derive(Debug, Default)]
struct Own {
    all: usize,
    silent: BTreeSet<u64>,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    share: Share,
    /// Whether it has left the silent ones.
    spoke: bool,
    /// Told when the place is needed for another.
    gone: Arc<Notify>,
}

impl Places {
    /// At most `most` connections, `most_of_one` of them of one peer.
    #[must_use]
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            most_of_one,
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            taken: Mutex::default(),
        }))
    }

    /// Connections that are open, and how many may be.
    #[must_use]
    pub fn open(&self) -> (usize, usize) {
        (self.taken().all, self.0.most)
    }

    /// Connections that found no place, and silent ones closed to make one.
    #[must_use]
    pub fn refused(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.0.refused), count(&self.0.evicted))
    }

    /// A place for a connection, if there is one or room is made.
    pub(super) fn take(&self, share: Share, is_root: bool) -> Option<Place> {
        let mut taken = self.taken();
        let most = match is_root {
            true => self.0.most,
            false => self.0.most.saturating_sub(FOR_ROOT).max(1),
        };
        let own = taken.of.get(&share);
        let has_room = if own.is_some_and(|own| own.all >= self.0.most_of_one) {
            let oldest = own.and_then(|own| own.silent.first()).copied();
            self.make_room(&mut taken, oldest)
        } else if taken.all >= most {
            let oldest = taken.silent.keys().next().copied();
            self.make_room(&mut taken, oldest)
        } else {
            true
        };
        if !has_room {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let gone = Arc::new(Notify::new());
        let number = taken.next;
        taken.next += 1;
        taken.all += 1;
        let own = taken.of.entry(share).or_default();
        own.all += 1;
        own.silent.insert(number);
        taken.silent.insert(number, (share, Arc::clone(&gone)));
        Some(Place {
            places: self.clone(),
            number,
            share,
            spoke: false,
            gone,
        })
    }

    /// Ends the oldest silent connection of all, if there is one: what it holds of the
    /// system is wanted.
    pub(super) fn evict(&self) -> bool {
        let mut taken = self.taken();
        let oldest = taken.silent.keys().next().copied();
        self.make_room(&mut taken, oldest)
    }

    /// Ends the oldest silent connection, if there is one; its place is free before
    /// it is closed.
    fn make_room(&self, taken: &mut Taken, oldest: Option<u64>) -> bool {
        let Some((share, gone)) = oldest.and_then(|oldest| taken.unsilence(oldest)) else {
            return false;
        };
        taken.release(share);
        gone.notify_one();
        self.0.evicted.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn release(&mut self, share: Share) {
        self.all -= 1;
        if let Some(own) = self.of.get_mut(&share) {
            own.all -= 1;
            if own.all == 0 {
                self.of.remove(&share);
            }
        }
    }

    /// It is none of the silent ones any more; nothing if it was none.
    fn unsilence(&mut self, number: u64) -> Option<(Share, Arc<Notify>)> {
        let (share, gone) = self.silent.remove(&number)?;
        if let Some(own) = self.of.get_mut(&share) {
            own.silent.remove(&number);
        }
        Some((share, gone))
    }
}

impl Place {
    /// The connection told what it speaks. False when its place was given away.
    pub(super) fn speak(&mut self) -> bool {
        self.spoke = self.places.taken().unsilence(self.number).is_some();
        self.spoke
    }

    /// Completes when the connection is to go.
    pub(super) fn gone(&self) -> Arc<Notify> {
        Arc::clone(&self.gone)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        // One that was given away is no longer counted.
        if self.spoke || taken.unsilence(self.number).is_some() {
            taken.release(self.share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(last: u8) -> Share {
        Share::Address([10, 0, 0, last].into())
    }

    #[test]
    fn a_silent_connection_goes_for_a_new_one_of_the_same_peer() {
        let places = Places::new(100, 2);
        let _first = places.take(tcp(1), false).unwrap();
        let mut second = places.take(tcp(1), false).unwrap();
        assert!(second.speak());
        let mut third = places.take(tcp(1), false).unwrap();
        assert_eq!(places.refused(), (0, 1));
        assert!(third.speak());
        // Both that are left speak.
        assert!(places.take(tcp(1), false).is_none());
        assert!(places.take(tcp(2), false).is_some());
        assert_eq!(places.refused(), (1, 1));
        drop(third);
        assert!(places.take(tcp(1), false).is_some());
    }

    #[test]
    fn what_was_given_away_is_not_counted_twice() {
        let places = Places::new(100, 1);
        let mut first = places.take(tcp(1), false).unwrap();
        let second = places.take(tcp(1), false).unwrap();
        assert!(!first.speak());
        drop(first);
        assert_eq!(places.open().0, 1);
        drop(second);
        assert_eq!(places.open().0, 0);
    }

    #[test]
    fn many_peers_leave_places_for_root_and_for_those_who_speak() {
        let places = Places::new(FOR_ROOT + 4, 3);
        let mut speaking: Vec<_> = (0..4)
            .map(|peer| places.take(tcp(peer), false).unwrap())
            .collect();
        for place in &mut speaking[..3] {
            assert!(place.speak());
        }
        // The fourth is silent: it goes.
        let mut fifth = places.take(tcp(9), false).unwrap();
        assert!(fifth.speak());
        assert!(places.take(Share::User(1000), false).is_none());
        assert!(places.take(Share::User(0), true).is_some());
        assert!(!speaking[3].speak());
    }
}
