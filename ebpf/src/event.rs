//! Raises events: fills a record in the ring, or counts that it was full.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_get_prandom_u32, bpf_skb_load_bytes},
};
use sextant_ebpf_common::{
    Cause, Entry, Event, Figures, Kind, Tally, initiator, initiator_of, last_packet, reason,
    tick_began, vlan_of,
};

use crate::{
    atomic,
    clock::{coarse_now, precise_now, precise_now_compared},
    maps::{self, OBSERVED},
    nat,
    packet::{Packet, address},
    quality, ring, who,
};

/// Reasons for which an event is raised, however many there are.
const NEVER_SAMPLED: u8 = reason::TCP_FLAGS | reason::JUDGED_A | reason::JUDGED_B | reason::DENIED;

/// Raises an event with the totals of the flow, unless it is sampled away.
#[inline(never)]
pub unsafe fn raise(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    let reasons = (&raw const packet.reasons).read_volatile();
    maps::tally(Tally::Raised, 1, 0);
    let now = precise_now_compared();
    let since = now.saturating_sub((*entry).first_ns) / 1000;
    (*entry).news_us = if since < u64::from(u32::MAX) {
        since as u32
    } else {
        u32::MAX
    };
    if is_sampled_away(reasons) {
        maps::count(Cause::Sampled, 1, packet.bytes);
        return;
    }
    nat::tell(skb, packet, reasons);
    let Some(mut record) = OBSERVED.reserve::<Event>(0) else {
        maps::count(Cause::ObservedRingFull, 1, packet.bytes);
        return;
    };
    let event = record.as_mut_ptr();
    fill(event, entry, skb, packet, now);
    quality::tell(event, skb, packet);
    (*event).packets = (*entry).packets;
    (*event).bytes = (*entry).bytes;
    (*event).tcp_flags_seen = (*entry).tcp_flags;
    (*event).kind = Kind::Packet as u8;
    (*event).reasons = reasons;
    ring::submit(&OBSERVED, record, maps::observed_level());
}

/// All of an event for this packet, for whoever hands it on otherwise.
#[inline(never)]
pub unsafe fn fill_whole(
    event: *mut Event,
    entry: *mut Entry,
    skb: *mut __sk_buff,
    packet: &Packet,
) {
    fill(event, entry, skb, packet, precise_now_compared());
    (*event).packets = (*entry).packets;
    (*event).bytes = (*entry).bytes;
    (*event).tcp_flags_seen = (*entry).tcp_flags;
    (*event).kind = Kind::Packet as u8;
    (*event).reasons = 0;
}

/// SYN, FIN and RST never are, nor what policies newly say, or deny. Which of the others it is, is left to chance, so
/// that no flow is always the one.
#[inline(always)]
unsafe fn is_sampled_away(reasons: u8) -> bool {
    let sampling = maps::tuning().sampling;
    sampling > 1 && reasons & NEVER_SAMPLED == 0 && bpf_get_prandom_u32() & (sampling - 1) != 0
}

/// Raises the end of a flow whose entry begins anew; takes its totals. It is
/// told as its initiator saw it, not as the packet that brought it to light.
#[inline(never)]
pub unsafe fn raise_end(entry: *mut Entry, packet: &Packet, flags: u32) {
    let packets = [
        atomic::take(&raw mut (*entry).packets[0]),
        atomic::take(&raw mut (*entry).packets[1]),
    ];
    let bytes = [
        atomic::take(&raw mut (*entry).bytes[0]),
        atomic::take(&raw mut (*entry).bytes[1]),
    ];
    maps::tally(
        Tally::Reopened,
        packets[0] + packets[1],
        bytes[0] + bytes[1],
    );
    maps::tally(Tally::Raised, 1, 0);
    let Some(mut record) = OBSERVED.reserve::<Event>(0) else {
        maps::count(Cause::ObservedRingFull, 1, bytes[0].wrapping_add(bytes[1]));
        return;
    };
    let event = record.as_mut_ptr();
    let direction = usize::from(initiator_of((*entry).tags) & initiator::B);
    let (source, destination) = if direction == packet.direction {
        (&packet.source, &packet.destination)
    } else {
        (&packet.destination, &packet.source)
    };
    (*event).source = address(source, packet.family);
    (*event).destination = address(destination, packet.family);
    (*event).source_port = packet.port_of(direction, true);
    (*event).destination_port = packet.port_of(direction, false);
    (*event).protocol = packet.protocol;
    (*event).family = packet.family;
    (*event).zone = packet.zone;
    ended(event, entry, direction);
    (*event).packets = packets;
    (*event).bytes = bytes;
    (*event).socket_cookie = 0;
    (*event).tcp_flags_seen = flags;
    ring::submit(&OBSERVED, record, maps::observed_level());
}

