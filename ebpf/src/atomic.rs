//! Atomic operations on map values. `core::sync::atomic` has none of them for
//! the BPF target, though the instruction set has (v3, kernel 5.12).
//!
//! Operations whose result is used are ordered: LLVM compiles relaxed ones to
//! the instructions that return nothing, and takes the operand for the result.

use core::intrinsics::{
    AtomicOrdering::{AcqRel, Acquire, Relaxed},
    atomic_cxchg, atomic_or, atomic_xadd, atomic_xchg,
};

/// Adds.
#[inline(always)]
pub unsafe fn add(place: *mut u64, n: u64) {
    atomic_xadd::<u64, u64, { Relaxed }>(place, n);
}

/// Adds to a smaller one.
#[inline(always)]
pub unsafe fn add32(place: *mut u32, n: u32) {
    atomic_xadd::<u32, u32, { Relaxed }>(place, n);
}

/// Room at the end of a counter for all CPUs that add at once.
const FULL: u32 = u32::MAX - (1 << 16);

/// The same, of a counter that stays when it is full.
#[inline(always)]
pub unsafe fn add32_up_to_full(place: *mut u32, n: u32) {
    if place.read_volatile() < FULL {
        add32(place, n);
    }
}

/// Adds; returns the value before.
#[inline(always)]
pub unsafe fn fetch_add(place: *mut u64, n: u64) -> u64 {
    atomic_xadd::<u64, u64, { AcqRel }>(place, n)
}

/// Adds to a smaller one; ordered, as its result is told.
#[inline(always)]
pub unsafe fn fetch_add32(place: *mut u32, n: u32) -> u32 {
    atomic_xadd::<u32, u32, { AcqRel }>(place, n)
}

/// Sets a word; what was written before is seen by who sees it.
#[inline(always)]
pub unsafe fn set(place: *mut u32, value: u32) {
    atomic_xchg::<u32, { AcqRel }>(place, value);
}

/// Takes the value and leaves zero.
#[inline(always)]
pub unsafe fn take(place: *mut u64) -> u64 {
    atomic_xchg::<u64, { AcqRel }>(place, 0)
}

/// Sets bits; returns the value before.
#[inline(always)]
pub unsafe fn set_bits(place: *mut u32, bits: u32) -> u32 {
    atomic_or::<u32, u32, { AcqRel }>(place, bits)
}

/// Sets bits of a larger one.
#[inline(always)]
pub unsafe fn set_bits64(place: *mut u64, bits: u64) {
    atomic_or::<u64, u64, { Relaxed }>(place, bits);
}

/// Replaces `old` by `new`; otherwise tells what is there.
#[inline(always)]
pub unsafe fn replace(place: *mut u32, old: u32, new: u32) -> Result<(), u32> {
    match atomic_cxchg::<u32, { AcqRel }, { Acquire }>(place, old, new) {
        (_, true) => Ok(()),
        (other, false) => Err(other),
    }
}

/// Replaces `old` by `new`; tells whether it did.
#[inline(always)]
pub unsafe fn replace64(place: *mut u64, old: u64, new: u64) -> bool {
    atomic_cxchg::<u64, { AcqRel }, { Acquire }>(place, old, new).1
}
