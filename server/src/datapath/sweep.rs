//! Finds flows that have ended, removes them from the kernel's tables and
//! raises their last event with the totals; from a fill level on it makes room.
//!
//! An entry is read and removed in one step. It has been idle for a while by
//! then; a packet that comes at that very moment opens a new flow. Bound: while
//! room is made, 40 bytes (IPv6 64) an entry of the table.

mod drops;
mod last_event;
mod stage;

use std::{io, os::fd::AsFd as _, time::Duration};

use aya::maps::MapData;
use sextant_ebpf_common::{Entry, Event};

use self::{
    last_event::{Sides, last_event, last_packet},
    stage::Stage,
};
use super::{
    bpf::{BatchWalk, lookup_and_delete},
    clock::Moment,
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
struct Candidate<K> {
    /// Who goes first: the lowest turn, and of those the longest silent.
    rank: (u8, u32),
    key: K,
    counted: Volume,
}

/// Removes ended flows of one table; their last events go to `out`. With `keep`
/// no more entries than that stay, as far as there are any that may go. `swept`
/// has what was removed also when the rest fails.
pub(super) fn sweep<K: Sides>(
    table: &MapData,
    now: Moment,
    timeouts: &Timeouts,
    keep: Option<u64>,
    swept: &mut Swept,
    out: &mut impl FnMut(Event),
) -> io::Result<()> {
    let fd = table.fd().as_fd();
    let mut ended: Vec<K> = Vec::new();
    let mut candidates: Vec<Candidate<K>> = Vec::new();
    let mut remove = |key: &K, swept: &mut Swept| {
        if let Some(entry) = lookup_and_delete::<K, Entry>(fd, key)? {
            swept.removed += 1;
            swept.ended.add(entry.packets, entry.bytes);
            out(last_event(key, &entry, now));
        }
        io::Result::Ok(())
    };
    let mut walk = BatchWalk::<K, Entry>::new(fd, BATCH);
    loop {
        let more = walk.next(|key, entry| {
            let idle = Duration::from_nanos(now.ns.saturating_sub(last_packet(entry, now)));
            let stage = Stage::of(key.protocol(), entry);
            if idle >= stage.limit(key.protocol(), timeouts) {
                ended.push(*key);
                return;
            }
            swept.entries += 1;
            let mut counted = Volume::default();
            counted.add(entry.packets, entry.bytes);
            swept.live += counted;
            if keep.is_some()
                && let Some(rank) = stage.rank(idle)
            {
                candidates.push(Candidate {
                    rank,
                    key: *key,
                    counted,
                });
            }
        })?;
        // Removing between batches is safe: the walk goes by bucket.
        for key in ended.drain(..) {
            remove(&key, swept)?;
        }
        if !more {
            break;
        }
    }
    let surplus = keep.map_or(0, |keep| swept.entries.saturating_sub(keep)) as usize;
    if 0 < surplus && surplus < candidates.len() {
        candidates.select_nth_unstable_by_key(surplus, |candidate| candidate.rank);
    }
    for candidate in candidates.iter().take(surplus) {
        swept.entries -= 1;
        swept.live -= candidate.counted;
        remove(&candidate.key, swept)?;
    }
    Ok(())
}
