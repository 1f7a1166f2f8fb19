//! What the datapath raises, and when.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, frame, root, totals, veth,
};
use sextant_proto::flow::{Flow, Verdict, layer4::Protocol};

/// Two namespaces, the daemon in the second.
fn linked(config: &str) -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let daemon = Daemon::start(&b, config, &["--interface", "vb"]);
    (a, b, daemon)
}

/// Events of packets that passed, to or from a TCP or UDP port.
fn of_port(daemon: &Daemon, port: u32) -> Vec<Flow> {
    let mut flows = all_of_port(daemon, port);
    flows.retain(|flow| flow.verdict() == Verdict::Forwarded);
    flows
}

/// The same with packets that the kernel dropped.
fn all_of_port(daemon: &Daemon, port: u32) -> Vec<Flow> {
    let mut flows = daemon.flows();
    flows.retain(|flow| {
        totals::direction(flow).is_some_and(|way| way.from.1 == port || way.to.1 == port)
    });
    flows
}

fn nanoseconds(flow: &Flow) -> u64 {
    let time = flow.time.unwrap();
    (time.seconds * 1_000_000_000 + i64::from(time.nanos)) as u64
}

fn end(flow: &Flow) -> Option<String> {
    totals::text(flow, "end_reason")
}

fn cause(daemon: &Daemon, namespace: &Netns, name: &str) -> u64 {
    daemon.metric(
        namespace,
        &format!("sextant_unaccounted_packets_total{{cause=\"{name}\"}}"),
    )
}

/// Sends UDP datagrams from a port of their own.
fn udp(namespace: &Netns, from: u16, to: u16, count: u32, pause: &str) {
    namespace.run(&format!(
        "python3 -c 'import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",{from}))\nfor _ in range({count}):\n s.sendto(b\"x\",(\"10.9.1.2\",{to}))\n time.sleep({pause})'"
    ));
}

#[test]
fn interfaces_are_chosen_by_glob_as_they_come_and_go() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    let config = "[datapath]\ninterfaces = [\"v*\"]\nexclude = [\"vx*\"]\n";
    let daemon = Daemon::start(&b, config, &[]);
    assert_eq!(
        daemon.log().matches("attached").count(),
        0,
        "{}",
        daemon.log()
    );
    veth((&a, "va"), (&b, "vb"), 1);
    veth((&a, "vc"), (&b, "vxd"), 2);
    veth((&a, "ve"), (&b, "other"), 3);
    eventually("vb is attached", || {
        let metric = "sextant_interface_packets_total{interface=\"vb\",direction=\"ingress\"}";
        a.run("ping -q -c 1 10.9.1.2");
        (daemon.metric(&b, metric) > 0).then_some(())
    });
    a.run("ping -q -c 1 10.9.2.2 && ping -q -c 1 10.9.3.2");
    let flows = daemon.flows();
    assert!(
        flows
            .iter()
            .all(|flow| flow.interface.as_ref().unwrap().name == "vb")
    );
    a.run("ip link del va");
    eventually("vb is let go", || {
        daemon.log().contains("detached").then_some(())
    });
}

#[test]
fn without_aggregation_each_packet_is_an_event() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = linked("[datapath]\naggregation = false\n");
    udp(&a, 3000, 3001, 25, "0");
    eventually("25 events", || {
        (of_port(&daemon, 3000).len() == 25).then_some(())
    });
}

#[test]
fn an_active_flow_is_told_at_each_interval_and_its_end_with_totals() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked(&format!("{QUICK}active_interval = \"200ms\"\n"));
    // Somebody who takes them: else all are dropped.
    let _receiver = b.spawn(
        "python3 -c 'import socket,time\nr=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         r.bind((\"\",3001))\ntime.sleep(600)'",
    );
    eventually("it is bound", || {
        let sockets = b.run("ss -Hlun sport = 3001");
        sockets.contains("3001").then_some(())
    });
    // The lower port is the server's: right after the start it is a guess.
    udp(&a, 3300, 3001, 20, "0.05");
    let flows = eventually("the end", || {
        let flows = of_port(&daemon, 3300);
        flows
            .iter()
            .any(|flow| end(flow).is_some())
            .then_some(flows)
    });
    let last = flows.last().unwrap();
    assert_eq!(end(last).as_deref(), Some("idle"));
    assert_eq!(totals::number(last, "packets"), 20);
    // 19 pauses of 50 ms at the least.
    let lasted = totals::number(last, "duration_ns");
    assert!(lasted >= 900_000_000, "{lasted} ns");
    // It was silent for its timeout of a second before it ended.
    let known = nanoseconds(last) - nanoseconds(&flows[0]);
    assert!(lasted + 950_000_000 <= known, "{lasted} of {known} ns");
    // The first packet, one event for each interval, the end.
    let intervals = (lasted / 200_000_000) as usize;
    let events = flows.len();
    assert!(
        events >= 5 && events <= intervals + 2,
        "{events} events in {intervals} intervals"
    );
}

