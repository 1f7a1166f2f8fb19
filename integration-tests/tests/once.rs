//! A packet counts once, whichever way it takes: links that share a flow count
//! each what comes over them, and what passes several interfaces counts at one.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{Daemon, Netns, eventually, frame, root, totals, veth};

const PORT: u16 = 6400;

/// Longer than a busy machine takes from one sender to the next.
const PATIENT: &str = "[datapath]\ntcp_idle = \"5s\"\nother_idle = \"5s\"\n";

/// So many copies of one datagram.
fn datagrams(count: usize) -> Vec<Vec<u8>> {
    let (from, to) = ([10, 9, 1, 1].into(), [10, 9, 1, 77].into());
    let packet = frame::ipv4(from, to, 17, &frame::udp(36_399, PORT, b"x"));
    vec![frame::ethernet(&[], frame::IPV4, &packet); count]
}

/// Waits until flows to the port end with these packets in each direction.
fn counts(daemon: &Daemon, protocol: &str, port: u32, expected: &[(u64, u64)]) {
    let mut last = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while last != expected {
        assert!(
            std::time::Instant::now() < deadline,
            "{last:?}, not {expected:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
        last = daemon
            .flows()
            .iter()
            .filter(|flow| totals::text(flow, "end_reason").is_some())
            .filter(|flow| {
                totals::direction(flow).is_some_and(|way| {
                    way.protocol == protocol && way.to.1 == port && way.is_ours()
                })
            })
            .map(|flow| {
                let number = |key| totals::number(flow, key);
                (number("packets"), number("reverse_packets"))
            })
            .collect();
        last.sort_unstable();
    }
}

/// The daemon in `own`, with other namespaces beside it.
fn watching(own: &Netns, others: &[&Netns], arguments: &[&str]) -> Daemon {
    let mut config = PATIENT.to_owned();
    for other in others {
        config += &format!(
            "[[datapath.namespace]]\npath = \"/run/netns/{}\"\n",
            other.name
        );
    }
    Daemon::start(own, &config, arguments)
}

/// Two links between `a` and `b`.
fn two_links(a: &Netns, b: &Netns) {
    veth((a, "va"), (b, "vb"), 1);
    veth((a, "vc"), (b, "vd"), 2);
}

/// Sends by both links in turns, then more by the second.
fn share(a: &Netns) {
    for _ in 0..3 {
        frame::send(a, "va", &datagrams(10));
        frame::send(a, "vc", &datagrams(10));
    }
    frame::send(a, "vc", &datagrams(290));
}

#[test]
fn a_flow_over_two_links_has_the_packets_of_both() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    two_links(&a, &b);
    let daemon = watching(&b, &[], &["--interface", "vb", "--interface", "vd"]);
    share(&a);
    counts(&daemon, "udp", PORT.into(), &[(350, 0)]);
}

#[test]
fn a_flow_over_two_links_that_are_seen_at_both_ends_counts_once() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    two_links(&a, &b);
    let daemon = watching(&b, &[&a], &[]);
    share(&a);
    counts(&daemon, "udp", PORT.into(), &[(350, 0)]);
}

#[test]
fn both_ends_of_a_cable_in_one_namespace_count_once() {
    if !root() {
        return;
    }
    let host = Netns::new();
    host.run(
        "for n in 1 2; do ip link add v${n}a type veth peer name v${n}b && \
         ip link set v${n}a up && ip link set v${n}b up; done",
    );
    let daemon = watching(&host, &[], &[]);
    for interface in ["v1a", "v2a", "v1a", "v2b"] {
        frame::send(&host, interface, &datagrams(25));
    }
    counts(&daemon, "udp", PORT.into(), &[(100, 0)]);
}

#[test]
fn containers_on_a_bridge_seen_everywhere_count_once() {
    if !root() {
        return;
    }
    let (a, host, b) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&host, "ha"), 1);
    veth((&b, "vb"), (&host, "hb"), 1);
    b.run("ip addr flush dev vb && ip addr add 10.9.1.7/24 dev vb");
    host.run(
        "ip addr flush dev ha && ip addr flush dev hb && ip link add br0 type bridge && \
         ip link set ha master br0 && ip link set hb master br0 && \
         ip addr add 10.9.1.254/24 dev br0 && ip link set br0 up",
    );
    let daemon = watching(&host, &[&a, &b], &[]);
    a.run("ping -q -c 7 -i 0.05 10.9.1.7");
    counts(&daemon, "icmp", 8, &[(7, 7)]);
    // To the host itself, up the bridge.
    a.run("ping -q -c 3 -i 0.05 10.9.1.254");
    counts(&daemon, "icmp", 8, &[(3, 3), (7, 7)]);
}

#[test]
fn an_interface_above_another_counts_once() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    a.run(
        "ip link add mv0 link va type macvlan mode bridge && \
         ip addr add 10.9.3.1/24 dev mv0 && ip link set mv0 up",
    );
    b.run("ip addr add 10.9.3.2/24 dev vb");
    let daemon = watching(&a, &[&b], &[]);
    a.run("ping -q -c 6 -i 0.05 10.9.3.2");
    counts(&daemon, "icmp", 8, &[(6, 6)]);
}

#[test]
fn both_legs_of_a_translated_flow_have_all_their_packets() {
    if !root() {
        return;
    }
    let (a, router, b) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&router, "ra"), 1);
    veth((&b, "vb"), (&router, "rb"), 2);
    a.run("ip route add default via 10.9.1.2");
    router.run(
        "sysctl -qw net.ipv4.ip_forward=1 && nft add table ip n && \
         nft 'add chain ip n p { type nat hook postrouting priority 100; }' && \
         nft add rule ip n p oifname rb masquerade",
    );
    let daemon = watching(&router, &[], &[]);
    // The peer answers the router; from the first port to the second.
    a.run(&format!(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",36399))\n[s.sendto(b\"x\",(\"10.9.2.1\",{PORT})) for _ in range(9)]'"
    ));
    counts(&daemon, "udp", PORT.into(), &[(9, 0), (9, 0)]);
}

#[test]
fn what_a_sender_hears_of_its_own_group_counts_once() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let daemon = watching(&a, &[], &["--interface", "va"]);
    a.run(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         me=socket.inet_aton(\"10.9.1.1\")\n\
         s.bind((\"\",6500))\n\
         s.setsockopt(0,socket.IP_MULTICAST_IF,me)\n\
         s.setsockopt(0,socket.IP_ADD_MEMBERSHIP,socket.inet_aton(\"239.1.2.3\")+me)\n\
         [s.sendto(b\"x\",(\"239.1.2.3\",6500)) for _ in range(8)]'",
    );
    let flow = eventually("the end of the group's flow", || {
        daemon.flows().into_iter().find(|flow| {
            totals::text(flow, "end_reason").is_some()
                && totals::direction(flow).is_some_and(|way| way.to.1 == 6500)
        })
    });
    assert_eq!(totals::number(&flow, "packets"), 8);
}
