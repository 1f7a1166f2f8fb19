//! The class of a peer, by its address.

use sextant_ebpf_common::policy::ANY_CLASS;

use super::tables::{self, Part};
use crate::{maps, packet::Packet};

/// Steps that find one of so many ranges as a table may have. Of 64 bits: a counter of 32
/// may be put beside a key of a map, where the verifier loses sight of it.
const STEPS: u64 = 20;

/// Of the side of a flow. The sender is the one of the packet's direction.
#[inline(always)]
pub fn of_side(packet: &Packet, side: usize, part: Part) -> u32 {
    let is_sender = side & 1 == packet.direction & 1;
    sextant_class(part.generation, u32::from(is_sender))
}

/// Whether a side has an address that no router takes (RFC 3927, RFC 4291, 2.5.6).
#[inline(always)]
pub fn is_of_link(packet: &Packet, side: usize) -> bool {
    let is_sender = side & 1 == packet.direction & 1;
    let first = if is_sender {
        packet.source[0]
    } else {
        packet.destination[0]
    };
    let first = u32::from_be(first);
    if packet.family == 4 {
        first >> 16 == 0xa9fe
    } else {
        first >> 22 == 0xfe80 >> 6
    }
}

/// Of the receiver.
#[inline(always)]
pub fn of_receiver(part: Part) -> u32 {
    sextant_class(part.generation, 0)
}

/// Of the sender or the receiver of the packet in `maps::SCRATCH`. Verified by itself,
/// once, as `sextant_judge`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sextant_class(generation: u32, is_sender: u32) -> u32 {
    let Some(packet) = maps::SCRATCH.get_ptr(0) else {
        return ANY_CLASS;
    };
    // SAFETY: a per-CPU slot, which nobody else writes while we run.
    let packet = unsafe { &*packet };
    let (part, is_sender) = (Part { generation }, is_sender != 0);
    if packet.family == 4 {
        let address = if is_sender {
            packet.source[0]
        } else {
            packet.destination[0]
        };
        class4(part, u32::from_be(address))
    } else {
        let words = if is_sender {
            &packet.source
        } else {
            &packet.destination
        };
        let upper = u64::from(u32::from_be(words[0])) << 32 | u64::from(u32::from_be(words[1]));
        let lower = u64::from(u32::from_be(words[2])) << 32 | u64::from(u32::from_be(words[3]));
        class6(part, upper, lower)
    }
}

/// Of an IPv4 address in host order, for who has no packet. Verified by itself, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sextant_class4(generation: u32, address: u32) -> u32 {
    class4(Part { generation }, address)
}

/// The same of both halves of an IPv6 address.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sextant_class6(generation: u32, upper: u64, lower: u64) -> u32 {
    class6(Part { generation }, upper, lower)
}

/// The last range that begins at the address or before it.
#[inline(always)]
fn class4(part: Part, address: u32) -> u32 {
    let Some(span) = part.span4(address >> 16) else {
        return ANY_CLASS;
    };
    let (mut first, mut len) = (part.first_range4() + span.start, span.len);
    for _ in 0..STEPS {
        if len <= 1 {
            break;
        }
        let middle = len >> 1;
        let Some(range) = tables::range4(first + middle) else {
            return ANY_CLASS;
        };
        if range.from <= address {
            first += middle;
            len -= middle;
        } else {
            len = middle;
        }
    }
    tables::range4(first).map_or(ANY_CLASS, |range| range.class)
}

#[inline(always)]
fn class6(part: Part, upper: u64, lower: u64) -> u32 {
    let (mut first, mut len) = (part.first_range6(), part.ranges6());
    for _ in 0..STEPS {
        if len <= 1 {
            break;
        }
        let middle = len >> 1;
        let Some(range) = tables::range6(first + middle) else {
            return ANY_CLASS;
        };
        let begins_before =
            range.from[0] < upper || range.from[0] == upper && range.from[1] <= lower;
        if begins_before {
            first += middle;
            len -= middle;
        } else {
            len = middle;
        }
    }
    tables::range6(first).map_or(ANY_CLASS, |range| range.class)
}
