//! The flow tables: finds or makes the entry, counts, and says what is news.
//!
//! Counters are shared between CPUs and updated by atomic adds, so no packet
//! is lost. A packet that passes several observation points is counted at the
//! first of them (`once`).

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{
    Cause, Entry, Side, ZERO_WINDOW,
    protocol::{TCP, UDP},
    reason, tags, tick,
};

use crate::{
    atomic,
    clock::precise_now_compared,
    event,
    flows::{self, Family},
    initiator::who_spoke_first,
    maps::{self, tuning},
    once::counts_here,
    opening::opening,
    packet::Packet,
    parse::{ACK, FIN, RST, SYN},
    payload, quality, reopen, who,
};

/// Counts a packet in its flow and raises an event when it is news.
#[inline(always)]
pub fn record<F: Family>(key: &F::Key, skb: *mut __sk_buff, packet: &mut Packet) {
    let hash = flows::hash::<F>(key);
    let mut found = flows::find::<F>(key, hash);
    if found.is_none() {
        packet.initiator = who_spoke_first(skb, packet);
        if !prepare(skb, packet) {
            return;
        }
        found = flows::insert::<F>(key, hash, packet.packets, packet.bytes);
    }
    // Otherwise it is counted where there was no room for it.
    if let Some(entry) = found {
        // SAFETY: a slot of the table, which is not taken away while a program runs
        // that found it.
        unsafe { update(entry, skb, packet) }
    }
}

/// Makes a new entry. A function of its own, and the entry in a map, for the sake of
/// the 512 bytes of stack.
#[inline(never)]
fn prepare(skb: *mut __sk_buff, packet: &Packet) -> bool {
    let Some(entry) = flows::fresh() else {
        maps::count(Cause::InsertFailed, packet.packets, packet.bytes);
        return false;
    };
    let (opening, is_opening) = opening(skb, packet);
    // SAFETY: a per-CPU slot, of which all other fields are zero and stay so.
    unsafe {
        (*entry).first_ns = precise_now_compared();
        (*entry).due = due_after(packet.now);
        (*entry).opening = opening;
        (*entry).tags = tags(packet.vlan, packet.initiator | is_opening);
        (*entry).sides = [Side::default(); 2];
        who::look(entry, skb, packet);
    }
    true
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
        who::look_again(entry, skb, packet);
        event::raise(entry, skb, packet);
    }
    if payload::is_wanted(entry, packet, before) {
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
