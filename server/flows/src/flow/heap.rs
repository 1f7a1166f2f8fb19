//! How much memory a flow takes beside its own size.
//!
//! For bounds in bytes, not for accounts: each allocation counts with its
//! capacity and `ALLOCATION`, whatever the allocator makes of it. Interned parts
//! are not a flow's: their interner counts them, once for all flows. Never awaits,
//! locks or allocates.

mod parts;

/// What an allocator adds to an allocation, about.
const ALLOCATION: usize = 16;

/// A value that knows what it holds on the heap.
pub trait Heap {
    /// Bytes allocated behind the value, about.
    fn heap_bytes(&self) -> usize;
}

/// An allocation of so many bytes.
fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => bytes + ALLOCATION,
    }
}

impl Heap for String {
    fn heap_bytes(&self) -> usize {
        allocated(self.capacity())
    }
}

impl Heap for Box<str> {
    fn heap_bytes(&self) -> usize {
        allocated(self.len())
    }
}

impl<T: Heap> Heap for Vec<T> {
    fn heap_bytes(&self) -> usize {
        allocated(self.capacity() * size_of::<T>()) + self.iter().map(T::heap_bytes).sum::<usize>()
    }
}

impl<T: Heap> Heap for Option<T> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::heap_bytes)
    }
}

impl<T: Heap> Heap for Box<T> {
    fn heap_bytes(&self) -> usize {
        allocated(size_of::<T>()) + T::heap_bytes(self)
    }
}

impl<A: Heap, B: Heap> Heap for (A, B) {
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes() + self.1.heap_bytes()
    }
}
