//! Each kind of link and shim around the same packet.

mod frames;

use std::net::Ipv4Addr;

use crate::decode::{Direction, Link, Malformed, Packet, Transport, decode};

/// SYN from 10.0.0.1:4096 to 10.0.0.2:80.
fn ip4() -> Vec<u8> {
    let head = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    let ends = [10, 0, 0, 1, 10, 0, 0, 2];
    let tcp = [
        0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];
    [&head[..], &ends, &tcp].concat()
}

/// The same between ::1 and ::2.
fn ip6() -> Vec<u8> {
    let mut packet = [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &[0; 32], &ip4()[20..]].concat();
    (packet[23], packet[39]) = (1, 2);
    packet
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn ethernet(rest: &[&[u8]]) -> Vec<u8> {
    [&MACS[..], &rest.concat()].concat()
}

/// The packet of a frame of a link by its number, which has the ports.
fn read(number: u16, frame: &[u8]) -> Packet {
    let link = Link::from_number(number).expect("a known link type");
    let packet =
        decode(link, frame).unwrap_or_else(|error| panic!("{number}: {error}: {frame:x?}"));
    let Transport::Tcp {
        source_port,
        destination_port,
        ..
    } = packet.transport
    else {
        panic!("{number}: {packet:?}");
    };
    assert_eq!((source_port, destination_port), (4096, 80));
    packet
}

#[test]
fn what_stands_between_ethernet_and_ip_is_looked_through() {
    let (four, six) = (ip4(), ip6());
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let pppoe = [0x11, 0, 0, 1, 0, 42];
    let nsh = |protocol| [0x0f, 0xc6, 1, protocol];
    for (what, shims, vlan) in [
        ("no shim", join(&[&[8, 0], &four]), [0, 0]),
        ("IPv6", join(&[&[0x86, 0xdd], &six]), [0, 0]),
        (
            "priority tag",
            join(&[&[0x81, 0, 0xe0, 0, 8, 0], &four]),
            [0, 0],
        ),
        (
            "provider tags",
            join(&[
                &[0x88, 0xa8, 0, 7, 0x91, 0, 0, 8, 0x81, 0, 0, 9, 8, 0],
                &four,
            ]),
            [7, 8],
        ),
        (
            "PPPoE",
            join(&[&[0x88, 0x64], &pppoe, &[0, 0x21], &four]),
            [0, 0],
        ),
        (
            "PPPoE, short protocol",
            join(&[&[0x88, 0x64], &pppoe, &[0x21], &four]),
            [0, 0],
        ),
        (
            "PPPoE, IPv6",
            join(&[&[0x88, 0x64, 0x11, 0, 0, 1, 0, 62, 0, 0x57], &six]),
            [0, 0],
        ),
        (
            "tag and PPPoE",
            join(&[&[0x81, 0, 0, 5, 0x88, 0x64], &pppoe, &[0, 0x21], &four]),
            [5, 0],
        ),
        ("MPLS", join(&[&[0x88, 0x47, 0, 1, 1, 64], &four]), [0, 0]),
        (
            "MPLS, two labels, IPv6",
            join(&[&[0x88, 0x48, 0, 1, 0, 64, 0, 2, 1, 64], &six]),
            [0, 0],
        ),
        (
            "tag and MPLS",
            join(&[&[0x81, 0, 0, 6, 0x88, 0x47, 0, 1, 1, 64], &four]),
            [6, 0],
        ),
        ("SNAP", join(&[&[0, 48], &snap, &four]), [0, 0]),
        (
            "SNAP with a tag inside",
            join(&[&[0, 52, 0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 4, 8, 0], &four]),
            [4, 0],
        ),
        (
            "tag and SNAP",
            join(&[&[0x81, 0, 0, 4, 0, 48], &snap, &four]),
            [4, 0],
        ),
        (
            "SNAP of 802.1H",
            join(&[&[0, 48, 0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0], &four]),
            [0, 0],
        ),
        ("LLC of IP", join(&[&[0, 43, 6, 6, 3], &four]), [0, 0]),
        (
            "NSH",
            join(&[&[0x89, 0x4f], &nsh(1), &[0, 0, 1, 255], &[0; 16], &four]),
            [0, 0],
        ),
        (
            "NSH, IPv6",
            join(&[&[0x89, 0x4f, 0x0f, 0xc2, 2, 2, 0, 0, 1, 255], &six]),
            [0, 0],
        ),
        (
            "NSH, Ethernet",
            join(&[
                &[0x89, 0x4f],
                &nsh(3),
                &[0; 20],
                &MACS,
                &[0x81, 0, 0, 3, 8, 0],
                &four,
            ]),
            [3, 0],
        ),
        (
            "ring and stream tags",
            join(&[
                &[0x89, 0x2f, 0, 9, 0, 1, 0xf1, 0xc1, 0, 0, 0, 2, 8, 0],
                &four,
            ]),
            [0, 0],
        ),
        (
            "security group",
            join(&[&[0x89, 0x09, 1, 1, 0, 1, 0, 9, 8, 0], &four]),
            [0, 0],
        ),
        (
            "backbone tag",
            join(&[
                &[0x88, 0xa8, 0, 2, 0x88, 0xe7, 0, 0, 1, 2],
                &MACS,
                &[8, 0],
                &four,
            ]),
            [2, 0],
        ),
    ] {
        let packet = read(1, &ethernet(&[&shims]));
        assert_eq!(packet.vlan, vlan, "{what}");
        assert_eq!(packet.macs.map(|macs| macs.source[5]), Some(1), "{what}");
    }
}

#[test]
fn what_carries_no_ip_is_told_so() {
    let four = ip4();
    for shims in [
        join(&[&[0x88, 0x63, 0x11, 9, 0, 0, 0, 0], &four]),
        join(&[&[0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0xc0, 0x21, 1, 1]]),
        join(&[&[0x88, 0x64, 0x21, 0, 0, 1, 0, 42, 0, 0x21], &four]),
        // A control word, and no frame behind it.
        join(&[&[0x88, 0x47, 0, 1, 1, 64, 0, 0, 0, 0], &four]),
        join(&[&[0, 40, 0x42, 0x42, 3], &four]),
        join(&[&[0, 48, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0], &four]),
        join(&[&[0x89, 0x4f, 0, 6, 1, 4], &[0; 20], &four]),
        join(&[&[0x89, 0x4f, 0, 1, 1, 1], &[0; 20], &four]),
        join(&[&[5, 0xff], &four]),
    ] {
        let frame = ethernet(&[&shims]);
        assert_eq!(
            decode(Link::Ethernet, &frame),
            Err(Malformed::NotIp),
            "{frame:x?}"
        );
    }
    let arp = ethernet(&[&[0, 36, 0xaa, 0xaa, 3, 0, 0, 0, 8, 6], &[0; 28]]);
    assert_eq!(decode(Link::Ethernet, &arp), Err(Malformed::Arp));
    for cut in [
        &[0x88, 0x64, 0x11][..],
        &[0x88, 0x47, 0, 1, 0],
        &[0, 8, 0xaa],
        &[0x89, 0x4f, 0, 6, 1, 1],
    ] {
        let frame = ethernet(&[cut]);
        assert_eq!(
            decode(Link::Ethernet, &frame),
            Err(Malformed::LinkTruncated)
        );
    }
}

#[test]
fn serial_lines_and_cells_are_read() {
    let four = ip4();
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    for (number, head) in [
        (9, &[0xff, 3, 0, 0x21][..]),
        (9, &[0, 0x21]),
        (9, &[0xff, 3, 0x21]),
        (9, &[0x02, 0x81, 0, 1, 1, 64]),
        (50, &[0xff, 3, 0, 0x21]),
        (50, &[0x0f, 0, 8, 0]),
        (51, &[0x11, 0, 0, 1, 0, 42, 0, 0x21]),
        (104, &[0x0f, 0, 8, 0]),
        (104, &[0x8f, 0, 8, 0]),
        (107, &[0x18, 0x41, 3, 0xcc]),
        (107, &[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0]),
        (107, &[0x18, 0x41, 8, 0]),
        (107, &[0x18, 0x40, 0x40, 0x41, 3, 0xcc]),
        (100, &llc),
        (106, &llc),
        (106, &[]),
        (100, &[0xfe, 0xfe, 3, 0xcc]),
    ] {
        assert_eq!(read(number, &join(&[head, &four])).direction, None);
    }
    let bridged = join(&[
        &[0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 7, 0, 0],
        &MACS,
        &[8, 0],
        &four,
    ]);
    assert!(read(100, &bridged).macs.is_some());
    for (number, head) in [
        (166, &[3, 0, 0x21][..]),
        (204, &[0xff, 3, 0, 0x21]),
        (204, &[0, 0x21]),
        (205, &[0x0f, 0, 8, 0]),
        (206, &[0x18, 0x41, 3, 0xcc]),
        (8, &[0; 15]),
        (102, &[0; 23]),
        (123, &[0, 0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]),
    ] {
        for (first, direction) in [(0, Direction::Incoming), (1, Direction::Outgoing)] {
            let first = match number {
                123 => 2 | first << 7,
                _ => first,
            };
            let frame = join(&[&[first], head, &four]);
            assert_eq!(read(number, &frame).direction, Some(direction), "{number}");
        }
    }
}

#[test]
fn other_local_networks_are_read() {
    let four = ip4();
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let mut routed = MACS;
    routed[6] |= 0x80;
    let ring = join(&[&[0x10, 0x40], &MACS, &llc, &four]);
    let ring_routed = join(&[&[0x10, 0x40], &routed, &[6, 0, 0, 1, 0, 2], &llc, &four]);
    for (number, frame) in [
        (6, ring),
        (6, ring_routed),
        (10, join(&[&[0x50], &MACS, &llc, &four])),
        (122, join(&[&[0; 16], &llc, &four])),
        (138, join(&[&[1; 16], &[8, 0], &four])),
        (242, join(&[&[0; 40], &[8, 0, 0, 0], &four])),
        (7, join(&[&[1, 2, 212, 0, 0, 1], &four])),
        (7, join(&[&[1, 2, 240], &four])),
        (129, join(&[&[1, 2, 0, 0, 212, 0, 0, 1], &four])),
        (143, join(&[&[0, 0, 0, 54], &[0, 0], &MACS, &[8, 0], &four])),
        (
            143,
            join(&[&[1, 3, 0, 57, 9, 9, 9, 0, 0], &MACS, &[8, 0], &four]),
        ),
        (240, join(&[&[0; 4], &MACS, &[8, 0], &four])),
        (274, join(&[&[0x55; 8], &MACS, &[8, 0], &four])),
        (281, join(&[&MACS, &[0; 4], &[8, 0], &four])),
        (282, join(&[&[0; 4], &MACS, &[8, 0], &four])),
        (
            285,
            join(&[&MACS, &[0xda, 0xda, 0, 0, 0, 0, 0, 0], &[8, 0], &four]),
        ),
    ] {
        assert_eq!(read(number, &frame).ip.source, Ipv4Addr::new(10, 0, 0, 1));
    }
    assert_eq!(decode(Link::TokenRing, &[0; 60]), Err(Malformed::NotIp));
}

#[test]
fn headers_of_captures_are_read() {
    let (four, six) = (ip4(), ip6());
    let attribute = |length: u16| [length.to_le_bytes(), 9_u16.to_le_bytes()].concat();
    let attribute_big = |length: u16| [length.to_be_bytes(), 9_u16.to_be_bytes()].concat();
    let prefix = [5, 0, 10, 0, b'x', 0, 0, 0];
    let head = [2, 0, 0, 1];
    let ipnet = |family: u8| [&[2, family][..], &[0; 22]].concat();
    let cooked =
        |protocol: [u8; 2]| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &protocol].concat();
    for (number, frame) in [
        (239, join(&[&head, &prefix, &attribute(44), &four])),
        (239, join(&[&head, &attribute_big(44), &four])),
        (239, join(&[&[10, 0, 0, 1], &attribute(64), &six])),
        (109, join(&[&[0; 12], &four])),
        (109, join(&[&[0; 12], &six])),
        (226, join(&[&ipnet(2), &four])),
        (226, join(&[&ipnet(26), &six])),
        (0, join(&[&[0, 0, 0, 2], &four])),
        (0, join(&[&[30, 0, 0, 0], &six])),
        (108, join(&[&[0, 0, 0, 28], &six])),
        (113, join(&[&cooked([8, 0]), &four])),
        (
            113,
            join(&[&cooked([0, 4]), &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &four]),
        ),
        (
            113,
            join(&[
                &cooked([0x88, 0x64]),
                &[0x11, 0, 0, 1, 0, 42, 0, 0x21],
                &four,
            ]),
        ),
        (276, join(&[&[0x86, 0xdd], &[0; 18], &six])),
        (178, join(&[b"MGC", &[1], &MACS, &[8, 0], &four])),
        (
            178,
            join(&[b"MGC", &[0x80, 0, 3, 9, 9, 9], &MACS, &[8, 0], &four]),
        ),
        (178, join(&[b"MGC", &[2, 0, 0, 0, 2], &four])),
        (179, join(&[b"MGC", &[0, 0xff, 3, 0, 0x21], &four])),
        (180, join(&[b"MGC", &[0, 0x18, 0x41, 3, 0xcc], &four])),
        (181, join(&[b"MGC", &[0, 0x0f, 0, 8, 0], &four])),
        (
            197,
            join(&[
                &[0; 8],
                &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                &MACS,
                &[8, 0],
                &four,
            ]),
        ),
        (
            197,
            join(&[&[0; 8], &[0x96, 0, 0, 0, 0, 0, 0, 0], &[0; 8], &four]),
        ),
        (99, join(&[&[0; 6], &[8, 0], &[0; 36], &four])),
        (99, join(&[&[0; 18], &[8, 0], &[0; 36], &four])),
    ] {
        read(number, &frame);
    }
    let pktap = |link: u8, flags: u8| {
        let mut head = vec![0; 108];
        (head[0], head[4], head[8], head[36]) = (108, 1, link, flags);
        head
    };
    let incoming = read(258, &join(&[&pktap(1, 1), &MACS, &[8, 0], &four]));
    assert_eq!(incoming.direction, Some(Direction::Incoming));
    assert_eq!(
        read(258, &join(&[&pktap(12, 2), &six])).direction,
        Some(Direction::Outgoing)
    );
    // Not within itself.
    let nested = join(&[&pktap(0, 1), &pktap(1, 1), &four]);
    let mut nested = nested;
    nested[8..10].copy_from_slice(&258_u16.to_le_bytes());
    assert_eq!(decode(Link::Pktap, &nested), Err(Malformed::NotIp));
}

