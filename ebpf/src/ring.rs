//! Hands records to the daemon's reader, and wakes it when it has to be.
//!
//! A wake-up costs more than all else that is done for a packet, so a reader that
//! reads on by itself is not woken; one that rests says so beforehand.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    maps::{RingBuf, ring_buf::RingBufEntry},
};

use crate::maps;

/// How far above the level the reader is woken: by some records, not by all
/// that come until it has read.
const BAND: u64 = 4096;

/// A filled record goes to the reader. `level` is how full the ring may be
/// before the reader is woken from a pause.
#[inline(always)]
pub fn submit<T: 'static>(ring: &RingBuf, record: RingBufEntry<T>, level: u64) {
    submit_quietly(ring, record, level);
    // To submit is a full barrier in the kernel. The reader says that it rests
    // before it looks into the ring for the last time, so one of us sees the other.
    if maps::reader_rests() {
        wake(ring);
    }
}

/// The same for what is of no use before something else comes: a reader that rests
/// is left alone.
#[inline(always)]
pub fn submit_quietly<T: 'static>(ring: &RingBuf, record: RingBufEntry<T>, level: u64) {
    let above = ring.query(BPF_RB_AVAIL_DATA.into()).wrapping_sub(level);
    let flags = if above < BAND {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    record.submit(flags.into());
}

/// An empty record, since only a record can wake.
#[inline(never)]
fn wake(ring: &RingBuf) {
    maps::reader_is_up();
    if let Some(record) = ring.reserve::<u64>(0) {
        record.discard(BPF_RB_FORCE_WAKEUP.into());
    }
}
