//! Where in the ring the events of a time are.
//!
//! Each segment knows its earliest and its latest time, and a search looks into those
//! segments alone that can have what it wants.

use std::sync::Arc;

use super::{Ring, ring::Segment, times::time};
use crate::flow::Time;

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
