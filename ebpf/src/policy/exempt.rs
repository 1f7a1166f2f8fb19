//! What no policy judges, so that a default denial does not take a host off its link:
//! neighbour discovery and multicast listeners of IPv6, errors of ICMP, DHCP. ARP is no
//! IP packet and never comes here, nor does the loopback, which is not guarded.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use sextant_ebpf_common::{
    exempt::{is_dhcp, is_of_link},
    protocol::{ICMP, ICMP6, UDP},
};

use crate::packet::Packet;

/// Whether the packet passes whatever policies say.
#[inline(always)]
pub unsafe fn is_exempt(skb: *mut __sk_buff, packet: &Packet) -> bool {
    match packet.protocol {
        UDP => is_dhcp(packet.family, packet.source_port, packet.destination_port),
        ICMP | ICMP6 => is_of_link(packet.protocol, kind(skb, packet)),
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
