//! What no policy judges, so that a default denial does not take a host off its link. The
//! programs and whoever says what they would do share it.

use crate::protocol::{ICMP, ICMP6};

/// Ports of DHCP: server and client (RFC 2131), client and server (RFC 8415).
const DHCP: [u16; 2] = [67, 68];
const DHCP6: [u16; 2] = [546, 547];

/// Errors of ICMP, neighbour discovery and multicast listeners of IPv6, by their type.
#[inline(always)]
#[must_use]
pub const fn is_of_link(protocol: u8, kind: u8) -> bool {
    match protocol {
        ICMP => matches!(kind, 3 | 11 | 12),
        ICMP6 => matches!(kind, 1..=4 | 130..=137 | 143),
        _ => false,
    }
}

/// Whether datagrams of this family (4 or 6) between these ports are DHCP.
#[inline(always)]
#[must_use]
pub fn is_dhcp(family: u8, from: u16, to: u16) -> bool {
    let ports = if family == 4 { DHCP } else { DHCP6 };
    ports.contains(&from) && ports.contains(&to)
}
