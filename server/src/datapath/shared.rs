//! An array of the kernel's that the daemon has in its memory: what it writes there,
//! programs see without a system call.
//!
//! Bound: the elements that the map was made with.

use std::{
    fmt, io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    ptr,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Release},
    },
};

use super::{bpf::Plain, mapping::Mapping};

/// The elements of an array, which programs read while they are written: whole words at
/// a time, in no order that they might rely on.
pub(super) struct Shared<T> {
    memory: Mapping,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Plain> Shared<T> {
    /// Words of an element. The kernel lays elements out by eight bytes.
    const WORDS: usize = size_of::<T>().next_multiple_of(8) / size_of::<u32>();

    /// Maps the array behind `map`, which has so many elements.
    pub(super) fn new(map: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        const {
            assert!(size_of::<T>().is_multiple_of(size_of::<u32>()));
        }
        Ok(Self {
            memory: Mapping::new(map, len * Self::WORDS * size_of::<u32>())?,
            len,
            elements: PhantomData,
        })
    }

    /// Writes elements from `at` on. Those beyond the end are a bug and are left out.
    pub(super) fn write(&self, at: usize, elements: &[T]) {
        debug_assert!(at + elements.len() <= self.len);
        for (at, element) in (at..self.len).zip(elements) {
            let words = ptr::from_ref(element).cast::<u32>();
            for n in 0..size_of::<T>() / size_of::<u32>() {
                // SAFETY: within the element, which is plain.
                let word = unsafe { words.add(n).read() };
                self.word(at, n).store(word, Release);
            }
        }
    }

    /// An element, word by word as it is now.
    pub(super) fn read(&self, at: usize) -> T {
        let mut element = MaybeUninit::<T>::uninit();
        for n in 0..size_of::<T>() / size_of::<u32>() {
            let word = self.word(at, n).load(Acquire);
            // SAFETY: within the element, of which all words are written.
            unsafe { element.as_mut_ptr().cast::<u32>().add(n).write(word) };
        }
        // SAFETY: it is plain, so valid for any bytes.
        unsafe { element.assume_init() }
    }

    /// A word of an element.
    pub(super) fn word(&self, at: usize, n: usize) -> &AtomicU32 {
        debug_assert!(at < self.len && n < Self::WORDS);
        // SAFETY: within the mapping, which is aligned to pages.
        unsafe { self.memory.elements().add(at * Self::WORDS + n).as_ref() }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
