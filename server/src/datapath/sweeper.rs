//! Sweeps the flow tables, on a thread of its own: each second, and at once when
//! one fills up, so that a flood leaves room for the next connection.
//!
//! How full a table is, is known without a walk: entries made, as the programs
//! count them, less those removed. What comes out goes to `Ends`, whose reader is
//! waited for while the table has room, and not longer.

use std::time::{Duration, Instant};

use sextant_ebpf_common::{Event, Kind, Tally};

use super::{
    Counters, DatapathError, Stopper, Timeouts, Tuner, Volumes,
    bpf::monotonic_ns,
    ends::Ends,
    eventfd::{self, EventFd},
    sweep::{sweep, sweep_drops},
    tables::Tables,
    volumes::{Swept, Volume},
};

/// FIN or RST in either direction.
const CLOSED: u32 = 0x0005_0005;
/// Between two sweeps.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at how full the tables are; the second while one fills up.
const LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(20)];
/// Ends that are handed on at once.
const BATCH: usize = 4096;
/// How long so many ends wait for room, and between two looks whether there is some.
const PATIENCE: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(1);

/// Looks at the flows that are taken over.
const LOOKS_BEFORE: u32 = 5;

/// The tables, in the order of `Volumes::entries`.
const TABLES: [Tally; 3] = [Tally::Created4, Tally::Created6, Tally::CreatedDrop];

/// From three quarters on room is made, until half is free.
#[derive(Clone, Copy, Debug, Default)]
struct Fill {
    capacity: u64,
    /// Entries that were taken over, which nobody counted as made.
    before: u64,
    removed: u64,
    /// The last sweep found little that may go: the next is the one in turn.
    is_stuck: bool,
}

impl Fill {
    /// Entries above which there is pressure.
    fn is_high(&self, created: u64) -> bool {
        self.entries(created) > self.capacity - self.capacity.div_ceil(4)
    }

    /// More entries than the table is for.
    fn is_over(&self, created: u64) -> bool {
        self.entries(created) > self.capacity
    }

    fn entries(&self, created: u64) -> u64 {
        (created + self.before).saturating_sub(self.removed)
    }

    /// How many entries may stay, when there is pressure.
    fn keep(&self, created: u64) -> Option<u64> {
        self.is_high(created).then_some(self.capacity / 2)
    }

    /// Takes note of a sweep.
    fn swept(&mut self, removed: u64, for_room: bool) {
        self.removed += removed;
        self.is_stuck = for_room && removed < self.capacity.div_ceil(16);
    }
}

/// Sweeps the tables.
pub struct Sweeper {
    tables: Tables,
    fills: [Fill; 3],
    counters: Counters,
    volumes: Volumes,
    tuner: Tuner,
    timeouts: Timeouts,
    ends: Ends,
    stop: EventFd,
}

impl Sweeper {
    pub(super) fn new(
        tables: Tables,
        counters: Counters,
        volumes: Volumes,
        tuner: Tuner,
        timeouts: Timeouts,
        ends: Ends,
    ) -> Result<Self, DatapathError> {
        let fill = |capacity: u32| Fill {
            capacity: capacity.into(),
            ..Fill::default()
        };
        Ok(Self {
            fills: tables.capacities.map(fill),
            tables,
            counters,
            volumes,
            tuner,
            timeouts,
            ends,
            stop: EventFd::new()?,
        })
    }

