//! Decodes a frame to what a flow needs of it: pure, `&[u8]` to `Packet`.
//!
//! It looks at link, network and transport headers, and at that of VXLAN and
//! Geneve; the packet inside a tunnel is not looked at, as the datapath does not
//! either: the flow is that of the tunnel. It checks no checksum, puts no fragments
//! or streams together and never reads application data: `carried` gives its place. Nothing is allocated,
//! and each loop over headers has a bound. A frame that cannot be used is data,
//! not a failure: its cause is returned, for the caller to count. Called by the
//! replay of captures.

mod ip;
mod link;
mod link_type;
mod transport;
mod tunnel;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use link_type::{JuniperLink, Link};
pub use transport::Transport;

/// What a flow needs of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// MAC addresses, where the link has them.
    pub macs: Option<Macs>,
    /// VLAN tags, outer first; 0 where there is none.
    pub vlan: [u16; 2],
    /// Which way the packet went, where the capture tells.
    pub direction: Option<Direction>,
    /// The capture tells that a firewall blocked it.
    pub is_blocked: bool,
    /// Network header.
    pub ip: Ip,
    /// Transport header.
    pub transport: Transport,
    /// What tunnel the packet is of: its payload is another packet.
    pub tunnel: Option<Tunnel>,
}

/// MAC addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Macs {
    /// Sender.
    pub source: [u8; 6],
    /// Receiver.
    pub destination: [u8; 6],
}

/// Which way a packet went at the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    Incoming,
    /// It was sent.
    Outgoing,
}

/// Network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Number of the transport protocol, beyond all extension headers.
    pub protocol: u8,
    /// Set if the packet is a fragment.
    pub fragment: Option<Fragment>,
}

/// Place of a fragment in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Shared by the fragments of a packet.
    pub id: u32,
    /// What the header before the fragment's data says of them: the same in all.
    pub protocol: u8,
    /// First byte; 0 for the fragment that has the transport header.
    pub offset: u16,
    /// Others follow.
    pub more: bool,
}

/// A tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Encapsulation.
    pub protocol: TunnelProtocol,
    /// Number of the virtual network.
    pub vni: u32,
}

/// Encapsulations that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelProtocol {
    /// RFC 7348, also on Linux' and Cilium's old port 8472.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

/// Why a frame gives no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// ARP: sound, but no flow.
    #[error("ARP, which is no flow")]
    Arp,
    /// Any other link protocol than IP: sound, but no flow.
    #[error("another link protocol than IP, which is no flow")]
    NotIp,
    /// Encrypted on the link: sound, but nothing is to be seen.
    #[error("encrypted on the link (MACsec, 802.11), so that no flow is seen")]
    Encrypted,
    /// The link header is cut off.
    #[error("the link header is cut off")]
    LinkTruncated,
    /// More tags and other shims than are looked through.
    #[error("more VLAN tags and other headers before IP than are looked through")]
    TooManyTags,
    /// The network header is cut off.
    #[error("the IP header is cut off")]
    IpTruncated,
    /// The version is not what the link header says, or neither 4 nor 6.
    #[error("the IP version is not 4 or 6, or not that of the link header")]
    IpVersion,
    /// The header or total length cannot be.
    #[error("the IP header has an impossible length")]
    IpLength,
    /// An IPv6 extension header is cut off.
    #[error("an IPv6 extension header is cut off")]
    ExtensionTruncated,
    /// More IPv6 extension headers than are looked through.
    #[error("more IPv6 extension headers than are looked through")]
    TooManyExtensions,
    /// The part of the transport header that a flow needs is cut off.
    #[error("the transport header is cut off")]
    TransportTruncated,
    /// The length of the TCP header cannot be.
    #[error("the TCP header has an impossible length")]
    TcpLength,
}

impl Malformed {
    /// Name in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::NotIp => "not_ip",
            Self::Encrypted => "encrypted",
            Self::LinkTruncated => "link_truncated",
            Self::TooManyTags => "too_many_vlan_tags",
            Self::IpTruncated => "ip_truncated",
            Self::IpVersion => "ip_version",
            Self::IpLength => "ip_length",
            Self::ExtensionTruncated => "extension_truncated",
            Self::TooManyExtensions => "too_many_extensions",
            Self::TransportTruncated => "transport_truncated",
            Self::TcpLength => "tcp_length",
        }
    }

    /// Whether there is nothing wrong with the frame, it just shows no IP.
    #[must_use]
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Arp | Self::NotIp | Self::Encrypted)
    }
}

/// What a packet of TCP or UDP carries, as far as the frame has it, and how many bytes
/// are missing of a datagram, which may be in fragments; none of a later fragment
/// and of what cannot be decoded.
#[must_use]
pub fn carried(link: Link, frame: &[u8]) -> Option<(&[u8], usize)> {
    let (header, rest) = link::parse(link, frame).ok()?;
    let (ip, rest) = ip::parse(header.network, rest).ok()?;
    transport::carried(&ip, rest)
}

/// Decodes a frame.
///
/// # Errors
/// The frame is not IP, or a header that a flow needs is cut off or impossible.
pub fn decode(link: Link, frame: &[u8]) -> Result<Packet, Malformed> {
    let (header, rest) = link::parse(link, frame)?;
    let (ip, rest) = ip::parse(header.network, rest)?;
    let (transport, rest) = transport::parse(&ip, rest)?;
    Ok(Packet {
        macs: header.macs,
        vlan: header.vlan,
        direction: header.direction,
        is_blocked: header.is_blocked,
        ip,
        transport,
        tunnel: tunnel::of(&transport, rest),
    })
}
