//! What packets carry, as it comes out of its ring.
//!
//! Bytes of a batch lie behind each other in one buffer that is used again. Bound:
//! so many records at once; the ring bounds the bytes.

use std::ops::Range;

use aya::maps::{MapData, RingBuf};
use sextant_ebpf_common::{Carries, Event, PAYLOAD_ROOMS, Payload};

use super::bpf;

/// Records handed on at once.
const BATCH: usize = 4096;

/// The payloads of a batch.
#[derive(Debug, Default)]
pub struct Payloads {
    heads: Vec<(Payload, Range<usize>)>,
    bytes: Vec<u8>,
}

/// What one packet carries.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    /// As it would be raised for the packet.
    pub event: &'a Event,
    /// What it is taken for.
    pub carries: Carries,
    /// Where the first byte is in what the sender sent; of `Carries::Hello`.
    pub offset: u32,
    /// How many bytes the packet carries.
    pub length: u32,
    /// The first of them.
    pub bytes: &'a [u8],
}

impl Payloads {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// One of them, by its place.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Carried<'_>> {
        let (head, range) = self.heads.get(index)?;
        Some(Carried {
            event: &head.event,
            carries: Carries::of(head.carries)?,
            offset: head.offset,
            length: head.length,
            bytes: self.bytes.get(range.clone())?,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Carried<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Puts one in.
    pub fn push(&mut self, head: Payload, bytes: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.heads.push((head, begin..self.bytes.len()));
    }

    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.bytes.clear();
    }

    /// Takes what is in the ring; gives how many records those were, and how many
    /// of them are none.
    pub(super) fn read(&mut self, ring: &mut RingBuf<MapData>) -> (usize, usize) {
        let (mut taken, before) = (0, self.len());
        while taken < BATCH
            && let Some(item) = ring.next()
        {
            taken += 1;
            if let Some((head, bytes)) = bpf::head::<Payload>(&item)
                && Carries::of(head.carries).is_some()
                && PAYLOAD_ROOMS.contains(&bytes.len())
                && let Some(bytes) = bytes.get(..head.copied as usize)
            {
                self.push(head, bytes);
            }
        }
        (taken, before + taken - self.len())
    }
}
