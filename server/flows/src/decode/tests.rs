use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

/// SYN from port 4096 to 80, header of five words.
const SYN: [u8; 20] = [
    0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0,
];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn ethernet(types: &[u8], payload: &[u8]) -> Vec<u8> {
    join(&[&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], types, payload])
}

fn ip4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len() as u16).to_be_bytes();
    let head = [
        0x45, 0, total[0], total[1], 0x12, 0x34, 0, 0, 64, protocol, 0, 0,
    ];
    join(&[&head, &A, &B, payload])
}

fn ip6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let addresses = [Ipv6Addr::LOCALHOST.octets(), Ipv6Addr::UNSPECIFIED.octets()].concat();
    let head = [0x60, 0, 0, 0, length[0], length[1], next, 64];
    join(&[&head, &addresses, payload])
}

fn udp(destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let port = destination_port.to_be_bytes();
    join(&[&[0x30, 0x39, port[0], port[1], 0, 0, 0, 0], payload])
}

fn ip(packet: &[u8]) -> Packet {
    decode(Link::Ip, packet).expect("a sound packet")
}

fn syn() -> Transport {
    Transport::Tcp {
        source_port: 4096,
        destination_port: 80,
        flags: 2,
        sequence: 1,
    }
}

#[test]
fn an_ethernet_frame_gives_macs_addresses_and_ports() {
    let frame = ethernet(&[8, 0], &ip4(6, &SYN));
    let packet = decode(Link::Ethernet, &frame).expect("sound");
    let macs = packet.macs.expect("ethernet has them");
    assert_eq!(
        (macs.source[5], macs.destination[5], packet.vlan),
        (1, 2, [0, 0])
    );
    assert_eq!(packet.ip.source, Ipv4Addr::from(A));
    assert_eq!(packet.ip.destination, Ipv4Addr::from(B));
    assert_eq!(packet.transport, syn());
    assert_eq!(packet.ip.fragment, None);
}

#[test]
fn the_two_outer_vlan_tags_are_kept() {
    let inner = ip4(6, &SYN);
    for (tags, vlan) in [
        (&[0x81, 0, 0xe0, 5][..], [5, 0]),
        (&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 5], [7, 5]),
        (&[0x91, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3], [1, 2]),
    ] {
        let frame = ethernet(&join(&[tags, &[8, 0]]), &inner);
        let packet = decode(Link::Ethernet, &frame).expect("sound");
        assert_eq!((packet.vlan, packet.transport), (vlan, syn()));
    }
    let tags = |count| ethernet(&join(&[&[0x81, 0, 0, 1].repeat(count), &[8, 0]]), &inner);
    let packet = decode(Link::Ethernet, &tags(64)).expect("sound");
    assert_eq!((packet.vlan, packet.transport), ([1, 1], syn()));
    assert_eq!(
        decode(Link::Ethernet, &tags(65)),
        Err(Malformed::TooManyTags)
    );
}

#[test]
fn what_is_not_ip_is_told_apart_from_what_is_broken() {
    let arp = ethernet(&[8, 6], &[0; 28]);
    assert_eq!(decode(Link::Ethernet, &arp), Err(Malformed::Arp));
    for types in [[0x88, 0xcc], [0x00, 0x26], [0x88, 0xb5]] {
        let frame = ethernet(&types, &[0; 46]);
        assert_eq!(decode(Link::Ethernet, &frame), Err(Malformed::NotIp));
    }
    let loopback = decode(Link::Loopback, &[0, 0, 0, 99, 0x45]);
    assert_eq!(loopback, Err(Malformed::NotIp));
    assert!(Malformed::Arp.is_sound() && !Malformed::TcpLength.is_sound());
}

#[test]
fn cooked_and_loopback_headers_are_read() {
    let packet = ip4(6, &SYN);
    let cooked = |kind: u8| {
        join(&[
            &[0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0],
            &packet,
        ])
    };
    for (kind, direction) in [
        (0, Some(Direction::Incoming)),
        (3, None),
        (4, Some(Direction::Outgoing)),
    ] {
        let packet = decode(Link::Cooked, &cooked(kind)).expect("sound");
        assert_eq!((packet.direction, packet.transport), (direction, syn()));
    }
    let mut cooked2 = vec![0; 20];
    cooked2[0] = 8;
    cooked2[10] = 4;
    cooked2.extend_from_slice(&packet);
    let decoded = decode(Link::Cooked2, &cooked2).expect("sound");
    assert_eq!(decoded.direction, Some(Direction::Outgoing));
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        let frame = join(&[&family, &packet]);
        let decoded = decode(Link::Loopback, &frame).expect("sound");
        assert_eq!(decoded.transport, syn());
    }
    let six = join(&[&[0, 0, 0, 30], &ip6(6, &SYN)]);
    assert!(decode(Link::Loopback, &six).is_ok());
}

