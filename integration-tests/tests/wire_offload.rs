//! Wire truth with offloads: a packet that the kernel cuts into segments later,
//! or has joined of several, counts as what is on the wire.
//!
//! The sender's link leaves the cutting to the kernel, which does it behind
//! the programs and before the capture: the capture has the frames of the wire.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, compare, daemon::QUICK, eventually, iperf, root, totals, veth,
};

/// An event for each packet, so that joined packets show as fewer events.
const EVERY: &str = "aggregation = false\n";

struct Link {
    a: Netns,
    b: Netns,
}

impl Link {
    /// `a` sends offloaded packets, which are cut before they leave.
    fn new() -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        veth((&a, "va"), (&b, "vb"), 1);
        a.run("ethtool -K va gso on tx on sg on tx-udp-segmentation off >/dev/null");
        Self { a, b }
    }

    fn serve(&self) -> sextant_integration_tests::Process {
        iperf::serve(&self.b)
    }
}

/// Events of the transport protocol against packets in the truth.
fn joined(daemon: &Daemon, truth: &totals::Totals, protocol: &str) {
    let events = daemon
        .flows()
        .iter()
        .filter(|flow| totals::text(flow, "end_reason").is_none())
        .filter_map(totals::direction)
        .filter(|direction| direction.protocol == protocol && direction.to.1 == 5201)
        .count() as u64;
    let packets: u64 = truth
        .iter()
        .filter(|(direction, _)| direction.protocol == protocol && direction.to.1 == 5201)
        .map(|(_, (packets, _))| packets)
        .sum();
    assert!(
        events < packets,
        "no packet was joined: {events} events, {packets} packets"
    );
}

#[test]
fn tcp_that_is_cut_later_counts_as_its_segments() {
    if !root() {
        return;
    }
    let link = Link::new();
    let config = format!("{QUICK}{EVERY}");
    let daemon = Daemon::start(&link.a, &config, &["--interface", "va"]);
    let truth = compare::equal(&daemon, (&link.a, "va"), || {
        let _server = link.serve();
        iperf::run(&link.a, "-c 10.9.1.2 -n 4M");
        iperf::run(&link.a, "-c fd09:1::2 -n 4M");
    });
    joined(&daemon, &truth, "tcp");
}

#[test]
fn tcp_that_was_joined_on_receipt_counts_as_its_segments() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.b.run("ethtool -K vb gro on >/dev/null");
    let config = format!("{QUICK}{EVERY}");
    let daemon = Daemon::start(&link.b, &config, &["--interface", "vb"]);
    let truth = compare::equal(&daemon, (&link.a, "va"), || {
        let _server = link.serve();
        iperf::run(&link.a, "-c 10.9.1.2 -n 4M");
        iperf::run(&link.a, "-c fd09:1::2 -n 4M");
    });
    joined(&daemon, &truth, "tcp");
}

#[test]
fn udp_that_is_cut_later_counts_as_its_datagrams() {
    if !root() {
        return;
    }
    let link = Link::new();
    let config = format!("{QUICK}{EVERY}");
    let daemon = Daemon::start(&link.a, &config, &["--interface", "va"]);
    let truth = compare::equal(&daemon, (&link.a, "va"), || {
        // Level 17, option 103: UDP_SEGMENT.
        link.a.run(
            "python3 -c 'import socket\n\
             for family, to in ((socket.AF_INET,\"10.9.1.2\"),(socket.AF_INET6,\"fd09:1::2\")):\n \
             s=socket.socket(family,socket.SOCK_DGRAM)\n \
             s.setsockopt(17,103,1000)\n \
             [s.sendto(bytes(n),(to,5201)) for n in (10500,1001,1000,999)]'",
        );
    });
    joined(&daemon, &truth, "udp");
}

/// A tunnel over the link, `10.8.1.1` and `.2`.
fn vxlan(link: &Link) {
    for (namespace, device, own, peer) in [(&link.a, "va", 1, 2), (&link.b, "vb", 2, 1)] {
        namespace.run(&format!(
            "ip link add vx0 type vxlan id 42 dstport 4789 dev {device} \
             local 10.9.1.{own} remote 10.9.1.{peer} && \
             ip addr add 10.8.1.{own}/24 dev vx0 && ip link set vx0 addrgenmode none && \
             ip link set vx0 address 02:00:00:00:08:0{own} up && \
             ip neigh add 10.8.1.{peer} lladdr 02:00:00:00:08:0{peer} dev vx0 nud permanent"
        ));
    }
}

#[test]
fn tcp_in_a_vxlan_that_is_cut_later_counts_as_its_segments() {
    if !root() {
        return;
    }
    let link = Link::new();
    vxlan(&link);
    let daemon = Daemon::start(&link.a, QUICK, &["--interface", "va"]);
    compare::equal(&daemon, (&link.a, "va"), || {
        let _server = link.serve();
        iperf::run(&link.a, "-c 10.8.1.2 -n 2M");
    });
}

#[test]
fn tcp_in_a_vxlan_that_comes_uncut_counts_as_its_segments() {
    if !root() {
        return;
    }
    let link = Link::new();
    vxlan(&link);
    // The sender leaves the cutting to the link, which does none: its other end
    // is the same host.
    link.a
        .run("ethtool -K va tso on tx-udp_tnl-segmentation on >/dev/null");
    let config = format!("{QUICK}{EVERY}");
    let daemon = Daemon::start(&link.b, &config, &["--interface", "vb"]);
    // The sender's programs are told by the kernel what will be on the wire.
    let sender = Daemon::start(&link.a, &config, &["--interface", "va"]);
    let _server = link.serve();
    iperf::run(&link.a, "-c 10.8.1.2 -n 4M");
    let of = |daemon: &Daemon| {
        let mut seen = totals::ended(&daemon.flows());
        seen.retain(|way, _| way.protocol == "udp" && way.is_ours());
        seen
    };
    eventually("the same at both ends", || {
        let (sent, received) = (of(&sender), of(&daemon));
        (!sent.is_empty() && sent == received).then_some(())
    });
    let events = daemon.flows().len() as u64;
    let packets: u64 = of(&daemon).values().map(|(packets, _)| packets).sum();
    assert!(events < packets, "nothing came uncut: {events}, {packets}");
}
