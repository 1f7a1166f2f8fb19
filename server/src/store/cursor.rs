//! A reader's place in the ring.

use std::{
    ops::ControlFlow,
    sync::{Arc, Weak},
};

use super::{
    Event, Ring,
    ring::{SEGMENT, Segment},
};
use crate::flow::{Time, sketch::Sieve};

/// What the next event of a cursor is.
#[derive(Debug)]
pub enum Read<T> {
    /// The event, as mapped by the caller.
    Event(T),
    /// The writer overtook the cursor by so many events; it goes on at the oldest.
    Lost(u64),
    /// Nothing new yet.
    Empty,
}

/// Events that a run looks at, at most.
pub const MAX_RUN: u64 = SEGMENT;

/// What a run of a cursor came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Run {
    /// So many events were looked at; there may be more.
    Events(u64),
    /// As in `Read`.
    Lost(u64),
    /// Nothing new yet.
    Empty,
}

/// A place in the ring: a sequence number and a hint to its segment. A cursor
/// that is not read holds no event back (the hint is weak).
#[derive(Debug)]
pub struct Cursor {
    ring: Ring,
    seq: u64,
    hint: Weak<Segment>,
}

impl Ring {
    /// Flows per second over the last minute, or since the oldest event.
    #[must_use]
    pub fn flows_per_second(&self) -> f64 {
        let oldest = match self.cursor_at(self.oldest_seq()).next(Event::time) {
            Read::Event(time) => time,
            Read::Lost(_) | Read::Empty => None,
        };
        self.rate(oldest)
    }

    /// A cursor whose next event is `seq`.
    #[must_use]
    pub fn cursor_at(&self, seq: u64) -> Cursor {
        Cursor::new(self.clone(), seq)
    }
}

impl Cursor {
    fn new(ring: Ring, seq: u64) -> Self {
        Self {
            ring,
            seq,
            hint: Weak::new(),
        }
    }

    /// Sequence number of the next event.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Goes on at another event, which is written already.
    pub fn move_to(&mut self, seq: u64) {
        self.seq = seq;
    }

    /// How many events ahead of the cursor are overwritten already.
    #[must_use]
    pub fn overtaken(&self) -> u64 {
        self.ring.oldest_seq().saturating_sub(self.seq)
    }

    /// Whether an event not after `until` is readable at the cursor or beyond;
    /// where the last one is.
    #[must_use]
    pub fn last_until(&self, until: Time) -> Option<u64> {
        let last = self.ring.last_until(until);
        last.filter(|last| *last >= self.seq)
    }

    /// Reads the next event and moves on.
    pub fn next<T>(&mut self, map: impl FnOnce(&Event) -> T) -> Read<T> {
        let next = self.ring.next_seq();
        if self.seq >= next {
            return Read::Empty;
        }
        let oldest = self.ring.oldest_at(next);
        if self.seq < oldest {
            return self.skip_to(oldest);
        }
        let Some(segment) = self.segment() else {
            // Overtaken between the two looks.
            return self.skip_to(self.ring.oldest_seq());
        };
        let Some(event) = segment.get(self.seq) else {
            return Read::Empty;
        };
        let mapped = map(event);
        self.seq += 1;
        Read::Event(mapped)
    }

    /// Looks at the next events that the sieve lets pass, up to the end of a
    /// segment or until `each`, which has their sequence numbers too, breaks, and
    /// moves behind the last one that it saw or passed over. One look-up of the
    /// segment, which is held meanwhile.
    pub fn run(&mut self, sieve: &Sieve, each: impl FnMut(u64, &Event) -> ControlFlow<()>) -> Run {
        self.run_to(u64::MAX, sieve, each)
    }

    /// The same, not further than before the event of this number.
    pub fn run_to(
        &mut self,
        end: u64,
        sieve: &Sieve,
        mut each: impl FnMut(u64, &Event) -> ControlFlow<()>,
    ) -> Run {
        let next = self.ring.next_seq();
        if self.seq >= next.min(end) {
            return Run::Empty;
        }
        let oldest = self.ring.oldest_at(next);
        if self.seq < oldest {
            return self.skip_to::<()>(oldest).into();
        }
        let Some(segment) = self.segment() else {
            // Overtaken between the two looks.
            return self.skip_to::<()>(self.ring.oldest_seq()).into();
        };
        let begin = self.seq;
        self.seq = segment.end().min(next).min(end);
        let passing = segment.passing(begin..self.seq, sieve);
        for (seq, event) in segment.events(passing.offsets()) {
            if each(seq, event).is_break() {
                self.seq = seq + 1;
                break;
            }
        }
        Run::Events(self.seq - begin)
    }

    /// Looks back at the events that the sieve lets pass, down to the begin of
    /// a segment or until `each` breaks, and moves onto the one it broke at.
    /// `Empty` at the oldest readable event.
    pub fn run_back(
        &mut self,
        sieve: &Sieve,
        mut each: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Run {
        let (oldest, end) = (self.ring.oldest_seq(), self.seq);
        if end <= oldest {
            return Run::Empty;
        }
        self.seq -= 1;
        let Some(segment) = self.segment() else {
            // Overwritten between the two looks.
            self.seq = end;
            return Run::Empty;
        };
        self.seq = segment.first.max(oldest);
        let passing = segment.passing(self.seq..end, sieve);
        for (seq, event) in segment.events(passing.offsets_back()) {
            if each(event).is_break() {
                self.seq = seq;
                break;
            }
        }
        Run::Events(end - self.seq)
    }

    fn skip_to<T>(&mut self, seq: u64) -> Read<T> {
        let lost = seq.saturating_sub(self.seq);
        self.seq = self.seq.max(seq);
        if lost == 0 {
            Read::Empty
        } else {
            Read::Lost(lost)
        }
    }

    fn segment(&mut self) -> Option<Arc<Segment>> {
        if let Some(segment) = self.hint.upgrade()
            && segment.get(self.seq).is_some()
        {
            return Some(segment);
        }
        let segment = self.ring.segment_of(self.seq)?;
        self.hint = Arc::downgrade(&segment);
        Some(segment)
    }
}

impl From<Read<()>> for Run {
    fn from(read: Read<()>) -> Self {
        match read {
            Read::Event(()) => Self::Events(1),
            Read::Lost(lost) => Self::Lost(lost),
            Read::Empty => Self::Empty,
        }
    }
}
