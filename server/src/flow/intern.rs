//! Interning: equal values are stored once and shared by the flows.
//!
//! An `Interner` is owned by one writer (no lock). It keeps a value as long as
//! some flow holds it; values that no flow holds any more are swept when the
//! table has doubled since the last sweep, so it is bounded by twice what the
//! store holds.

use std::{collections::HashSet, hash::Hash, ops::Deref, sync::Arc};

use super::{Endpoint, Interface, Names, Origin};

/// A shared, immutable value. Equal by value; `key` is equal by identity.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Interned<T>(Arc<T>);

impl<T> Interned<T> {
    /// Wraps a value that is shared already.
    #[must_use]
    pub fn new(value: Arc<T>) -> Self {
        Self(value)
    }

    /// Identity of the shared value, for memo tables that hold on to it.
    #[must_use]
    pub fn key(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Interned<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Smallest table that is swept.
const SWEEP_MIN: usize = 1024;

/// A set of shared values.
#[derive(Debug)]
pub struct Interner<T> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<T: Eq + Hash> Interner<T> {
    /// The shared value equal to `value`.
    pub fn intern(&mut self, value: T) -> Interned<T> {
        if let Some(shared) = self.values.get(&value) {
            return Interned(Arc::clone(shared));
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = (self.values.len() * 2).max(SWEEP_MIN);
        }
        let shared = Arc::new(value);
        self.values.insert(Arc::clone(&shared));
        Interned(shared)
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

/// One interner for each interned part of a flow.
#[derive(Debug, Default)]
pub struct Interners {
    /// Endpoints of both sides.
    pub endpoints: Interner<Endpoint>,
    /// DNS name lists.
    pub names: Interner<Names>,
    /// Interfaces.
    pub interfaces: Interner<Interface>,
    /// Nodes and emitters.
    pub origins: Interner<Origin>,
    /// Summary texts.
    pub texts: Interner<String>,
}
