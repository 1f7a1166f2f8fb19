//! Sends packets of ever new flows at a steady rate: each of another source and
//! port, as an attacker does. Needs CAP_NET_RAW; run in a network namespace of
//! the test's own.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use sextant_integration_tests::frame;
use socket2::{Domain, Protocol, Socket, Type};

const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;
/// Packets between two looks at the clock.
const BURST: u64 = 64;

/// What is sent.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Syn,
    SynAck,
    Ack,
    Fin,
    Rst,
    /// One segment each way, as of a connection that is older: both forged.
    AckBoth,
    /// A whole handshake, both ends of it forged.
    Handshake,
    Udp,
    /// Two datagrams of each flow.
    UdpTwice,
    Icmp,
    /// First fragments, whose others never come.
    Fragment,
    /// Fragments without a first one.
    LateFragment,
}

/// Floods a host.
#[derive(Debug, Parser)]
struct Arguments {
    kind: Kind,
    to: IpAddr,
    /// How many packets.
    count: u64,
    /// Packets a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Port of the host.
    #[arg(long)]
    port: Option<u16>,
    /// Of so many flows, one after the other, again and again.
    #[arg(long)]
    flows: Option<u64>,
    /// Of so many sources, whose ports go up; each packet is of another flow, up to 64,000
    /// for each of them.
    #[arg(long, conflicts_with = "flows")]
    sources: Option<u64>,
}

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn main() {
    let arguments = Arguments::parse();
    let domain = match arguments.to {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    };
    let raw = Protocol::from(255);
    let socket = Socket::new(domain, Type::RAW, Some(raw)).unwrap();
    let to = SocketAddr::new(arguments.to, 0).into();
    let mut random = Random(88_172_645_463_325_252);
    let (began, mut sent, mut refused) = (Instant::now(), 0_u64, 0_u64);
    while sent < arguments.count {
        for _ in 0..BURST.min(arguments.count - sent) {
            let packet = packet(&arguments, sent, random.next());
            // A queue that is full is no reason to end.
            refused += u64::from(socket.send_to(&packet, &to).is_err());
            sent += 1;
        }
        let due = Duration::from_secs_f64(sent as f64 / arguments.rate as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let took = began.elapsed().as_secs_f64();
    println!("sent {sent} packets in {took:.2} s, {refused} refused");
}

fn packet(arguments: &Arguments, number: u64, random: u64) -> Vec<u8> {
    let of_flow = |flow: u64| (flow + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let random = match (arguments.flows, arguments.kind) {
        (Some(flows), _) => of_flow(number % flows),
        (None, Kind::UdpTwice | Kind::AckBoth) => of_flow(number / 2),
        (None, Kind::Handshake) => of_flow(number / 3),
        (None, _) => random,
    };
    let source = |random: u64| (random >> 40) as u32;
    let (source, port) = match arguments.sources {
        Some(sources) => (
            source(of_flow(number % sources)),
            1024 + (number / sources % 64_000) as u16,
        ),
        None => (source(random), (random >> 16) as u16 | 1024),
    };
    let server = arguments.port.unwrap_or(80);
    // What the host is made to have sent.
    let is_back = match arguments.kind {
        Kind::AckBoth => number % 2 == 1,
        Kind::Handshake => number % 3 == 1,
        _ => false,
    };
    let (from, to_port) = match is_back {
        true => (server, port),
        false => (port, server),
    };
    let tcp = |flags| frame::tcp(from, to_port, random as u32, flags);
    let protocol = |v4, v6| if arguments.to.is_ipv4() { v4 } else { v6 };
    let (protocol, payload) = match arguments.kind {
        Kind::Syn => (6, tcp(SYN)),
        Kind::SynAck => (6, tcp(SYN | ACK)),
        Kind::Ack => (6, tcp(ACK)),
        Kind::Fin => (6, tcp(FIN | ACK)),
        Kind::Rst => (6, tcp(RST)),
        Kind::AckBoth => (6, tcp(ACK)),
        Kind::Handshake => (6, tcp([SYN, SYN | ACK, ACK][(number % 3) as usize])),
        Kind::Udp | Kind::UdpTwice | Kind::Fragment | Kind::LateFragment => {
            let to = arguments.port.unwrap_or(random as u16);
            (17, frame::udp(port, to, b"12345678"))
        }
        Kind::Icmp => {
            let [high, low] = port.to_be_bytes();
            let echo = protocol(8, 128);
            let message = vec![echo, 0, 0, 0, high, low, 0, 1];
            (protocol(1, 58), message)
        }
    };
    match arguments.to {
        IpAddr::V4(to) => {
            let source = Ipv4Addr::from_bits(11 << 24 | source);
            let (source, to) = if is_back { (to, source) } else { (source, to) };
            let mut packet = frame::ipv4(source, to, protocol, &payload);
            let fragment: u16 = match arguments.kind {
                Kind::Fragment => 0x2000,
                Kind::LateFragment => 0x2001,
                _ => 0,
            };
            packet[4..6].copy_from_slice(&port.to_be_bytes());
            packet[6..8].copy_from_slice(&fragment.to_be_bytes());
            packet
        }
        IpAddr::V6(to) => {
            let source = Ipv6Addr::from_bits(0xfd11 << 112 | u128::from(random));
            let (source, to) = if is_back { (to, source) } else { (source, to) };
            frame::ipv6(source, to, protocol, &payload)
        }
    }
}
