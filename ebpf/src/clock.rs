//! The two clocks. The coarse one is the kernel's count of ticks (jiffies), the
//! only clock that costs no call; it has an origin of its own. The precise one
//! is the monotonic clock, for news. The daemon learns how far they are apart.

use aya_ebpf::{
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns},
    macros::map,
    maps::Array,
};
use sextant_ebpf_common::tick;

use crate::maps::tuning;

/// Nanoseconds of a jiffy; set when the programs are loaded.
#[unsafe(no_mangle)]
static JIFFY_NS: u64 = 0;

/// What to add to the coarse clock for the monotonic one, modulo 2^64, as of the
/// latest news. Of any flow there was news: that of its first packet.
#[map]
static CLOCK_OFFSET: Array<u64> = Array::with_max_entries(1, 0);

/// Coarse time in nanoseconds, for each packet.
#[inline(always)]
pub fn coarse_now() -> u64 {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    let jiffy = unsafe { core::ptr::read_volatile(&raw const JIFFY_NS) };
    // SAFETY: no arguments.
    let jiffies = unsafe { bpf_jiffies64() };
    jiffies * jiffy
}

/// Nanoseconds of the monotonic clock, for news.
#[inline(always)]
pub fn precise_now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// The precise time; keeps how far the coarse one is from it.
#[inline(always)]
pub fn precise_now_compared() -> u64 {
    let (coarse, precise) = (coarse_now(), precise_now());
    if let Some(offset) = CLOCK_OFFSET.get_ptr_mut(0) {
        // SAFETY: of the map; a store of a word, and any CPU's is as good.
        unsafe { offset.write_volatile(precise.wrapping_sub(coarse)) };
    }
    precise
}

/// When the next event of an active flow is due.
#[inline(always)]
pub fn due_after(now: u64) -> u32 {
    tick(now + tuning().active_interval_ns)
}

#[inline(always)]
pub fn is_due(due: u32, now: u64) -> bool {
    tick(now).wrapping_sub(due) as i32 >= 0
}
