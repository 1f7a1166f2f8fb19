//! How many events were stored, by where they came from, and what they share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counters; clones share them.
#[derive(Clone, Debug, Default)]
pub struct StoredCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    recorded: AtomicU64,
    own: AtomicU64,
    layer7: AtomicU64,
    shared_bytes: AtomicU64,
}

/// Their values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// From replayed files and other sensors.
    pub recorded: u64,
    /// Agent events and losses, which the daemon tells itself.
    pub own: u64,
    /// Flows of messages that packets carry.
    pub layer7: u64,
    /// Memory of the names and endpoints that stored events share.
    pub shared_bytes: u64,
}

impl StoredCounts {
    pub(super) fn recorded(&self, events: u64) {
        self.0.recorded.fetch_add(events, Relaxed);
    }

    pub(super) fn own(&self, events: u64) {
        self.0.own.fetch_add(events, Relaxed);
    }

    pub(super) fn layer7(&self, events: u64) {
        self.0.layer7.fetch_add(events, Relaxed);
    }

    pub(super) fn share(&self, bytes: u64) {
        self.0.shared_bytes.store(bytes, Relaxed);
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> Stored {
        Stored {
            recorded: self.0.recorded.load(Relaxed),
            own: self.0.own.load(Relaxed),
            layer7: self.0.layer7.load(Relaxed),
            shared_bytes: self.0.shared_bytes.load(Relaxed),
        }
    }
}
