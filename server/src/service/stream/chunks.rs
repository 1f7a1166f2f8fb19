//! Buffers in which a stream hands its responses to the transport.
//!
//! One that the transport is done with is filled again: a new one for each
//! chunk would cost more than the encoding. Bound: one spare a stream, of at
//! most `ROOMY` bytes, given back when the stream sends little or waits long.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes collected before they are sent.
pub(in crate::service) const CHUNK: usize = 64 << 10;
/// Room for the first responses of a stream.
const SMALL: usize = 2 << 10;
/// More than this is not kept for later. A chunk ends with the message that
/// fills it, which is rarely this large.
pub(in crate::service) const ROOMY: usize = 2 * CHUNK;

/// The buffers of one stream.
#[derive(Debug, Default)]
pub(in crate::service) struct Chunks {
    spare: Arc<Spare>,
    /// Length of the chunk before, for the room that the next one is given.
    last: usize,
}

impl Chunks {
    /// An empty buffer. A stream that was behind will be so again; one that
    /// follows sends little.
    pub(in crate::service) fn take(&self) -> Vec<u8> {
        let room = self.last.clamp(SMALL, CHUNK) * 5 / 4;
        let spare = self.spare.take();
        let fitting = spare.filter(|spare| spare.capacity() <= 4 * room);
        let mut chunk = fitting.unwrap_or_default();
        chunk.reserve(room);
        chunk
    }

    /// Whether a buffer of many responses lies here.
    pub(in crate::service) fn is_spare_large(&self) -> bool {
        self.spare.capacity() > 4 * SMALL
    }

    /// Gives the spare buffer back to the allocator.
    pub(in crate::service) fn release(&mut self) {
        self.spare.take();
        self.last = 0;
    }

    /// The filled buffer, which comes back when the transport has sent it.
    pub(in crate::service) fn send(&mut self, chunk: Vec<u8>) -> Bytes {
        self.last = chunk.len();
        Bytes::from_owner(Lent {
            chunk,
            to: Arc::clone(&self.spare),
        })
    }
}

#[derive(Debug, Default)]
struct Spare(Mutex<Option<Vec<u8>>>);

impl Spare {
    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn capacity(&self) -> usize {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.as_ref().map_or(0, Vec::capacity)
    }

    fn put(&self, chunk: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(chunk);
    }
}

/// A buffer that the transport reads.
struct Lent {
    chunk: Vec<u8>,
    to: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.chunk
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut chunk = std::mem::take(&mut self.chunk);
        if chunk.capacity() <= ROOMY {
            chunk.clear();
            self.to.put(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(chunks: &mut Chunks, length: usize) {
        let mut chunk = chunks.take();
        chunk.resize(length, 1);
        assert_eq!(chunks.send(chunk).len(), length);
    }

    #[test]
    fn a_buffer_that_was_sent_is_filled_again() {
        let mut chunks = Chunks::default();
        let mut chunk = chunks.take();
        chunk.extend_from_slice(b"flows");
        let address = chunk.as_ptr();
        let sent = chunks.send(chunk);
        let other = chunks.take();
        assert_ne!(other.as_ptr(), address);
        assert_eq!(sent, "flows");
        drop(sent);
        let again = chunks.take();
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
    }

    #[test]
    fn a_stream_that_sends_little_again_has_a_small_buffer_again() {
        let mut chunks = Chunks::default();
        send(&mut chunks, CHUNK);
        assert!(chunks.is_spare_large());
        send(&mut chunks, 100);
        send(&mut chunks, 100);
        assert!(!chunks.is_spare_large());
    }

    #[test]
    fn a_buffer_of_a_huge_response_is_not_kept() {
        let mut chunks = Chunks::default();
        send(&mut chunks, ROOMY + 1);
        assert_eq!(chunks.spare.capacity(), 0);
    }

    #[test]
    fn a_released_buffer_is_gone() {
        let mut chunks = Chunks::default();
        send(&mut chunks, CHUNK);
        chunks.release();
        assert!(!chunks.is_spare_large());
        assert!(chunks.take().capacity() < CHUNK);
    }
}
