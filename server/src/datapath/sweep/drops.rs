//! Dropped flows that are over, and those that must go for want of room.

use std::{io, os::fd::AsFd as _, time::Duration};

use aya::maps::MapData;
use sextant_ebpf_common::{DropCount, DropKey, Event, Kind};

use super::BATCH;
use crate::datapath::{
    bpf::{BatchWalk, lookup_and_delete},
    volumes::Swept,
};

/// A dropped flow is forgotten when no event was due for so long.
const DROP_IDLE: Duration = Duration::from_secs(15);

/// Removes dropped flows that are over; drops not yet told go to `out`.
///
/// The program tells a storm at each `interval` while it lasts. What is left
/// when it pauses is told here, and the entry goes: the next drop of the flow
/// is news again. With `keep`, no more entries than that stay: those go first
/// that were dropped once, the oldest first.
pub(in crate::datapath) fn sweep_drops(
    table: &MapData,
    now: u64,
    interval: Duration,
    keep: Option<u64>,
    swept: &mut Swept,
    out: &mut impl FnMut(Event),
) -> io::Result<()> {
    let fd = table.fd().as_fd();
    let mut over: Vec<DropKey> = Vec::new();
    let mut kept: Vec<(bool, u64, DropKey)> = Vec::new();
    let mut remove = |keys: &mut Vec<DropKey>, swept: &mut Swept| {
        for key in keys.drain(..) {
            if let Some(last) = lookup_and_delete::<DropKey, DropCount>(fd, &key)? {
                swept.removed += 1;
                if last.drops > last.told {
                    out(last_drops(&key, &last, now));
                }
            }
        }
        io::Result::Ok(())
    };
    let mut walk = BatchWalk::<DropKey, DropCount>::new(fd, BATCH);
    loop {
        let more = walk.next(|key, count| {
            let silent = Duration::from_nanos(now.saturating_sub(count.event_ns));
            let is_due = count.drops > count.told && silent >= interval;
            if is_due || silent >= DROP_IDLE {
                over.push(*key);
                return;
            }
            swept.entries += 1;
            if keep.is_some() {
                kept.push((count.drops > 1, count.event_ns, *key));
            }
        })?;
        remove(&mut over, swept)?;
        if !more {
            break;
        }
    }
    let surplus = keep.map_or(0, |keep| swept.entries.saturating_sub(keep)) as usize;
    if 0 < surplus && surplus < kept.len() {
        let order = |kept: &(bool, u64, DropKey)| (kept.0, kept.1);
        kept.select_nth_unstable_by_key(surplus, order);
    }
    over.extend(kept.iter().take(surplus).map(|(_, _, key)| *key));
    swept.entries -= over.len() as u64;
    remove(&mut over, swept)
}

fn last_drops(key: &DropKey, count: &DropCount, now: u64) -> Event {
    Event {
        time_ns: now,
        first_ns: now,
        last_ns: now,
        source: key.source,
        destination: key.destination,
        source_port: key.source_port,
        destination_port: key.destination_port,
        protocol: key.protocol,
        family: key.family,
        l4: count.l4,
        mac: count.mac,
        point: count.point,
        sides: count.sides,
        zone: key.zone,
        drop_reason: key.reason,
        drops: u32::try_from(count.drops - count.told).unwrap_or(u32::MAX),
        frame_len: count.frame_len,
        tcp_flags: count.tcp_flags,
        kind: Kind::Dropped as u8,
        l4_len: count.l4_len,
        no_mac: count.no_mac,
        ..Event::default()
    }
}
