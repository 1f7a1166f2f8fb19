//! What the flow tables held and the reader did, for the ledger.
//!
//! Written by the reader's and the sweeper's thread, read by whoever asks; each number is
//! its own, so a sum of several is as of slightly different moments.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What became of a connection that policies deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was ended.
    Ended,
    /// There is no such socket in this network namespace (any more).
    NoSocket,
    /// The kernel did not end it.
    Failed,
    /// Too many waited.
    NoRoom,
}

impl Ending {
    /// All of them, with their names.
    pub const ALL: [(Self, &str); 4] = [
        (Self::Ended, "ended"),
        (Self::NoSocket, "no_socket"),
        (Self::Failed, "failed"),
        (Self::NoRoom, "no_room"),
    ];
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets on the wire.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Volume {
    /// Both directions together.
    pub(super) fn add(&mut self, packets: [u64; 2], bytes: [u64; 2]) {
        self.packets += packets[0] + packets[1];
        self.bytes += bytes[0] + bytes[1];
    }
}

impl std::ops::AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Volume {
    fn sub_assign(&mut self, other: Self) {
        self.packets -= other.packets;
        self.bytes -= other.bytes;
    }
}

/// What one sweep of a table found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Entries that stay.
    pub(super) entries: u64,
    /// What they counted.
    pub(super) live: Volume,
    /// What the removed ones had counted.
    pub(super) ended: Volume,
    /// Entries removed.
    pub(super) removed: u64,
}

#[derive(Debug, Default)]
struct Table {
    entries: AtomicU64,
    live_packets: AtomicU64,
    live_bytes: AtomicU64,
    ended_packets: AtomicU64,
    ended_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    capacities: [u32; 3],
    tables: [Table; 3],
    read: AtomicU64,
    ended: AtomicU64,
    foreign_drops: AtomicU64,
    malformed: AtomicU64,
    carried: AtomicU64,
    sampled_ends: AtomicU64,
    lost_ends: AtomicU64,
    sweep_ns: AtomicU64,
    endings: [AtomicU64; Ending::ALL.len()],
    before_packets: AtomicU64,
    before_bytes: AtomicU64,
}

/// The numbers; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Volumes(Arc<Counts>);

/// What the reader did with events since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderCounts {
    /// Taken from the rings.
    pub read: u64,
    /// Raised for flows that a sweep found to have ended.
    pub ended: u64,
    /// Drops at interfaces that are not observed, left out.
    pub foreign_drops: u64,
    /// Records of an unknown size.
    pub malformed: u64,
    /// Payloads taken from their ring.
    pub carried: u64,
    /// Ends of flows left out to keep the budget.
    pub sampled_ends: u64,
    /// Ends of flows that the reader was too slow for.
    pub lost_ends: u64,
    /// How long the last sweep of all tables took, in nanoseconds.
    pub sweep_ns: u64,
}

impl Volumes {
    /// Nothing yet, of tables that are for so many entries.
    pub(super) fn new(capacities: [u32; 3]) -> Self {
        Self(Arc::new(Counts {
            capacities,
            ..Counts::default()
        }))
    }

    /// How many entries the tables are for. Those of flows have five elevenths as many
    /// slots more, so that each flow finds one.
    #[must_use]
    pub fn capacities(&self) -> [u32; 3] {
        self.0.capacities
    }

    /// Entries in the tables of IPv4 flows, IPv6 flows and drops.
    #[must_use]
    pub fn entries(&self) -> [u64; 3] {
        [0, 1, 2].map(|table: usize| self.0.tables[table].entries.load(Relaxed))
    }

    /// What all flows in the tables counted since the start, those that ended included.
    #[must_use]
    pub fn in_flows(&self) -> Volume {
        let mut sum = Volume::default();
        for table in &self.0.tables {
            sum += Volume {
                packets: table.live_packets.load(Relaxed) + table.ended_packets.load(Relaxed),
                bytes: table.live_bytes.load(Relaxed) + table.ended_bytes.load(Relaxed),
            };
        }
        sum.packets = sum
            .packets
            .saturating_sub(self.0.before_packets.load(Relaxed));
        sum.bytes = sum.bytes.saturating_sub(self.0.before_bytes.load(Relaxed));
        sum
    }

    /// So much was in flows that were taken over from the daemon before.
    pub(super) fn were_before(&self, volume: Volume) {
        self.0.before_packets.store(volume.packets, Relaxed);
        self.0.before_bytes.store(volume.bytes, Relaxed);
    }

    /// What the reader did.
    #[must_use]
    pub fn reader(&self) -> ReaderCounts {
        let of = |count: &AtomicU64| count.load(Relaxed);
        ReaderCounts {
            read: of(&self.0.read),
            ended: of(&self.0.ended),
            foreign_drops: of(&self.0.foreign_drops),
            malformed: of(&self.0.malformed),
            carried: of(&self.0.carried),
            sampled_ends: of(&self.0.sampled_ends),
            lost_ends: of(&self.0.lost_ends),
            sweep_ns: of(&self.0.sweep_ns),
        }
    }

    pub(super) fn swept(&self, table: usize, swept: Swept) {
        let table = &self.0.tables[table];
        table.entries.store(swept.entries, Relaxed);
        table.live_packets.store(swept.live.packets, Relaxed);
        table.live_bytes.store(swept.live.bytes, Relaxed);
        table.ended_packets.fetch_add(swept.ended.packets, Relaxed);
        table.ended_bytes.fetch_add(swept.ended.bytes, Relaxed);
    }

    /// Of a sweep that failed: only what it removed is known.
    pub(super) fn swept_in_part(&self, table: usize, swept: Swept) {
        let table = &self.0.tables[table];
        table.ended_packets.fetch_add(swept.ended.packets, Relaxed);
        table.ended_bytes.fetch_add(swept.ended.bytes, Relaxed);
    }

    pub(super) fn sweep_took(&self, nanoseconds: u64) {
        self.0.sweep_ns.store(nanoseconds, Relaxed);
    }

    pub(super) fn read(&self, events: u64, malformed: u64) {
        self.0.read.fetch_add(events, Relaxed);
        self.0.malformed.fetch_add(malformed, Relaxed);
    }

    pub(super) fn carried(&self, payloads: u64, malformed: u64) {
        self.0.carried.fetch_add(payloads, Relaxed);
        self.0.malformed.fetch_add(malformed, Relaxed);
    }

    pub(super) fn ended(&self, events: u64, sampled: u64) {
        self.0.ended.fetch_add(events, Relaxed);
        self.0.sampled_ends.fetch_add(sampled, Relaxed);
    }

    pub(super) fn ending(&self, ending: Ending) {
        self.0.endings[ending as usize].fetch_add(1, Relaxed);
    }

    /// What became of connections that policies deny, by name.
    #[must_use]
    pub fn endings(&self) -> [(&'static str, u64); Ending::ALL.len()] {
        Ending::ALL.map(|(ending, name)| (name, self.0.endings[ending as usize].load(Relaxed)))
    }

    pub(super) fn lost_ends(&self, events: u64) {
        self.0.lost_ends.fetch_add(events, Relaxed);
    }

    pub(super) fn foreign_drops(&self, events: u64) {
        self.0.foreign_drops.fetch_add(events, Relaxed);
    }
}
