//! Segments of write-once slots behind a short lock.
//!
//! Readers take the lock only to find a segment (once in `SEGMENT` events);
//! within it they read published slots without any lock. A segment is full when
//! its slots are, or before that when it holds its part of the ring's bytes.

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

use super::{
    Event,
    rate::Rate,
    times::Bounds,
    verdicts::{VerdictCounts, Verdicts},
};
use crate::flow::{
    Time,
    heap::Heap as _,
    sketch::{Sieve, Sketch},
};

/// Events in a segment; what a stalled reader can hold back at most.
pub(super) const SEGMENT: u64 = 256;
/// Parts of the ring's bytes, of which a segment holds one and an event.
const PARTS: u64 = 16;
/// What the slots of a segment take, and their sketches.
const SEGMENT_BYTES: u64 =
    SEGMENT * (size_of::<OnceLock<Event>>() + size_of::<[AtomicU64; 2]>()) as u64;

/// How many events a ring holds: as many as both bounds let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Events that are readable.
    pub events: u64,
    /// Memory that they take, about.
    pub bytes: u64,
}

/// So many events, whatever they take.
impl From<u64> for Room {
    fn from(events: u64) -> Self {
        Self {
            events,
            bytes: u64::MAX,
        }
    }
}

/// A run of at most `SEGMENT` sequence numbers.
#[derive(Debug)]
pub(super) struct Segment {
    /// Sequence number of the first slot.
    pub(super) first: u64,
    /// Sequence number after the last slot that is used.
    end: AtomicU64,
    /// Memory of slots and events; written by the one writer.
    bytes: AtomicU64,
    slots: Box<[OnceLock<Event>]>,
    /// Sketches of the events, each written before its event.
    sketches: Box<[[AtomicU64; 2]]>,
    pub(super) bounds: Bounds,
}

