//! Wire truth at the corners: loopback, a bridge under load, ports used again,
//! clsact, echoes of several pings.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, compare, daemon::QUICK, eventually, frame, iperf, root, totals, veth,
};

fn listens(namespace: &Netns, port: u16) {
    eventually("the server listens", || {
        let sockets = namespace.run(&format!("ss -Hltn sport = {port}"));
        sockets.contains(&format!(":{port}")).then_some(())
    });
}

fn linked() -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    (a, b)
}

/// Reasons of the ends of flows to a port.
fn ends(daemon: &Daemon, port: u32) -> Vec<String> {
    let flows = daemon.flows();
    let of_port = flows
        .iter()
        .filter(|flow| totals::direction(flow).is_some_and(|way| way.to.1 == port));
    of_port
        .filter_map(|flow| totals::text(flow, "end_reason"))
        .collect()
}

#[test]
fn loopback_traffic_is_counted_once() {
    if !root() {
        return;
    }
    let host = Netns::new();
    host.run("ethtool -K lo tso off gso off gro off tx-udp-segmentation off >/dev/null");
    let daemon = Daemon::start(&host, QUICK, &["--interface", "lo"]);
    let truth = compare::equal(&daemon, (&host, "lo"), || {
        let _server = iperf::serve(&host);
        iperf::run(&host, "-c 127.0.0.1 -n 1M");
        iperf::run(&host, "-c ::1 -n 1M");
        iperf::run(&host, "-u -c 127.0.0.1 -b 2M -l 100 -t 1");
        host.run("ping -q -c 3 -i 0.2 127.0.0.1 && ping -q -c 3 -i 0.2 ::1");
    });
    // Its own address on both sides: both directions of a ping are there.
    let echoes = truth.keys().filter(|way| way.protocol.starts_with("icmp"));
    assert_eq!(echoes.count(), 2);
    let seen = "sextant_unaccounted_packets_total{cause=\"seen_elsewhere\"}";
    let total: u64 = truth.values().map(|(packets, _)| packets).sum();
    assert!(daemon.metric(&host, seen) >= total, "each came by twice");
}

#[test]
fn traffic_over_a_bridge_under_load_is_counted_once() {
    if !root() {
        return;
    }
    let (a, host, b) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&host, "ha"), 1);
    veth((&b, "vb"), (&host, "hb"), 1);
    b.run("ip addr flush dev vb && ip addr add 10.9.1.7/24 dev vb && ip addr add fd09:1::7/64 dev vb nodad");
    host.run(
        "ip addr flush dev ha && ip addr flush dev hb && ip link add br0 type bridge && \
         ip link set ha master br0 && ip link set hb master br0 && ip link set br0 up && \
         ethtool -K br0 tso off gso off gro off >/dev/null",
    );
    let daemon = Daemon::start(&host, QUICK, &[]);
    let truth = compare::equal(&daemon, (&a, "va"), || {
        let _server = iperf::serve(&b);
        iperf::run(&a, "-c 10.9.1.7 -n 4M");
        iperf::run(&a, "-c fd09:1::7 -n 4M -R");
        iperf::run(&a, "-u -c 10.9.1.7 -b 20M -l 64 -t 1");
    });
    let flows = daemon.flows();
    for way in truth.keys().filter(|way| way.to.1 == 5201) {
        let last = flows
            .iter()
            .filter(|flow| totals::direction(flow).as_ref() == Some(way))
            .find(|flow| totals::text(flow, "end_reason").is_some())
            .unwrap();
        let points = totals::texts(last, "observation_points");
        for point in ["ha:ingress", "hb:egress", "hb:ingress", "ha:egress"] {
            assert!(points.iter().any(|seen| seen == point), "{points:?}");
        }
    }
}

/// Connections from one port, each closed as `close` says.
fn same_port(a: &Netns, b: &Netns, close: &str, times: u32) {
    b.run("sysctl -qw net.ipv4.tcp_max_tw_buckets=0");
    let server = b.spawn(
        "python3 -c 'import socket\ns=socket.create_server((\"\",80))\n\
         while True:\n c,_=s.accept(); c.send(b\"hello\"); c.close()'",
    );
    listens(b, 80);
    a.run(&format!(
        "python3 -c 'import socket,struct,time\n\
         for _ in range({times}):\n \
         s=socket.socket()\n \
         s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n \
         s.bind((\"\",4000)); s.connect((\"10.9.1.2\",80))\n \
         while s.recv(9): pass\n {close}\n s.close(); time.sleep(.05)'"
    ));
    drop(server);
}

#[test]
fn ports_used_again_after_fin_or_rst_are_flows_of_their_own() {
    if !root() {
        return;
    }
    let linger = "s.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack(\"ii\",1,0))";
    for (close, reason) in [("pass", "fin"), (linger, "rst")] {
        let (a, b) = linked();
        let daemon = Daemon::start(&b, QUICK, &["--interface", "vb"]);
        compare::equal(&daemon, (&b, "vb"), || same_port(&a, &b, close, 5));
        assert_eq!(ends(&daemon, 80), [reason; 5]);
    }
}

#[test]
fn clsact_tells_what_tcx_tells() {
    if !root() {
        return;
    }
    let (a, b) = linked();
    let config = format!("{QUICK}force_clsact = true\n");
    let daemon = Daemon::start(&b, &config, &["--interface", "vb"]);
    assert!(b.run("tc filter show dev vb ingress").contains("bpf"));
    compare::equal(&daemon, (&b, "vb"), || {
        let _server = iperf::serve(&b);
        iperf::run(&a, "-c 10.9.1.2 -n 2M");
        iperf::run(&a, "-c fd09:1::2 -n 2M -R");
        iperf::run(&a, "-u -c 10.9.1.2 -b 20M -l 64 -t 1");
        a.run("ping -q -c 2 -i 0.2 -s 5000 10.9.1.2 && ping -q -c 2 -i 0.2 -s 5000 fd09:1::2");
        let datagram = frame::udp(6100, 7, b"tagged");
        let packet = frame::ipv4([10, 9, 1, 1].into(), [10, 9, 1, 2].into(), 17, &datagram);
        let tags = [(0x88a8, 200), (0x8100, 100)];
        frame::send(&a, "va", &[frame::ethernet(&tags, frame::IPV4, &packet)]);
    });
}

#[test]
fn pings_at_the_same_time_are_flows_by_their_ids() {
    if !root() {
        return;
    }
    let (a, b) = linked();
    let daemon = Daemon::start(&b, QUICK, &["--interface", "vb"]);
    compare::equal(&daemon, (&b, "vb"), || {
        a.run(
            "for to in 10.9.1.2 fd09:1::2; do for n in 2 3 4 5; do \
             ping -q -e $((1000 + n)) -i 0.2 -c $n $to & done; done; wait",
        );
    });
    let flows = daemon.flows();
    for protocol in ["icmp", "icmp6"] {
        let mut counts: Vec<(u64, u64)> = flows
            .iter()
            .filter(|flow| totals::text(flow, "end_reason").is_some())
            .filter(|flow| {
                totals::direction(flow).is_some_and(|way| way.protocol == protocol && way.is_ours())
            })
            .map(|flow| {
                let number = |key| totals::number(flow, key);
                (number("packets"), number("reverse_packets"))
            })
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [(2, 2), (3, 3), (4, 4), (5, 5)], "{protocol}");
    }
}
