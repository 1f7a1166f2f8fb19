//! Counts each packet at one observation point, whichever others it passes.
//!
//! What passes several points is counted at the first of them under its key. It
//! is known by the packet's way, not by the flow: links that share a flow (bonds,
//! equal routes, fail-over, roaming) count what comes over each. At egress the
//! kernel tells by which interface a packet came in; the daemon tells which
//! interfaces are joined (`Joints`). A packet whose address was translated on
//! its way has another key, under which it was not seen before.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use sextant_ebpf_common::{
    Entry, INDEX_BITS, Joints, POINTS, STACKED, interface_number, interface_parts, point,
    point_parts,
};

use crate::{atomic, maps, packet::Packet, who};

/// A copy for the sender's own host of what it sends to a group (if_packet.h).
const PACKET_LOOPBACK: u32 = 5;

/// Whether a packet at a point that is not the owner of its direction counts
/// here; then this point becomes the owner.
#[inline(never)]
pub unsafe fn counts_here(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) -> bool {
    let owner = &raw mut (*entry).owner[packet.direction & 1];
    let current = *owner;
    if is_own_copy(skb, packet) || current != 0 && was_seen(entry, skb, packet.point) {
        if remember(entry, packet.point) {
            who::look(entry, skb, packet);
        }
        return false;
    }
    // Before it loses its place, so that it is known all the time.
    if current != 0 {
        remember(entry, current);
    }
    // Another CPU that was faster counts too.
    let _ = atomic::replace(owner, current, packet.point);
    who::look(entry, skb, packet);
    true
}

/// The copy that the kernel hands to the sender's own host of a packet for a
/// group, which itself leaves by the same interface unless its hops are 0.
#[inline(always)]
unsafe fn is_own_copy(skb: *mut __sk_buff, packet: &Packet) -> bool {
    if (*skb).pkt_type != PACKET_LOOPBACK || point_parts(packet.point).1 {
        return false;
    }
    let mut hops = 0_u8;
    let offset = packet.l3 as u32 + if packet.family == 4 { 8 } else { 7 };
    bpf_skb_load_bytes(skb.cast(), offset, (&raw mut hops).cast(), 1) == 0 && hops != 0
}

/// Whether the packet was seen under this key before it came here.
#[inline(always)]
unsafe fn was_seen(entry: *mut Entry, skb: *mut __sk_buff, here: u32) -> bool {
    let (number, egress) = point_parts(here);
    let joints = maps::joints(here);
    let before = if egress {
        came_in_by(number, (*skb).ingress_ifindex)
    } else {
        joints.map_or(0, |joints| joints.peer)
    };
    // What is sent comes in at the other end; what was received is sent on.
    let upstream = point(before, !egress);
    if before != 0 && (is_known(entry, upstream) || is_full(entry) && is_observed(upstream)) {
        return true;
    }
    let Some(joints) = joints else {
        return false;
    };
    // Down the stack on the way out, up on the way in.
    let stacked = if egress { &joints.above } else { &joints.below };
    for n in 0..STACKED {
        if stacked[n] != 0 && is_known(entry, point(stacked[n], egress)) {
            return true;
        }
    }
    for n in 0..POINTS + 2 {
        let other = known(entry, n);
        if other != 0 && point_parts(other).1 == egress && is_stacked(other, number, egress) {
            return true;
        }
    }
    false
}

/// Whether the interface of `other` has `number` on the far side of it: below
/// it on the way out, above it on the way in.
#[inline(always)]
fn is_stacked(other: u32, number: u32, egress: bool) -> bool {
    maps::joints(other).is_some_and(|joints: &Joints| {
        let stacked = if egress { &joints.below } else { &joints.above };
        stacked.contains(&number)
    })
}

/// The number of the interface with this index, in the namespace of another.
#[inline(always)]
fn came_in_by(number: u32, ifindex: u32) -> u32 {
    if ifindex == 0 || ifindex >> INDEX_BITS != 0 {
        return 0;
    }
    interface_number(interface_parts(number).0, ifindex)
}

#[inline(always)]
fn is_observed(point: u32) -> bool {
    maps::joints(point).is_some_and(|joints| joints.observed != 0)
}

/// The points of an entry, the owners first; 0 where there is none.
#[inline(always)]
unsafe fn known(entry: *mut Entry, n: usize) -> u32 {
    match n {
        0 | 1 => (*entry).owner[n],
        _ => (*entry).points[n - 2],
    }
}

#[inline(always)]
unsafe fn is_known(entry: *mut Entry, point: u32) -> bool {
    let mut found = false;
    for n in 0..POINTS + 2 {
        found |= known(entry, n) == point;
    }
    found
}

#[inline(always)]
unsafe fn is_full(entry: *mut Entry) -> bool {
    (*entry).points[POINTS - 1] != 0
}

/// Remembers a point. When all places are taken it is not; what was received by
/// an observed interface then passes for seen. Tells whether it is a new one.
#[inline(always)]
unsafe fn remember(entry: *mut Entry, point: u32) -> bool {
    for n in 0..POINTS {
        let place = &raw mut (*entry).points[n];
        if *place == point {
            return false;
        }
        if *place == 0 {
            match atomic::replace(place, 0, point) {
                Err(other) if other != point => {}
                _ => return true,
            }
        }
    }
    false
}
