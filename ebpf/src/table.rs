//! The flow tables: finds or makes the entry, counts, and says what is news.
//!
//! Counters are shared between CPUs and updated by atomic adds, so no packet
//! is lost. A packet that passes several observation points is counted at the
//! first of them (`once`).

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST},
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use sextant_ebpf_common::{Cause, Entry, Side, Tally, ZERO_WINDOW, reason, tags, tick};

use crate::{
    atomic,
    clock::precise_now_compared,
    event,
    initiator::who_spoke_first,
    maps::{self, tuning},
    once::counts_here,
    opening::opening,
    packet::Packet,
    parse::{ACK, FIN, RST, SYN, TCP, UDP},
    payload, quality, reopen, who,
};

const EEXIST: i32 = -17;
const E2BIG: i32 = -7;

/// Where a new entry is made.
#[map]
static FRESH: PerCpuArray<Entry> = PerCpuArray::with_max_entries(1, 0);

/// Counts a packet in its flow and raises an event when it is news.
#[inline(always)]
pub fn record<K>(
    table: &HashMap<K, Entry>,
    key: &K,
    skb: *mut __sk_buff,
    packet: &mut Packet,
    full: Cause,
) {
    let mut found = table.get_ptr_mut(key);
    if found.is_none() {
        packet.initiator = who_spoke_first(skb, packet);
        if !create(table, key, skb, packet, full) {
            return;
        }
        found = table.get_ptr_mut(key);
    }
    let Some(entry) = found else {
        // Removed in between.
        maps::count(Cause::InsertFailed, packet.packets, packet.bytes);
        return;
    };
    // SAFETY: a value of the table; the program holds the RCU read lock.
    unsafe { update(entry, skb, packet) }
}

/// A function of its own, and the entry made in a map, for the sake of the 512
/// bytes of stack.
#[inline(never)]
fn create<K>(
    table: &HashMap<K, Entry>,
    key: &K,
    skb: *mut __sk_buff,
    packet: &Packet,
    full: Cause,
) -> bool {
    let Some(entry) = FRESH.get_ptr_mut(0) else {
        maps::count(Cause::InsertFailed, packet.packets, packet.bytes);
        return false;
    };
    let (opening, is_opening) = opening(skb, packet);
    // SAFETY: a per-CPU slot, of which all other fields are zero and stay so.
    let entry = unsafe {
        (*entry).first_ns = precise_now_compared();
        (*entry).due = due_after(packet.now);
        (*entry).opening = opening;
        (*entry).tags = tags(packet.vlan, packet.initiator | is_opening);
        (*entry).sides = [Side::default(); 2];
        who::look(entry, skb, packet);
        &*entry
    };
    let cause = match table.insert(key, entry, u64::from(BPF_NOEXIST)) {
        Ok(()) => {
            maps::tally(created(full), 1, 0);
            return true;
        }
        // Another CPU was first; its entry is as good.
        Err(EEXIST) => return true,
        Err(E2BIG) => full,
        Err(_) => Cause::InsertFailed,
    };
    maps::count(cause, packet.packets, packet.bytes);
    false
}

/// The tally of the table that is full for this cause. The daemon learns by it
/// how full the table is, without a walk.
#[inline(always)]
fn created(full: Cause) -> Tally {
    match full {
        Cause::Table6Full => Tally::Created6,
        _ => Tally::Created4,
    }
}

#[inline(always)]
unsafe fn update(entry: *mut Entry, skb: *mut __sk_buff, packet: &mut Packet) {
    let direction = packet.direction & 1;
    if (*entry).owner[direction] != packet.point && !counts_here(entry, skb, packet) {
        maps::count(Cause::SeenElsewhere, packet.packets, packet.bytes);
        return;
    }
    let flags = packet.tcp_flags;
    if flags & (SYN | ACK) == SYN && packet.protocol == TCP {
        reopen::if_over(entry, skb, packet);
    } else if packet.protocol == UDP && who::is_another_socket(entry, skb, packet) {
        reopen::if_passed_on(entry, skb, packet);
    }
    (*entry).last[direction] = tick(packet.now);
    atomic::add(&raw mut (*entry).bytes[direction], packet.bytes);
    let before = atomic::fetch_add(&raw mut (*entry).packets[direction], packet.packets);
    let reasons = news(entry, packet, direction, before == 0);
    if reasons != 0 {
        (&raw mut packet.reasons).write_volatile(reasons);
        event::raise(entry, skb, packet);
    }
    if payload::is_wanted(packet) {
        payload::copy(entry, skb, packet);
    }
}

/// Why this packet is news; 0 if it is not.
#[inline(always)]
unsafe fn news(entry: *mut Entry, packet: &Packet, direction: usize, first: bool) -> u8 {
    let mut reasons = if first { reason::FIRST } else { 0 };
    let shifted = u32::from(packet.tcp_flags) << (16 * direction);
    if (*entry).tcp_flags & shifted != shifted {
        let seen = atomic::set_bits(&raw mut (*entry).tcp_flags, shifted);
        let fresh = ((shifted & !seen) >> (16 * direction)) as u16;
        if fresh & (SYN | FIN | RST | ZERO_WINDOW) != 0 {
            reasons |= reason::TCP_FLAGS;
        }
        if fresh & ACK != 0 {
            quality::acknowledged(entry, packet);
        }
    }
    // Without aggregation an event is due at once.
    if is_due((*entry).due, packet.now) {
        reasons |= reason::ACTIVE;
    }
    if reasons != 0 {
        (*entry).due = due_after(packet.now);
    }
    reasons
}

/// When the next event of an active flow is due.
#[inline(always)]
pub fn due_after(now: u64) -> u32 {
    tick(now + tuning().active_interval_ns)
}

#[inline(always)]
fn is_due(due: u32, now: u64) -> bool {
    tick(now).wrapping_sub(due) as i32 >= 0
}
