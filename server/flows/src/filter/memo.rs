//! Verdicts on interned values, judged once for each value.
//!
//! Bound: 65,536 values, fewer where a request has many filters; a full table is
//! cleared. The table holds on to their keys, so that none names two of them, but
//! not to the values: what the store lets go is gone, however many streams have
//! judged it.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
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

/// Remembered verdicts.
pub(super) struct Memo<T> {
    verdicts: HashMap<usize, (HeldKey<T>, bool), BuildHasherDefault<KeyHasher>>,
    /// Keys and verdicts by the key's high bits once spread; 0 is no key.
    recent: Box<[(usize, bool)]>,
    /// Bits of a spread key that are not of its place.
    shift: u32,
    capacity: usize,
}

impl<T> Memo<T> {
    /// For about so many verdicts.
    pub(super) fn new(verdicts: usize) -> Self {
        let capacity = verdicts.clamp(LEAST, MOST);
        let recent = if capacity < MOST / 16 {
            FEW_RECENT
        } else {
            RECENT
        };
        Self {
            verdicts: HashMap::default(),
            recent: vec![(0, false); recent].into(),
            shift: u64::BITS - recent.ilog2(),
            capacity,
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
                if self.verdicts.len() >= self.capacity {
                    // Values are let go, and others may get their addresses.
                    self.verdicts.clear();
                    self.recent.fill((0, false));
                }
                let verdict = judge(value);
                self.verdicts.insert(key, (value.hold_key(), verdict));
                verdict
            }
        };
        let place = self.place(key);
        self.recent[place] = (key, verdict);
        verdict
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
        let mut memo = Memo::new(MOST);
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
            let mut memo = Memo::new(room);
            for n in 0..room + 1000 {
                memo.verdict(&Interned::from(n), |_| true);
            }
            assert!(memo.verdicts.len() <= room.max(LEAST));
        }
    }
}
