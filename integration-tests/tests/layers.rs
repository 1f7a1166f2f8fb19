//! What lies between a link's header and the ports: shims and labels, headers
//! of IPsec, padding, lengths that are wrong, protocols without ports.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::net::Ipv4Addr;

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, frame, root, totals, veth,
};
use sextant_proto::flow::{Flow, layer4::Protocol};

const X: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const Y: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 77);

fn observed() -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let daemon = Daemon::start(&b, QUICK, &["--interface", "vb"]);
    (a, b, daemon)
}

fn packet(port: u16) -> Vec<u8> {
    frame::ipv4(X, Y, 17, &frame::udp(6000, port, b"payload"))
}

fn packet6(port: u16) -> Vec<u8> {
    let (x, y) = ("fd09:1::1".parse().unwrap(), "fd09:1::77".parse().unwrap());
    frame::ipv6(x, y, 17, &frame::udp(6000, port, b"payload"))
}

/// First events of flows between the test's own addresses.
fn flows(daemon: &Daemon, is_wanted: impl Fn(&Flow) -> bool) -> Vec<Flow> {
    let mut flows = daemon.flows();
    flows.retain(|flow| {
        let ours = |ip: &str| ip.starts_with("10.9.1.") || ip.starts_with("fd09:1::");
        flow.ip.as_ref().is_some_and(|ip| ours(&ip.source)) && is_wanted(flow)
    });
    flows
}

fn has_port(flow: &Flow, port: u32) -> bool {
    totals::direction(flow).is_some_and(|way| way.protocol == "udp" && way.to.1 == port)
}

#[test]
fn ip_behind_shims_and_labels_is_seen() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = observed();
    let pppoe = |protocol: &[u8], packet: &[u8]| {
        let length = (protocol.len() + packet.len()) as u16;
        [
            &[0x11, 0, 0, 7],
            &length.to_be_bytes()[..],
            protocol,
            packet,
        ]
        .concat()
    };
    let snap = |kind: u16, packet: &[u8]| {
        [&[0xaa, 0xaa, 3, 0, 0, 0], &kind.to_be_bytes()[..], packet].concat()
    };
    let shim =
        |bytes: &[u8], kind: u16, packet: &[u8]| [bytes, &kind.to_be_bytes()[..], packet].concat();
    let label = |value: u8, bottom: u8| vec![0, value, bottom, 64];
    let inner = |port: u16| frame::ethernet(&[(0x8100, 9)], frame::IPV4, &packet(port));
    type Behind<'a> = (&'a [(u16, u16)], u16, Vec<u8>);
    let behind: Vec<Behind<'_>> = vec![
        (&[], 0x8864, pppoe(&[0, 0x21], &packet(1))),
        (&[], 0x8864, pppoe(&[0, 0x57], &packet6(2))),
        (&[], 0x8864, pppoe(&[0x21], &packet(3))),
        (&[(0x8100, 7)], 0x8864, pppoe(&[0, 0x21], &packet(4))),
        (
            &[],
            0x8847,
            [label(3, 0x10), label(4, 0x11), packet(5)].concat(),
        ),
        (&[], 0x8848, [label(3, 0x11), packet6(6)].concat()),
        (&[], 46, snap(frame::IPV4, &packet(7))),
        (&[(0x8100, 7)], 66, snap(frame::IPV6, &packet6(8))),
        (&[], 38, [vec![6, 6, 3], packet(9)].concat()),
        (
            &[],
            0x894f,
            [vec![0x0f, 0xc2, 1, 1, 0, 0, 1, 255], packet(10)].concat(),
        ),
        (&[], 0x893f, shim(&[0; 6], frame::IPV4, &packet(11))),
        (&[], 0x88e7, shim(&[0; 16], frame::IPV4, &packet(12))),
        (
            &[(0x88a8, 1), (0x8100, 2), (0x8100, 3), (0x8100, 4)],
            frame::IPV4,
            packet(13),
        ),
        (
            &[],
            0x8909,
            shim(&[1, 1, 0, 1, 0, 9], frame::IPV4, &packet(14)),
        ),
        (&[], 0x22f3, [vec![0, 0x3f, 0, 1, 0, 2], inner(15)].concat()),
        (
            &[],
            0x22f3,
            [vec![0, 0x7f, 0, 1, 0, 2, 9, 9, 9, 9], inner(16)].concat(),
        ),
        (&[], 0x8903, [vec![4, 0x60], inner(17)].concat()),
        (
            &[],
            0x88e5,
            shim(&[0, 0, 0, 0, 0, 1], frame::IPV4, &packet(18)),
        ),
        (
            &[(0x8100, 7)],
            0x88e5,
            shim(
                &[0x20, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 1],
                frame::IPV6,
                &packet6(19),
            ),
        ),
        (
            &[],
            0x8847,
            [label(3, 0x11), vec![0, 0, 0, 7], inner(20)].concat(),
        ),
        (&[], 0x8847, [label(3, 0x11), inner(21)].concat()),
        (&[], 0x6558, inner(22)),
        (
            &[],
            0x8864,
            pppoe(&[2, 0x81], &[label(3, 0x11), packet(23)].concat()),
        ),
    ];
    let frames: Vec<_> = behind
        .iter()
        .map(|(tags, kind, payload)| frame::ethernet(tags, *kind, payload))
        .collect();
    frame::send(&a, "va", &frames);
    for port in 1..=23 {
        eventually(&format!("the flow to port {port}"), || {
            let found = flows(&daemon, |flow| has_port(flow, port));
            (!found.is_empty()).then_some(())
        });
    }
}

