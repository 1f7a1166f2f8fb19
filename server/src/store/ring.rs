//! Segments of write-once slots behind a short lock.
//!
//! Readers take the lock only to find a segment (once in `SEGMENT` events);
//! within it they read published slots without any lock.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sextant_proto::flow::layer7::Record;
use tokio::sync::watch;

use super::{Cursor, Event, Read, rate::Rate, times::Bounds};
use crate::flow::{
    Time,
    sketch::{Sieve, Sketch},
};

/// Events in a segment; what a stalled reader can hold back at most.
pub(super) const SEGMENT: u64 = 256;

/// A run of `SEGMENT` sequence numbers.
#[derive(Debug)]
pub(super) struct Segment {
    /// Sequence number of the first slot.
    pub(super) first: u64,
    slots: Box<[OnceLock<Event>]>,
    /// Sketches of the events, each written before its event.
    sketches: Box<[[AtomicU64; 2]]>,
    pub(super) bounds: Bounds,
}

impl Segment {
    fn new(first: u64) -> Self {
        Self {
            first,
            slots: (0..SEGMENT).map(|_| OnceLock::new()).collect(),
            sketches: (0..SEGMENT).map(|_| Default::default()).collect(),
            bounds: Bounds::default(),
        }
    }

    /// The event with this sequence number, if it is in here and written.
    pub(super) fn get(&self, seq: u64) -> Option<&Event> {
        let offset = seq.checked_sub(self.first)?;
        self.slots.get(usize::try_from(offset).ok()?)?.get()
    }

    /// Sequence number after the last slot.
    pub(super) fn end(&self) -> u64 {
        self.first + SEGMENT
    }

    /// Those of these sequence numbers, which are published and in here, whose
    /// events the sieve lets pass.
    pub(super) fn passing(&self, range: Range<u64>, sieve: &Sieve) -> Passing {
        let (start, end) = (range.start - self.first, range.end - self.first);
        let is_open = sieve.is_open();
        let mut passing = Passing([0; WORDS]);
        for offset in start as usize..end as usize {
            // An open sieve needs no sketches from memory.
            let passes = is_open || sieve.lets_pass(self.sketch(offset));
            passing.0[offset / 64] |= u64::from(passes) << (offset % 64);
        }
        if !is_open {
            self.fetch(&passing);
        }
        passing
    }

    /// The events at these places, each with its sequence number.
    pub(super) fn events(
        &self,
        offsets: impl Iterator<Item = usize>,
    ) -> impl Iterator<Item = (u64, &Event)> {
        offsets.filter_map(|at| Some((self.first + at as u64, self.slots[at].get()?)))
    }

    fn sketch(&self, offset: usize) -> Sketch {
        let [low, high] = &self.sketches[offset];
        let (low, high) = (low.load(Ordering::Relaxed), high.load(Ordering::Relaxed));
        Sketch(u128::from(low) | u128::from(high) << 64)
    }

    /// Touches what filters look at in the few events that pass, so that they
    /// come from memory side by side: a filter would wait for one after the other.
    fn fetch(&self, passing: &Passing) {
        let events = passing.offsets().filter_map(|at| self.slots[at].get());
        std::hint::black_box(events.map(touch).fold(0, u8::wrapping_add));
    }

    fn write(&self, seq: u64, event: Event) {
        let slot = (seq - self.first) as usize;
        let sketch = event.sketch().0;
        self.sketches[slot][0].store(sketch as u64, Ordering::Relaxed);
        self.sketches[slot][1].store((sketch >> 64) as u64, Ordering::Relaxed);
        self.bounds.widen(&event);
        // A slot is written once: the writer is the only one, and counts up.
        let _ = self.slots[slot].set(event);
    }
}

const WORDS: usize = SEGMENT as usize / 64;

/// Places in a segment, a bit for each.
pub(super) struct Passing([u64; WORDS]);

impl Passing {
    /// From the first one to the last.
    pub(super) fn offsets(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.checked_sub(1)?;
                Some(word * 64 + bit)
            })
        })
    }

    /// From the last one to the first.
    pub(super) fn offsets_back(&self) -> impl Iterator<Item = usize> {
        let words = self.0.into_iter().enumerate().rev();
        words.flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = bits.checked_ilog2()?;
                bits ^= 1 << bit;
                Some(word * 64 + bit as usize)
            })
        })
    }
}

/// Reads a byte of the application-layer record, which is the farthest away.
fn touch(event: &Event) -> u8 {
    let record = event.as_flow().and_then(|flow| flow.l7()?.record.as_ref());
    let text = match record {
        Some(Record::Http(http)) => http.url.as_bytes(),
        Some(Record::Dns(dns)) => dns.query.as_bytes(),
        _ => &[],
    };
    text.first().copied().unwrap_or(0)
}