#[test]
fn connections_end_by_fin_or_rst_and_ports_used_again_are_two_flows() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("[datapath]\ntcp_closed = \"30s\"\n");
    let _server = b.spawn("python3 -m http.server 80");
    eventually("the server listens", || {
        b.run("ss -Hltn sport = 80").contains(":80").then_some(())
    });
    // The same source port twice: a reset lets the kernel use it at once.
    for _ in 0..2 {
        a.run(
            "python3 -c 'import socket,struct\ns=socket.socket()\n\
             s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n\
             s.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack(\"ii\",1,0))\n\
             s.bind((\"\",4000))\ns.connect((\"10.9.1.2\",80))\ns.close()'",
        );
    }
    let first = eventually("the first connection's end", || {
        of_port(&daemon, 4000)
            .into_iter()
            .find(|flow| end(flow).is_some())
    });
    assert_eq!(end(&first).as_deref(), Some("rst"));
    let syns = of_port(&daemon, 4000)
        .iter()
        .filter(|flow| {
            let protocol = flow.l4.as_ref().and_then(|l4| l4.protocol.clone());
            matches!(protocol, Some(Protocol::Tcp(tcp)) if tcp.flags.is_some_and(|f| f.syn && !f.ack))
                && end(flow).is_none()
        })
        .count();
    assert_eq!(syns, 2);
}

#[test]
fn a_connection_met_in_the_middle_has_its_listener_for_server() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    // The server has the higher port, so that the port says the wrong thing.
    let _server = b.spawn("iperf3 -s -p 50000");
    eventually("the server listens", || {
        b.run("ss -Hltn sport = 50000")
            .contains("50000")
            .then_some(())
    });
    let _client = a.spawn("iperf3 -c 10.9.1.2 -p 50000 --cport 1234 -b 100K -l 100 -t 60");
    eventually("the connection is open", || {
        b.run("ss -Htn state established sport = 50000")
            .contains(":1234")
            .then_some(())
    });
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    let flow = eventually("a flow of it", || of_port(&daemon, 1234).into_iter().next());
    assert_eq!(totals::text(&flow, "initiator").as_deref(), Some("guessed"));
    let way = totals::direction(&flow).unwrap();
    assert_eq!(flow.is_reply, Some(way.from.1 == 50000), "{way:?}");
}

#[test]
fn drops_of_the_kernel_are_told_with_their_reason_and_add_up() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("[datapath]\nactive_interval = \"200ms\"\n");
    b.run("nft add table inet t; nft add chain inet t in '{ type filter hook input priority 0; }'; nft add rule inet t in udp dport 3001 drop");
    udp(&a, 3000, 3001, 1000, "0.0005");
    let dropped = || -> Vec<Flow> {
        let mut flows = all_of_port(&daemon, 3000);
        flows.retain(totals::is_drop);
        flows
    };
    eventually("all drops are told", || {
        let told: u64 = dropped()
            .iter()
            .map(|flow| totals::number(flow, "drops"))
            .sum();
        (told == 1000).then_some(())
    });
    let flows = dropped();
    assert!(flows.len() < 100, "{} events for a storm", flows.len());
    assert!(flows.iter().all(|flow| {
        flow.drop_reason_desc().as_str_name() == "POLICY_DENIED"
            && totals::text(flow, "kernel_drop_reason").as_deref() == Some("NETFILTER_DROP")
    }));
}

