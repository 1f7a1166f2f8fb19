//! Packets that the kernel drops.

use aya_ebpf::programs::RawTracePointContext;

/// Observes one dropped packet.
#[inline(always)]
pub fn observe(_ctx: &RawTracePointContext) {}
