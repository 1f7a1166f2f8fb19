//! IP protocol numbers (IANA, Assigned Internet Protocol Numbers).

/// ICMP.
pub const ICMP: u8 = 1;
/// IGMP.
pub const IGMP: u8 = 2;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// DCCP.
pub const DCCP: u8 = 33;
/// The fragment header of IPv6.
pub const FRAGMENT: u8 = 44;
/// ICMPv6.
pub const ICMP6: u8 = 58;
/// VRRP.
pub const VRRP: u8 = 112;
/// SCTP.
pub const SCTP: u8 = 132;
/// UDP-Lite.
pub const UDP_LITE: u8 = 136;
