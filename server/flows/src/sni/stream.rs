//! The first bytes of one side of a connection, in whatever order they come, and the
//! handshake message in the TLS records that they are (RFC 8446, 5.1).
//!
//! Bound: `MOST` bytes, in at most `MOST_PIECES` pieces.

use super::hello;

/// Bytes of a connection that are read, from its first on.
pub const MOST: usize = 4096;
/// Pieces with gaps between them.
const MOST_PIECES: usize = 32;
/// Content type of a handshake message.
const HANDSHAKE: u8 = 22;
/// Major version of all there are.
const VERSION: u8 = 3;
/// Type, version and length of a record.
const HEAD: usize = 5;

/// What is there of the beginning.
#[derive(Debug, Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    /// Where pieces begin and end, in order; they do not touch each other.
    pieces: Vec<(usize, usize)>,
    /// So many bytes from the first on have to be there before there is news.
    wanted: usize,
}

/// What the first bytes are so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// More has to come.
    Waits,
    /// No TLS, or no handshake message.
    Other,
    /// The first message. `is_partial`: its first bytes, the rest is not read.
    Message { bytes: Vec<u8>, is_partial: bool },
}

impl Stream {
    /// Takes bytes from a place on.
    pub(super) fn take(&mut self, offset: usize, bytes: &[u8]) -> Begun {
        let bytes = bytes.get(..MOST.saturating_sub(offset)).unwrap_or(bytes);
        if bytes.is_empty() || !self.cover(offset, offset + bytes.len()) {
            return Begun::Waits;
        }
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        let there = match self.pieces.first() {
            Some((0, end)) if *end > self.wanted => *end,
            _ => return Begun::Waits,
        };
        self.message(there)
    }

    /// Tells whether there is room for one more piece.
    fn cover(&mut self, mut begin: usize, mut end: usize) -> bool {
        let first = self.pieces.partition_point(|piece| piece.1 < begin);
        let behind = self.pieces.partition_point(|piece| piece.0 <= end);
        if first == behind && self.pieces.len() == MOST_PIECES {
            return false;
        }
        for piece in &self.pieces[first..behind] {
            begin = begin.min(piece.0);
            end = end.max(piece.1);
        }
        self.pieces.splice(first..behind, [(begin, end)]);
        true
    }

    /// The message, out of the records that the first bytes are.
    fn message(&mut self, there: usize) -> Begun {
        let bytes = &self.bytes[..there];
        let is_full = there >= MOST;
        let mut message = Vec::new();
        let mut left = bytes;
        loop {
            if !is_handshake(left) {
                return Begun::Other;
            }
            let Some((head, rest)) = left.split_first_chunk::<HEAD>() else {
                break;
            };
            let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
            let (part, rest) = rest.split_at(length.min(rest.len()));
            if length == 0 {
                return Begun::Other;
            }
            message.extend_from_slice(part);
            left = rest;
            if hello::length(&message).is_some_and(|length| message.len() >= length) {
                return Begun::Message {
                    bytes: message,
                    is_partial: false,
                };
            }
            if part.len() < length {
                // A piece of this record says nothing more than before.
                self.wanted = (there - part.len() + length - 1).min(MOST - 1);
                break;
            }
        }
        match is_full {
            true => Begun::Message {
                bytes: message,
                is_partial: true,
            },
            false => Begun::Waits,
        }
    }
}

/// As far as it is there, a record of handshake messages.
fn is_handshake(record: &[u8]) -> bool {
    record.first().is_none_or(|kind| *kind == HANDSHAKE)
        && record.get(1).is_none_or(|version| *version == VERSION)
}

#[cfg(test)]
mod tests;