impl Segment {
    fn new(first: u64) -> Self {
        Self {
            first,
            end: AtomicU64::new(first + SEGMENT),
            bytes: AtomicU64::new(SEGMENT_BYTES),
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

    /// Sequence number after the last slot. One that ends early does so before
    /// any event behind it is published.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn has(&self, seq: u64) -> bool {
        (self.first..self.end()).contains(&seq)
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

    /// What it takes beside its slot.
    fn write(&self, seq: u64, event: Event) -> u64 {
        let slot = (seq - self.first) as usize;
        let bytes = event.heap_bytes() as u64;
        self.bytes.store(self.bytes() + bytes, Ordering::Relaxed);
        let sketch = event.sketch().0;
        self.sketches[slot][0].store(sketch as u64, Ordering::Relaxed);
        self.sketches[slot][1].store((sketch >> 64) as u64, Ordering::Relaxed);
        self.bounds.widen(&event);
        // A slot is written once: the writer is the only one, and counts up.
        let _ = self.slots[slot].set(event);
        bytes
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
    room: Room,
    segments: Mutex<VecDeque<Arc<Segment>>>,
    /// Memory of the segments.
    bytes: AtomicU64,
    /// Sequence number of the next event; all before it are published.
    next: AtomicU64,
    /// Events before it are gone, though there were places for them.
    floor: AtomicU64,
    /// Flows pushed since the start.
    seen_flows: AtomicU64,
    /// Of these, by what became of them.
    verdicts: Verdicts,
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
    /// A ring with this room (for at least one event) and its writer.
    #[must_use]
    pub fn new(room: impl Into<Room>) -> (Self, RingWriter) {
        let current = Arc::new(Segment::new(0));
        let Room { events, bytes } = room.into();
        let ring = Self(Arc::new(Shared {
            room: Room {
                events: events.max(1),
                bytes,
            },
            segments: Mutex::new(VecDeque::from([Arc::clone(&current)])),
            bytes: AtomicU64::new(current.bytes()),
            next: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            seen_flows: AtomicU64::new(0),
            verdicts: Verdicts::default(),
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

    /// What it holds at most.
    #[must_use]
    pub fn room(&self) -> Room {
        self.0.room
    }

    /// How many events are readable at most.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.0.room.events
    }

    /// How much memory the events may take; shared values are no part of it.
    #[must_use]
    pub fn byte_capacity(&self) -> u64 {
        self.0.room.bytes
    }

    /// How much they take, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Sequence number that the next event will get.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.0.next.load(Ordering::Acquire)
    }

    /// Sequence number of the oldest readable event (`next_seq` when empty).
    #[must_use]
    pub fn oldest_seq(&self) -> u64 {
        self.oldest_at(self.next_seq())
    }

    /// The oldest readable one where the next is `next`, or was a moment ago.
    pub(super) fn oldest_at(&self, next: u64) -> u64 {
        let floor = self.0.floor.load(Ordering::Acquire);
        next.saturating_sub(self.0.room.events).max(floor)
    }

    /// How many events are readable.
    #[must_use]
    pub fn len(&self) -> u64 {
        let next = self.next_seq();
        next.saturating_sub(self.oldest_at(next))
    }

    /// Whether no event is readable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Flows (not events) pushed since the start.
    #[must_use]
    pub fn seen_flows(&self) -> u64 {
        self.0.seen_flows.load(Ordering::Relaxed)
    }

    /// What became of them.
    #[must_use]
    pub fn verdicts(&self) -> VerdictCounts {
        self.0.verdicts.values()
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

    /// Flows per second, when the oldest event is of this time.
    pub(super) fn rate(&self, oldest: Option<Time>) -> f64 {
        self.0.rate.per_second(Time::now(), oldest, self.len())
    }

    /// Changes whenever a batch was pushed; closed when the writer is gone.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.published.subscribe()
    }

    pub(super) fn segment_of(&self, seq: u64) -> Option<Arc<Segment>> {
        let segments = self.lock();
        let first = segments.front()?.first;
        // Where it is if none before it ended early; else it is behind.
        let place = usize::try_from(seq.checked_sub(first)? / SEGMENT).ok()?;
        if let Some(segment) = segments.get(place).filter(|segment| segment.has(seq)) {
            return Some(Arc::clone(segment));
        }
        let behind = segments.partition_point(|segment| segment.first <= seq);
        let segment = segments.get(behind.checked_sub(1)?)?;
        segment.has(seq).then(|| Arc::clone(segment))
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
            if next == self.current.end() || self.current.bytes() > self.part() {
                self.start_segment(next);
            }
            if let Some(flow) = event.as_flow() {
                flows += 1;
                self.ring.0.verdicts.count(flow.verdict);
                self.ring.0.rate.count(flow.time.unwrap_or_default());
            }
            let bytes = self.current.write(next, event);
            next += 1;
            // Published at once, so that a long batch can be read while it grows.
            self.ring.0.next.store(next, Ordering::Release);
            if bytes > 0 {
                let held = self.ring.0.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                if held > self.ring.byte_capacity() {
                    self.shrink_to(self.ring.byte_capacity());
                }
            }
        }
        if next != start {
            self.ring.0.seen_flows.fetch_add(flows, Ordering::Relaxed);
            self.ring.0.published.send_replace(next);
        }
    }

    /// Lets the oldest events go until the others take at most so many bytes, or
    /// none is left. Readers are told as of any that were overwritten.
    pub fn shrink_to(&mut self, bytes: u64) {
        while self.ring.bytes() > bytes {
            if Arc::ptr_eq(&self.oldest(), &self.current) {
                let next = self.ring.next_seq();
                if next == self.current.first {
                    return;
                }
                self.start_segment(next);
            }
            let mut segments = self.ring.lock();
            if let Some(oldest) = segments.pop_front() {
                self.ring.0.floor.store(oldest.end(), Ordering::Release);
                self.ring
                    .0
                    .bytes
                    .fetch_sub(oldest.bytes(), Ordering::Relaxed);
            }
        }
    }

    fn oldest(&self) -> Arc<Segment> {
        let segments = self.ring.lock();
        Arc::clone(segments.front().unwrap_or(&self.current))
    }

    /// Bytes after which a segment ends.
    fn part(&self) -> u64 {
        SEGMENT_BYTES + self.ring.byte_capacity() / PARTS
    }

    fn start_segment(&mut self, first: u64) {
        self.current.end.store(first, Ordering::Relaxed);
        self.current = Arc::new(Segment::new(first));
        let oldest = self.ring.oldest_at(first);
        let mut bytes = self.ring.bytes() + self.current.bytes();
        let mut segments = self.ring.lock();
        segments.push_back(Arc::clone(&self.current));
        while let Some(front) = segments.front().filter(|front| front.end() <= oldest) {
            bytes -= front.bytes();
            segments.pop_front();
        }
        self.ring.0.bytes.store(bytes, Ordering::Relaxed);
    }
}
