//! Where in the ring the events of a time are.
//!
//! Times mostly rise, but need not: replayed and recorded flows come as they
//! were taken, of several nodes and clocks. So each segment knows its earliest
//! and its latest time, and a search by time looks into those segments alone
//! that can have what it wants. Losses are of no time: they are told to all.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use super::{Event, Ring, ring::Segment};
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
    fn may_reach(&self, since: Time) -> bool {
        self.latest.load(Relaxed) >= since.as_nanos()
    }

    /// Whether an event may be at this time or earlier.
    fn may_precede(&self, until: Time) -> bool {
        self.earliest.load(Relaxed) <= until.as_nanos()
    }
}

/// An event without a time is at the epoch; a loss is at none.
fn time(event: &Event) -> Option<Time> {
    match event {
        Event::Lost(_) => None,
        other => Some(other.time().unwrap_or_default()),
    }
}

impl Ring {
    /// Sequence number of the first readable event that is not before `since`.
    #[must_use]
    pub fn first_since(&self, since: Time) -> Option<u64> {
        let range = self.oldest_seq()..self.next_seq();
        let segments = self.segments_if(|segment| segment.bounds.may_reach(since));
        segments.iter().find_map(|segment| {
            let readable = range.start.max(segment.first)..range.end.min(segment.end());
            let mut events = readable.filter_map(|seq| Some((seq, segment.get(seq)?)));
            let found = events.find(|(_, event)| time(event).is_some_and(|time| time >= since));
            found.map(|(seq, _)| seq)
        })
    }

    /// Sequence number of the last readable event that is not after `until`.
    #[must_use]
    pub fn last_until(&self, until: Time) -> Option<u64> {
        let range = self.oldest_seq()..self.next_seq();
        let segments = self.segments_if(|segment| segment.bounds.may_precede(until));
        segments.iter().rev().find_map(|segment| {
            let readable = range.start.max(segment.first)..range.end.min(segment.end());
            let mut events = readable
                .rev()
                .filter_map(|seq| Some((seq, segment.get(seq)?)));
            let found = events.find(|(_, event)| time(event).is_some_and(|time| time <= until));
            found.map(|(seq, _)| seq)
        })
    }

    fn segments_if(&self, wanted: impl Fn(&Segment) -> bool) -> Vec<Arc<Segment>> {
        let segments = self.lock();
        segments
            .iter()
            .filter(|segment| wanted(segment))
            .cloned()
            .collect()
    }
}
