use std::net::Ipv4Addr;

use super::*;
use crate::decode::Ip;

const A: u8 = 1;
const B: u8 = 2;

const SYN: u16 = TcpFlags::SYN;
const SYN_ACK: u16 = TcpFlags::SYN | TcpFlags::ACK;
const ACK: u16 = TcpFlags::ACK;
const FIN: u16 = TcpFlags::FIN | TcpFlags::ACK;

fn packet(source: u8, destination: u8, protocol: u8, transport: Transport) -> Packet {
    Packet {
        macs: None,
        vlan: [0; 2],
        direction: None,
        is_blocked: false,
        ip: Ip {
            source: Ipv4Addr::new(10, 0, 0, source).into(),
            destination: Ipv4Addr::new(10, 0, 0, destination).into(),
            protocol,
            fragment: None,
        },
        transport,
        tunnel: None,
    }
}

fn tcp(from: (u8, u16), to: (u8, u16), flags: u16) -> Packet {
    numbered(from, to, flags, 7)
}

fn numbered(from: (u8, u16), to: (u8, u16), flags: u16, sequence: u32) -> Packet {
    let transport = Transport::Tcp {
        source_port: from.1,
        destination_port: to.1,
        flags,
        sequence,
    };
    packet(from.0, to.0, 6, transport)
}

fn udp(from: (u8, u16), to: (u8, u16)) -> Packet {
    let transport = Transport::Udp {
        source_port: from.1,
        destination_port: to.1,
    };
    packet(from.0, to.0, 17, transport)
}

fn ping(from: u8, to: u8, kind: u8) -> Packet {
    let id = Some(9);
    packet(from, to, 1, Transport::Icmp4 { kind, code: 0, id })
}

/// What the tracker says of packets, with their seconds, in short: N, E and R
/// for the reason, with `?` where the initiator is guessed.
fn check(packets: &[(Packet, i64)], expect: &str) {
    let mut tracker = Tracker::new(100);
    let told = packets.iter().map(|(packet, seconds)| {
        let tracked = tracker.track(packet, 0, *seconds);
        let letter = match tracked.reason {
            TraceReason::New => "N",
            TraceReason::Established => "E",
            TraceReason::Reply => "R",
            other => panic!("{other:?}"),
        };
        assert_eq!(tracked.is_reply, letter == "R");
        let mark = if tracked.guessed { "?" } else { "" };
        format!("{letter}{mark}")
    });
    assert_eq!(told.collect::<Vec<_>>().join(" "), expect);
}

fn at_once(packets: &[Packet], expect: &str) {
    let packets: Vec<_> = packets.iter().map(|packet| (*packet, 0)).collect();
    check(&packets, expect);
}

#[test]
fn a_handshake_tells_the_initiator_whichever_end_is_lower() {
    for (client, server) in [((A, 5000), (B, 80)), ((B, 80), (A, 5000))] {
        at_once(
            &[
                tcp(client, server, SYN),
                tcp(client, server, SYN),
                tcp(server, client, SYN_ACK),
                tcp(client, server, ACK),
                tcp(server, client, FIN),
                tcp(client, server, FIN),
                tcp(server, client, ACK),
            ],
            "N E R E R E R",
        );
    }
}

#[test]
fn a_syn_ack_first_is_a_reply() {
    let (client, server) = ((B, 5000), (A, 80));
    at_once(
        &[
            tcp(server, client, SYN_ACK),
            tcp(client, server, ACK),
            tcp(server, client, ACK),
        ],
        "R E R",
    );
}

#[test]
fn in_the_middle_the_higher_port_is_guessed_to_be_the_initiator() {
    let (client, server) = ((B, 5000), (A, 80));
    at_once(
        &[tcp(server, client, ACK), tcp(client, server, ACK)],
        "R? E?",
    );
    at_once(
        &[tcp(client, server, ACK), tcp(server, client, ACK)],
        "N? R?",
    );
    // The next handshake sets a wrong guess right.
    let (client, server) = ((A, 80), (B, 5000));
    at_once(
        &[
            tcp(client, server, ACK),
            tcp(client, server, SYN),
            tcp(server, client, SYN_ACK),
        ],
        "R? N R",
    );
}