#[test]
fn what_an_authentication_header_covers_is_seen() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = observed();
    let header = |next: u8| {
        // RFC 4302: 24 bytes.
        [&[next, 4, 0, 0][..], &[0; 20]].concat()
    };
    let covered = [header(17), frame::udp(6000, 21, b"x")].concat();
    let packet = frame::ipv4(X, Y, 51, &covered);
    frame::send(&a, "va", &[frame::ethernet(&[], frame::IPV4, &packet)]);
    eventually("the flow", || {
        flows(&daemon, |flow| has_port(flow, 21)).pop()
    });
}

#[test]
fn padding_is_no_header_and_a_wrong_length_is_told() {
    if !root() {
        return;
    }
    let (a, b, daemon) = observed();
    let metric = |cause: &str| {
        let name = format!("sextant_unaccounted_packets_total{{cause=\"{cause}\"}}");
        daemon.metric(&b, &name)
    };
    let with_length = |length: u16, protocol: u8, rest: &[u8]| {
        let mut packet = frame::ipv4(X, Y, protocol, rest);
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet.resize(packet.len().max(46), 0x22);
        frame::ethernet(&[], frame::IPV4, &packet)
    };
    let short = (
        metric("truncated_transport_header"),
        metric("malformed_ip_header"),
    );
    frame::send(
        &a,
        "va",
        &[
            // Of TCP there are four bytes, the others are padding.
            with_length(24, 6, &frame::tcp(6001, 6002, 1, 2)[..4]),
            with_length(24, 17, &frame::udp(6003, 6004, b"")[..4]),
            with_length(20, 6, &[]),
            // Shorter than the header itself.
            with_length(19, 17, &frame::udp(6005, 6006, b"x")),
            with_length(0, 17, &frame::udp(6007, 6008, b"x")),
        ],
    );
    eventually("the causes", || {
        let now = (
            metric("truncated_transport_header"),
            metric("malformed_ip_header"),
        );
        (now == (short.0 + 3, short.1 + 2)).then_some(())
    });
    let told = flows(&daemon, |_| true);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn fragments_are_joined_behind_headers_that_only_the_first_has() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = observed();
    let (x, y) = ("fd09:1::1".parse().unwrap(), "fd09:1::77".parse().unwrap());
    let part = |offset: u16, more: u16, payload: &[u8]| {
        let field = (offset << 3 | more).to_be_bytes();
        // What all fragments tell is that destination options follow.
        let header = [&[60, 0][..], &field, &[0, 0, 0, 9]].concat();
        frame::ipv6(x, y, 44, &[&header[..], payload].concat())
    };
    let first = [frame::extension(17), frame::udp(6000, 31, &[0; 8])].concat();
    let frames = [part(0, 1, &first), part(3, 0, &[0; 16])]
        .map(|packet| frame::ethernet(&[], frame::IPV6, &packet));
    frame::send(&a, "va", &frames);
    let flow = eventually("the end of the flow", || {
        let ends = |flow: &Flow| has_port(flow, 31) && totals::text(flow, "end_reason").is_some();
        flows(&daemon, ends).pop()
    });
    assert_eq!(totals::number(&flow, "packets"), 2);
}

#[test]
fn a_first_fragment_with_the_ports_alone_is_in_its_flow() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = observed();
    let part = |offset: u16, more: u16, payload: &[u8]| {
        let mut packet = frame::ipv4(X, Y, 6, payload);
        packet[6..8].copy_from_slice(&(more << 13 | offset).to_be_bytes());
        packet.resize(46, 0);
        frame::ethernet(&[], frame::IPV4, &packet)
    };
    let segment = frame::tcp(6000, 41, 1, 2);
    frame::send(
        &a,
        "va",
        &[part(0, 1, &segment[..8]), part(1, 0, &segment[8..])],
    );
    let flow = eventually("the end of the flow", || {
        flows(&daemon, |flow| {
            totals::direction(flow).is_some_and(|way| way.protocol == "tcp" && way.to.1 == 41)
                && totals::text(flow, "end_reason").is_some()
        })
        .pop()
    });
    assert_eq!(totals::number(&flow, "packets"), 2);
}

#[test]
fn the_end_of_a_flow_keeps_its_tunnel_and_its_kind_of_message() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = observed();
    let inner = frame::ethernet(&[], frame::IPV4, &packet(1));
    let tunnel = |port, header: Vec<u8>| {
        let datagram = frame::udp(46_000, port, &[header, inner.clone()].concat());
        frame::ipv4(X, Y, 17, &datagram)
    };
    let report = |kind: u8| frame::ipv4(X, Y, 2, &[kind, 0, 0, 0, 239, 1, 2, 3]);
    let frames = [
        tunnel(4789, frame::vxlan(42)),
        tunnel(6081, frame::geneve(43)),
        report(0x16),
        report(0x17),
    ]
    .map(|packet| frame::ethernet(&[], frame::IPV4, &packet));
    frame::send(&a, "va", &frames);
    let ended = |wanted: &dyn Fn(&Flow) -> bool| {
        eventually("the end", || {
            flows(&daemon, |flow| {
                totals::text(flow, "end_reason").is_some() && wanted(flow)
            })
            .pop()
        })
    };
    for (port, vni) in [(4789, 42), (6081, 43)] {
        let flow = ended(&|flow| has_port(flow, port));
        assert_eq!(flow.tunnel.unwrap().vni, vni);
    }
    for kind in [0x16, 0x17] {
        ended(&|flow| {
            let l4 = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref());
            matches!(l4, Some(Protocol::Igmp(igmp)) if igmp.r#type == kind && igmp.group_address == "239.1.2.3")
        });
    }
}
