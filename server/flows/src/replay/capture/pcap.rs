//! Classic captures (`pcap`): micro- or nanoseconds, either byte order; and those
//! of Kuznetzov's libpcap, with longer records.
//! Bound: one packet is held at once.

use std::io::BufRead;

use super::{
    Frame, LinkType,
    bytes::{Broken, Order, read_body, read_header},
};
use crate::{decode::Direction, flow::Time};

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Kuznetzov's libpcap, which has interface, protocol and direction in each record.
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

/// File header without its magic number.
const HEADER_BYTES: usize = 20;
const LINK_TYPE_AT: usize = 16;
const RECORD_BYTES: usize = 16;
const MODIFIED_RECORD_BYTES: usize = 24;
const PACKET_TYPE_AT: usize = 22;

const NANOS: u32 = 1_000_000_000;

/// Whether a file of this kind begins so.
pub(super) fn is_magic(magic: [u8; 4]) -> bool {
    format(magic).is_some()
}

/// Byte order and format that a file begins with.
fn format(magic: [u8; 4]) -> Option<(Order, u32)> {
    let formats = [MAGIC_MICROS, MAGIC_NANOS, MAGIC_MODIFIED];
    let (big, little) = (u32::from_be_bytes(magic), u32::from_le_bytes(magic));
    match (formats.contains(&big), formats.contains(&little)) {
        (true, _) => Some((Order::Big, big)),
        (_, true) => Some((Order::Little, little)),
        _ => None,
    }
}

/// Reads the packets of a file.
pub(super) struct Reader<R> {
    reader: R,
    order: Order,
    /// Nanoseconds of a tick of the fraction.
    tick_nanos: u32,
    record_bytes: usize,
    link_type: LinkType,
    header: Vec<u8>,
    packet: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the rest of the file header, behind `magic`.
    pub(super) fn new(magic: [u8; 4], mut reader: R) -> Result<Self, Broken> {
        let (order, format) = format(magic).ok_or(Broken::NotCapture)?;
        let (tick_nanos, record_bytes) = match format {
            MAGIC_NANOS => (1, RECORD_BYTES),
            MAGIC_MODIFIED => (1_000, MODIFIED_RECORD_BYTES),
            _ => (1_000, RECORD_BYTES),
        };
        let mut header = Vec::new();
        if !read_header(&mut reader, HEADER_BYTES, &mut header)? {
            return Err(Broken::Truncated);
        }
        // The upper half tells of checksums behind the frames, which do no harm.
        let link_type = order.u32(&header, LINK_TYPE_AT).unwrap_or_default() as u16;
        Ok(Self {
            reader,
            order,
            tick_nanos,
            record_bytes,
            link_type: LinkType(link_type),
            header,
            packet: Vec::new(),
        })
    }

    /// The next packet; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, Broken> {
        if !read_header(&mut self.reader, self.record_bytes, &mut self.header)? {
            return Ok(None);
        }
        let field = |at| self.order.u32(&self.header, at).unwrap_or_default();
        let (seconds, ticks, captured, wire_length) = (field(0), field(4), field(8), field(12));
        read_body(&mut self.reader, captured as usize, &mut self.packet)?;
        let nanos = u64::from(ticks) * u64::from(self.tick_nanos);
        Ok(Some(Frame {
            time: Some(Time {
                seconds: i64::from(seconds) + (nanos / u64::from(NANOS)) as i64,
                nanos: (nanos % u64::from(NANOS)) as i32,
            }),
            wire_length,
            link_type: self.link_type,
            bytes: &self.packet,
            interface: None,
            direction: self.header.get(PACKET_TYPE_AT).and_then(|kind| match kind {
                0..=2 => Some(Direction::Incoming),
                4 => Some(Direction::Outgoing),
                _ => None,
            }),
        }))
    }
}