#[test]
fn ports_that_are_used_again_begin_a_new_connection() {
    let (client, server) = ((A, 5000), (B, 80));
    let rst = TcpFlags::RST;
    for (packets, expect) in [
        // Closed by both sides, or reset: even by a SYN that looks the same.
        (
            vec![
                tcp(client, server, SYN),
                tcp(server, client, FIN),
                tcp(client, server, FIN),
                tcp(server, client, ACK),
                tcp(client, server, SYN),
            ],
            "N R E R N",
        ),
        (
            vec![
                tcp(client, server, SYN),
                tcp(server, client, rst),
                tcp(client, server, SYN),
            ],
            "N R N",
        ),
        // Not closed: by a SYN of the other side, or by another one of the same.
        (
            vec![
                tcp(client, server, SYN),
                tcp(server, client, SYN_ACK),
                tcp(server, client, SYN),
                tcp(client, server, SYN_ACK),
                tcp(server, client, ACK),
            ],
            "N R N R E",
        ),
        (
            vec![
                tcp(client, server, SYN),
                tcp(server, client, SYN_ACK),
                numbered(client, server, SYN, 8),
                tcp(server, client, SYN_ACK),
            ],
            "N R N R",
        ),
        // A SYN that is sent again is that of the same connection.
        (
            vec![
                tcp(client, server, SYN),
                tcp(server, client, SYN_ACK),
                tcp(client, server, SYN),
                tcp(server, client, FIN),
                tcp(client, server, SYN),
            ],
            "N R E R E",
        ),
        // Seen behind its answer, too.
        (
            vec![
                tcp(server, client, SYN_ACK),
                tcp(client, server, SYN),
                numbered(client, server, SYN, 8),
            ],
            "R E N",
        ),
    ] {
        at_once(&packets, expect);
    }
}

#[test]
fn sides_that_open_at_once_are_one_connection() {
    let (a, b) = ((A, 4000), (B, 5000));
    at_once(
        &[
            numbered(a, b, SYN, 1),
            numbered(b, a, SYN, 2),
            numbered(a, b, SYN, 1),
            numbered(a, b, SYN_ACK, 1),
            numbered(b, a, SYN_ACK, 2),
            numbered(a, b, ACK, 2),
            numbered(b, a, FIN, 3),
            numbered(a, b, FIN, 2),
            numbered(b, a, SYN, 9),
        ],
        "N R E E R E R E N",
    );
    // Not at once: the other side opens anew.
    at_once(
        &[
            numbered(a, b, SYN, 1),
            numbered(b, a, SYN_ACK, 2),
            numbered(b, a, SYN, 9),
        ],
        "N R N",
    );
}

#[test]
fn two_hosts_that_ping_each_other_with_one_id_are_two_connections() {
    at_once(
        &[
            ping(A, B, 8),
            ping(B, A, 8),
            ping(B, A, 0),
            ping(A, B, 0),
            ping(A, B, 8),
            ping(B, A, 8),
            ping(B, A, 0),
            ping(A, B, 0),
        ],
        "N N R R E E R R",
    );
    // Another kind of query with the same id is another one too.
    at_once(&[ping(A, B, 8), ping(A, B, 13), ping(B, A, 14)], "N N R");
}

#[test]
fn the_first_sender_of_udp_is_its_initiator_until_it_is_idle() {
    let (client, server) = ((B, 53), (A, 5000));
    check(
        &[
            (udp(client, server), 0),
            (udp(server, client), 1),
            (udp(client, server), 61),
            (udp(server, client), 122),
            (udp(client, server), 122),
        ],
        "N R E N R",
    );
    check(
        &[
            (tcp((A, 9), (B, 9), SYN), 0),
            (tcp((A, 9), (B, 9), ACK), 8_000),
            (tcp((A, 9), (B, 9), ACK), 16_001),
        ],
        "N E N?",
    );
}

#[test]
fn icmp_answers_are_replies_whatever_came_first() {
    at_once(
        &[ping(A, B, 8), ping(B, A, 0), ping(A, B, 8), ping(B, A, 8)],
        "N R E N",
    );
    at_once(&[ping(A, B, 0), ping(B, A, 8)], "R E");
}

#[test]
fn address_spaces_tell_connections_apart() {
    let mut tracker = Tracker::new(100);
    let (there, back) = (udp((A, 1), (B, 1)), udp((B, 1), (A, 1)));
    let packets = [(there, 0), (there, 7), (there, 7), (back, 8), (back, 7)];
    let told = packets.map(|(packet, space)| tracker.track(&packet, space, 0).reason);
    assert_eq!(
        told,
        [
            TraceReason::New,
            TraceReason::New,
            TraceReason::Established,
            TraceReason::New,
            TraceReason::Reply
        ]
    );
}

#[test]
fn the_table_is_bounded_and_keeps_what_is_in_use() {
    let mut tracker = Tracker::new(100);
    let busy = udp((A, 1), (B, 1));
    assert_eq!(tracker.track(&busy, 0, 0).reason, TraceReason::New);
    for port in 2..1_000 {
        tracker.track(&udp((A, port), (B, 1)), 0, 0);
        let tracked = tracker.track(&busy, 0, 0);
        assert_eq!(tracked.reason, TraceReason::Established);
        assert!(tracker.connections.len() <= 100);
    }
    let held = tracker.connections.len() as u64;
    assert_eq!(tracker.forgotten() + held, 999);
}
