//! How well a TCP connection does: what its sockets on this host know, and how long
//! its handshake took. Asked when an event is raised, never for a known packet; of
//! a connection that is only forwarded no socket knows anything.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::{bpf_sk_fullsock, bpf_sk_lookup_tcp, bpf_sk_release, bpf_tcp_sock},
};
use sextant_ebpf_common::{
    Entry, Event, FIGURES_OF_A, FIGURES_OF_B, has_opening, initiator, initiator_of, point_parts,
    protocol::TCP, short_micros,
};

use crate::{
    clock::precise_now,
    listener::LISTEN,
    packet::{ACK, Packet, SYN},
    who::{STREAM, receiving_namespace, size_of_tuple, tuple_of},
};

/// Tells what the sender's socket knows, if the packet carries one, else what the
/// receiver's does, if it is on this host.
#[inline(never)]
pub unsafe fn tell(event: *mut Event, skb: *mut __sk_buff, packet: &Packet) {
    if packet.protocol != TCP || packet.later_fragment {
        return;
    }
    let direction = packet.direction as u32 & 1;
    let (sending, receiving) = (FIGURES_OF_A + direction, FIGURES_OF_B - direction);
    let socket: *mut bpf_sock = (*skb).__bindgen_anon_2.sk;
    if !socket.is_null() {
        // Of a handshake there is none yet.
        let full = bpf_sk_fullsock(socket);
        if !full.is_null() {
            read(event, full, sending);
        }
        return;
    }
    // Who opens a connection comes to a listener, which knows nothing of it.
    if packet.tcp_flags & (SYN | ACK) == SYN {
        return;
    }
    let (_, egress) = point_parts(packet.point);
    let (Some(namespace), Some(tuple)) = (receiving_namespace(packet, egress), tuple_of(packet))
    else {
        return;
    };
    let size = size_of_tuple(packet);
    let found = bpf_sk_lookup_tcp(skb.cast(), tuple.cast(), size, namespace, 0);
    if !found.is_null() {
        read(event, found.cast(), receiving);
        bpf_sk_release(found.cast());
    }
}

/// Of a connection's socket. The kernel resets connections by a raw socket of its own,
/// which has no such fields, though its protocol is TCP.
#[inline(always)]
unsafe fn read(event: *mut Event, socket: *mut bpf_sock, of: u32) {
    if (*socket).type_ != STREAM || (*socket).state == LISTEN {
        return;
    }
    let tcp = bpf_tcp_sock(socket);
    if tcp.is_null() {
        return;
    }
    (*event).figures.of = of;
    (*event).figures.srtt_us = (*tcp).srtt_us >> 3;
    (*event).figures.rtt_min_us = (*tcp).rtt_min;
    (*event).figures.retrans = (*tcp).total_retrans;
    (*event).figures.lost = (*tcp).lost_out;
}

/// The first acknowledgement in its direction: the answer to the SYN that opened the
/// flow, or the answer to that.
#[inline(never)]
pub unsafe fn acknowledged(entry: *mut Entry, packet: &Packet) {
    let tags = (*entry).tags;
    if packet.protocol != TCP || !has_opening(tags) {
        return;
    }
    let is_answer = initiator_of(tags) & initiator::B != packet.sender();
    if is_answer != (packet.tcp_flags & SYN != 0) {
        return;
    }
    let since = precise_now().saturating_sub((*entry).first_ns) / 1000;
    let short = short_micros(if since < u64::from(u32::MAX) {
        since as u32
    } else {
        u32::MAX
    });
    if is_answer {
        (*entry).handshake[0] = short;
    } else if (*entry).handshake[0] != 0 {
        (*entry).handshake[1] = short;
    }
}
