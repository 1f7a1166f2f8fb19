//! Verdicts on interned values, judged once for each value.
//!
//! Bound: 65,536 values, fewer where a request has many filters, and of what all requests
//! together may remember a fair part; a full table is cleared. The table holds on to their keys, so that none names two of them, but
//! not to the values: what the store lets go is gone, however many streams have
//! judged it.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::flow::{HeldKey, Interned};

/// Verdicts that the tables of one kind remember at most, over all filters of a
/// request.
pub(super) const TOTAL: usize = 2 * MOST;
/// Those of one table.
const MOST: usize = 65_536;
const LEAST: usize = 64;
/// Of them, those that are found without a search, in a table with room; a power
/// of two.
const RECENT: usize = 256;
/// In one with little.
const FEW_RECENT: usize = 16;
/// 2^64 by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Verdicts that all requests of the process remember at most: 30 MB.
const OF_ALL: usize = 1 << 19;
/// A request may take one part in so many of what is left, so that there is always some
/// for another one.
const PART: usize = 4;
/// What each request may remember, whatever others do.
const OF_EACH: usize = 512;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// What the tables of one request have of what all may remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    taken: Arc<AtomicUsize>,
    is_own: bool,
}

impl Share {
    /// Of filters of the daemon itself, from which nobody else takes any.
    pub(super) fn own() -> Self {
        Self {
            is_own: true,
            ..Self::default()
        }
    }

    /// Takes a place for one verdict, if there is one. Two that ask at once may both get
    /// the last.
    fn take(&self) -> bool {
        if self.is_own {
            return true;
        }
        let left = OF_ALL.saturating_sub(TAKEN.load(Relaxed));
        let is_fair = self.taken.load(Relaxed) < (left / PART).max(OF_EACH);
        if is_fair {
            self.taken.fetch_add(1, Relaxed);
            TAKEN.fetch_add(1, Relaxed);
        }
        is_fair
    }

    fn give_back(&self, verdicts: usize) {
        if !self.is_own {
            self.taken.fetch_sub(verdicts, Relaxed);
            TAKEN.fetch_sub(verdicts, Relaxed);
        }
    }
}

/// Bytes of the verdicts of a table that are found without a search.
pub(super) fn recent_bytes(verdicts: usize) -> usize {
    recent(capacity(verdicts)) * size_of::<(usize, bool)>()
}

fn capacity(verdicts: usize) -> usize {
    verdicts.clamp(LEAST, MOST)
}

fn recent(capacity: usize) -> usize {
    match capacity < MOST / 4 {
        true => FEW_RECENT,
        false => RECENT,
    }
}

/// Remembered verdicts.
pub(super) struct Memo<T> {
    verdicts: HashMap<usize, (HeldKey<T>, bool), BuildHasherDefault<KeyHasher>>,
    /// Keys and verdicts by the key's high bits once spread; 0 is no key.
    recent: Box<[(usize, bool)]>,
    /// Bits of a spread key that are not of its place.
    shift: u32,
    capacity: usize,
    share: Share,
}

impl<T> Memo<T> {
    /// For about so many verdicts, of the share of a request.
    pub(super) fn new(verdicts: usize, share: &Share) -> Self {
        let capacity = capacity(verdicts);
        let recent = recent(capacity);
        Self {
            verdicts: HashMap::default(),
            recent: vec![(0, false); recent].into(),
            shift: u64::BITS - recent.ilog2(),
            capacity,
            share: share.clone(),
        }
    }

    /// The remembered verdict on `value`, or that of `judge`.
    #[inline]
    pub(super) fn verdict(&mut self, value: &Interned<T>, judge: impl FnOnce(&T) -> bool) -> bool {
        let key = value.key();
        match self.recent.get(self.place(key)) {
            Some((recent, verdict)) if *recent == key => *verdict,
            _ => self.search(value, judge),
        }
    }

    #[inline]
    fn place(&self, key: usize) -> usize {
        (key as u64).wrapping_mul(GOLDEN).wrapping_shr(self.shift) as usize
    }

    /// Apart, so that the usual way saves no registers.
    #[inline(never)]
    fn search(&mut self, value: &Interned<T>, judge: impl FnOnce(&T) -> bool) -> bool {
        let key = value.key();
        let verdict = match self.verdicts.get(&key) {
            Some((_, verdict)) => *verdict,
            None => {
                let verdict = judge(value);
                if !self.has_room() {
                    return verdict;
                }
                self.verdicts.insert(key, (value.hold_key(), verdict));
                verdict
            }
        };
        let place = self.place(key);
        self.recent[place] = (key, verdict);
        verdict
    }
}

impl<T> Memo<T> {
    /// Takes room for one more; the table is emptied where there is none.
    fn has_room(&mut self) -> bool {
        if self.verdicts.len() < self.capacity && self.share.take() {
            return true;
        }
        self.clear();
        self.share.take()
    }

    /// Values are let go, and others may get their addresses.
    fn clear(&mut self) {
        self.share.give_back(self.verdicts.len());
        self.verdicts = HashMap::default();
        self.recent.fill((0, false));
    }
}

impl<T> Drop for Memo<T> {
    fn drop(&mut self) {
        self.share.give_back(self.verdicts.len());
    }
}

/// Multiplies by the golden ratio and folds the high bits in.
fn spread(key: u64) -> u64 {
    let spread = key.wrapping_mul(GOLDEN);
    spread ^ (spread >> 32)
}

/// Spreads addresses.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = spread(self.0 ^ n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_judged_once() {
        let mut memo = Memo::new(MOST, &Share::default());
        let values: Vec<Interned<u32>> = (0..10).map(Interned::from).collect();
        let mut judged = 0;
        for _ in 0..3 {
            for value in &values {
                let verdict = memo.verdict(value, |n| {
                    judged += 1;
                    n % 2 == 0
                });
                assert_eq!(verdict, **value % 2 == 0);
            }
        }
        assert_eq!(judged, 10);
    }

    #[test]
    fn the_table_is_bounded() {
        for room in [0, 1000, MOST] {
            let mut memo = Memo::new(room, &Share::default());
            for n in 0..room + 1000 {
                memo.verdict(&Interned::from(n), |_| true);
            }
            assert!(memo.verdicts.len() <= room.max(LEAST));
        }
    }

    #[test]
    fn many_requests_share_what_is_remembered() {
        let values: Vec<Interned<usize>> = (0..MOST).map(Interned::from).collect();
        let mut memos: Vec<_> = (0..40)
            .map(|_| Memo::new(MOST, &Share::default()))
            .collect();
        for round in 0..2 {
            for value in &values {
                for memo in &mut memos {
                    assert_eq!(
                        memo.verdict(value, |n| n % 3 == 0),
                        **value % 3 == 0,
                        "{round}"
                    );
                }
            }
        }
        let held: usize = memos.iter().map(|memo| memo.verdicts.len()).sum();
        assert!(held <= OF_ALL + 41 * OF_EACH && held > OF_ALL / 4, "{held}");
        // There is some for the next one.
        let mut next = Memo::new(MOST, &Share::default());
        for value in &values {
            next.verdict(value, |_| true);
        }
        assert!(next.verdicts.len() >= OF_EACH, "{}", next.verdicts.len());
    }
}
