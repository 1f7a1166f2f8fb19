//! Two ways to read a packet: straight from its linear part at constant
//! offsets (fast), or by a helper from anywhere (any layout).

use aya_ebpf::{helpers::generated::bpf_skb_load_bytes, programs::TcContext};

/// Reads plain values out of a packet.
pub trait Read {
    /// Whether offsets are constants, so that only plain layouts are accepted.
    const FAST: bool;

    /// The value at `offset`; `None` beyond the end of what can be read.
    fn read<T: Copy>(&self, offset: usize) -> Option<T>;
}

/// Direct access to the linear part.
pub struct Linear {
    start: usize,
    end: usize,
}

impl Linear {
    /// The linear part of the packet.
    #[inline(always)]
    pub fn new(ctx: &TcContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }
}

impl Read for Linear {
    const FAST: bool = true;

    #[inline(always)]
    fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        if self.start + offset + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: within the linear part, as just checked; T is plain data. Headers
        // may be misaligned for it, which the instruction set of each host that
        // the kernel lets do this takes; an unaligned read would be byte by byte.
        Some(unsafe { *((self.start + offset) as *const T) })
    }
}

/// Access by helper.
pub struct Copied<'a>(pub &'a TcContext);

impl Read for Copied<'_> {
    const FAST: bool = false;

    #[inline(always)]
    fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        let mut value = core::mem::MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes size_of::<T>() bytes or fails.
        unsafe {
            let failed = bpf_skb_load_bytes(
                self.0.skb.skb.cast(),
                offset as u32,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            );
            (failed == 0).then(|| value.assume_init())
        }
    }
}
