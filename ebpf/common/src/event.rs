//! The record of both rings.

use crate::{Figures, POINTS, Side};

/// What an event tells.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A packet of a flow that was news.
    Packet = 0,
    /// The flow ended and its entry began anew (a port was used again).
    Ended = 1,
    /// The kernel dropped a packet.
    Dropped = 2,
}

/// Bits of `Event::reasons`: why it was raised.
pub mod reason {
    /// First packet in its direction.
    pub const FIRST: u8 = 1;
    /// A SYN, FIN or RST not yet seen in its direction.
    pub const TCP_FLAGS: u8 = 1 << 1;
    /// The flow is active and its interval is over, which it is at each packet
    /// when aggregation is off.
    pub const ACTIVE: u8 = 1 << 2;
    /// Policies say something else of side `a` than before; see `Event::judged`.
    pub const JUDGED_A: u8 = 1 << 3;
    /// The same of side `b`.
    pub const JUDGED_B: u8 = 1 << 4;
    /// A policy denied the packet.
    pub const DENIED: u8 = 1 << 5;
}

/// One event. `packets`, `bytes`, `tcp_flags_seen` are totals of the flow, by
/// direction of the key; addresses, ports and headers are the packet's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// When it was raised (precise clock).
    pub time_ns: u64,
    /// When the flow's first packet came.
    pub first_ns: u64,
    /// When the last packet came (coarse clock).
    pub last_ns: u64,
    /// Packets so far.
    pub packets: [u64; 2],
    /// Bytes so far.
    pub bytes: [u64; 2],
    /// The kernel's cookie of the socket that sends this packet; 0 if it is not of one
    /// of this host.
    pub socket_cookie: u64,
    /// Sender; IPv4 in the first word.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
    /// First 16 bytes of the transport header, as many as there are.
    pub l4: [u8; 16],
    /// Destination and source MAC address, as in the frame.
    pub mac: [u8; 12],
    /// Observation point of this packet.
    pub point: u32,
    /// Observation points that count, by direction.
    pub owner: [u32; 2],
    /// Other observation points of the flow.
    pub points: [u32; POINTS],
    /// Who is behind side `a` and side `b` of the key.
    pub sides: [Side; 2],
    /// What policies said of side `a` and side `b`, as in `Entry`.
    pub judged: [u32; 2],
    /// What a socket of this host knows of the connection.
    pub figures: Figures,
    /// TCP control bits seen, as in `Entry`.
    pub tcp_flags_seen: u32,
    /// Packets of the flow that were dropped, by direction, as in `Entry`.
    pub dropped: [u32; 2],
    /// Drops: the kernel's reason. Ends: that of the last packet that was dropped.
    pub drop_reason: u32,
    /// Drops: packets that this event stands for.
    pub drops: u32,
    /// Length of this packet's frame.
    pub frame_len: u32,
    /// VLAN ids, outer first.
    pub vlan: [u16; 2],
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// As in `Entry`.
    pub handshake: [u16; 2],
    /// TCP control bits of this packet, with `ZERO_WINDOW`.
    pub tcp_flags: u16,
    /// Address space.
    pub zone: u16,
    /// A `Kind`.
    pub kind: u8,
    /// Bits of `reason`.
    pub reasons: u8,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// Direction of this packet in the key: 0 is a to b.
    pub direction: u8,
    /// As in `Entry`.
    pub initiator: u8,
    /// How many bytes of `l4` are valid.
    pub l4_len: u8,
    /// Set for links without a link header.
    pub no_mac: u8,
}
