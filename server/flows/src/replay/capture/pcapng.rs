//! Captures in blocks (`pcapng`): several sections and interfaces, each with
//! its own byte order, link type and clock. Blocks that hold no packets
//! (statistics, names, secrets) are passed over. Bound: one block is held at
//! once, and the interfaces of a section are limited.

use std::io::BufRead;

use super::{
    Frame,
    bytes::{Broken, Order, read_body, read_header},
    interface::{Interface, direction},
};

/// Type of a section header, the same in both byte orders.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;

/// Type, length in front, length behind.
const FRAME_BYTES: usize = 12;

/// Interfaces of a section.
const MAX_INTERFACES: usize = 65_536;

/// Reads the packets of a file.
pub(super) struct Reader<R> {
    reader: R,
    order: Order,
    interfaces: Vec<Interface>,
    header: Vec<u8>,
    body: Vec<u8>,
}

/// A packet block: where in `body` its parts are.
struct PacketBlock {
    interface: usize,
    ticks: Option<u64>,
    captured: usize,
    wire_length: u32,
    data_at: usize,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first section header, behind its block type.
    pub(super) fn new(reader: R) -> Result<Self, Broken> {
        let mut new = Self {
            reader,
            order: Order::Little,
            interfaces: Vec::new(),
            header: Vec::new(),
            body: Vec::new(),
        };
        if !read_header(&mut new.reader, 4, &mut new.header)? {
            return Err(Broken::Truncated);
        }
        let length = [new.header[0], new.header[1], new.header[2], new.header[3]];
        new.section(length)?;
        Ok(new)
    }

    /// The next packet; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, Broken> {
        while read_header(&mut self.reader, 8, &mut self.header)? {
            let kind = self.order.u32(&self.header, 0).unwrap_or_default();
            if kind == SECTION {
                let length = [
                    self.header[4],
                    self.header[5],
                    self.header[6],
                    self.header[7],
                ];
                self.section(length)?;
                continue;
            }
            let length = self.order.u32(&self.header, 4).unwrap_or_default();
            self.read_rest(length, 8)?;
            if kind == INTERFACE {
                self.add_interface()?;
            } else if let Some(block) = self.packet(kind)? {
                return self.frame(&block).map(Some);
            }
        }
        Ok(None)
    }

    /// Begins a section: byte order and interfaces start anew.
    fn section(&mut self, length: [u8; 4]) -> Result<(), Broken> {
        read_body(&mut self.reader, 4, &mut self.body)?;
        self.order = match self.body.first_chunk() {
            Some(magic) if u32::from_be_bytes(*magic) == BYTE_ORDER_MAGIC => Order::Big,
            Some(magic) if u32::from_le_bytes(*magic) == BYTE_ORDER_MAGIC => Order::Little,
            _ => return Err(Broken::NotCapture),
        };
        self.interfaces.clear();
        let length = self.order.u32(&length, 0).unwrap_or_default();
        self.read_rest(length, FRAME_BYTES)
    }

    /// Reads the rest of a block of which `done` bytes were read into `body`,
    /// and checks its length behind.
    fn read_rest(&mut self, length: u32, done: usize) -> Result<(), Broken> {
        let rest = (length as usize)
            .checked_sub(done)
            .filter(|rest| length.is_multiple_of(4) && *rest >= 4)
            .ok_or(Broken::Corrupt("a block of impossible length"))?;
        read_body(&mut self.reader, rest, &mut self.body)?;
        let behind = self.body.len() - 4;
        if self.order.u32(&self.body, behind) != Some(length) {
            return Err(Broken::Corrupt("a block with two different lengths"));
        }
        self.body.truncate(behind);
        Ok(())
    }

    fn add_interface(&mut self) -> Result<(), Broken> {
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Broken::Corrupt("too many interfaces"));
        }
        let interface = Interface::parse(self.order, &self.body)?;
        self.interfaces.push(interface);
        Ok(())
    }

    /// The parts of a packet block; `None` for a block of another kind.
    fn packet(&self, kind: u32) -> Result<Option<PacketBlock>, Broken> {
        let block = match kind {
            PACKET => self.timed_packet(|order, body| order.u32(body, 0)),
            OLD_PACKET => self.timed_packet(|order, body| order.u16(body, 0).map(u32::from)),
            SIMPLE_PACKET => self.simple_packet(),
            _ => return Ok(None),
        };
        match block {
            Some(block) if block.data_at + block.captured <= self.body.len() => Ok(Some(block)),
            _ => Err(Broken::Corrupt("a packet that is longer than its block")),
        }
    }

    fn timed_packet(&self, interface: impl Fn(Order, &[u8]) -> Option<u32>) -> Option<PacketBlock> {
        let field = |at| self.order.u32(&self.body, at);
        Some(PacketBlock {
            interface: interface(self.order, &self.body)? as usize,
            ticks: Some(u64::from(field(4)?) << 32 | u64::from(field(8)?)),
            captured: field(12)? as usize,
            wire_length: field(16)?,
            data_at: 20,
        })
    }

    fn simple_packet(&self) -> Option<PacketBlock> {
        let wire_length = self.order.u32(&self.body, 0)?;
        let limit = match self.interfaces.first().map(|first| first.snap_length) {
            None | Some(0) => wire_length,
            Some(limit) => wire_length.min(limit),
        };
        Some(PacketBlock {
            interface: 0,
            ticks: None,
            captured: (limit as usize).min(self.body.len() - 4),
            wire_length,
            data_at: 4,
        })
    }

    fn frame(&self, block: &PacketBlock) -> Result<Frame<'_>, Broken> {
        let interface = self
            .interfaces
            .get(block.interface)
            .ok_or(Broken::Corrupt("a packet of an unknown interface"))?;
        let data = &self.body[block.data_at..];
        let (bytes, behind) = data.split_at(block.captured);
        // Data are padded to 32 bits; only the options of timed packets matter.
        let padding = block.captured.next_multiple_of(4) - block.captured;
        let options = behind.get(padding..).unwrap_or_default();
        let direction = block.ticks.and_then(|_| direction(self.order, options));
        Ok(Frame {
            time: block.ticks.and_then(|ticks| interface.time(ticks)),
            wire_length: block.wire_length,
            link_type: interface.link_type,
            bytes,
            interface: interface.name.as_ref(),
            direction,
        })
    }
}
