//! A table that forgets what was not used for longest.
//!
//! Bound: two generations of half the capacity each. When the younger one is full
//! the older one is forgotten and counted; what is used moves on.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, mem};

use foldhash::fast::RandomState;

/// The table.
#[derive(Debug)]
pub struct Generations<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    most: usize,
    generation: u64,
    forgotten: u64,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// For at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            most: (capacity / 2).max(1),
            generation: 0,
            forgotten: 0,
        }
    }

    /// Entries that were forgotten for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Puts an entry in; one of the same key is to be taken out before.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.most {
            self.forgotten += self.old.len() as u64;
            self.old = mem::take(&mut self.young);
            self.generation += 1;
        }
        self.young.insert(key, value);
    }

    /// An entry, which is used by that.
    pub fn use_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// How often the older generation was forgotten.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_and_counted() {
        let mut table = Generations::new(4);
        for key in 0..100 {
            if key > 0 {
                assert!(table.use_mut(&0).is_some(), "used each time");
            }
            table.insert(key, key);
            assert!(table.len() <= 5);
        }
        assert!(table.use_mut(&0).is_some());
        assert!(table.use_mut(&7).is_none());
        assert_eq!(table.forgotten(), 100 - table.len() as u64);
    }
}
