//! The flow tables: finds or makes the entry, counts, and says what is news.
//!
//! Counters are shared between CPUs and updated by atomic adds, so no packet
//! is lost. A packet that passes several observation points is counted at the
//! first of them (`once`).

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{
    Cause, Entry, Side, ZERO_WINDOW, initiator,
    protocol::{ICMP, ICMP6, TCP, UDP},
    reason, tags, tick,
};

use crate::{
    atomic,
    clock::{due_after, is_due, precise_now_compared},
    event,
    flows::{self, Family},
    initiator::who_spoke_first,
    maps::{self, tuning},
    once::counts_here,
    opening::opening,
    packet::{ACK, FIN, Packet, RST, SYN},
    payload, policy, quality, reopen, who,
};

/// Counts a packet in its flow and raises an event when it is news. Tells whether the
/// packet is let through.
#[inline(always)]
pub fn record<F: Family>(key: &F::Key, skb: *mut __sk_buff, packet: &mut Packet) -> bool {
    let hash = flows::hash::<F>(key);
    let mut found = flows::find::<F>(key, hash);
    if found.is_none() {
        packet.initiator = who_spoke_first(skb, packet);
        // SAFETY: the packet is the one in `maps::SCRATCH`.
        if unsafe { policy::is_forged(packet) } {
            packet.initiator |= initiator::GUESSED;
        }
        if !prepare(skb, packet) {
            // SAFETY: the kernel gives a valid context.
            unsafe { policy::judge_alone(skb, packet) };
            return policy::lets_pass(packet);
        }
        found = flows::insert::<F>(key, hash, packet.packets, packet.bytes);
    }
    // SAFETY: a slot of the table, which is not taken away while a program runs
    // that found it.
    unsafe {
        match found {
            Some(entry) if is_plain(entry, skb, packet) => {
                add(entry, packet);
                return true;
            }
            Some(entry) => {
                sextant_update(skb, entry);
            }
            // It is counted where there was no room for it.
            None => policy::judge_alone(skb, packet),
        }
    }
    policy::lets_pass(packet)
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
        (*entry).judged = [0; 2];
        who::look(entry, skb, packet);
    }
    true
}

/// Does with the packet in `maps::SCRATCH` what its flow is for. With arguments that the
/// verifier knows by their types alone, it is verified by itself, once for both families
/// (kernel 5.12).
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn sextant_update(skb: *mut __sk_buff, entry: *mut Entry) -> u32 {
    if skb.is_null() || entry.is_null() {
        return 0;
    }
    if let Some(packet) = maps::SCRATCH.get_ptr_mut(0) {
        update(entry, skb, &mut *packet);
    }
    0
}

#[inline(always)]
unsafe fn update(entry: *mut Entry, skb: *mut __sk_buff, packet: &mut Packet) {
    let counts = counts_and_begins(entry, skb, packet);
    // The ways join again behind a map.
    (&raw mut packet.counts).write_volatile(u8::from(counts));
    policy::judge(entry, skb, packet);
    if (&raw const packet.counts).read_volatile() != 0 {
        count(entry, skb, packet);
        return;
    }
    maps::count(Cause::SeenElsewhere, packet.packets, packet.bytes);
    if (&raw const packet.judgement).read_volatile() != 0 {
        policy::tell(entry, skb, packet);
    }
}

/// Whether it counts at this point; then a flow that is over begins anew.
#[inline(always)]
unsafe fn counts_and_begins(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) -> bool {
    let direction = packet.direction & 1;
    if (*entry).owner[direction] != packet.point && !counts_here(entry, skb, packet) {
        return false;
    }
    let flags = packet.tcp_flags;
    if flags & (SYN | ACK) == SYN && packet.protocol == TCP {
        reopen::if_over(entry, skb, packet);
    } else if packet.protocol == UDP && who::is_another_socket(entry, skb, packet) {
        reopen::if_passed_on(entry, skb, packet);
    } else if matches!(packet.protocol, ICMP | ICMP6) && !packet.answer {
        reopen::if_asked(entry, packet);
    }
    true
}

/// Whether there is nothing to do with the packet but to count it, here: nearly always, so
/// without a call. What `update` would find is not there.
#[inline(always)]
unsafe fn is_plain(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) -> bool {
    let direction = packet.direction & 1;
    let flags = u32::from(packet.tcp_flags) << (16 * direction);
    let before = (*entry).packets[direction];
    (*entry).owner[direction] == packet.point
        && (*entry).tcp_flags & flags == flags
        && before != 0
        && packet.tcp_flags & SYN == 0
        && !packet.cut
        && !is_due((*entry).due, packet.now)
        && !payload::is_wanted(entry, packet, before)
        && !(packet.protocol == UDP && who::is_another_socket(entry, skb, packet))
        && policy::is_known_to_pass(entry, packet)
}

/// Adds the packet to its flow; tells how many its direction had.
#[inline(always)]
unsafe fn add(entry: *mut Entry, packet: &Packet) -> u64 {
    let direction = packet.direction & 1;
    (*entry).last[direction] = tick(packet.now);
    atomic::add(&raw mut (*entry).bytes[direction], packet.bytes);
    atomic::fetch_add(&raw mut (*entry).packets[direction], packet.packets)
}

/// Counts it in its flow.
#[inline(always)]
unsafe fn count(entry: *mut Entry, skb: *mut __sk_buff, packet: &mut Packet) {
    let before = add(entry, packet);
    let direction = packet.direction & 1;
    let mut reasons = news(entry, packet, direction, before == 0);
    let judgement = (&raw const packet.judgement).read_volatile();
    if judgement & policy::JUDGED != 0 || reasons != 0 {
        reasons |= judgement;
    }
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
