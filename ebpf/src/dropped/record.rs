//! Counts dropped packets by flow and reason, and raises their events.
//!
//! Drops of one flow for one reason share an entry: the first raises an event,
//! later ones are counted and told at most once in an interval, so that a storm
//! costs little. What is not told when the storm ends, the daemon tells.

use aya_ebpf::bindings::BPF_NOEXIST;
use sextant_ebpf_common::{Cause, DropCount, Event, Figures, Kind, POINTS, Tally, reason};

use super::Dropped;
use crate::{
    atomic,
    clock::precise_now,
    maps::{self, DENIED, DROPS},
    ring,
};

const EEXIST: i32 = -17;

#[inline(always)]
pub(super) unsafe fn record(it: *mut Dropped) {
    // The coarse clock is for network programs only.
    let now = precise_now();
    let Some(entry) = DROPS.get_ptr_mut(&(*it).key) else {
        create(it, now);
        return;
    };
    let drops = atomic::fetch_add(&raw mut (*entry).drops, 1) + 1;
    (*entry).tcp_flags = (*it).first.tcp_flags;
    (*entry).sides = (*it).first.sides;
    let interval = maps::tuning().active_interval_ns;
    let told_at = (*entry).event_ns;
    if now.saturating_sub(told_at) < interval {
        return;
    }
    if interval == 0 {
        atomic::add(&raw mut (*entry).told, 1);
        raise(it, now, 1);
        return;
    }
    // One CPU tells: who sets the time.
    if atomic::replace64(&raw mut (*entry).event_ns, told_at, now) {
        let untold = drops.saturating_sub((*entry).told);
        (*entry).told = drops;
        raise(it, now, untold as u32);
    }
}

/// Makes the entry and tells its first drop. When another CPU was first with the
/// entry, this drop is told for itself.
#[inline(always)]
unsafe fn create(it: *mut Dropped, now: u64) {
    (*it).first.drops = 1;
    (*it).first.told = 1;
    (*it).first.event_ns = now;
    match DROPS.insert(&(*it).key, &(*it).first, u64::from(BPF_NOEXIST)) {
        Ok(()) => maps::tally(Tally::CreatedDrop, 1, 0),
        Err(EEXIST) => {}
        Err(_) => {
            maps::tally(Tally::Raised, 1, 0);
            maps::count(Cause::DropTableFull, 1, u64::from((*it).first.frame_len));
            return;
        }
    }
    raise(it, now, 1);
}

/// Raises an event about this packet that stands for so many.
#[inline(always)]
unsafe fn raise(it: *const Dropped, now: u64, drops: u32) {
    maps::tally(Tally::Raised, 1, 0);
    let DropCount { frame_len, .. } = (*it).first;
    let Some(mut record) = DENIED.reserve::<Event>(0) else {
        maps::count(Cause::DeniedRingFull, 1, u64::from(frame_len));
        return;
    };
    let event = record.as_mut_ptr();
    let (key, first) = (&(*it).key, &(*it).first);
    (*event).time_ns = now;
    (*event).first_ns = now;
    (*event).last_ns = now;
    (*event).packets = [0; 2];
    (*event).bytes = [0; 2];
    for word in 0..4 {
        (*event).source[word] = key.source[word];
        (*event).destination[word] = key.destination[word];
    }
    (*event).l4 = first.l4;
    (*event).mac = first.mac;
    (*event).point = first.point;
    (*event).owner = [0; 2];
    (*event).points = [0; POINTS];
    (*event).sides = first.sides;
    (*event).judged = [0; 2];
    (*event).figures = Figures::default();
    (*event).handshake = [0; 2];
    (*event).tcp_flags_seen = 0;
    (*event).dropped = [0; 2];
    (*event).drop_reason = key.reason;
    (*event).drops = drops;
    (*event).frame_len = frame_len;
    (*event).vlan = [0; 2];
    (*event).source_port = key.source_port;
    (*event).destination_port = key.destination_port;
    (*event).tcp_flags = first.tcp_flags;
    (*event).zone = key.zone;
    (*event).kind = Kind::Dropped as u8;
    (*event).reasons = reason::FIRST;
    (*event).family = key.family;
    (*event).protocol = key.protocol;
    (*event).direction = 0;
    (*event).initiator = 0;
    (*event).l4_len = first.l4_len;
    (*event).no_mac = first.no_mac;
    ring::submit(&DENIED, record, maps::denied_level());
}
