//! Buffers in which a stream hands its responses to the transport.
//!
//! One that the transport is done with is filled again: a new one for each
//! chunk would cost more than the encoding. Bound: one spare a stream, of about
//! `CHUNK` bytes at most.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes collected before they are sent.
pub(super) const CHUNK: usize = 64 << 10;
/// Room for the first responses of a stream.
const SMALL: usize = 2 << 10;

/// The buffers of one stream.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    spare: Arc<Spare>,
    /// Length of the chunk before, for the room that the next one is given.
    last: usize,
}

impl Chunks {
    /// An empty buffer. A stream that was behind will be so again; one that
    /// follows sends little.
    pub(super) fn take(&self) -> Vec<u8> {
        let room = self.last.clamp(SMALL, CHUNK) * 5 / 4;
        let mut chunk = self.spare.take().unwrap_or_default();
        chunk.reserve(room);
        chunk
    }

    /// The filled buffer, which comes back when the transport has sent it.
    pub(super) fn send(&mut self, chunk: Vec<u8>) -> Bytes {
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
        chunk.clear();
        self.to.put(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
