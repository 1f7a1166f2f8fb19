//! Interning: equal values are stored once and shared by the flows.
//!
//! An `Interner` is owned by one writer (no lock). It keeps a value as long as
//! something holds it, a flow or a call that records; values that nothing holds
//! any more are swept when the table has doubled since the last sweep, in number
//! or in bytes, so it is bounded by twice what is held. What is held is bounded
//! by whoever stores flows: `Interners::bytes` tells it, `sweep` brings it up to date.

use std::{
    borrow::Borrow,
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock, Weak},
};

use foldhash::fast::RandomState;

use super::heap::Heap;

/// What an interned value looks like on the wire, without field number.
pub trait WireForm {
    /// Appends the content of its message.
    fn encode_wire(&self, out: &mut Vec<u8>);
}

/// A shared, immutable value. Equal by value; `key` is equal by identity.
pub struct Interned<T>(Arc<Shared<T>>);

struct Shared<T> {
    value: T,
    /// The encoded form, made when it is first asked for.
    wire: OnceLock<Box<[u8]>>,
}

impl<T> Interned<T> {
    /// Identity of the shared value, for memo tables that hold on to it.
    #[must_use]
    pub fn key(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Keeps the key from being another value's, but not the value.
    pub(crate) fn hold_key(&self) -> HeldKey<T> {
        HeldKey(Arc::downgrade(&self.0))
    }

    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// A key that no other value gets, also when its own is gone.
#[derive(Debug)]
pub(crate) struct HeldKey<T>(#[expect(dead_code, reason = "held, not read")] Weak<Shared<T>>);

impl<T: Heap> Interned<T> {
    /// Memory of the value, of its encoded form and of its place in the table.
    fn bytes(&self) -> usize {
        size_of::<Shared<T>>() + 2 * self.0.value.heap_bytes() + PLACE
    }
}

impl<T: WireForm> Interned<T> {
    /// The content of the value's message, as it goes on the wire.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        self.0.wire.get_or_init(|| {
            let mut wire = Vec::new();
            self.0.value.encode_wire(&mut wire);
            wire.into()
        })
    }
}

/// Shares one value among the flows that hold it, without an interner.
impl<T> From<T> for Interned<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(Shared {
            value,
            wire: OnceLock::new(),
        }))
    }
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Interned<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl<T: Eq> Eq for Interned<T> {}

impl<T: Hash> Hash for Interned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.value.hash(state);
    }
}

impl<T> Borrow<T> for Interned<T> {
    fn borrow(&self) -> &T {
        &self.0.value
    }
}

/// Smallest table that is swept.
const SWEEP_MIN: usize = 1024;
/// The same in bytes.
const SWEEP_MIN_BYTES: usize = 1 << 20;
/// What a place in a table costs, with the counts of its `Arc`.
const PLACE: usize = 48;

/// A set of shared values.
#[derive(Debug)]
pub struct Interner<T> {
    values: HashSet<Interned<T>, RandomState>,
    /// Memory of the values.
    pub(super) bytes: usize,
    sweep_at: usize,
    sweep_at_bytes: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: HashSet::default(),
            bytes: 0,
            sweep_at: SWEEP_MIN,
            sweep_at_bytes: SWEEP_MIN_BYTES,
        }
    }
}

impl<T: Eq + Hash + Heap> Interner<T> {
    /// The shared value equal to `value`.
    pub fn intern(&mut self, value: T) -> Interned<T> {
        if let Some(shared) = self.values.get(&value) {
            return shared.clone();
        }
        if self.values.len() >= self.sweep_at || self.bytes >= self.sweep_at_bytes {
            self.sweep();
        }
        let shared = Interned::from(value);
        self.bytes += shared.bytes();
        self.values.insert(shared.clone());
        shared
    }

    /// Forgets values that nothing holds.
    pub(super) fn sweep(&mut self) {
        let mut bytes = 0;
        self.values.retain(|value| {
            let is_held = value.is_shared();
            bytes += if is_held { value.bytes() } else { 0 };
            is_held
        });
        // A table that was large once gives its room back.
        if self.values.capacity() > 8 * self.values.len().max(SWEEP_MIN) {
            self.values.shrink_to(2 * self.values.len());
        }
        self.bytes = bytes;
        self.sweep_at = (self.values.len() * 2).max(SWEEP_MIN);
        self.sweep_at_bytes = (bytes * 2).max(SWEEP_MIN_BYTES);
    }

    /// How many values are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Interners, Names};

    #[test]
    fn ever_new_values_that_nothing_holds_stay_bounded_in_number_and_bytes() {
        let mut names = Interner::<Names>::default();
        for (length, count) in [(10, 100_000), (60_000, 500)] {
            let mut most = 0;
            for n in 0..count {
                names.intern(vec![format!("{n:0length$}")]);
                most = most.max(names.bytes);
            }
            assert!(
                names.len() <= SWEEP_MIN && most <= 2 * SWEEP_MIN_BYTES,
                "{most}"
            );
        }
    }

    #[test]
    fn held_values_count_until_they_are_let_go() {
        let mut interners = Interners::default();
        let held: Vec<_> = (0..2000)
            .map(|n| interners.names.intern(vec![format!("{n:0500}")]))
            .collect();
        interners.sweep();
        assert!(interners.bytes() > 2000 * 500, "{}", interners.bytes());
        assert_eq!(
            interners.names.intern(vec![format!("{:0500}", 7)]).key(),
            held[7].key()
        );
        drop(held);
        interners.sweep();
        assert_eq!((interners.bytes(), interners.names.len()), (0, 0));
    }
}
