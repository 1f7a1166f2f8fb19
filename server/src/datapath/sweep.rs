//! Finds flows that have ended, removes them from the kernel's tables and
//! raises their last event with the totals; from a fill level on it makes room.
//!
//! A packet that comes while a flow is taken out opens a new flow, or still counts in
//! the old one, before its totals are read. Bound: while room is made, 36 bytes a flow
//! in the table.

mod drops;
mod last_event;
mod stage;

use std::time::Duration;

use sextant_ebpf_common::{
    Entry, Event,
    slot::{Hashed, Slot},
};

use self::{
    last_event::{Sides, last_event, last_packet},
    stage::Stage,
};
use super::{
    bpf::Plain,
    clock::Moment,
    flow_table::FlowTable,
    volumes::{Swept, Volume},
};

pub(super) use drops::sweep_drops;

const BATCH: usize = 4096;

/// How long a flow may be silent before it counts as ended.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// An open TCP connection.
    pub tcp: Duration,
    /// One that is not open yet: no answer, or a handshake that is not complete.
    pub tcp_opening: Duration,
    /// A TCP connection that both sides closed, or that was reset.
    pub tcp_closed: Duration,
    /// Everything else.
    pub other: Duration,
}

/// A flow that may be ended to make room.
struct Candidate {
    /// Who goes first: the lowest turn, and of those the longest silent.
    rank: (u8, u32),
    slot: u32,
    counted: Volume,
}

/// Takes ended flows out of one table; their last events go to `out`, in parts of
/// which `make_room` is told the length before. With `keep` no more than that stay, as
/// far as there are any that may go.
pub(super) fn sweep<K: Sides + Hashed>(
    table: &FlowTable<K>,
    now: Moment,
    timeouts: &Timeouts,
    keep: Option<u64>,
    make_room: impl Fn(usize),
    mut out: impl FnMut(Event),
) -> Swept
where
    Slot<K>: Plain,
{
    let mut swept = Swept::default();
    let mut ended: Vec<u32> = Vec::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    let idle = |entry: &Entry| Duration::from_nanos(now.ns.saturating_sub(last_packet(entry, now)));
    table.each(|flow| {
        let slot = flow.slot();
        let (key, entry) = flow.head();
        let stage = Stage::of(key.protocol(), &entry);
        let limit = stage.limit(key.protocol(), timeouts);
        // By its tick, which began before the last packet came; the exact time is further
        // behind in the slot, where few have to be looked at.
        let idle_at_most = idle(&entry);
        if idle_at_most >= limit && idle(&flow.entry()) >= limit {
            ended.push(slot);
            return;
        }
        swept.entries += 1;
        let mut counted = Volume::default();
        counted.add(entry.packets, entry.bytes);
        swept.live += counted;
        if keep.is_some()
            && let Some(rank) = stage.rank(idle_at_most)
        {
            candidates.push(Candidate {
                rank,
                slot,
                counted,
            });
        }
    });
    let surplus = keep.map_or(0, |keep| swept.entries.saturating_sub(keep)) as usize;
    if 0 < surplus && surplus < candidates.len() {
        candidates.select_nth_unstable_by_key(surplus, |candidate| candidate.rank);
    }
    for candidate in candidates.iter().take(surplus) {
        swept.entries -= 1;
        swept.live -= candidate.counted;
        ended.push(candidate.slot);
    }
    for part in ended.chunks(BATCH) {
        make_room(part.len());
        table.take(part, |key, entry| {
            swept.removed += 1;
            swept.ended.add(entry.packets, entry.bytes);
            out(last_event(key, entry, now));
        });
    }
    swept
}
