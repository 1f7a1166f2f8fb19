//! The earliest and the latest time of a segment's events.
//!
//! Times mostly rise, but need not: replayed and recorded flows come as they
//! were taken, of several nodes and clocks. Losses are of no time: they are told to all.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::Event;
use crate::flow::Time;

/// The earliest and the latest time of a segment's events, in nanoseconds since
/// the epoch. Written by the one writer, before the event is published.
#[derive(Debug)]
pub(super) struct Bounds {
    earliest: AtomicI64,
    latest: AtomicI64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            earliest: AtomicI64::new(i64::MAX),
            latest: AtomicI64::new(i64::MIN),
        }
    }
}

impl Bounds {
    pub(super) fn widen(&self, event: &Event) {
        let Some(time) = time(event) else { return };
        let nanos = time.as_nanos();
        if nanos < self.earliest.load(Relaxed) {
            self.earliest.store(nanos, Relaxed);
        }
        if nanos > self.latest.load(Relaxed) {
            self.latest.store(nanos, Relaxed);
        }
    }

    /// Whether an event may be at this time or later. Far from our days the
    /// bounds are coarse, but never too narrow.
    pub(super) fn may_reach(&self, since: Time) -> bool {
        self.latest.load(Relaxed) >= since.as_nanos()
    }

    /// Whether an event may be at this time or earlier.
    pub(super) fn may_precede(&self, until: Time) -> bool {
        self.earliest.load(Relaxed) <= until.as_nanos()
    }
}

/// An event without a time is at the epoch; a loss is at none.
pub(super) fn time(event: &Event) -> Option<Time> {
    match event {
        Event::Lost(_) => None,
        other => Some(other.time().unwrap_or_default()),
    }
}