#[test]
fn ipv4_options_are_passed_over_and_padding_is_left_out() {
    let mut packet = ip4(6, &join(&[&[1, 1, 1, 1], &SYN]));
    packet[0] = 0x46;
    assert_eq!(ip(&packet).transport, syn());
    // A frame is padded to 60 bytes: what is cut off must not be read from there.
    let mut cut = ip4(6, &SYN[..10]);
    cut.extend_from_slice(&[0; 20]);
    assert_eq!(decode(Link::Ip, &cut), Err(Malformed::TransportTruncated));
    // No length: it is yet to be segmented.
    let mut offloaded = ip4(6, &SYN);
    offloaded[2..4].fill(0);
    assert_eq!(ip(&offloaded).transport, syn());
}

#[test]
fn headers_that_cannot_be_are_told_by_cause() {
    let set = |at: usize, value: u8| {
        let mut packet = ip4(6, &SYN);
        packet[at] = value;
        packet
    };
    for (packet, cause) in [
        (vec![], Malformed::IpTruncated),
        (vec![0x45; 19], Malformed::IpTruncated),
        (set(0, 0x55), Malformed::IpVersion),
        (set(0, 0x44), Malformed::IpLength),
        (set(3, 19), Malformed::IpLength),
        (ip4(6, &SYN[..13]), Malformed::TransportTruncated),
        (ip4(17, &[0, 1, 0]), Malformed::TransportTruncated),
        (ip4(1, &[8]), Malformed::TransportTruncated),
        (set(32, 0x40), Malformed::TcpLength),
        (vec![0x60; 39], Malformed::IpTruncated),
        (ip6(0, &[6]), Malformed::ExtensionTruncated),
        (
            ip6(0, &[6, 1, 0, 0, 0, 0, 0, 0]),
            Malformed::ExtensionTruncated,
        ),
    ] {
        assert_eq!(decode(Link::Ip, &packet), Err(cause), "{packet:?}");
    }
    assert_eq!(
        decode(Link::Ethernet, &[0; 13]),
        Err(Malformed::LinkTruncated)
    );
    let other = ethernet(&[0x86, 0xdd], &ip4(6, &SYN));
    assert_eq!(decode(Link::Ethernet, &other), Err(Malformed::IpVersion));
}

#[test]
fn fragments_carry_id_and_place_and_only_the_first_has_ports() {
    let mut first = ip4(17, &udp(53, &[]));
    first[6] = 0x20;
    let packet = ip(&first);
    let fragment = packet.ip.fragment.expect("more fragments");
    assert_eq!(
        (fragment.id, fragment.offset, fragment.more),
        (0x1234, 0, true)
    );
    assert!(matches!(
        packet.transport,
        Transport::Udp {
            destination_port: 53,
            ..
        }
    ));
    let mut last = ip4(17, &[0xff; 8]);
    last[7] = 185;
    let packet = ip(&last);
    let fragment = packet.ip.fragment.expect("an offset");
    assert_eq!((fragment.offset, fragment.more), (1480, false));
    assert_eq!(packet.transport, Transport::Fragment);
    let later6 = ip6(44, &[17, 0, 0x05, 0xc8, 0, 0, 0, 9, 1, 2]);
    let packet = ip(&later6);
    let fragment = packet.ip.fragment.expect("an offset");
    assert_eq!(
        (fragment.id, fragment.offset, fragment.more),
        (9, 1480, false)
    );
    assert_eq!(
        (packet.ip.protocol, packet.transport),
        (17, Transport::Fragment)
    );
    let atomic = ip6(44, &join(&[&[6, 0, 0, 0, 0, 0, 0, 9], &SYN]));
    assert_eq!(
        (ip(&atomic).ip.fragment, ip(&atomic).transport),
        (None, syn())
    );
}