#[test]
fn wireless_frames_are_read_with_their_addresses() {
    let four = ip4();
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let [a, b, c, d] = [1, 2, 3, 4].map(|last| [2, 0, 0, 0, 0, last]);
    let frame = |control: [u8; 2], tail: &[u8]| {
        join(&[&control, &[0; 2], &a, &b, &c, &[0x10, 0], tail, &llc, &four])
    };
    for (control, tail, ends) in [
        ([0x08, 0x00], &[][..], (2, 1)),
        ([0x08, 0x01], &[], (2, 3)),
        ([0x08, 0x02], &[], (3, 1)),
        ([0x08, 0x03], &d, (4, 3)),
        ([0x88, 0x02], &[0, 0], (3, 1)),
        ([0x88, 0x82], &[0, 0, 0, 0, 0, 0], (3, 1)),
    ] {
        let packet = read(105, &frame(control, tail));
        let macs = packet
            .macs
            .map(|macs| (macs.source[5], macs.destination[5]));
        assert_eq!(macs, Some(ends), "{control:x?}");
    }
    let plain = frame([0x08, 0x02], &[]);
    let aggregate = join(&[
        &[0x88, 2, 0, 0],
        &a,
        &b,
        &c,
        &[0, 0],
        &[0x80, 0],
        &d,
        &a,
        &[0, 48],
        &llc,
        &four,
    ]);
    assert_eq!(
        read(105, &aggregate).macs.map(|macs| macs.destination[5]),
        Some(4)
    );
    // Radiotap with a timer, flags and a second map; the header of data is padded.
    let padded = frame([0x88, 0x02], &[0, 0, 0, 0]);
    let radiotap = [
        0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20,
    ];
    let ppi = [0, 0, 8, 0, 105, 0, 0, 0];
    let avs = |magic: [u8; 4]| [&magic[..], &[0, 0, 0, 64], &[0; 56]].concat();
    let prism = [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136]].concat();
    for (number, frame) in [
        (127, join(&[&radiotap, &padded])),
        (127, join(&[&[0, 0, 8, 0, 0, 0, 0, 0], &plain])),
        (192, join(&[&ppi, &plain])),
        (
            192,
            join(&[&[0, 0, 8, 0, 1, 0, 0, 0], &MACS, &[8, 0], &four]),
        ),
        (163, join(&[&avs([0x80, 0x21, 0x10, 1]), &plain])),
        (119, join(&[&avs([0x80, 0x21, 0x10, 2]), &plain])),
        (119, join(&[&prism, &plain])),
    ] {
        read(number, &frame);
    }
    // A beacon, no data, the second part of a packet; protected.
    let (no_ip, encrypted) = (Malformed::NotIp, Malformed::Encrypted);
    for (at, value, cause) in [
        (0, 0x80, no_ip),
        (0, 0x48, no_ip),
        (22, 1, no_ip),
        (1, 0x42, encrypted),
    ] {
        let mut other = plain.clone();
        other[at] = value;
        assert_eq!(decode(Link::Wireless, &other), Err(cause));
    }
}
