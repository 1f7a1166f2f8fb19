//! Tells by listening sockets who is the server of a flow that was first met
//! in the middle, or that a server goes on with. Kernel 5.2.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};

use crate::{packet::Packet, parse::UDP};

/// The socket's state (linux/tcp_states.h).
pub const LISTEN: u32 = 10;
/// The packet's own network namespace.
const CURRENT_NETNS: u64 = u64::MAX;

/// Whether a socket of this host listens at the packet's destination, or at
/// its source; for UDP, whether one is there that is not connected.
#[inline(never)]
pub fn listens(skb: *mut __sk_buff, packet: &Packet, at_destination: bool) -> bool {
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
        found(skb, &tuple, packet.protocol)
    } else {
        let tuple = [
            0, 0, 0, 0, address[0], address[1], address[2], address[3], ports,
        ];
        found(skb, &tuple, packet.protocol)
    }
}

#[inline(always)]
fn found<const N: usize>(skb: *mut __sk_buff, tuple: &[u32; N], protocol: u8) -> bool {
    let size = size_of::<[u32; N]>() as u32;
    let tuple = core::ptr::from_ref(tuple).cast_mut();
    // SAFETY: the tuple is as long as its family's; references are given back. Each
    // kind of socket by instructions of its own, as the verifier wants it.
    unsafe {
        if protocol == UDP {
            let socket = bpf_sk_lookup_udp(skb.cast(), tuple.cast(), size, CURRENT_NETNS, 0);
            if socket.is_null() {
                return false;
            }
            bpf_sk_release(socket.cast());
            return true;
        }
        let socket = bpf_skc_lookup_tcp(skb.cast(), tuple.cast(), size, CURRENT_NETNS, 0);
        if socket.is_null() {
            return false;
        }
        let listening = (*socket).state == LISTEN;
        bpf_sk_release(socket.cast());
        listening
    }
}