/// The fields of an end that no packet has, and those that the entry knows but
/// for its totals and flags.
#[inline(always)]
unsafe fn ended(event: *mut Event, entry: *mut Entry, direction: usize) {
    // Indexed in the map; on the stack the verifier lets nothing be.
    let here = (*entry).owner[direction & 1];
    let there = (*entry).owner[1 - (direction & 1)];
    (*event).time_ns = precise_now_compared();
    (*event).first_ns = (*entry).first_ns;
    (*event).last_ns = last_seen(entry);
    (*event).l4 = [0; 16];
    (*event).mac = [0; 12];
    (*event).point = if here == 0 { there } else { here };
    (*event).owner = (*entry).owner;
    (*event).points = (*entry).points;
    (*event).sides = (*entry).sides;
    (*event).judged = (*entry).judged;
    (*event).figures = Figures::default();
    (*event).handshake = (*entry).handshake;
    (*event).dropped = (*entry).dropped;
    (*event).drop_reason = (*entry).drop_reason;
    (*event).drops = 0;
    (*event).frame_len = 0;
    (*event).vlan = vlan_of((*entry).tags);
    (*event).tcp_flags = 0;
    (*event).kind = Kind::Ended as u8;
    (*event).reasons = 0;
    (*event).direction = direction as u8;
    (*event).initiator = initiator_of((*entry).tags);
    (*event).l4_len = 0;
    (*event).no_mac = 1;
}

/// When the last packet came, on the monotonic clock.
#[inline(always)]
unsafe fn last_seen(entry: *mut Entry) -> u64 {
    let [forward, reverse] = (*entry).last;
    // Ticks wrap; 0 is none.
    let last = if forward == 0 || reverse != 0 && reverse.wrapping_sub(forward) as i32 > 0 {
        reverse
    } else {
        forward
    };
    let (coarse, precise) = (coarse_now(), precise_now());
    let began = match last {
        0 => 0,
        last => tick_began(last, coarse).wrapping_add(precise.wrapping_sub(coarse)),
    };
    last_packet((*entry).first_ns, (*entry).news_us, began)
}

/// All fields but the totals, kind and reasons.
#[inline(always)]
unsafe fn fill(
    event: *mut Event,
    entry: *mut Entry,
    skb: *mut __sk_buff,
    packet: &Packet,
    now: u64,
) {
    (*event).time_ns = now;
    (*event).first_ns = (*entry).first_ns;
    (*event).last_ns = now;
    (*event).source = packet.source_address();
    (*event).destination = packet.destination_address();
    (*event).l4 = [0; 16];
    (*event).mac = [0; 12];
    (*event).point = packet.point;
    (*event).owner = (*entry).owner;
    (*event).points = (*entry).points;
    (*event).sides = (*entry).sides;
    (*event).judged = (*entry).judged;
    (*event).socket_cookie = who::cookie(skb, packet);
    (*event).figures = Figures::default();
    (*event).handshake = (*entry).handshake;
    (*event).dropped = (*entry).dropped;
    (*event).drop_reason = (*entry).drop_reason;
    (*event).drops = 0;
    (*event).frame_len = packet.len;
    (*event).vlan = packet.vlan;
    (*event).source_port = packet.source_port;
    (*event).destination_port = packet.destination_port;
    (*event).tcp_flags = packet.tcp_flags;
    (*event).zone = packet.zone;
    (*event).family = packet.family;
    (*event).protocol = packet.protocol;
    (*event).direction = packet.direction as u8;
    (*event).initiator = initiator_of((*entry).tags);
    (*event).no_mac = u8::from(!packet.has_mac);
    let l4 = (&raw mut (*event).l4).cast();
    let offset = packet.l4 as u32;
    let skb = skb.cast();
    (*event).l4_len = if packet.later_fragment {
        0
    } else if bpf_skb_load_bytes(skb, offset, l4, 16) == 0 {
        16
    } else if bpf_skb_load_bytes(skb, offset, l4, 8) == 0 {
        8
    } else if bpf_skb_load_bytes(skb, offset, l4, 4) == 0 {
        4
    } else {
        0
    };
    if packet.has_mac {
        // A frame that was parsed has its MAC header.
        bpf_skb_load_bytes(skb, 0, (&raw mut (*event).mac).cast(), 12);
    }
}
