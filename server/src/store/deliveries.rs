//! What all readers together that tell of their losses did with the stored
//! events. They count here; the ledger reads.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counters; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Deliveries(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    delivered: AtomicU64,
    lapped: AtomicU64,
}

/// Their values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Events that streams read.
    pub read: u64,
    /// Of them, sent.
    pub delivered: u64,
    /// Events that were overwritten before a stream read them.
    pub lapped: u64,
}

impl Deliveries {
    pub(crate) fn read(&self, events: u64, delivered: u64) {
        self.0.read.fetch_add(events, Relaxed);
        self.0.delivered.fetch_add(delivered, Relaxed);
    }

    pub(crate) fn lapped(&self, events: u64) {
        self.0.lapped.fetch_add(events, Relaxed);
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> Delivered {
        // Delivered first, so that it is never more than what was read.
        let delivered = self.0.delivered.load(Relaxed);
        Delivered {
            read: self.0.read.load(Relaxed).max(delivered),
            delivered,
            lapped: self.0.lapped.load(Relaxed),
        }
    }
}
