//! Who opened a flow: side `a` or `b` of its key.

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{A_TO_B, initiator};

use crate::{
    clock::precise_now,
    listener::listens,
    maps::settled_at_ns,
    packet::Packet,
    parse::{ACK, SYN, TCP, UDP},
};

/// Ports from here on are given to clients, unless the host is told otherwise
/// (`ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// The initiator, from TCP's handshake or from who came first; a guess for
/// flows that may have begun before we watched.
#[inline(never)]
pub fn who_spoke_first(skb: *mut __sk_buff, packet: &Packet) -> u8 {
    let sender = sender(packet);
    let receiver = 1 - sender;
    if !packet.sided {
        return if packet.answer { receiver } else { sender };
    }
    if packet.protocol == TCP {
        match packet.tcp_flags & (SYN | ACK) {
            SYN => return sender,
            flags if flags == SYN | ACK => return receiver,
            _ => {}
        }
    } else if precise_now() >= settled_at_ns() {
        // A server that goes on after a pause is none that opens a flow.
        if packet.protocol == UDP && is_served_from_source(packet) && listens(skb, packet, false) {
            return receiver | initiator::GUESSED;
        }
        return sender;
    }
    let guess = if is_sender_the_client(skb, packet) {
        sender
    } else {
        receiver
    };
    guess | initiator::GUESSED
}

/// The side of the key that sent the packet.
#[inline(always)]
pub fn sender(packet: &Packet) -> u8 {
    if packet.direction == A_TO_B {
        initiator::A
    } else {
        initiator::B
    }
}

/// Its ports look like an answer.
#[inline(always)]
fn is_served_from_source(packet: &Packet) -> bool {
    packet.source_port < EPHEMERAL && packet.destination_port >= EPHEMERAL
}

/// In the middle of a flow: who listens is the server, else who has the lower
/// port. Sockets of UDP clients may look like listening ones, so there the ports
/// alone tell.
#[inline(always)]
fn is_sender_the_client(skb: *mut __sk_buff, packet: &Packet) -> bool {
    if packet.protocol == TCP {
        if listens(skb, packet, true) {
            return true;
        }
        if listens(skb, packet, false) {
            return false;
        }
    }
    packet.source_port >= packet.destination_port
}
