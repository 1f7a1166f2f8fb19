//! What no policy judges, as the programs in the kernel have it (`ebpf/src/policy/exempt.rs`):
//! a default denial does not take a host off its link.

use crate::{endpoint::Endpoint, ports::protocol};

/// Ports of DHCP: server and client (RFC 2131), client and server (RFC 8415).
const DHCP: [[u16; 2]; 2] = [[67, 68], [546, 547]];

/// Whether a connection passes whatever policies say: this host speaks with itself, over
/// the loopback, or it is no connection but a message that keeps the link at work.
#[must_use]
pub fn is_exempt(client: &Endpoint, server: &Endpoint, protocol: u8, port: u16) -> bool {
    let is_here = |end: &Endpoint| end.host_labels().is_some();
    is_here(client) && is_here(server) || is_of_link(protocol, port)
}

/// Errors of ICMP, neighbour discovery and multicast listeners of IPv6, by their type.
fn is_of_link(protocol: u8, kind: u16) -> bool {
    match protocol {
        protocol::ICMP => matches!(kind, 3 | 11 | 12),
        protocol::ICMPV6 => matches!(kind, 1..=4 | 130..=137 | 143),
        _ => false,
    }
}

/// Whether datagrams between these ports are DHCP.
#[must_use]
pub fn is_dhcp(source: u16, destination: u16) -> bool {
    DHCP.iter()
        .any(|ports| ports.contains(&source) && ports.contains(&destination))
}
