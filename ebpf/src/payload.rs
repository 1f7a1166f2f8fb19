//! Copies the beginning of what some packets carry into a ring of its own.
//!
//! Asked for each packet that is counted, so at one observation point only: three
//! compares for those that are not wanted. Bound: a budget of bytes for each CPU,
//! kind and second, so that none takes that of another, and the ring; what goes
//! beyond either is counted by cause.

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::map, maps::PerCpuArray,
};
use sextant_ebpf_common::{
    Carries, Cause, DNS_PORT, Entry, PAYLOAD_ROOMS, Payload, Tally,
    protocol::{TCP, UDP},
};

use crate::{event, hello, maps, maps::PAYLOAD, opening::load, packet::Packet, ring};

/// The budget is given anew each time that this many bits of the clock are over:
/// 1.07 seconds.
const WINDOW_BITS: u32 = 30;

/// Bytes that may be copied in a window on each CPU; 0 copies nothing. Set when
/// the programs are loaded.
#[unsafe(no_mangle)]
static PAYLOAD_RATE: u64 = 0;

/// What was copied in this window, and what is looked at: how long it is, and where.
struct Spent {
    window: u64,
    bytes: u64,
    length: u32,
    offset: u32,
    carries: u32,
    pad: u32,
}

/// By kind.
#[map]
static SPENT: PerCpuArray<Spent> = PerCpuArray::with_max_entries(Carries::COUNT + 1, 0);

const _: () = {
    let mut n = 0;
    while n < PAYLOAD_ROOMS.len() {
        assert!(PAYLOAD_ROOMS[n].is_power_of_two());
        n += 1;
    }
};

/// A record of the ring.
#[repr(C)]
struct Record<const ROOM: usize> {
    head: Payload,
    bytes: [u8; ROOM],
}

/// Whether it is worth a closer look; `before` is how many packets its direction had.
#[inline(always)]
pub unsafe fn is_wanted(entry: *mut Entry, packet: &Packet, before: u64) -> bool {
    is_dns(packet) || hello::may_be_in(entry, packet, before)
}

#[inline(always)]
fn is_dns(packet: &Packet) -> bool {
    packet.source_port == DNS_PORT || packet.destination_port == DNS_PORT
}

/// Copies what the packet carries, if it is of a protocol that is read.
#[inline(never)]
pub unsafe fn copy(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    let rate = core::ptr::read_volatile(&raw const PAYLOAD_RATE);
    if rate == 0 || !matches!(packet.protocol, TCP | UDP) || packet.later_fragment {
        return;
    }
    let length = length(skb, packet);
    if length == 0 {
        return;
    }
    let (carries, offset) = if is_dns(packet) {
        (Carries::Dns, 0)
    } else {
        match hello::place(entry, skb, packet, length) {
            Some(offset) => (Carries::Hello, offset),
            None => return,
        }
    };
    let Some(spent) = SPENT.get_ptr_mut(carries as u32) else {
        return;
    };
    if !is_within_budget(spent, packet.now >> WINDOW_BITS, length, rate) {
        maps::count(Cause::PayloadBudget, 1, u64::from(length));
        return;
    }
    // Through a map: what the verifier reads back it knows nothing of, and what
    // the compiler reads back it has to check.
    (&raw mut (*spent).length).write_volatile(length);
    (&raw mut (*spent).offset).write_volatile(offset);
    (&raw mut (*spent).carries).write_volatile(carries as u32);
    let [tiny, small, usual, _] = PAYLOAD_ROOMS;
    let room = length as usize;
    if room <= tiny {
        record::<{ PAYLOAD_ROOMS[0] }>(entry, skb, packet, spent);
    } else if room <= small {
        record::<{ PAYLOAD_ROOMS[1] }>(entry, skb, packet, spent);
    } else if room <= usual {
        record::<{ PAYLOAD_ROOMS[2] }>(entry, skb, packet, spent);
    } else {
        record::<{ PAYLOAD_ROOMS[3] }>(entry, skb, packet, spent);
    }
}

/// Bytes behind the headers, without what pads a short frame.
#[inline(always)]
unsafe fn length(skb: *mut __sk_buff, packet: &Packet) -> u32 {
    let (field, before) = if packet.family == 4 { (2, 0) } else { (4, 40) };
    let l3 = packet.l3 as u32;
    let told = load::<u16>(skb, l3 + field).map_or(0, u16::from_be);
    let end = match told {
        // Beyond 64 KiB: a packet that is not cut yet.
        0 => (*skb).len,
        told => (l3 + before + u32::from(told)).min((*skb).len),
    };
    end.saturating_sub(packet.headers)
}

#[inline(always)]
unsafe fn is_within_budget(spent: *mut Spent, window: u64, length: u32, rate: u64) -> bool {
    if (*spent).window != window {
        (*spent).window = window;
        (*spent).bytes = 0;
    }
    if (*spent).bytes >= rate {
        return false;
    }
    let [.., most] = PAYLOAD_ROOMS;
    (*spent).bytes += (length as u64).min(most as u64) + size_of::<Payload>() as u64;
    true
}

#[inline(never)]
unsafe fn record<const ROOM: usize>(
    entry: *mut Entry,
    skb: *mut __sk_buff,
    packet: &Packet,
    spent: *mut Spent,
) {
    let Some(mut record) = PAYLOAD.reserve::<Record<ROOM>>(0) else {
        maps::count(Cause::PayloadRingFull, 1, 0);
        return;
    };
    let to = record.as_mut_ptr();
    event::fill_whole(&raw mut (*to).head.event, entry, skb, packet);
    let length = u64::from((&raw const (*spent).length).read_volatile());
    let room = ROOM as u64;
    let most = if length > room { room } else { length };
    // Itself, as it is not 0; in this form old verifiers see that it is within 1..=ROOM.
    let copied = (most.wrapping_sub(1) & (room - 1)) + 1;
    (*to).head.length = length as u32;
    (*to).head.copied = copied as u32;
    (*to).head.carries = (&raw const (*spent).carries).read_volatile() as u8;
    (*to).head.pad = [0; 3];
    (*to).head.offset = (&raw const (*spent).offset).read_volatile();
    let bytes = (&raw mut (*to).bytes).cast();
    if bpf_skb_load_bytes(skb.cast(), packet.headers, bytes, copied as u32) != 0 {
        // It ends within the packet, so this does not happen.
        (*to).head.copied = 0;
    }
    maps::tally(Tally::Copied, 1, length);
    ring::submit(&PAYLOAD, record, maps::payload_level());
}
