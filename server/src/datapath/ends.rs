//! Ends of flows on their way from the sweeper to the reader.
//!
//! The sweeper waits for room only while the tables have some. Bound: `MOST` ends, 3
//! MiB; those that find no room are counted and left out, and their packets are
//! in the ledger all the same.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sextant_ebpf_common::Event;

use super::{DatapathError, eventfd::EventFd};

/// Ends that may wait.
const MOST: usize = 16_384;
/// Room that is kept when none wait.
const KEPT: usize = 4096;

/// The queue; clones share it.
#[derive(Clone)]
pub(super) struct Ends(Arc<Inner>);

struct Inner {
    queue: Mutex<VecDeque<Event>>,
    waiting: EventFd,
}

impl Ends {
    pub(super) fn new() -> Result<Self, DatapathError> {
        Ok(Self(Arc::new(Inner {
            queue: Mutex::default(),
            waiting: EventFd::new()?,
        })))
    }

    /// Hands ends on, in the order of their times; tells how many found no room.
    pub(super) fn push(&self, ends: &mut Vec<Event>) -> u64 {
        if ends.is_empty() {
            return 0;
        }
        let mut queue = self.lock();
        let room = MOST - queue.len();
        let lost = ends.len().saturating_sub(room);
        queue.extend(ends.drain(..).take(room));
        drop(queue);
        ends.clear();
        self.0.waiting.set();
        lost as u64
    }

    /// How many find room.
    pub(super) fn room(&self) -> usize {
        MOST - self.lock().len()
    }

    /// Appends at most so many to `to`, of those that ended at `until` or before;
    /// tells whether more wait.
    pub(super) fn take(&self, most: usize, until: u64, to: &mut Vec<Event>) -> bool {
        let mut queue = self.lock();
        let ready = queue.iter().take(most);
        let ready = ready.take_while(|end| end.time_ns <= until).count();
        to.extend(queue.drain(..ready));
        let is_empty = queue.is_empty();
        if is_empty && queue.capacity() > KEPT {
            queue.shrink_to(KEPT);
        }
        !is_empty
    }

    /// Set when ends wait.
    pub(super) fn waiting(&self) -> &EventFd {
        &self.0.waiting
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time_ns: u64) -> Event {
        Event {
            time_ns,
            ..Event::default()
        }
    }

    #[test]
    fn ends_come_in_order_and_none_before_its_time() {
        let ends = Ends::new().unwrap();
        ends.push(&mut vec![at(1), at(2), at(3)]);
        let mut taken = Vec::new();
        assert!(ends.take(9, 2, &mut taken));
        assert!(!ends.take(9, 3, &mut taken));
        let times: Vec<u64> = taken.iter().map(|event| event.time_ns).collect();
        assert_eq!(times, [1, 2, 3]);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let ends = Ends::new().unwrap();
        assert_eq!(ends.push(&mut vec![at(1); MOST - 1]), 0);
        assert_eq!(ends.push(&mut vec![at(2); 3]), 2);
        let mut taken = Vec::new();
        while ends.take(1000, u64::MAX, &mut taken) {}
        assert_eq!(taken.len(), MOST);
    }
}