#[derive(Debug)]
struct Shared {
    /// How many events are readable.
    capacity: u64,
    segments: Mutex<VecDeque<Arc<Segment>>>,
    /// Sequence number of the next event; all before it are published.
    next: AtomicU64,
    /// Flows pushed since the start.
    seen_flows: AtomicU64,
    /// Of these, those that were loaded before anything could arrive.
    loaded_flows: AtomicU64,
    rate: Rate,
    /// Wakes readers, once a batch.
    published: watch::Sender<u64>,
}

/// The readers' side of the ring. Clones share it.
#[derive(Clone, Debug)]
pub struct Ring(Arc<Shared>);

/// The one writer of a ring.
#[derive(Debug)]
pub struct RingWriter {
    ring: Ring,
    current: Arc<Segment>,
}

impl Ring {
    /// A ring of `capacity` events (at least one) and its writer.
    #[must_use]
    pub fn new(capacity: u64) -> (Self, RingWriter) {
        let current = Arc::new(Segment::new(0));
        let ring = Self(Arc::new(Shared {
            capacity: capacity.max(1),
            segments: Mutex::new(VecDeque::from([Arc::clone(&current)])),
            next: AtomicU64::new(0),
            seen_flows: AtomicU64::new(0),
            loaded_flows: AtomicU64::new(0),
            rate: Rate::new(),
            published: watch::Sender::new(0),
        }));
        let writer = RingWriter {
            ring: ring.clone(),
            current,
        };
        (ring, writer)
    }

    /// How many events are readable at most.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.0.capacity
    }

    /// Sequence number that the next event will get.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.0.next.load(Ordering::Acquire)
    }

    /// Sequence number of the oldest readable event (`next_seq` when empty).
    #[must_use]
    pub fn oldest_seq(&self) -> u64 {
        self.next_seq().saturating_sub(self.0.capacity)
    }

    /// How many events are readable.
    #[must_use]
    pub fn len(&self) -> u64 {
        let next = self.next_seq();
        next - next.saturating_sub(self.0.capacity)
    }

    /// Whether no event is readable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next_seq() == 0
    }

    /// Flows (not events) pushed since the start.
    #[must_use]
    pub fn seen_flows(&self) -> u64 {
        self.0.seen_flows.load(Ordering::Relaxed)
    }

    /// All flows up to now were loaded from files: they did not arrive.
    pub fn mark_loaded(&self) {
        self.0
            .loaded_flows
            .store(self.seen_flows(), Ordering::Relaxed);
    }

    /// Flows pushed since the start, without those that were loaded from files.
    #[must_use]
    pub fn arrived_flows(&self) -> u64 {
        self.seen_flows() - self.0.loaded_flows.load(Ordering::Relaxed)
    }

    /// Flows per second over the last minute, or since the oldest event.
    #[must_use]
    pub fn flows_per_second(&self) -> f64 {
        let oldest = match self.cursor_at(self.oldest_seq()).next(Event::time) {
            Read::Event(time) => time,
            Read::Lost(_) | Read::Empty => None,
        };
        self.0.rate.per_second(Time::now(), oldest, self.len())
    }

    /// A cursor whose next event is `seq`.
    #[must_use]
    pub fn cursor_at(&self, seq: u64) -> Cursor {
        Cursor::new(self.clone(), seq)
    }

    /// Changes whenever a batch was pushed; closed when the writer is gone.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.published.subscribe()
    }

    pub(super) fn segment_of(&self, seq: u64) -> Option<Arc<Segment>> {
        let segments = self.lock();
        let first = segments.front()?.first;
        let index = seq.checked_sub(first)? / SEGMENT;
        segments.get(usize::try_from(index).ok()?).cloned()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Segment>>> {
        self.0
            .segments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl RingWriter {
    /// The readers' side.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Appends events and wakes readers once.
    pub fn push(&mut self, batch: impl IntoIterator<Item = Event>) {
        let start = self.ring.next_seq();
        let mut next = start;
        let mut flows = 0;
        for event in batch {
            if next == self.current.first + SEGMENT {
                self.start_segment(next);
            }
            if let Some(flow) = event.as_flow() {
                flows += 1;
                self.ring.0.rate.count(flow.time.unwrap_or_default());
            }
            self.current.write(next, event);
            next += 1;
            // Published at once, so that a long batch can be read while it grows.
            self.ring.0.next.store(next, Ordering::Release);
        }
        if next != start {
            self.ring.0.seen_flows.fetch_add(flows, Ordering::Relaxed);
            self.ring.0.published.send_replace(next);
        }
    }

    fn start_segment(&mut self, first: u64) {
        self.current = Arc::new(Segment::new(first));
        let oldest = first.saturating_sub(self.ring.capacity());
        let mut segments = self.ring.lock();
        segments.push_back(Arc::clone(&self.current));
        while segments
            .front()
            .is_some_and(|front| front.first + SEGMENT <= oldest)
        {
            segments.pop_front();
        }
    }
}
