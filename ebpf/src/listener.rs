//! Tells by sockets who is the server of a flow that was first met in the middle, or
//! that a server goes on with. Kernel 5.2.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};

use crate::{
    packet::Packet,
    parse::UDP,
    who::{TUPLE4, TUPLE6, tuple_of},
};

/// The socket's state (linux/tcp_states.h).
pub const LISTEN: u32 = 10;

/// Whether a socket of a namespace listens at the packet's destination, or at
/// its source; for UDP, whether one is there that is not connected.
#[inline(never)]
pub fn listens(skb: *mut __sk_buff, packet: &Packet, at_destination: bool, namespace: u64) -> bool {
    let (address, port) = if at_destination {
        (&packet.destination, packet.destination_port)
    } else {
        (&packet.source, packet.source_port)
    };
    // `struct bpf_sock_tuple`: remote address, local address, ports. With no
    // remote side only a listening socket can be found.
    let ports = u32::from(port.to_be()) << 16;
    if packet.family == 4 {
        let tuple = [0, address[0], ports];
        found(skb, &tuple, packet.protocol, namespace)
    } else {
        let tuple = [
            0, 0, 0, 0, address[0], address[1], address[2], address[3], ports,
        ];
        found(skb, &tuple, packet.protocol, namespace)
    }
}

#[inline(always)]
fn found<const N: usize>(
    skb: *mut __sk_buff,
    tuple: &[u32; N],
    protocol: u8,
    namespace: u64,
) -> bool {
    let size = size_of::<[u32; N]>() as u32;
    let tuple = core::ptr::from_ref(tuple).cast_mut();
    // SAFETY: the tuple is as long as its family's; references are given back. Each
    // kind of socket by instructions of its own, as the verifier wants it.
    unsafe {
        if protocol == UDP {
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
        let size = if packet.family == 4 { TUPLE4 } else { TUPLE6 };
        let socket = bpf_skc_lookup_tcp(skb.cast(), tuple.cast(), size, namespace, 0);
        if socket.is_null() {
            return false;
        }
        let connected = (*socket).state != LISTEN;
        bpf_sk_release(socket.cast());
        connected
    }
}
