//! Connections of a capture: who spoke first, and so which packets are replies.
//!
//! Both directions meet in one entry. The first sender is the initiator, unless
//! the packet itself tells otherwise: a TCP SYN-ACK or an ICMP answer comes from
//! the other side. Of a TCP connection that is met in the middle the side with
//! the higher port is taken to be the initiator, and the guess is told. A SYN
//! begins a new connection if the known one is closed, if it comes from the other
//! side (unless both open at once, RFC 9293, 3.5), or if its sequence number is not that of
//! the first SYN. Two hosts that
//! ask each other by ICMP with one id are two connections. These are the rules of
//! the datapath.
//!
//! Bound: `Generations`; connections that are not in use are forgotten and counted.

use std::net::IpAddr;

use sextant_proto::flow::TraceReason;

use crate::{
    decode::{Packet, Transport},
    flow::TcpFlags,
    generations::Generations,
};

/// A TCP connection that was silent for this long is a new one (as in Cilium).
const TCP_IDLE_SECONDS: i64 = 8_000;

/// The same for all other protocols.
const OTHER_IDLE_SECONDS: i64 = 60;

/// What is known of a packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    /// The packet goes to the initiator.
    pub(super) is_reply: bool,
    /// The initiator is a guess.
    pub(super) guessed: bool,
    /// Hubble's reason of a trace event.
    pub(super) reason: TraceReason,
}

/// The bounded table of connections.
pub(super) struct Tracker {
    connections: Generations<Key, Connection>,
}

/// One end of a connection: address and port, or ICMP id.
type End = (IpAddr, u16);

/// The same for both directions: the lower end comes first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    ends: [End; 2],
    protocol: u8,
    message: Message,
    space: u16,
}

/// What tells ICMP's connections apart beside addresses and id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    /// It is not ICMP.
    None,
    /// A query or its answer: the type of the query, and whether the lower end asks.
    Query(u8, bool),
    /// Any other message, by type and code.
    Other(u8, u8),
}

#[derive(Clone, Copy)]
struct Connection {
    /// The lower end of the key is the initiator.
    lower_began: bool,
    guessed: bool,
    /// Sequence number of the first SYN.
    first_syn: Option<u32>,
    /// A packet of either side acknowledges.
    acknowledged: bool,
    /// Both sides open at once.
    crossed: bool,
    /// A FIN was seen from the initiator, and from the other side.
    fins: [bool; 2],
    reset: bool,
    last_seconds: i64,
}

/// What a packet tells by itself of its sender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// It opens a connection.
    Opens,
    /// It answers the opening.
    Answers,
    /// It belongs to a connection that is open already.
    Within,
    /// Nothing.
    None,
}

impl Tracker {
    /// For at most `capacity` connections.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            connections: Generations::new(capacity),
        }
    }

    /// Connections that were forgotten for want of space.
    pub(super) fn forgotten(&self) -> u64 {
        self.connections.forgotten()
    }

    /// Takes note of a packet of an address space that was captured at `seconds`.
    pub(super) fn track(&mut self, packet: &Packet, space: u16, seconds: i64) -> Tracked {
        let (source, destination) = ends(packet);
        let from_lower = source <= destination;
        let key = Key {
            ends: match from_lower {
                true => [source, destination],
                false => [destination, source],
            },
            protocol: packet.ip.protocol,
            message: message(&packet.transport, from_lower),
            space,
        };
        let hint = hint(&packet.transport);
        let syn = first_sequence(&packet.transport);
        let known = self
            .connections
            .remove(&key)
            .filter(|known| !known.is_over(hint, syn, from_lower, key.protocol, seconds));
        let mut connection = known.unwrap_or_else(|| Connection {
            lower_began: from_lower == source_began(hint, source.1, destination.1),
            guessed: hint == Hint::Within,
            first_syn: None,
            acknowledged: false,
            crossed: false,
            fins: [false; 2],
            reset: false,
            last_seconds: seconds,
        });
        let is_reply = connection.lower_began != from_lower;
        let reason = match (is_reply, known) {
            (true, _) => TraceReason::Reply,
            (false, None) => TraceReason::New,
            (false, Some(_)) => TraceReason::Established,
        };
        connection.first_syn = connection.first_syn.or(syn);
        connection.crossed |= is_reply && syn.is_some();
        connection.note(&packet.transport, is_reply);
        connection.last_seconds = connection.last_seconds.max(seconds);
        self.connections.insert(key, connection);
        Tracked {
            is_reply,
            guessed: connection.guessed,
            reason,
        }
    }
}

