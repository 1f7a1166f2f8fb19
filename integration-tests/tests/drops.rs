//! Packets that the kernel drops: which are told, as what, and when.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::collections::BTreeSet;

use sextant_integration_tests::{
    Daemon, Netns, eventually, frame, root,
    there::{self, Told, Transport},
    totals, veth,
};
use sextant_proto::flow::Flow;

/// Two namespaces, the daemon in the second.
fn linked(config: &str) -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    // Where frames made by hand go to.
    b.run("ip link set vb address 02:00:00:00:00:02");
    let daemon = Daemon::start(&b, config, &["--interface", "vb"]);
    (a, b, daemon)
}

fn dropped(daemon: &Daemon) -> Vec<Flow> {
    let mut flows = daemon.flows();
    flows.retain(totals::is_drop);
    flows
}

fn cause(daemon: &Daemon, namespace: &Netns, name: &str) -> u64 {
    daemon.metric(
        namespace,
        &format!("sextant_unaccounted_packets_total{{cause=\"{name}\"}}"),
    )
}

#[test]
fn a_frame_shorter_than_its_ip_header_is_counted_and_no_flow() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("");
    let before = cause(&daemon, &b, "drop_truncated_header");
    let frames = [
        frame::ethernet(&[], frame::IPV4, &[0x45, 0, 0, 20]),
        frame::ethernet(&[], frame::IPV6, &[0x60, 0, 0, 0, 0, 0, 17, 64]),
    ];
    for _ in 0..50 {
        frame::send(&a, "va", &frames);
    }
    eventually("all are counted", || {
        (cause(&daemon, &b, "drop_truncated_header") >= before + 100).then_some(())
    });
    // What the kernel itself sends to find its neighbours is dropped at times.
    let told: Vec<Told> = dropped(&daemon)
        .iter()
        .filter_map(there::told)
        .filter(|told| !told.is_of_the_kernel())
        .collect();
    assert_eq!(told, []);
}

/// Datagrams from a port of their own, from one socket.
fn datagrams(namespace: &Netns, from: (&str, u16), to: (&str, u16), count: u32) {
    let ((from, from_port), (to, to_port)) = (from, to);
    // Where nobody listens, each second one finds the answer to the one before.
    namespace.run(&format!(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"{from}\",{from_port}))\nfor _ in range({count}): s.sendto(b\"x\",(\"{to}\",{to_port}))'"
    ));
}

#[test]
fn drops_with_equal_addresses_in_two_namespaces_are_two() {
    if !root() {
        return;
    }
    let (own, a, b) = (Netns::new(), Netns::new(), Netns::new());
    let mut config = String::new();
    for namespace in [&a, &b] {
        let name = &namespace.name;
        config += &format!("[[datapath.namespace]]\npath = \"/run/netns/{name}\"\n");
    }
    let daemon = Daemon::start(&own, &config, &[]);
    for namespace in [&own, &a, &b] {
        datagrams(namespace, ("127.0.0.1", 7005), ("127.0.0.1", 9), 1);
    }
    let told = eventually("three drops", || {
        let flows = dropped(&daemon);
        let refused = flows
            .iter()
            .filter(|flow| totals::direction(flow).is_some_and(|way| way.from.1 == 7005));
        let told: Vec<_> = refused
            .map(|flow| {
                let namespace = totals::text(flow, "network_namespace");
                (namespace, totals::number(flow, "drops"))
            })
            .collect();
        (told.len() >= 3).then_some(told)
    });
    assert_eq!(told.len(), 3, "{told:?}");
    let expected = [
        (None, 1),
        (Some(a.name.clone()), 1),
        (Some(b.name.clone()), 1),
    ];
    assert_eq!(BTreeSet::from_iter(told), BTreeSet::from(expected));
}

/// An echo request or a SYN, made by hand: no answer is waited for.
fn by_hand(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let packet = frame::ipv4(
        [10, 9, 1, 1].into(),
        [10, 9, 1, 2].into(),
        protocol,
        payload,
    );
    frame::ethernet(&[], frame::IPV4, &packet)
}

#[test]
fn what_is_told_later_of_drops_has_the_headers_and_comes_soon() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("[datapath]\nactive_interval = \"500ms\"\n");
    b.run("nft add table ip t; nft add chain ip t i '{ type filter hook input priority 0; policy drop; }'");
    let echo = by_hand(1, &[8, 0, 0xf7, 0xfe, 0, 1, 0, 0]);
    let mut syn = vec![0x1f, 0x90, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 9, 9];
    syn.extend([0; 4]);
    let syn = by_hand(6, &syn);
    let sent = std::time::Instant::now();
    frame::send(
        &a,
        "va",
        &[
            echo.clone(),
            syn.clone(),
            echo.clone(),
            syn.clone(),
            echo,
            syn,
        ],
    );
    let of = |transport: &Transport| -> Vec<Flow> {
        let mut flows = dropped(&daemon);
        flows.retain(|flow| there::told(flow).is_some_and(|told| told.transport == *transport));
        flows
    };
    for (transport, summary) in [
        (Transport::Icmp(8, 0), "ICMPv4 EchoRequest"),
        (Transport::Tcp(8080, 80, Some(2)), "TCP Flags: SYN"),
    ] {
        let flows = eventually("all three are told", || {
            let flows = of(&transport);
            let drops: u64 = flows.iter().map(|flow| totals::number(flow, "drops")).sum();
            (drops == 3).then_some(flows)
        });
        let last = flows.last().unwrap();
        assert_eq!(totals::summary(last), format!("{summary}; 2 drops"));
        let ethernet = last.ethernet.clone().unwrap();
        assert_eq!(ethernet.source, "02:00:00:00:00:01");
        assert_eq!(last.interface.as_ref().unwrap().name, "vb");
    }
    let took = sent.elapsed();
    assert!(took.as_secs() < 10, "told after {took:?}");
    let others = dropped(&daemon);
    assert_eq!(others.len(), 4, "{others:?}");
}
