//! Reads the rings, on a thread of its own.
//!
//! Denied events first; then observed ones, up to a batch, so that denied
//! ones never wait for more than a batch of others; then what packets carry; then
//! the ends of flows that the sweep found. Bound: three batches.

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use aya::maps::{Array, MapData, RingBuf};
use sextant_ebpf_common::{Event, Kind, ProcessRecord, Translation, interface_parts, point_parts};

use super::{
    Counters, DatapathError, Losses, Lost, Payloads, ProcessSeen, Volumes, bpf,
    ending::Endings,
    ends::Ends,
    eventfd::{EventFd, Stopper},
    holders::Found,
    refused::Refused,
    rest::Rest,
};

/// Events handed on at once.
const BATCH: usize = 4096;
/// After so long without events it looks at what was lost.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks while events come: a flood is a hundred thousand of them a second,
/// and a follower is told of a loss behind all those before it.
const BUSY_LOOK: Duration = Duration::from_millis(100);

/// What the reader hands on.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events in the order of the rings.
    pub events: Vec<Event>,
    /// Connections with translated addresses, of these events or later ones.
    pub translations: Vec<Translation>,
    /// What packets carry, as far as the events reach at least.
    pub payloads: Payloads,
    /// Processes that are behind events of this batch or later ones, and were not
    /// told before.
    pub processes: Vec<ProcessSeen>,
    /// What was lost since the last batch.
    pub lost: Lost,
    /// What to add to the events' times for wall time, in nanoseconds.
    pub wall_offset_ns: i64,
}

/// Reads what the programs raise.
pub struct Reader {
    denied: RingBuf<MapData>,
    observed: RingBuf<MapData>,
    payload: RingBuf<MapData>,
    processes: RingBuf<MapData>,
    found: Found,
    ends: Ends,
    counters: Counters,
    volumes: Volumes,
    losses: Losses,
    stop: EventFd,
    rest: Rest,
    looked: Instant,
    batch: Batch,
    refused: Refused,
    /// Where connections that policies deny are ended.
    endings: Option<Endings>,
    /// Events read since the last rest.
    taken: usize,
}

impl Reader {
    /// Of the rings denied, observed and payload, whose programs look whether it rests,
    /// and of processes: those told by the programs, and those found.
    pub(super) fn new(
        [denied, observed, payload]: [RingBuf<MapData>; 3],
        rests: Array<MapData, u32>,
        (processes, found): (RingBuf<MapData>, Found),
        ends: Ends,
        counters: Counters,
        volumes: Volumes,
        losses: Losses,
    ) -> Result<Self, DatapathError> {
        let stop = EventFd::new()?;
        let rings = [&denied, &observed, &payload, &processes].map(|ring| ring.as_fd());
        Ok(Self {
            rest: Rest::new(rests, stop.as_fd(), ends.waiting().as_fd(), rings)?,
            denied,
            observed,
            payload,
            processes,
            found,
            ends,
            counters,
            volumes,
            losses,
            stop,
            looked: Instant::now(),
            batch: Batch::default(),
            refused: Refused::default(),
            endings: None,
            taken: 0,
        })
    }

    /// Tells of connections that policies deny.
    pub(super) fn end_denied(&mut self, endings: Endings) {
        self.endings = Some(endings);
    }

    /// Ends `run` from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Reads until stopped. `sink` takes each batch; it may leave it as it is.
    pub fn run(mut self, mut sink: impl FnMut(&Batch)) {
        loop {
            let is_stopping = self.wait();
            // A flood may never leave the rings empty: what was lost is told
            // meanwhile too.
            loop {
                let more = self.read();
                self.look(is_stopping && !more);
                self.hand_on(&mut sink);
                if !more {
                    break;
                }
            }
            if is_stopping {
                return;
            }
        }
    }

