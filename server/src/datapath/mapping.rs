//! The memory of a kernel's array, in the daemon's: shared with the programs that run.
//! What is in there is for who maps it to say.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
};

/// Mapped memory, from the beginning of a page; given back when dropped.
pub(super) struct Mapping {
    /// Of the map, which lives as long.
    memory: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is memory, of no thread; how it is read and written is for who has it to say.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The first bytes of the array behind `map`; the kernel refuses what is larger.
    pub(super) fn new(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, where the kernel chooses.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        let memory = NonNull::new(memory)
            .filter(|memory| memory.as_ptr() != libc::MAP_FAILED)
            .ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            memory: memory.cast(),
            bytes,
        })
    }

    /// Where it begins, as elements of this type.
    pub(super) fn elements<T>(&self) -> NonNull<T> {
        self.memory.cast()
    }

    /// Asks for the line that has this byte, without waiting for it. Beyond the end, and on
    /// other machines, it does nothing.
    pub(super) fn ask_for(&self, byte: usize) {
        #[cfg(target_arch = "x86_64")]
        if byte < self.bytes {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: within the mapping; it reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.memory.as_ptr().add(byte).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = byte;
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; no reference to it is left.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}
