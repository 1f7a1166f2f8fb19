//! Who opened a flow: side `a` or `b` of its key.

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{
    A_TO_B, initiator, point_parts,
    protocol::{TCP, UDP},
};

use crate::{
    clock::precise_now,
    listener::{is_connected, listens},
    maps::settled_at_ns,
    packet::{ACK, Packet, SYN},
    who::{receiving_namespace, sending_namespace},
};

const GUESSED: u8 = initiator::GUESSED;
/// By sockets, but a guess all the same.
const BY_SOCKET: u8 = GUESSED | initiator::BY_SOCKET;

/// Ports from here on are given to clients, unless the host is told otherwise
/// (`ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// The initiator, from TCP's handshake or from who came first; a guess for
/// flows that may have begun before we watched.
#[inline(never)]
pub fn who_spoke_first(skb: *mut __sk_buff, packet: &Packet) -> u8 {
    let sender = packet.sender();
    let receiver = 1 - sender;
    if !packet.sided {
        // An answer to what nobody was seen to ask.
        return if packet.answer {
            receiver | GUESSED
        } else {
            sender
        };
    }
    if packet.protocol == TCP {
        match packet.tcp_flags & (SYN | ACK) {
            SYN => return sender,
            flags if flags == SYN | ACK => return receiver,
            _ => {}
        }
    } else if precise_now() >= settled_at_ns() {
        // A server that goes on after a pause is none that opens a flow.
        if packet.protocol == UDP
            && is_served_from_source(packet)
            && is_sent_by_listener(skb, packet)
        {
            return receiver | BY_SOCKET;
        }
        return sender;
    }
    let guess = if packet.protocol == TCP {
        by_sockets(skb, packet)
    } else {
        Guess::None
    };
    match guess {
        Guess::Sender => sender | BY_SOCKET,
        Guess::Receiver => receiver | BY_SOCKET,
        // Sockets of UDP clients may look like listening ones, so there the ports alone tell.
        Guess::None if packet.source_port >= packet.destination_port => sender | GUESSED,
        Guess::None => receiver | GUESSED,
    }
}

/// Whether the datagram comes from a socket of this host that listens. Without its socket it
/// comes from elsewhere, whoever has the port here.
#[inline(never)]
fn is_sent_by_listener(skb: *mut __sk_buff, packet: &Packet) -> bool {
    let (_, egress) = point_parts(packet.point);
    // SAFETY: the kernel gives a valid context.
    let carries_socket = unsafe { !(*skb).__bindgen_anon_2.sk.is_null() };
    match sending_namespace(packet, egress) {
        Some(from) if carries_socket => listens(skb, packet, false, from),
        _ => false,
    }
}

/// The client, as sockets tell it.
enum Guess {
    None,
    Sender,
    Receiver,
}

/// Who listens is the server. A socket of this host at whose port nobody listens called
/// the other side, unless the ports look as if it were the server, who may listen no more.
#[inline(never)]
fn by_sockets(skb: *mut __sk_buff, packet: &Packet) -> Guess {
    let (_, egress) = point_parts(packet.point);
    let to = receiving_namespace(packet, egress);
    // SAFETY: the kernel gives a valid context.
    let carries_socket = unsafe { !(*skb).__bindgen_anon_2.sk.is_null() };
    let from = if carries_socket {
        sending_namespace(packet, egress)
    } else {
        None
    };
    if let Some(to) = to
        && listens(skb, packet, true, to)
    {
        return Guess::Sender;
    }
    if let Some(from) = from
        && listens(skb, packet, false, from)
    {
        return Guess::Receiver;
    }
    if from.is_some() {
        // With both ends here and no listener nothing tells one from the other.
        let both = to.is_some_and(|to| is_connected(skb, packet, to));
        return if both || is_served_from_source(packet) {
            Guess::None
        } else {
            Guess::Sender
        };
    }
    match to {
        Some(to) if !is_served_at_destination(packet) && is_connected(skb, packet, to) => {
            Guess::Receiver
        }
        _ => Guess::None,
    }
}

/// Its ports look like an answer.
#[inline(always)]
fn is_served_from_source(packet: &Packet) -> bool {
    packet.source_port < EPHEMERAL && packet.destination_port >= EPHEMERAL
}

/// They look like a question.
#[inline(always)]
fn is_served_at_destination(packet: &Packet) -> bool {
    packet.destination_port < EPHEMERAL && packet.source_port >= EPHEMERAL
}