    fn hand_on(&mut self, sink: &mut impl FnMut(&Batch)) {
        self.leave_out_foreign_drops();
        let batch = &self.batch;
        let has_none =
            batch.events.is_empty() && batch.payloads.is_empty() && batch.processes.is_empty();
        let has_none = has_none && batch.translations.is_empty();
        if has_none && batch.lost == Lost::default() {
            return;
        }
        self.batch.wall_offset_ns = bpf::wall_offset_ns();
        sink(&self.batch);
        self.batch.events.clear();
        self.batch.payloads.clear();
        self.batch.translations.clear();
        self.batch.processes.clear();
        self.batch.lost = Lost::default();
    }

    /// The kernel tells drops of all interfaces; those that are not observed
    /// are left out. Interface 0 is none: a packet that was not sent at all.
    fn leave_out_foreign_drops(&mut self) {
        let is_drop = |event: &Event| event.kind == Kind::Dropped as u8;
        if self.batch.events.iter().any(is_drop) {
            let observed = self.counters.attached();
            let before = self.batch.events.len();
            self.batch.events.retain(|event| {
                let (interface, _) = point_parts(event.point);
                let is_none = interface_parts(interface).1 == 0;
                !is_drop(event) || is_none || observed.contains(&interface)
            });
            let left_out = before - self.batch.events.len();
            self.volumes.foreign_drops(left_out as u64);
        }
    }

    /// Takes at most a batch of the rings, and of ends those before which nothing
    /// more is in them; false when there was nothing left.
    fn read(&mut self) -> bool {
        let now = bpf::monotonic_ns();
        let taken = self.read_events();
        self.read_processes();
        let newest = self.batch.events.iter().map(|event| event.time_ns).max();
        let until = match newest {
            Some(newest) if taken >= BATCH => newest,
            // All that was raised until now has been read.
            _ => now,
        };
        // Behind the events: an answer that came before one of them is in.
        let (carried, malformed) = self.batch.payloads.read(&mut self.payload);
        self.volumes.carried(carried as u64, malformed as u64);
        let taken = taken + carried;
        self.ends.waiting().clear();
        let more = self.ends.take(BATCH, until, &mut self.batch.events);
        self.taken += taken;
        taken > 0 || more
    }

    fn read_events(&mut self) -> usize {
        let Batch {
            events,
            translations,
            ..
        } = &mut self.batch;
        let refused = &mut self.refused;
        let (mut taken, mut told) = (0, 0);
        for ring in [&mut self.denied, &mut self.observed] {
            while events.len() < BATCH
                && translations.len() < BATCH
                && let Some(item) = ring.next()
            {
                if let Some(translation) = bpf::record::<Translation>(&item) {
                    told += 1;
                    translations.push(translation);
                    continue;
                }
                taken += 1;
                let Some(event) = bpf::record::<Event>(&item) else {
                    continue;
                };
                if let Some(endings) = &self.endings {
                    endings.see(&event);
                }
                events.push(refused.complete(event));
            }
        }
        self.volumes
            .read(taken as u64, (taken - events.len()) as u64);
        taken + told
    }

    /// After the events, so that each has its process: it was told before.
    fn read_processes(&mut self) {
        while let Some(item) = self.processes.next() {
            let record = bpf::record::<ProcessRecord>(&item);
            let seen = record.map(|record| ProcessSeen::from(&record));
            self.batch.processes.extend(seen);
        }
        self.found.take(&mut self.batch.processes);
    }

    /// Looks at what was lost, when it is time or at the end.
    fn look(&mut self, at_once: bool) {
        if at_once || self.looked.elapsed() >= BUSY_LOOK {
            self.looked = Instant::now();
            self.batch.lost = self.losses.look(&self.counters, &self.volumes);
        }
    }

    /// Waits for the next look into the rings; true when told to stop.
    fn wait(&mut self) -> bool {
        let most = LOOK.saturating_sub(self.looked.elapsed());
        self.rest.wait(std::mem::take(&mut self.taken), most)
    }
}
