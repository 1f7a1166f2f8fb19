//! VLAN ids that tell flows apart (`vlan_in_key`), live and in captures.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{collections::BTreeMap, net::Ipv4Addr};

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, foreign::Foreign, frame, root, totals, veth,
};
use sextant_proto::flow::{Flow, Verdict};

/// The lower port is the server of a flow that may be older than the daemon.
const PORT: u16 = 530;
const X: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const Y: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 77);
const Q: u16 = 0x8100;
const PROVIDER: u16 = 0x88a8;

/// VLAN tags of a frame, outer first, and what tells its flow apart.
type Tagged = (&'static [(u16, u16)], &'static [u64]);

const TAGS: [Tagged; 6] = [
    (&[], &[]),
    (&[(Q, 10)], &[10]),
    (&[(Q, 20)], &[20]),
    (&[(PROVIDER, 10), (Q, 5)], &[10, 5]),
    (&[(PROVIDER, 10), (Q, 6)], &[10, 6]),
    // A priority is no VLAN.
    (&[(Q, 7 << 13)], &[]),
];

fn observed(config: &str) -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let daemon = Daemon::start(&b, &format!("{QUICK}{config}"), &["--interface", "vb"]);
    (a, b, daemon)
}

fn packet(payload: &[u8]) -> Vec<u8> {
    frame::ipv4(X, Y, 17, &frame::udp(6000, PORT, payload))
}

fn vlan(flow: &Flow) -> Vec<u64> {
    match totals::value(flow, "vlan") {
        Some(prost_types::value::Kind::ListValue(list)) => {
            let number = |value: &prost_types::Value| match value.kind {
                Some(prost_types::value::Kind::NumberValue(number)) => number as u64,
                _ => 0,
            };
            list.values.iter().map(number).collect()
        }
        _ => Vec::new(),
    }
}

/// Packets and verdicts of flows that ended, by VLAN; all of them, once there are so many.
fn ends(daemon: &Daemon, packets: u64) -> BTreeMap<Vec<u64>, (u64, Verdict)> {
    eventually("the ends of the flows", || {
        let mut ends = BTreeMap::new();
        for flow in daemon.flows() {
            let is_ours = totals::direction(&flow).is_some_and(|way| way.to.1 == u32::from(PORT));
            if is_ours && totals::text(&flow, "end_reason").is_some() {
                let count = totals::number(&flow, "packets");
                let known = ends.insert(vlan(&flow), (count, flow.verdict()));
                assert_eq!(known, None, "one flow a VLAN");
            }
        }
        let all: u64 = ends.values().map(|(count, _)| count).sum();
        (all == packets).then_some(ends)
    })
}

#[test]
fn the_same_addresses_and_ports_in_two_vlans_are_two_flows() {
    if !root() {
        return;
    }
    for config in ["vlan_in_key = true\n", ""] {
        let (a, _b, daemon) = observed(config);
        let mut expected = BTreeMap::<Vec<u64>, (u64, Verdict)>::new();
        let mut frames = Vec::new();
        for (number, (tags, ids)) in TAGS.iter().enumerate() {
            let key = if config.is_empty() { &[] } else { *ids };
            let count = number + 1;
            let end = expected
                .entry(key.into())
                .or_insert((0, Verdict::Forwarded));
            end.0 += count as u64;
            frames.extend(vec![
                frame::ethernet(tags, frame::IPV4, &packet(b"x"));
                count
            ]);
        }
        frame::send(&a, "va", &frames);
        assert_eq!(ends(&daemon, 21), expected, "{config}");
    }
}

#[test]
fn fragments_of_two_vlans_with_one_id_are_not_joined() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = observed("vlan_in_key = true\n");
    let piece = |offset: u16, more: u16, payload: &[u8]| {
        let mut packet = frame::ipv4(X, Y, 17, payload);
        packet[4..6].copy_from_slice(&7_u16.to_be_bytes());
        packet[6..8].copy_from_slice(&((more << 13) | (offset / 8)).to_be_bytes());
        packet
    };
    let first = |port| piece(0, 1, &frame::udp(6000, port, &[0; 16])[..16]);
    let last = piece(16, 0, &[0; 16]);
    let tagged = |id: u16, packet: &[u8]| frame::ethernet(&[(Q, id)], frame::IPV4, packet);
    frame::send(
        &a,
        "va",
        &[
            tagged(10, &first(PORT)),
            tagged(20, &first(9)),
            tagged(10, &last),
            tagged(20, &last),
        ],
    );
    assert_eq!(
        ends(&daemon, 2),
        BTreeMap::from([(vec![10], (2, Verdict::Forwarded))])
    );
}

#[test]
fn a_drop_is_told_to_the_flow_of_its_vlan() {
    if !root() {
        return;
    }
    let (a, b, daemon) = observed("vlan_in_key = true\n");
    let (has_rule, _) = b.try_run(
        "nft add table netdev t && \
         nft 'add chain netdev t in { type filter hook ingress device vb priority 0; }' && \
         nft add rule netdev t in vlan id 10 drop",
    );
    if !has_rule {
        println!("SKIPPED: no nft rule for VLANs on this kernel");
        return;
    }
    let tagged = |id: u16| frame::ethernet(&[(Q, id)], frame::IPV4, &packet(b"x"));
    frame::send(&a, "va", &[tagged(10), tagged(20), tagged(10)]);
    assert_eq!(
        ends(&daemon, 3),
        BTreeMap::from([
            (vec![10], (2, Verdict::Dropped)),
            (vec![20], (1, Verdict::Forwarded)),
        ])
    );
    let mut drops = daemon.flows();
    drops.retain(|flow| totals::is_drop(flow) && totals::direction(flow).is_some());
    assert!(!drops.is_empty());
    assert!(drops.iter().all(|flow| vlan(flow) == [10]), "{drops:?}");
}

