//! Transport layer of a flow.

use super::ip_protocol;

/// TCP control bits, in the order of the header (RFC 9293) with NS (RFC 3540) on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u16 = 1;
    /// Opens a connection.
    pub const SYN: u16 = 1 << 1;
    /// Resets a connection.
    pub const RST: u16 = 1 << 2;
    /// Push.
    pub const PSH: u16 = 1 << 3;
    /// Acknowledges.
    pub const ACK: u16 = 1 << 4;
    /// Urgent pointer is valid.
    pub const URG: u16 = 1 << 5;
    /// ECN echo.
    pub const ECE: u16 = 1 << 6;
    /// Congestion window reduced.
    pub const CWR: u16 = 1 << 7;
    /// ECN nonce.
    pub const NS: u16 = 1 << 8;

    /// All of them.
    pub const ALL: u16 = 0x1ff;

    /// Each bit and its name, in the order in which Hubble prints them.
    pub const NAMES: [(u16, &str); 9] = [
        (Self::SYN, "SYN"),
        (Self::ACK, "ACK"),
        (Self::RST, "RST"),
        (Self::FIN, "FIN"),
        (Self::PSH, "PSH"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
        (Self::NS, "NS"),
    ];

    /// Names of the set bits, in Hubble's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(bit, _)| self.contains(*bit))
            .map(|(_, name)| name)
    }

    /// Whether all bits of `bits` are set.
    #[must_use]
    pub fn contains(self, bits: u16) -> bool {
        self.0 & bits == bits
    }
}

/// Transport header of a flow. Numbers are as wide as in Hubble's messages, so
/// that a replayed flow with odd values survives.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum L4 {
    /// Present without a protocol.
    #[default]
    Empty,
    /// A protocol that Hubble has no field for, which clients see as `Empty`.
    Other {
        /// Its number in the IP header.
        protocol: u8,
    },
    /// TCP.
    Tcp {
        /// Port of the sender.
        source_port: u32,
        /// Port of the receiver.
        destination_port: u32,
        /// Control bits, where known.
        flags: Option<TcpFlags>,
    },
    /// UDP.
    Udp {
        /// Port of the sender.
        source_port: u32,
        /// Port of the receiver.
        destination_port: u32,
    },
    /// ICMP.
    Icmp4 {
        /// Type.
        kind: u32,
        /// Code.
        code: u32,
    },
    /// ICMPv6.
    Icmp6 {
        /// Type.
        kind: u32,
        /// Code.
        code: u32,
    },
    /// SCTP.
    Sctp {
        /// Port of the sender.
        source_port: u32,
        /// Port of the receiver.
        destination_port: u32,
        /// `flow.SCTPChunkType`.
        chunk_type: i32,
    },
    /// VRRP.
    Vrrp {
        /// Type.
        kind: u32,
        /// Virtual router.
        vrid: u32,
        /// Priority.
        priority: u32,
    },
    /// IGMP.
    Igmp {
        /// Type.
        kind: u32,
        /// Multicast group.
        group_address: Box<str>,
    },
}

impl L4 {
    /// As filters call it; of what Hubble has no field for, IANA's keyword if there is one.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Empty => "",
            Self::Other { protocol } => ip_protocol::keyword(*protocol).unwrap_or_default(),
            Self::Tcp { .. } => "TCP",
            Self::Udp { .. } => "UDP",
            Self::Icmp4 { .. } => "ICMPv4",
            Self::Icmp6 { .. } => "ICMPv6",
            Self::Sctp { .. } => "SCTP",
            Self::Vrrp { .. } => "VRRP",
            Self::Igmp { .. } => "IGMP",
        }
    }

    /// Ports of sender and receiver, for the protocols that have them.
    #[must_use]
    pub fn ports(&self) -> Option<(u32, u32)> {
        match *self {
            Self::Tcp {
                source_port,
                destination_port,
                ..
            }
            | Self::Udp {
                source_port,
                destination_port,
            }
            | Self::Sctp {
                source_port,
                destination_port,
                ..
            } => Some((source_port, destination_port)),
            _ => None,
        }
    }
}
