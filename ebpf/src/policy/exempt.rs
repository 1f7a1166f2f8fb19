//! What no policy judges, so that a default denial does not take a host off its link:
//! neighbour discovery and multicast listeners of IPv6, errors of ICMP, DHCP. ARP is no
//! IP packet and never comes here, nor does the loopback, which is not guarded.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use sextant_ebpf_common::protocol::{ICMP, ICMP6, UDP};

use crate::packet::Packet;

/// Ports of DHCP: server and client (RFC 2131), client and server (RFC 8415).
const DHCP: [u16; 2] = [67, 68];
const DHCP6: [u16; 2] = [546, 547];

/// Whether the packet passes whatever policies say.
#[inline(always)]
pub unsafe fn is_exempt(skb: *mut __sk_buff, packet: &Packet) -> bool {
    let (from, to) = (packet.source_port, packet.destination_port);
    match packet.protocol {
        UDP if packet.family == 4 => DHCP.contains(&from) && DHCP.contains(&to),
        UDP => DHCP6.contains(&from) && DHCP6.contains(&to),
        ICMP => matches!(kind(skb, packet), 3 | 11 | 12),
        ICMP6 => matches!(kind(skb, packet), 1..=4 | 130..=137 | 143),
        _ => false,
    }
}

/// Type of an ICMP message; 0 in a fragment that has it not.
#[inline(always)]
pub unsafe fn kind(skb: *mut __sk_buff, packet: &Packet) -> u8 {
    let mut kind = 0_u8;
    if !packet.later_fragment {
        bpf_skb_load_bytes(skb.cast(), packet.l4 as u32, (&raw mut kind).cast(), 1);
    }
    kind
}