#[test]
fn a_vlan_interface_and_the_tag_below_it_are_one_flow_counted_once() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let (has_vlans, _) = b.try_run("ip link add link vb name vb.10 type vlan id 10");
    if !has_vlans {
        println!("SKIPPED: no VLAN interfaces on this kernel");
        return;
    }
    b.run("ip link set vb.10 up");
    let daemon = Daemon::start(
        &b,
        &format!("{QUICK}vlan_in_key = true\n"),
        &["--interface", "vb*"],
    );
    let frame = frame::ethernet(&[(Q, 10)], frame::IPV4, &packet(b"x"));
    frame::send(&a, "va", &vec![frame; 3]);
    assert_eq!(
        ends(&daemon, 3),
        BTreeMap::from([(vec![10], (3, Verdict::Forwarded))])
    );
}

#[test]
fn a_bridge_that_takes_tags_off_has_a_flow_on_either_side() {
    if !root() {
        return;
    }
    for (config, each, all) in [("vlan_in_key = true\n", true, 6), ("", false, 3)] {
        let (a, host, b) = (Netns::new(), Netns::new(), Netns::new());
        veth((&a, "va"), (&host, "vb"), 1);
        veth((&b, "vd"), (&host, "vc"), 2);
        host.run(
            "ip link add br0 type bridge && ip link set vb master br0 && \
             ip link set vc master br0 && ip link set br0 up",
        );
        // The frames have no checksum, which the firewall of bridges would look at.
        host.run("cd /proc/sys/net && test ! -d bridge || echo 0 > bridge/bridge-nf-call-iptables");
        let daemon = Daemon::start(
            &host,
            &format!("{QUICK}{config}"),
            &["--interface", "vb", "--interface", "vc"],
        );
        // This kernel's bridges filter no VLANs: somebody else's program does what they do.
        let _off = Foreign::without_tags(&host, "vb");
        let frame = frame::ethernet(&[(Q, 10)], frame::IPV4, &packet(b"x"));
        frame::send(&a, "va", &vec![frame; 3]);
        let end = (3, Verdict::Forwarded);
        let mut expected = BTreeMap::from([(vec![10], end)]);
        if each {
            expected.insert(vec![], end);
        }
        assert_eq!(ends(&daemon, all), expected, "{config}");
    }
}

/// A DNS query for the address of a name of one letter below `test`, or the answer to it.
fn dns(letter: u8, answer: Option<Ipv4Addr>) -> Vec<u8> {
    let (flags, count) = match answer {
        Some(_) => (0x8180_u16, 1),
        None => (0x0100, 0),
    };
    let mut message: Vec<u8> = [u16::from(letter), flags, 1, count, 0, 0]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    message.extend([1, letter, 4, b't', b'e', b's', b't', 0, 0, 1, 0, 1]);
    if let Some(address) = answer {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
        message.extend(address.octets());
    }
    message
}

#[test]
fn what_was_asked_for_in_one_vlan_names_nothing_in_another() {
    if !root() {
        return;
    }
    let server = Ipv4Addr::new(192, 0, 2, 9);
    let (a, _b, daemon) = observed("vlan_in_key = true\n");
    let mut frames = Vec::new();
    let tagged = |id: u16, packet: &[u8]| frame::ethernet(&[(Q, id)], frame::IPV4, packet);
    for (id, letter) in [(10, b'a'), (20, b'b')] {
        let query = frame::udp(4000, 53, &dns(letter, None));
        let answer = frame::udp(53, 4000, &dns(letter, Some(server)));
        frames.push(tagged(id, &frame::ipv4(X, Y, 17, &query)));
        frames.push(tagged(id, &frame::ipv4(Y, X, 17, &answer)));
    }
    frame::send(&a, "va", &frames);
    let messages = || {
        let mut messages = daemon.flows();
        messages.retain(|flow| flow.l7.is_some());
        (messages.len() == 4).then_some(())
    };
    eventually("the messages", messages);
    let datagram = frame::ipv4(X, server, 17, &frame::udp(6000, PORT, b"x"));
    frame::send(&a, "va", &[10, 20, 30].map(|id| tagged(id, &datagram)));
    eventually("names by VLAN", || {
        let mut names = BTreeMap::new();
        for flow in daemon.flows() {
            if totals::direction(&flow).is_some_and(|way| way.to.1 == u32::from(PORT)) {
                names.insert(vlan(&flow), flow.destination_names);
            }
        }
        (names.len() == 3).then(|| {
            assert_eq!(names[&vec![10]], ["a.test"]);
            assert_eq!(names[&vec![20]], ["b.test"]);
            assert!(names[&vec![30]].is_empty());
        })
    });
}