#[test]
fn drops_behind_extension_headers_have_their_ports() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("");
    b.run("nft add table ip6 t; nft add chain ip6 t in '{ type filter hook input priority 0; }'; nft add rule ip6 t in udp dport 3001 drop");
    // Options for each hop and for the destination: all padding.
    a.run(
        "python3 -c 'import socket as n\ns=n.socket(n.AF_INET6,n.SOCK_DGRAM)\ns.bind((\"\",3000))\n\
         for o in n.IPV6_HOPOPTS,n.IPV6_DSTOPTS: s.setsockopt(n.IPPROTO_IPV6,o,bytes([0,0,1,4,0,0,0,0]))\n\
         s.sendto(b\"x\",(\"fd09:1::2\",3001))'",
    );
    let drop = eventually("the drop", || {
        let mut flows = all_of_port(&daemon, 3000);
        flows.retain(totals::is_drop);
        flows.pop()
    });
    let way = totals::direction(&drop).unwrap();
    assert_eq!((way.protocol, way.to.1), ("udp", 3001), "{drop:?}");
}

#[test]
fn tunnels_are_recognised_from_outside() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = linked("");
    let packet = |port: u16, header: Vec<u8>| {
        let payload = [header, vec![0; 20]].concat();
        let datagram = frame::udp(9000, port, &payload);
        frame::ethernet(
            &[],
            frame::IPV4,
            &frame::ipv4([10, 9, 1, 1].into(), [10, 9, 1, 2].into(), 17, &datagram),
        )
    };
    frame::send(
        &a,
        "va",
        &[
            packet(4789, frame::vxlan(42)),
            packet(6081, frame::geneve(43)),
        ],
    );
    for (port, vni, protocol) in [(4789, 42, "VXLAN"), (6081, 43, "GENEVE")] {
        let flow = eventually("the tunnel", || of_port(&daemon, port).into_iter().next());
        let tunnel = flow.tunnel.unwrap();
        assert_eq!(
            (tunnel.vni, tunnel.protocol().as_str_name()),
            (vni, protocol)
        );
    }
}

#[test]
fn malformed_packets_are_counted_by_cause() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("");
    let v4 = |protocol, payload: &[u8]| {
        frame::ipv4(
            [10, 9, 1, 1].into(),
            [10, 9, 1, 2].into(),
            protocol,
            payload,
        )
    };
    let framed = |packet: &[u8]| frame::ethernet(&[], frame::IPV4, packet);
    let good = v4(17, &frame::udp(1, 2, b"x"));
    let patched = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        packet
    };
    let tag = (0x8100, 1);
    let (v6a, v6b) = ("fd09:1::1".parse().unwrap(), "fd09:1::2".parse().unwrap());
    let chain: Vec<u8> = (0..12).flat_map(|_| frame::extension(60)).collect();
    let cases: [(&str, Vec<Vec<u8>>); 7] = [
        (
            "malformed_ip_header",
            vec![
                framed(&good[..12]),
                framed(&patched(0, 0x44)),
                framed(&patched(0, 0x65)),
            ],
        ),
        (
            "truncated_transport_header",
            vec![
                framed(&v4(6, &[0; 8])),
                framed(&v4(17, &[0; 3])),
                framed(&v4(1, &[8])),
            ],
        ),
        ("fragment_without_first", vec![framed(&patched(7, 9))]),
        (
            "too_many_vlan_tags",
            vec![frame::ethernet(&[tag; 10], frame::IPV4, &good)],
        ),
        (
            "too_many_extension_headers",
            vec![frame::ethernet(
                &[],
                frame::IPV6,
                &frame::ipv6(v6a, v6b, 60, &chain),
            )],
        ),
        ("not_ip", vec![frame::ethernet(&[], 0x88cc, b"lldp")]),
        (
            "encrypted",
            vec![frame::ethernet(
                &[],
                0x88e5,
                &[&[0x0c][..], &[0; 60]].concat(),
            )],
        ),
    ];
    for (name, frames) in cases {
        let before = cause(&daemon, &b, name);
        frame::send(&a, "va", &frames);
        eventually(name, || {
            (cause(&daemon, &b, name) >= before + frames.len() as u64).then_some(())
        });
    }
    // And it still sees what is well-formed.
    a.run("ping -q -c 1 10.9.1.2");
    eventually("the ping", || {
        daemon
            .flows()
            .iter()
            .any(|flow| totals::direction(flow).is_some_and(|way| way.protocol == "icmp"))
            .then_some(())
    });
}
