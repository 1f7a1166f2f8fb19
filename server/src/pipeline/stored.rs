//! How many events were stored, by where they came from, what they share, and how long
//! flows lasted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use prometheus_client::metrics::exemplar::HistogramWithExemplars;

use crate::{
    community::Connection,
    flow::{Counters, Flow},
};

/// Upper bounds of durations, in seconds: from a question with its answer to connections that stay.
const BOUNDS: [f64; 14] = [
    0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0,
];

/// Counters; clones share them.
#[derive(Clone, Debug, Default)]
pub struct StoredCounts(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    recorded: AtomicU64,
    own: AtomicU64,
    layer7: AtomicU64,
    shared_bytes: AtomicU64,
    durations: HistogramWithExemplars<Connection>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            recorded: AtomicU64::default(),
            own: AtomicU64::default(),
            layer7: AtomicU64::default(),
            shared_bytes: AtomicU64::default(),
            durations: HistogramWithExemplars::new(BOUNDS.into_iter()),
        }
    }
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

    /// A flow that ended.
    pub(super) fn ended(&self, flow: &Flow, counters: &Counters) {
        let seconds = counters.duration_ns as f64 / 1e9;
        let durations = &self.0.durations;
        durations.observe(seconds, Connection::of(flow), Some(SystemTime::now()));
    }

    /// How long flows lasted that ended, in seconds; the latest connection of each bucket.
    #[must_use]
    pub fn durations(&self) -> &HistogramWithExemplars<Connection> {
        &self.0.durations
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
