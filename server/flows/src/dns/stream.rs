//! DNS messages out of TCP: each has its length before it (RFC 1035, 4.2.2).
//!
//! Segments come in the order of the wire; what was sent again is passed over, what
//! is missing is skipped as long as the next message's place is known. Of a message
//! that is longer than `MOST`, or has a gap, the beginning is read. Bound: so many
//! streams with so many bytes each.

use std::net::SocketAddr;

use crate::generations::Generations;

/// Streams, one for each direction.
const CAPACITY: usize = 4096;
/// Bytes of a message that are kept while it comes.
const MOST: usize = 8192;
/// Bytes that a message's length has.
const PREFIX: usize = 2;
/// A message has a header at least.
const SHORTEST: usize = 12;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Direction {
    /// Address space.
    pub(super) zone: u16,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// A part of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    /// Sequence number of its first byte.
    pub(super) sequence: u32,
    /// How long it is.
    pub(super) length: u32,
    /// Its first bytes.
    pub(super) bytes: &'a [u8],
}

#[derive(Debug, Default)]
struct Stream {
    /// Sequence number of the byte that is next.
    next: u32,
    /// What is there of the message that comes, its length included.
    begun: Vec<u8>,
    /// Bytes that do not matter, before the next message begins.
    skip: usize,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It was read.
    Yes,
    /// It cannot be told where a message begins.
    Lost,
}

/// The streams.
#[derive(Debug)]
pub(super) struct Streams(Generations<Direction, Stream>);

impl Streams {
    pub(super) fn new() -> Self {
        Self(Generations::new(CAPACITY))
    }

    /// Streams that were forgotten for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.0.forgotten()
    }

    /// Hands on the messages that a segment completes, and whether they are only
    /// the beginning of what was sent.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        segment: Segment<'_>,
        sink: &mut dyn FnMut(&[u8], bool),
    ) -> Followed {
        let known = self.0.remove(&direction);
        let mut stream = known.unwrap_or_else(|| Stream::at(segment.sequence));
        let followed = stream.take(segment, sink);
        if followed == Followed::Yes {
            self.0.insert(direction, stream);
        }
        followed
    }
}

impl Stream {
    fn at(sequence: u32) -> Self {
        Self {
            next: sequence,
            ..Self::default()
        }
    }

    fn take(&mut self, segment: Segment<'_>, sink: &mut dyn FnMut(&[u8], bool)) -> Followed {
        let ahead = segment.sequence.wrapping_sub(self.next) as i32;
        let mut bytes = segment.bytes;
        let mut length = segment.length as usize;
        if ahead < 0 {
            let seen = ahead.unsigned_abs() as usize;
            if seen >= length {
                // A far jump back is another connection with the same ends.
                if seen > MOST * 128 {
                    *self = Self::at(segment.sequence);
                } else {
                    return Followed::Yes;
                }
            } else {
                bytes = bytes.get(seen..).unwrap_or_default();
                length -= seen;
            }
        } else if ahead > 0 && self.miss(ahead as usize, sink) == Followed::Lost {
            *self = Self::at(segment.sequence);
        }
        self.next = segment.sequence.wrapping_add(segment.length);
        let uncopied = length.saturating_sub(bytes.len());
        if self.read(bytes, sink) == Followed::Lost {
            return Followed::Lost;
        }
        match uncopied {
            0 => Followed::Yes,
            missing => self.miss(missing, sink),
        }
    }

    /// Bytes that are not there.
    fn miss(&mut self, missing: usize, sink: &mut dyn FnMut(&[u8], bool)) -> Followed {
        let skipped = missing.min(self.skip);
        self.skip -= skipped;
        let missing = missing - skipped;
        if missing == 0 {
            return Followed::Yes;
        }
        let Some(total) = self.total() else {
            return Followed::Lost;
        };
        let left = total - self.begun.len();
        if missing > left {
            return Followed::Lost;
        }
        sink(&self.begun[PREFIX..], true);
        self.begun.clear();
        self.skip = left - missing;
        Followed::Yes
    }

    fn read(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8], bool)) -> Followed {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Followed::Yes;
            }
            let wanted = self.total().unwrap_or(PREFIX) - self.begun.len();
            let room = MOST + PREFIX - self.begun.len();
            let (now, rest) = bytes.split_at(wanted.min(room).min(bytes.len()));
            self.begun.extend_from_slice(now);
            bytes = rest;
            let Some(total) = self.total() else {
                continue;
            };
            if total < PREFIX + SHORTEST {
                return Followed::Lost;
            }
            if self.begun.len() == total.min(MOST + PREFIX) {
                self.skip = total - self.begun.len();
                sink(&self.begun[PREFIX..], self.skip > 0);
                self.begun.clear();
            }
        }
    }

    /// How long the message that comes is, with its length, once that is known.
    fn total(&self) -> Option<usize> {
        let prefix = self.begun.first_chunk::<PREFIX>()?;
        Some(PREFIX + usize::from(u16::from_be_bytes(*prefix)))
    }
}

#[cfg(test)]
mod tests;