    /// Takes note of the flows of a daemon before, once all programs are this one's; tells
    /// how many there are.
    pub(super) fn take_over(&mut self) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..LOOKS_BEFORE {
            // Of several looks, that between whose ends the fewest packets came.
            let begin = self.counted_here();
            let [four, six] = self.tables.live();
            let end = self.counted_here();
            let between = end.packets.saturating_sub(begin.packets);
            if between < least {
                least = between;
                let mut before = four.1;
                before += six.1;
                before.packets = before.packets.saturating_sub(end.packets);
                before.bytes = before.bytes.saturating_sub(end.bytes);
                self.volumes.were_before(before);
                for (fill, (entries, _)) in self.fills.iter_mut().zip([four, six]) {
                    fill.before = entries;
                }
            }
            if between == 0 {
                break;
            }
        }
        self.fills.iter().map(|fill| fill.before).sum()
    }

    /// What the programs of this daemon put into flows.
    fn counted_here(&self) -> Volume {
        let mut seen = self.counters.seen();
        // Those began anew, and their flows do not have them any more.
        let reopened = self.counters.tally(Tally::Reopened);
        seen.packets = seen.packets.saturating_sub(reopened.packets);
        seen.bytes = seen.bytes.saturating_sub(reopened.bytes);
        for counted in self.counters.causes() {
            if counted.cause.is_without_flow() {
                seen.packets = seen.packets.saturating_sub(counted.packets);
                seen.bytes = seen.bytes.saturating_sub(counted.bytes);
            }
        }
        seen
    }

    /// Ends `run` from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Sweeps until stopped, and once more then.
    pub fn run(mut self) {
        let mut next = Instant::now() + INTERVAL;
        let mut look = LOOKS[0];
        loop {
            let until_next = next.saturating_duration_since(Instant::now());
            let [is_stopping] = eventfd::wait([self.stop.as_fd()], look.min(until_next));
            let is_due = is_stopping || Instant::now() >= next;
            if is_due {
                next = Instant::now() + INTERVAL;
            }
            look = LOOKS[usize::from(self.look(is_due))];
            if is_stopping {
                return;
            }
        }
    }

    /// Sweeps what is to be swept; tells whether a table fills up.
    fn look(&mut self, is_due: bool) -> bool {
        let began = monotonic_ns();
        self.tables.forget_judged();
        let mut is_high = false;
        // That of drops is the smallest, so the first to fill up.
        for (table, tally) in TABLES.into_iter().enumerate().rev() {
            let created = self.counters.tally(tally).packets;
            let fill = self.fills[table];
            let keep = fill.keep(created);
            is_high |= keep.is_some() && !fill.is_stuck;
            if is_due || keep.is_some() && !fill.is_stuck {
                self.sweep(table, keep);
            }
        }
        if is_due {
            self.volumes.sweep_took(monotonic_ns() - began);
        }
        is_high
    }

    fn sweep(&mut self, table: usize, keep: Option<u64>) {
        let mut out = Out {
            ends: &self.ends,
            volumes: &self.volumes,
            sampling: self.tuner.sampling(),
            number: 0,
            batch: Vec::new(),
        };
        let (now, timeouts) = (self.tables.now(), &self.timeouts);
        let mut swept = Swept::default();
        let mut result = Ok(());
        let room = |ends| self.wait_for_room(ends);
        let mut each = |event| out.push(event);
        match table {
            0 => swept = sweep(&self.tables.flows4, now, timeouts, keep, room, each),
            1 => swept = sweep(&self.tables.flows6, now, timeouts, keep, room, each),
            _ => {
                let interval = self.tuner.interval();
                let drops = &self.tables.drops;
                result = sweep_drops(drops, now.ns, interval, keep, &mut swept, &mut each);
            }
        }
        out.hand_on();
        self.fills[table].swept(swept.removed, keep.is_some());
        match result {
            Ok(()) => self.volumes.swept(table, swept),
            Err(error) => {
                self.volumes.swept_in_part(table, swept);
                tracing::warn!(%error, "table of drops not swept; those that are over stay in it");
            }
        }
    }

    /// Lets the reader take ends until so many more find room, unless a table is over its
    /// capacity: packets matter more.
    fn wait_for_room(&self, ends: usize) {
        let began = Instant::now();
        while self.ends.room() < ends && began.elapsed() < PATIENCE && !self.is_any_over() {
            let [is_stopping] = eventfd::wait([self.stop.as_fd()], NAP);
            if is_stopping {
                break;
            }
        }
    }

    fn is_any_over(&self) -> bool {
        let is_over =
            |(fill, tally): (&Fill, Tally)| fill.is_over(self.counters.tally(tally).packets);
        self.fills.iter().zip(TABLES).any(is_over)
    }
}

/// Where the last events of one sweep go.
struct Out<'a> {
    ends: &'a Ends,
    volumes: &'a Volumes,
    sampling: u32,
    number: u32,
    batch: Vec<Event>,
}

impl Out<'_> {
    /// Over the budget only one in `sampling` flows that TCP did not close is
    /// told to have ended. Drops and closed connections always are.
    fn push(&mut self, event: Event) {
        let always = event.kind == Kind::Dropped as u8 || event.tcp_flags_seen & CLOSED != 0;
        self.number += u32::from(!always);
        let is_kept = always || self.sampling <= 1 || self.number % self.sampling == 1;
        self.volumes.ended(1, u64::from(!is_kept));
        if is_kept {
            self.batch.push(event);
        }
        if self.batch.len() == BATCH {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.volumes.lost_ends(self.ends.push(&mut self.batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(capacity: u64, removed: u64) -> Fill {
        Fill {
            capacity,
            removed,
            ..Fill::default()
        }
    }

    #[test]
    fn room_is_made_from_three_quarters_on_until_half_is_free() {
        assert_eq!(fill(1000, 0).keep(750), None);
        assert_eq!(fill(1000, 0).keep(751), Some(500));
        assert_eq!(fill(1000, 4000).keep(4750), None);
        assert_eq!(fill(1000, 4000).keep(4751), Some(500));
        // The smallest there are.
        assert_eq!(fill(1, 0).keep(0), None);
        assert_eq!(fill(1, 0).keep(1), Some(0));
        assert_eq!(fill(4, 0).keep(3), None);
        assert_eq!(fill(4, 0).keep(4), Some(2));
    }

    #[test]
    fn a_table_of_what_may_not_go_is_not_walked_again_at_once() {
        let mut fill = fill(1000, 0);
        fill.swept(62, true);
        assert!(fill.is_stuck);
        fill.swept(63, true);
        assert!(!fill.is_stuck);
        fill.swept(0, false);
        assert!(!fill.is_stuck);
    }
}
