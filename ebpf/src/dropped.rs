//! Packets that the kernel drops, from the raw tracepoint `kfree_skb`.
//!
//! `skb` finds where the packet is and whose, `headers` reads what is there of
//! it, `flow` tells the packet's flow, `record` counts and raises events. The daemon finds the kernel's field
//! offsets when it loads us. A packet is looked at in memory of its CPU, not on
//! the stack: what is known of it is then the same to the verifier on each way
//! through the program, so that few ways are left to walk.

mod flow;
mod headers;
mod record;
mod skb;

use aya_ebpf::{macros::map, maps::PerCpuArray, programs::RawTracePointContext};
use sextant_ebpf_common::{
    Cause, DropCount, DropKey, DropLayout, PLACE_COUNT, PLACES, SKB_BYTES, Tuple,
    protocol::{ICMP, ICMP6},
};

use crate::{maps, policy};

/// Where things are in this kernel's structures.
#[unsafe(no_mangle)]
static DROP_LAYOUT: DropLayout = DropLayout::ABSENT;

/// A field of the layout; the verifier knows it for a constant.
macro_rules! layout {
    ($($field:tt)+) => {
        // SAFETY: a static of this program; volatile, since the loader rewrites it.
        unsafe { core::ptr::read_volatile(&raw const $crate::dropped::DROP_LAYOUT.$($field)+) }
    };
}
use layout;

/// A dropped packet, and room to look at it.
#[repr(C)]
struct Dropped {
    key: DropKey,
    /// As it is when this packet is the first of its kind.
    first: DropCount,
    /// A copy of its `sk_buff`.
    skb: [u64; SKB_BYTES as usize / 8],
    /// A copy of its IP header.
    ip: [u32; 10],
    /// A copy of an IPv6 extension header's beginning.
    extension: [u8; 8],
    /// Where the next header is.
    at: u64,
    /// Where the packet ends.
    limit: u64,
    /// Addresses and ports of the flow that it is of, ports in the order of this machine.
    flow: Tuple,
    /// Whether it was handed to an interface, with what translates it behind it.
    is_sent: u32,
    /// Why it is dropped.
    why: u32,
}

/// How many packets may be looked at on one CPU, each in an interrupt of the
/// one before. Kernels since 6.1 let the program run once at a time.
const LEVELS: u32 = 4;

/// Where packets are looked at, by level.
#[map]
static DROPPED: PerCpuArray<Dropped> = PerCpuArray::with_max_entries(LEVELS, 0);

/// The level in use.
#[map]
static DROPPED_LEVEL: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// Observes one dropped packet.
#[inline(always)]
pub fn observe(ctx: &RawTracePointContext) {
    let why: u32 = ctx.arg(2);
    // Frees that are no drops.
    if why < layout!(unspecified) || is_quiet(why) {
        return;
    }
    // SAFETY: of this CPU.
    if unsafe { policy::tables::is_left_alone(ctx.arg(0)) } {
        return;
    }
    let Some(level) = DROPPED_LEVEL.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: of this CPU. An interrupt puts it back before it returns.
    unsafe {
        let mine = level.read_volatile();
        level.write_volatile(mine + 1);
        match DROPPED.get_ptr_mut(mine) {
            Some(dropped) => {
                if let Err(cause) = look(dropped, ctx, why) {
                    maps::count(cause, 1, 0);
                }
            }
            None => maps::count(Cause::DropNested, 1, 0),
        }
        level.write_volatile(mine);
    }
}

/// Looks at a packet and records it, unless its namespace is not observed.
#[inline(always)]
unsafe fn look(it: *mut Dropped, ctx: &RawTracePointContext, why: u32) -> Result<(), Cause> {
    (*it).key = DropKey::default();
    (*it).first = DropCount::default();
    (&raw mut (*it).why).write_volatile(reason(ctx.arg(1), why));
    skb::copy(it, ctx.arg(0))?;
    // The tracepoint has this argument since 6.11.
    let receiver: u64 = if layout!(has_receiver) == 0 {
        0
    } else {
        ctx.arg(3)
    };
    if !skb::is_observed(it, receiver)? {
        return Ok(());
    }
    (*it).key.reason = (&raw const (*it).why).read_volatile();
    if (*it).key.reason == layout!(unspecified) {
        return Err(Cause::DropWithoutReason);
    }
    headers::read(it)?;
    // The kernel frees an echo reply in this way after `ping` got its copy
    // through a raw socket.
    let is_echo_reply = matches!(
        ((*it).key.protocol, (*it).first.l4[0]),
        (ICMP, 0) | (ICMP6, 129)
    ) && (*it).first.l4_len != 0;
    if why != layout!(no_socket) || !is_echo_reply {
        flow::tell(it);
        record::record(it);
    }
    Ok(())
}

/// The reason; where the kernel gives none, the function that drops.
#[inline(always)]
fn reason(place: u64, why: u32) -> u32 {
    let mut reason = why;
    if why == layout!(unspecified) {
        for index in 0..PLACE_COUNT {
            if place >= layout!(places[index][0]) && place < layout!(places[index][1]) {
                reason = PLACES + index as u32;
            }
        }
    }
    reason
}

/// Reasons that are part of a healthy connection (old TCP data and the like).
#[inline(always)]
fn is_quiet(why: u32) -> bool {
    why < 256 && layout!(quiet[((why >> 6) & 3) as usize]) >> (why & 63) & 1 == 1
}
