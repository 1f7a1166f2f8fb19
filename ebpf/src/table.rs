//! The flow tables: finds or makes the entry, counts, and says what is news.
//!
//! Counters are shared between CPUs and updated by atomic adds, so no packet
//! is lost. A packet that passes several observation points is counted at the
//! first of them, the owner of its direction.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST},
    maps::HashMap,
};
use sextant_ebpf_common::{
    A_TO_B, Cause, Entry, POINTS, initiator, reason, since_tick, tags, tick,
};

use crate::{
    atomic,
    clock::{precise_now, precise_now_compared},
    event,
    listener::listens,
    maps::{self, settled_at_ns, tuning},
    packet::Packet,
    parse::TCP,
};

const FIN: u16 = 1;
const SYN: u16 = 1 << 1;
const RST: u16 = 1 << 2;
const ACK: u16 = 1 << 4;

/// An owner that has counted nothing for so long is no longer on the way.
const OWNER_STALE_NS: u64 = 1_000_000_000;

const EEXIST: i32 = -17;
const E2BIG: i32 = -7;

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
        if !create(table, key, packet, full) {
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

/// A function of its own, for the sake of the 512 bytes of stack.
#[inline(never)]
fn create<K>(table: &HashMap<K, Entry>, key: &K, packet: &Packet, full: Cause) -> bool {
    let entry = Entry {
        first_ns: precise_now_compared(),
        due_ns: packet.now + tuning().active_interval_ns,
        tags: tags(packet.vlan, packet.initiator),
        ..Entry::default()
    };
    let cause = match table.insert(key, entry, u64::from(BPF_NOEXIST)) {
        // Another CPU may have been first; then its entry is as good.
        Ok(()) | Err(EEXIST) => return true,
        Err(E2BIG) => full,
        Err(_) => Cause::InsertFailed,
    };
    maps::count(cause, packet.packets, packet.bytes);
    false
}

/// The initiator, from TCP's handshake or from who came first; a guess for
/// flows that may have begun before we watched.
#[inline(never)]
fn who_spoke_first(skb: *mut __sk_buff, packet: &Packet) -> u8 {
    let sender = if packet.direction == A_TO_B {
        initiator::A
    } else {
        initiator::B
    };
    let receiver = 1 - sender;
    if !packet.sided {
        return if packet.answer { receiver } else { sender };
    }
    if packet.protocol == TCP {
        match packet.tcp_flags & (SYN | ACK) {
            SYN => return sender,
            flags if flags == SYN | ACK => return receiver,
            _ => {}
        }
    } else if precise_now() >= settled_at_ns() {
        return sender;
    }
    // In the middle: who listens is the server, else who has the lower port.
    let tcp = packet.protocol == TCP;
    let guess = if tcp && listens(skb, packet, true) {
        sender
    } else if tcp && listens(skb, packet, false) || packet.source_port < packet.destination_port {
        receiver
    } else {
        sender
    };
    guess | initiator::GUESSED
}

#[inline(always)]
unsafe fn update(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    let direction = packet.direction & 1;
    let owner = &raw mut (*entry).owner[direction];
    if *owner != packet.point && !claim(entry, owner, packet, direction) {
        elsewhere(entry, packet.point);
        maps::count(Cause::SeenElsewhere, packet.packets, packet.bytes);
        return;
    }
    let flags = packet.tcp_flags;
    if flags & (SYN | ACK) == SYN && packet.protocol == TCP {
        reopen_if_closed(entry, skb, packet);
    }
    (*entry).last[direction] = tick(packet.now);
    atomic::add(&raw mut (*entry).bytes[direction], packet.bytes);
    let before = atomic::fetch_add(&raw mut (*entry).packets[direction], packet.packets);
    let reasons = news(entry, packet, direction, before == 0);
    if reasons != 0 {
        event::raise(entry, skb, packet, reasons);
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
        if fresh & (SYN | FIN | RST) != 0 {
            reasons |= reason::TCP_FLAGS;
        }
    }
    // Without aggregation an event is due at once.
    if packet.now >= (*entry).due_ns {
        reasons |= reason::ACTIVE;
    }
    if reasons != 0 {
        (*entry).due_ns = packet.now + tuning().active_interval_ns;
    }
    reasons
}

/// Makes this point the owner, if there is none or the old one is stale.
#[inline(never)]
unsafe fn claim(entry: *mut Entry, owner: *mut u32, packet: &Packet, direction: usize) -> bool {
    let current = *owner;
    let idle = since_tick((*entry).last[direction], packet.now);
    if current != 0 && idle < OWNER_STALE_NS {
        return false;
    }
    match atomic::replace(owner, current, packet.point) {
        Ok(()) => {
            if current != 0 {
                elsewhere(entry, current);
            }
            true
        }
        Err(other) => other == packet.point,
    }
}

/// Remembers a point that does not count. When all places are taken, further
/// points are not remembered (their packets still count as seen elsewhere).
#[inline(never)]
unsafe fn elsewhere(entry: *mut Entry, point: u32) {
    for n in 0..POINTS {
        let place = &raw mut (*entry).points[n];
        if *place == point {
            return;
        }
        if *place == 0 {
            match atomic::replace(place, 0, point) {
                Err(other) if other != point => {}
                _ => return,
            }
        }
    }
}

/// A SYN on a closed connection: the ports are used again. The old flow ends
/// with its totals and a new one begins in the same entry.
#[inline(never)]
unsafe fn reopen_if_closed(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    let seen = (*entry).tcp_flags;
    let either = (seen | seen >> 16) as u16;
    let both = (seen & seen >> 16) as u16;
    if either & RST == 0 && both & FIN == 0 {
        return;
    }
    // One CPU ends it: who takes the flags.
    if atomic::replace(&raw mut (*entry).tcp_flags, seen, 0).is_err() {
        return;
    }
    event::raise_end(entry, skb, packet, seen);
    (*entry).first_ns = precise_now();
    (*entry).due_ns = packet.now + tuning().active_interval_ns;
    (*entry).tags = tags(packet.vlan, packet.direction as u8 & 1);
    for place in 0..POINTS {
        (*entry).points[place] = 0;
    }
    (*entry).dropped = [0; 2];
}
