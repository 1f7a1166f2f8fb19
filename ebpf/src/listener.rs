//! Tells by sockets who is the server of a flow that was first met in the middle, or
//! that a server goes on with. Kernel 5.2.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};

use sextant_ebpf_common::protocol::UDP;

use crate::{
    packet::Packet,
    who::{size_of_tuple, tuple_of, tuple_of_listener},
};

/// The socket's state (linux/tcp_states.h).
pub const LISTEN: u32 = 10;

/// Whether a socket of a namespace listens at the packet's destination, or at
/// its source; for UDP, whether one is there that is not connected.
#[inline(never)]
pub fn listens(skb: *mut __sk_buff, packet: &Packet, at_destination: bool, namespace: u64) -> bool {
    // SAFETY: a tuple of this CPU; references are given back. Each kind of socket by
    // instructions of its own, as the verifier wants it.
    unsafe {
        let Some(tuple) = tuple_of_listener(packet, at_destination) else {
            return false;
        };
        let size = size_of_tuple(packet);
        if packet.protocol == UDP {
            let socket = bpf_sk_lookup_udp(skb.cast(), tuple.cast(), size, namespace, 0);
            if socket.is_null() {
                return false;
            }
            bpf_sk_release(socket.cast());
            return true;
        }
        let socket = bpf_skc_lookup_tcp(skb.cast(), tuple.cast(), size, namespace, 0);
        if socket.is_null() {
            return false;
        }
        let listening = (*socket).state == LISTEN;
        bpf_sk_release(socket.cast());
        listening
    }
}

/// Whether the receiver's end of a TCP connection is a socket of a namespace.
#[inline(never)]
pub fn is_connected(skb: *mut __sk_buff, packet: &Packet, namespace: u64) -> bool {
    // SAFETY: as above; the tuple is of this CPU.
    unsafe {
        let Some(tuple) = tuple_of(packet) else {
            return false;
        };
        let size = size_of_tuple(packet);
        let socket = bpf_skc_lookup_tcp(skb.cast(), tuple.cast(), size, namespace, 0);
        if socket.is_null() {
            return false;
        }
        let connected = (*socket).state != LISTEN;
        bpf_sk_release(socket.cast());
        connected
    }
}