impl Connection {
    /// Whether a packet with this hint belongs to a connection after this one,
    /// or shows that this one was guessed wrong.
    fn is_over(
        &self,
        hint: Hint,
        syn: Option<u32>,
        from_lower: bool,
        protocol: u8,
        seconds: i64,
    ) -> bool {
        let idle = match protocol {
            6 => TCP_IDLE_SECONDS,
            _ => OTHER_IDLE_SECONDS,
        };
        let from_initiator = self.lower_began == from_lower;
        let renewed = match hint {
            Hint::Opens if protocol == 6 => {
                let is_another = match from_initiator {
                    true => self.first_syn.is_some_and(|first| Some(first) != syn),
                    false => self.acknowledged,
                };
                self.is_closed() || self.guessed || is_another
            }
            Hint::Opens => !from_initiator,
            Hint::Answers => from_initiator && !self.crossed,
            Hint::Within | Hint::None => false,
        };
        renewed || seconds.saturating_sub(self.last_seconds) > idle
    }

    fn is_closed(&self) -> bool {
        self.reset || self.fins == [true; 2]
    }

    fn note(&mut self, transport: &Transport, is_reply: bool) {
        if let Transport::Tcp { flags, .. } = *transport {
            self.acknowledged |= flags & TcpFlags::ACK != 0;
            self.reset |= flags & TcpFlags::RST != 0;
            self.fins[usize::from(is_reply)] |= flags & TcpFlags::FIN != 0;
        }
    }
}

/// The sequence number of a SYN that opens a connection.
fn first_sequence(transport: &Transport) -> Option<u32> {
    match *transport {
        Transport::Tcp { sequence, .. } if hint(transport) == Hint::Opens => Some(sequence),
        _ => None,
    }
}

fn message(transport: &Transport, from_lower: bool) -> Message {
    let (kind, code, id) = match *transport {
        Transport::Icmp4 { kind, code, id } | Transport::Icmp6 { kind, code, id } => {
            (kind, code, id)
        }
        _ => return Message::None,
    };
    match (hint(transport), id) {
        (Hint::Opens, Some(_)) => Message::Query(kind, from_lower),
        (Hint::Answers, Some(_)) => Message::Query(query_of(kind), !from_lower),
        _ => Message::Other(kind, code),
    }
}

/// The type of the query that an answer is to: echo has 8 and 0, or 128 and 129;
/// of the others the answer is the next number.
fn query_of(answer: u8) -> u8 {
    match answer {
        0 => 8,
        other => other - 1,
    }
}

/// Whether the sender of a connection's first packet is its initiator.
fn source_began(hint: Hint, source_port: u16, destination_port: u16) -> bool {
    match hint {
        Hint::Opens | Hint::None => true,
        Hint::Answers => false,
        Hint::Within => source_port >= destination_port,
    }
}

fn ends(packet: &Packet) -> (End, End) {
    let (source, destination) = match packet.transport {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        }
        | Transport::Udp {
            source_port,
            destination_port,
        }
        | Transport::Sctp {
            source_port,
            destination_port,
            ..
        } => (source_port, destination_port),
        Transport::Icmp4 { id, .. } | Transport::Icmp6 { id, .. } => {
            (id.unwrap_or_default(), id.unwrap_or_default())
        }
        _ => (0, 0),
    };
    let ip = &packet.ip;
    ((ip.source, source), (ip.destination, destination))
}

fn hint(transport: &Transport) -> Hint {
    match *transport {
        Transport::Tcp { flags, .. } => {
            let flags = TcpFlags(flags);
            match (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::ACK)) {
                (true, false) => Hint::Opens,
                (true, true) => Hint::Answers,
                (false, _) => Hint::Within,
            }
        }
        // INIT and INIT ACK.
        Transport::Sctp { chunk: Some(1), .. } => Hint::Opens,
        Transport::Sctp { chunk: Some(2), .. } => Hint::Answers,
        // Echo, timestamp, information, address mask: the query and its answer.
        Transport::Icmp4 { kind, .. } => match kind {
            8 | 13 | 15 | 17 => Hint::Opens,
            0 | 14 | 16 | 18 => Hint::Answers,
            _ => Hint::None,
        },
        Transport::Icmp6 { kind, .. } => match kind {
            128 => Hint::Opens,
            129 => Hint::Answers,
            _ => Hint::None,
        },
        _ => Hint::None,
    }
}

#[cfg(test)]
mod tests;