#[test]
fn ipv6_extension_headers_are_looked_through_with_a_bound() {
    let chain = join(&[
        &[43, 0, 0, 0, 0, 0, 0, 0],
        &[60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[51, 0, 0, 0, 0, 0, 0, 0],
        &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &SYN,
    ]);
    assert_eq!(ip(&ip6(0, &chain)).transport, syn());
    let chain_of = |count: usize| {
        let last = [59, 0, 0, 0, 0, 0, 0, 0];
        join(&[&[60, 0, 0, 0, 0, 0, 0, 0].repeat(count - 1), &last])
    };
    assert_eq!(ip(&ip6(60, &chain_of(16))).transport, Transport::Other(59));
    assert_eq!(
        decode(Link::Ip, &ip6(60, &chain_of(17))),
        Err(Malformed::TooManyExtensions)
    );
}

#[test]
fn every_transport_protocol_is_read() {
    for (protocol, bytes, transport) in [
        (6, &SYN[..], syn()),
        (
            17,
            &[0, 53, 0x10, 0, 0, 8, 0, 0],
            Transport::Udp {
                source_port: 53,
                destination_port: 4096,
            },
        ),
        (
            132,
            &[0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 14],
            Transport::Sctp {
                source_port: 1,
                destination_port: 2,
                chunk: Some(14),
            },
        ),
        (
            1,
            &[8, 0, 0, 0, 0x12, 0x34],
            Transport::Icmp4 {
                kind: 8,
                code: 0,
                id: Some(0x1234),
            },
        ),
        (
            1,
            &[3, 1, 0, 0, 0x12, 0x34],
            Transport::Icmp4 {
                kind: 3,
                code: 1,
                id: None,
            },
        ),
        (
            58,
            &[129, 0, 0, 0, 0, 7],
            Transport::Icmp6 {
                kind: 129,
                code: 0,
                id: Some(7),
            },
        ),
        (
            112,
            &[0x21, 5, 100],
            Transport::Vrrp {
                kind: 1,
                vrid: 5,
                priority: 100,
            },
        ),
        (
            2,
            &[0x16, 0, 0, 0, 224, 0, 0, 251],
            Transport::Igmp {
                kind: 0x16,
                group: [224, 0, 0, 251],
            },
        ),
        (47, &[], Transport::Other(47)),
    ] {
        assert_eq!(ip(&ip4(protocol, bytes)).transport, transport);
    }
    let mut ns = SYN;
    ns[12] |= 1;
    ns[13] = 0xff;
    let packet = ip(&ip4(6, &ns));
    assert!(matches!(
        packet.transport,
        Transport::Tcp { flags: 0x1ff, .. }
    ));
}

#[test]
fn a_tunnel_is_told_and_its_packet_is_the_outer_one() {
    let inner = ethernet(&[0x81, 0, 0, 9, 0x86, 0xdd], &ip6(6, &SYN));
    for (port, header, protocol) in [
        (4789, [8, 0, 0, 0, 0, 1, 2, 0], TunnelProtocol::Vxlan),
        (8472, [8, 0, 0, 0, 0, 1, 2, 0], TunnelProtocol::Vxlan),
        (6081, [0, 0, 0x65, 0x58, 0, 1, 2, 0], TunnelProtocol::Geneve),
    ] {
        let packet = ip(&ip4(17, &udp(port, &join(&[&header, &inner]))));
        let vni = 0x102;
        assert_eq!(packet.tunnel, Some(Tunnel { protocol, vni }));
        assert_eq!(packet.ip.source, Ipv4Addr::from(A));
        let transport = Transport::Udp {
            source_port: 12345,
            destination_port: port,
        };
        assert_eq!((packet.vlan, packet.transport), ([0, 0], transport));
    }
    for payload in [
        udp(4789, &join(&[&[0, 0, 0, 0, 0, 1, 2, 0], &inner])),
        udp(4789, &[8, 0]),
        udp(6081, &join(&[&[0x40, 0, 0x65, 0x58, 0, 0, 0, 0], &inner])),
        udp(53, &join(&[&[8, 0, 0, 0, 0, 1, 2, 0], &inner])),
    ] {
        assert_eq!(ip(&ip4(17, &payload)).tunnel, None);
    }
}

#[test]
fn ipv4s_authentication_header_is_looked_through() {
    let header = |next: u8| {
        [
            next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]
    };
    let packet = ip(&ip4(51, &join(&[&header(6), &SYN])));
    assert_eq!((packet.ip.protocol, packet.transport), (6, syn()));
    let twice = join(&[&header(51), &header(6), &SYN]);
    assert_eq!(ip(&ip4(51, &twice)).transport, syn());
    assert_eq!(ip(&ip4(51, &header(50))).transport, Transport::Other(50));
    for cut in [&[][..], &[6], &header(6)[..23]] {
        assert_eq!(
            decode(Link::Ip, &ip4(51, cut)),
            Err(Malformed::ExtensionTruncated)
        );
    }
    let mut later = ip4(51, &[0xff; 24]);
    later[7] = 1;
    assert_eq!(
        (ip(&later).ip.protocol, ip(&later).transport),
        (51, Transport::Fragment)
    );
}

#[test]
fn eight_bytes_of_a_first_fragment_have_the_ports() {
    let mut first = ip4(6, &SYN[..8]);
    first[6] = 0x20;
    let transport = Transport::Tcp {
        source_port: 4096,
        destination_port: 80,
        flags: 0,
        sequence: 1,
    };
    assert_eq!(ip(&first).transport, transport);
    // A whole packet must have more.
    assert_eq!(
        decode(Link::Ip, &ip4(6, &SYN[..8])),
        Err(Malformed::TransportTruncated)
    );
}

fn links() -> impl Iterator<Item = Link> {
    (0..400).filter_map(Link::from_number)
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for link in links() {
            let _ = decode(link, &bytes);
        }
    }

    /// Sound frames with some bytes changed and the end cut off get far deeper.
    #[test]
    fn no_damaged_frame_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        six: bool,
        transport in prop::sample::select(vec![0_u8, 1, 2, 6, 17, 43, 44, 51, 58, 60, 112, 132]),
    ) {
        let inner = ethernet(&[0x86, 0xdd], &ip6(transport, &[0; 60]));
        let vxlan = udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 0, 0], &inner]));
        let (ethertype, packet) = if six {
            ([0x86, 0xdd], ip6(17, &vxlan))
        } else {
            ([8, 0], ip4(17, &vxlan))
        };
        let mut frame = ethernet(&ethertype, &packet);
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(cut.index(frame.len()) + 1);
        for link in links() {
            let _ = decode(link, &frame);
        }
    }
}
