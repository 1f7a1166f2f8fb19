//! Verdicts on interned values, judged once for each value.
//!
//! Bound: 65,536 values; a full table is cleared. The table holds on to their
//! keys, so that none names two of them, but not to the values: what the store
//! lets go is gone, however many streams have judged it.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::flow::{HeldKey, Interned};

/// Verdicts that are remembered at most.
const CAPACITY: usize = 65_536;
/// Of them, those that are found without a search; a power of two.
const RECENT: usize = 256;

/// Remembered verdicts.
pub(super) struct Memo<T> {
    verdicts: HashMap<usize, (HeldKey<T>, bool), BuildHasherDefault<KeyHasher>>,
    /// Keys and verdicts by the key's low bits once spread; 0 is no key.
    recent: Box<[(usize, bool)]>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self {
            verdicts: HashMap::default(),
            recent: vec![(0, false); RECENT].into(),
        }
    }
}

impl<T> Memo<T> {
    /// The remembered verdict on `value`, or that of `judge`.
    pub(super) fn verdict(&mut self, value: &Interned<T>, judge: impl FnOnce(&T) -> bool) -> bool {
        let key = value.key();
        let place = spread(key as u64) as usize % RECENT;
        let (recent, verdict) = self.recent[place];
        if recent == key {
            return verdict;
        }
        let verdict = match self.verdicts.get(&key) {
            Some((_, verdict)) => *verdict,
            None => {
                if self.verdicts.len() >= CAPACITY {
                    // Values are let go, and others may get their addresses.
                    self.verdicts.clear();
                    self.recent.fill((0, false));
                }
                let verdict = judge(value);
                self.verdicts.insert(key, (value.hold_key(), verdict));
                verdict
            }
        };
        self.recent[place] = (key, verdict);
        verdict
    }
}

/// Multiplies by the golden ratio and folds the high bits in.
fn spread(key: u64) -> u64 {
    let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
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
        let mut memo = Memo::default();
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
        let mut memo = Memo::default();
        for n in 0..CAPACITY + 10 {
            memo.verdict(&Interned::from(n), |_| true);
        }
        assert!(memo.verdicts.len() <= CAPACITY);
    }
}
