//! A SYN for ports whose flow is over, or a datagram of another process that has
//! the port now: that flow ends with its totals and a new one begins in the same
//! entry.

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{Entry, POINTS, Side, has_opening, initiator, initiator_of, tags};

use crate::{
    atomic,
    clock::{due_after, precise_now},
    event,
    opening::opening,
    packet::{ACK, FIN, Packet, RST},
    who,
};

/// Begins anew if the SYN does not belong to the flow of the entry.
#[inline(never)]
pub unsafe fn if_over(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    let (opening, is_opening) = opening(skb, packet);
    let seen = (*entry).tcp_flags;
    if !is_over(entry, packet, seen, opening) {
        return;
    }
    // One CPU ends it: who takes the flags.
    if atomic::replace(&raw mut (*entry).tcp_flags, seen, 0).is_err() {
        return;
    }
    event::raise_end(entry, packet, seen);
    begin(entry, skb, packet, opening, is_opening);
}

/// Begins anew if another process than before sends from the port, without a
/// handshake that would tell.
#[inline(never)]
pub unsafe fn if_passed_on(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    let (opening, is_opening) = opening(skb, packet);
    let before = (*entry).opening;
    // One CPU ends it: who sets the socket.
    if atomic::replace(&raw mut (*entry).opening, before, opening).is_err() {
        return;
    }
    // Another socket of the same process goes on with the flow.
    if who::is_another((*entry).sides[packet.direction & 1], skb, packet) {
        event::raise_end(entry, packet, 0);
        begin(entry, skb, packet, opening, is_opening);
    }
}

/// A query of a flow that began with an answer: now it is known who asks, and policies
/// judge that.
#[inline(always)]
pub unsafe fn if_asked(entry: *mut Entry, packet: &Packet) {
    if initiator_of((*entry).tags) & initiator::GUESSED != 0 {
        (*entry).tags = tags(packet.vlan, packet.sender());
        (*entry).judged = [0; 2];
    }
}

#[inline(never)]
unsafe fn begin(
    entry: *mut Entry,
    skb: *mut __sk_buff,
    packet: &Packet,
    opening: u32,
    is_opening: u8,
) {
    (*entry).first_ns = precise_now();
    (*entry).news_us = 0;
    (*entry).due = due_after(packet.now);
    (*entry).opening = opening;
    (*entry).tags = tags(packet.vlan, packet.sender() | is_opening);
    (*entry).owner[1 - (packet.direction & 1)] = 0;
    for place in 0..POINTS {
        (*entry).points[place] = 0;
    }
    (*entry).handshake = [0; 2];
    (*entry).dropped = [0; 2];
    (*entry).sides = [Side::default(); 2];
    (*entry).judged = [0; 2];
    who::look(entry, skb, packet);
}

/// It was reset or closed, or the SYN is not that of its handshake: another
/// number, or another side, unless both sides open at once (RFC 9293, 3.5).
#[inline(always)]
unsafe fn is_over(entry: *mut Entry, packet: &Packet, seen: u32, opening: u32) -> bool {
    let either = (seen | seen >> 16) as u16;
    let both = (seen & seen >> 16) as u16;
    if either & RST != 0 || both & FIN != 0 {
        return true;
    }
    let tags = (*entry).tags;
    let direction = packet.direction & 1;
    let opened_here = initiator_of(tags) & initiator::B == packet.sender();
    if !opened_here {
        // Who opened it was a guess, and this tells.
        return either & ACK != 0 || initiator_of(tags) & initiator::GUESSED != 0;
    }
    if has_opening(tags) {
        return (*entry).opening != opening;
    }
    // Of a flow that was met in the middle, unless this is its SYN come late.
    (*entry).packets[direction] != 0
}
