//! Packets of a host whose policies are in force, and what the engine says of them: for
//! tests that compare it with the kernel. `policies` makes sets at random.
//!
//! The host is that of `enforced::Hosts`; behind its interface is `shop/api`, whatever
//! address it takes.
#![allow(clippy::unwrap_used, reason = "tests panic")]

mod policies;

use std::{
    env,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use sextant_policy::{
    endpoint::Endpoint,
    judgement::Verdict,
    label::Label,
    policy::Direction,
    set::{Connection, PolicySet},
};

pub use policies::policies;

/// Addresses of the host.
pub const HOST: [&str; 2] = ["10.9.1.1", "fd09:1::1"];
/// Of the neighbour: the first is that of `shop/api`, the second one of `shop/db`, others
/// are outside.
pub const NEIGHBOUR: [&str; 6] = [
    "10.9.1.2",
    "10.9.1.3",
    "10.9.1.77",
    "fd09:1::2",
    "fd09:1::3",
    "fd09:1::77",
];
/// Others beyond the neighbour, and those on this side, for whom the host is a router.
const BEYOND: [&str; 4] = ["10.9.7.7", "198.51.100.7", "fd09:2::7", "2001:db8:100::7"];
const ROUTED: [&str; 4] = ["10.9.8.8", "192.0.2.9", "fd09:3::8", "2001:db8::9"];
const PORTS: [u16; 6] = [80, 81, 443, 4000, 4095, 9999];
/// Types of ICMP messages: questions, answers, what always passes, and others.
const ICMP: [u8; 8] = [8, 8, 0, 13, 14, 5, 3, 11];
const ICMP6: [u8; 8] = [128, 128, 129, 138, 200, 1, 135, 143];

/// Endpoints, for the daemon.
pub const CONFIG: &str = r#"
[[endpoint]]
name = "api"
namespace = "shop"
labels = ["k8s:app=api"]
addresses = ["10.9.1.2", "fd09:1::2"]
interfaces = ["v0"]
[[endpoint]]
name = "db"
namespace = "shop"
labels = ["k8s:app=db"]
addresses = ["10.9.1.3", "fd09:1::3"]
"#;

/// Numbers by a seed (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// By `SEXTANT_SEED`, or the time; tells which.
    #[must_use]
    pub fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = env::var("SEXTANT_SEED")
            .map_or_else(|_| now().as_nanos() as u64, |seed| seed.parse().unwrap());
        println!("SEXTANT_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 on.
    pub fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// One of them.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// So often.
    pub fn chance(&mut self, of_ten: usize) -> bool {
        self.below(10) < of_ten
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens a connection to a port.
    Tcp(u16),
    /// The answer to that.
    TcpAnswer(u16),
    /// A datagram to a port.
    Udp(u16),
    /// Opens an association with a port.
    Sctp(u16),
    /// Of a type, either family's.
    Icmp(u8),
    /// Between the ports of DHCP.
    Dhcp,
    /// Of a protocol without ports.
    Other(u8),
}

/// A packet on the host's interface: the host's own, or one that it forwards.
#[derive(Clone, Debug)]
pub struct Packet {
    /// It leaves.
    pub is_sent: bool,
    /// This side of the interface.
    pub here: &'static str,
    /// The other side, where `shop/api` is.
    pub there: &'static str,
    /// What it is.
    pub message: Message,
}

impl Packet {
    /// One that two hosts with these addresses can really send: a request.
    pub fn request(dice: &mut Dice) -> Self {
        let there = *dice.one(&NEIGHBOUR);
        let is_v6 = there.contains(':');
        let port = *dice.one(&PORTS);
        Self {
            is_sent: dice.chance(5),
            here: HOST[usize::from(is_v6)],
            there,
            message: match dice.below(7) {
                0 | 1 => Message::Tcp(port),
                2 | 3 => Message::Udp(port),
                4 | 5 => Message::Sctp(port),
                _ => Message::Icmp(if is_v6 { 128 } else { 8 }),
            },
        }
    }

    /// Any that may come along.
    pub fn any(dice: &mut Dice) -> Self {
        let beyond: Vec<_> = NEIGHBOUR.into_iter().chain(BEYOND).collect();
        let there = *dice.one(&beyond);
        let is_v6 = there.contains(':');
        let of_family = |address: &&str| address.contains(':') == is_v6;
        let routed: Vec<_> = ROUTED.into_iter().filter(of_family).collect();
        let here = match dice.chance(7) {
            true => HOST[usize::from(is_v6)],
            false => *dice.one(&routed),
        };
        let (is_sent, port) = (dice.chance(5), *dice.one(&PORTS));
        let message = match dice.below(16) {
            0..4 => Message::Tcp(port),
            4 => Message::TcpAnswer(port),
            5..8 => Message::Udp(port),
            8..11 => Message::Sctp(port),
            11..14 => Message::Icmp(*dice.one(if is_v6 { &ICMP6 } else { &ICMP })),
            14 => Message::Dhcp,
            // Nothing tells who opened such a flow, so each way has its own.
            _ => Message::Other(*dice.one(if is_sent { &[47, 89] } else { &[50, 88] })),
        };
        Self {
            is_sent,
            here,
            there,
            message,
        }
    }

    /// Sender and receiver.
    #[must_use]
    pub fn ends(&self) -> (&'static str, &'static str) {
        match self.is_sent {
            true => (self.here, self.there),
            false => (self.there, self.here),
        }
    }

    /// Whether it is forwarded: the host is neither of its ends.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        !HOST.contains(&self.here)
    }

    /// Whether its sender asks; else it answers. An answer of ICMP is one only to what was
    /// asked, and these are not.
    fn is_request(&self) -> bool {
        !matches!(self.message, Message::TcpAnswer(_))
    }

    /// What passes whatever policies say (`docs/policies.md`).
    fn is_exempt(&self) -> bool {
        match (self.message, self.here.contains(':')) {
            (Message::Dhcp, _) | (Message::Icmp(3 | 11 | 12), false) => true,
            (Message::Icmp(kind), true) => matches!(kind, 1..=4 | 130..=137 | 143),
            _ => false,
        }
    }

    /// As the engine is asked.
    fn protocol_and_port(&self) -> (u8, u16) {
        match (self.message, self.here.contains(':')) {
            (Message::Tcp(port) | Message::TcpAnswer(port), _) => (6, port),
            (Message::Udp(port), _) => (17, port),
            (Message::Sctp(port), _) => (132, port),
            (Message::Icmp(kind), is_v6) => (if is_v6 { 58 } else { 1 }, kind.into()),
            (Message::Dhcp, _) => (17, 67),
            (Message::Other(protocol), _) => (protocol, 0),
        }
    }
}

/// What the engine says: both ends that are judged here must agree, the host unless it
/// forwards the packet, and who is behind the interface.
#[must_use]
pub fn passes(set: &PolicySet, packet: &Packet) -> bool {
    if packet.is_exempt() {
        return true;
    }
    let (protocol, port) = packet.protocol_and_port();
    let judged = |subject: &Endpoint, peer: &Endpoint, direction| {
        let connection = Connection {
            subject,
            peer,
            direction,
            protocol,
            port,
        };
        set.judge(&connection).verdict == Verdict::Allow
    };
    let (of_here, of_behind) = match packet.is_sent == packet.is_request() {
        true => (Direction::Egress, Direction::Ingress),
        false => (Direction::Ingress, Direction::Egress),
    };
    let (here, there) = (endpoint(packet.here), endpoint(packet.there));
    (packet.is_forwarded() || judged(&here, &there, of_here))
        && judged(&endpoint(NEIGHBOUR[0]), &here, of_behind)
}

/// Who is at an address, to policies.
fn endpoint(address: &str) -> Endpoint {
    let labelled =
        |labels: &[&str]| Endpoint::new(labels.iter().map(|label| Label::parse(label)).collect());
    match address {
        "10.9.1.1" | "fd09:1::1" => labelled(&["reserved:host"]),
        "10.9.1.2" | "fd09:1::2" => {
            labelled(&["k8s:app=api", "k8s:io.kubernetes.pod.namespace=shop"])
        }
        "10.9.1.3" | "fd09:1::3" => {
            labelled(&["k8s:app=db", "k8s:io.kubernetes.pod.namespace=shop"])
        }
        other => Endpoint::outside(other.parse::<IpAddr>().unwrap()),
    }
}
