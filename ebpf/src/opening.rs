//! The word that is kept of the packet that opened a flow: a SYN's sequence
//! number, a tunnel's network identifier, and the like (`opening_offset`); of other
//! datagrams, the socket.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use sextant_ebpf_common::{
    GENEVE_PORT, initiator, opening_offset,
    protocol::{TCP, UDP},
};

use crate::{
    packet::{ACK, Packet, SYN},
    who,
};

/// The word and the bit of `initiator` that says so; zeros if there is none.
#[inline(always)]
pub fn opening(skb: *mut __sk_buff, packet: &Packet) -> (u32, u8) {
    let is_syn = packet.tcp_flags & (SYN | ACK) == SYN;
    if packet.later_fragment || packet.protocol == TCP && !is_syn {
        return (0, 0);
    }
    let Some(offset) = opening_offset(packet.protocol, packet.destination_port) else {
        return (who::socket(skb, packet), 0);
    };
    if packet.protocol == UDP && !is_tunnel(skb, packet) {
        return (who::socket(skb, packet), 0);
    }
    match load::<u32>(skb, packet.l4 as u32 + offset) {
        Some(word) => (word, initiator::OPENING),
        None => (0, 0),
    }
}

/// The identifier is there: the flag of VXLAN (RFC 7348), the version of Geneve
/// (RFC 8926).
#[inline(always)]
fn is_tunnel(skb: *mut __sk_buff, packet: &Packet) -> bool {
    let first = load::<u8>(skb, packet.l4 as u32 + 8);
    first.is_some_and(|first| match packet.destination_port {
        GENEVE_PORT => first >> 6 == 0,
        _ => first & 0x08 != 0,
    })
}

/// Reads from anywhere in a packet.
#[inline(always)]
pub fn load<T: Copy>(skb: *mut __sk_buff, offset: u32) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes or fails.
    unsafe {
        let place = value.as_mut_ptr().cast();
        let failed = bpf_skb_load_bytes(skb.cast(), offset, place, size_of::<T>() as u32);
        (failed == 0).then(|| value.assume_init())
    }
}
