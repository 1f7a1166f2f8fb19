//! Interning: equal values are stored once and shared by the flows.
//!
//! An `Interner` is owned by one writer (no lock). It keeps a value as long as
//! something holds it, a flow or a call that records; values that nothing holds
//! any more are swept when the table has doubled since the last sweep, so it is
//! bounded by twice what is held.

use std::{
    borrow::Borrow,
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use foldhash::fast::RandomState;

use super::{Endpoint, Interface, Names, Origin, Points, wire::WireForm};

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

    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
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

/// A set of shared values.
#[derive(Debug)]
pub struct Interner<T> {
    values: HashSet<Interned<T>, RandomState>,
    sweep_at: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: HashSet::default(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<T: Eq + Hash> Interner<T> {
    /// The shared value equal to `value`.
    pub fn intern(&mut self, value: T) -> Interned<T> {
        if let Some(shared) = self.values.get(&value) {
            return shared.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(Interned::is_shared);
            self.sweep_at = (self.values.len() * 2).max(SWEEP_MIN);
        }
        let shared = Interned::from(value);
        self.values.insert(shared.clone());
        shared
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
    /// Observation points.
    pub points: Interner<Points>,
    /// Summary texts and names of drop reasons.
    pub texts: Interner<String>,
}
