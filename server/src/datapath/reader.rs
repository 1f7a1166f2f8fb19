//! Reads the rings and sweeps the tables, on a thread of its own.
//!
//! Denied events first; then observed ones, up to a batch, so that denied
//! ones never wait for more than a batch of others. Bound: one batch.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use aya::maps::{MapData, RingBuf};
use sextant_ebpf_common::{Cause, Event, Key4, Key6, Kind, interface_parts, point_parts};

use super::{
    Counters, DatapathError, Timeouts, Tuner, Volumes,
    bpf::{self, monotonic_ns},
    sweep::{sweep, sweep_drops},
    tables::Tables,
};

/// Events handed on at once.
const BATCH: usize = 4096;
/// FIN or RST in either direction.
const CLOSED: u32 = 0x0005_0005;
/// Between two sweeps of the flow tables.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What the reader hands on.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events in the order of the rings.
    pub events: Vec<Event>,
    /// Events that found a ring full since the last batch.
    pub lost: u64,
    /// What to add to the events' times for wall time, in nanoseconds.
    pub wall_offset_ns: i64,
}

/// Reads what the programs raise.
pub struct Reader {
    denied: RingBuf<MapData>,
    observed: RingBuf<MapData>,
    tables: Tables,
    counters: Counters,
    volumes: Volumes,
    tuner: Tuner,
    timeouts: Timeouts,
    stop: Arc<OwnedFd>,
    lost_before: u64,
    batch: Batch,
}

/// Ends a reader from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<OwnedFd>);

impl Stopper {
    /// The reader reads what is in the rings and returns.
    pub fn stop(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: an eventfd takes eight bytes.
        let written = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        if written < 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "reader not signalled");
        }
    }
}

impl Reader {
    pub(super) fn new(
        denied: RingBuf<MapData>,
        observed: RingBuf<MapData>,
        tables: Tables,
        counters: Counters,
        volumes: Volumes,
        tuner: Tuner,
        timeouts: Timeouts,
    ) -> Result<Self, DatapathError> {
        // SAFETY: returns a new descriptor or -1.
        let stop = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if stop < 0 {
            return Err(DatapathError::System {
                action: "creating an eventfd",
                source: io::Error::last_os_error(),
            });
        }
        Ok(Self {
            denied,
            observed,
            tables,
            counters,
            volumes,
            tuner,
            timeouts,
            // SAFETY: just created and owned by nobody else.
            stop: Arc::new(unsafe { OwnedFd::from_raw_fd(stop) }),
            lost_before: 0,
            batch: Batch::default(),
        })
    }

    /// Ends `run` from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Reads until stopped. `sink` takes each batch; it may leave it as it is.
    pub fn run(mut self, mut sink: impl FnMut(&Batch)) {
        let mut next_sweep = Instant::now() + SWEEP_INTERVAL;
        loop {
            let stopping = self.wait(next_sweep.saturating_duration_since(Instant::now()));
            while self.read_rings() {
                self.hand_on(&mut sink);
            }
            if Instant::now() >= next_sweep || stopping {
                next_sweep = Instant::now() + SWEEP_INTERVAL;
                self.sweep();
                self.count_losses();
                self.hand_on(&mut sink);
            }
            if stopping {
                return;
            }
        }
    }

    fn hand_on(&mut self, sink: &mut impl FnMut(&Batch)) {
        self.leave_out_foreign_drops();
        if self.batch.events.is_empty() && self.batch.lost == 0 {
            return;
        }
        self.batch.wall_offset_ns = bpf::wall_offset_ns();
        sink(&self.batch);
        self.batch.events.clear();
        self.batch.lost = 0;
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

    /// Takes at most a batch; false when both rings were empty.
    fn read_rings(&mut self) -> bool {
        let events = &mut self.batch.events;
        let mut taken = 0;
        for ring in [&mut self.denied, &mut self.observed] {
            while events.len() < BATCH
                && let Some(item) = ring.next()
            {
                taken += 1;
                events.extend(bpf::record::<Event>(&item));
            }
        }
        self.volumes.read(taken, taken - events.len() as u64);
        taken > 0
    }

    fn sweep(&mut self) {
        let now = self.tables.now();
        let out = &mut self.batch.events;
        let before = out.len();
        let swept4 = sweep::<Key4>(&self.tables.flows4, now, &self.timeouts, out);
        let swept6 = sweep::<Key6>(&self.tables.flows6, now, &self.timeouts, out);
        let dropped = sweep_drops(&self.tables.drops, now.ns, self.tuner.interval(), out);
        for (table, result) in [swept4, swept6, dropped].into_iter().enumerate() {
            match result {
                Ok(swept) => self.volumes.swept(table, swept),
                Err(error) => {
                    tracing::warn!(%error, "flow table not swept; ended flows stay in it");
                }
            }
        }
        let ended = out.len() - before;
        sample_ends(out, before, self.tuner.sampling());
        let kept = out.len() - before;
        self.volumes.ended(ended as u64, (ended - kept) as u64);
        self.volumes.sweep_took(monotonic_ns() - now.ns);
    }

    fn count_losses(&mut self) {
        let lost = self.counters.cause(Cause::ObservedRingFull)
            + self.counters.cause(Cause::DeniedRingFull);
        self.batch.lost = lost - self.lost_before;
        self.lost_before = lost;
    }

    /// Waits for events; true when told to stop.
    fn wait(&self, timeout: Duration) -> bool {
        let mut fds = [
            readable(self.stop.as_fd()),
            readable(self.denied.as_fd()),
            readable(self.observed.as_fd()),
        ];
        // Round up, lest the last millisecond is spent spinning.
        let millis = timeout.as_millis() as i32 + 1;
        // SAFETY: three valid entries.
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
        fds[0].revents != 0
    }
}

/// Over the budget only one in `sampling` flows that TCP did not close is told
/// to have ended. Drops and closed connections always are.
fn sample_ends(events: &mut Vec<Event>, from: usize, sampling: u32) {
    if sampling <= 1 {
        return;
    }
    let mut number = 0_u32;
    let mut index = 0;
    events.retain(|event| {
        index += 1;
        if index <= from || event.kind == Kind::Dropped as u8 || event.tcp_flags_seen & CLOSED != 0
        {
            return true;
        }
        number += 1;
        number % sampling == 1
    });
}

fn readable(fd: BorrowedFd<'_>) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }
}
