//! Under a flood nothing is lost in silence: packets in flows and packets
//! counted by cause are those of the interface's own counters, exactly.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::{Duration, Instant};

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::QUICK,
    eventually, iperf,
    netns::{packets, quiet, with_packets},
    root,
    seen::seen_after,
    totals, veth,
};
use sextant_proto::{
    flow::{Flow, FlowFilter, LostEventSource, Verdict},
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    sextant::status::v1::{PacketBalance, ProblemKind, State},
};

/// The program that floods.
const FLOOD: &str = env!("CARGO_BIN_EXE_flood");
/// After a flood a new connection is seen within this time.
const SEEN_AGAIN: Duration = Duration::from_secs(10);

/// Causes that are about packets; those of the rings are about events.
const PACKET_CAUSES: [&str; 12] = [
    "not_ip",
    "too_many_vlan_tags",
    "truncated_link_header",
    "malformed_ip_header",
    "truncated_transport_header",
    "too_many_extension_headers",
    "fragment_without_first",
    "ipv4_table_full",
    "ipv6_table_full",
    "insert_failed",
    "seen_elsewhere",
    "encrypted",
];

/// Causes of what was lost in the kernel, which followers are told of as one.
const LOST_IN_KERNEL: [&str; 8] = [
    "ipv4_table_full",
    "ipv6_table_full",
    "insert_failed",
    "drop_table_full",
    "observed_ring_full",
    "denied_ring_full",
    "payload_ring_full",
    "drop_nested",
];

struct Flooded {
    daemon: Daemon,
    /// The interface's count at the start.
    before: u64,
    b: Netns,
    /// Kept: the link goes with it.
    _a: Netns,
}

impl Flooded {
    /// Floods and waits until everything has ended.
    fn new(config: &str, traffic: &str) -> (Self, u64) {
        let (a, b) = (Netns::new(), Netns::new());
        // Up only when the daemon is attached, so that both count from nothing.
        veth((&a, "va"), (&b, "vb"), 1);
        b.run("ip link set vb down");
        let before = packets(&b, "vb");
        let daemon = Daemon::start(&b, config, &["--interface", "vb"]);
        b.run("ip link set vb up");
        let server = iperf::serve(&b);
        a.run(traffic);
        drop(server);
        let flooded = Self {
            daemon,
            before,
            b,
            _a: a,
        };
        quiet(&flooded.b, "vb");
        let interface = flooded.interface();
        (flooded, interface)
    }

    /// What the kernel counted since.
    fn interface(&self) -> u64 {
        packets(&self.b, "vb") - self.before
    }

    fn in_flows(&self) -> u64 {
        let totals = totals::ended(&self.daemon.flows());
        totals.values().map(|(packets, _)| packets).sum()
    }

    fn metric(&self, name: &str) -> u64 {
        self.daemon.metric(&self.b, name)
    }

    fn counted(&self, cause: &str) -> u64 {
        self.metric(&format!(
            "sextant_unaccounted_packets_total{{cause=\"{cause}\"}}"
        ))
    }

    fn unaccounted(&self) -> u64 {
        PACKET_CAUSES.iter().map(|cause| self.counted(cause)).sum()
    }

    /// Waits until followers were told of all that was lost in the kernel, by
    /// whatever cause: a slow server loses events of drops beside others.
    fn tells_all_lost(&self) {
        eventually("all that was lost in the kernel is told", || {
            let lost = LOST_IN_KERNEL.iter().map(|cause| self.counted(cause));
            (told_lost(&self.daemon) == lost.sum::<u64>()).then_some(())
        });
    }

    fn observed(&self) -> u64 {
        ["ingress", "egress"]
            .iter()
            .map(|direction| {
                self.metric(&format!(
                    "sextant_interface_packets_total{{interface=\"vb\",direction=\"{direction}\"}}"
                ))
            })
            .sum()
    }

    /// The balance: interface = observed = in flows + by cause.
    fn balances(&self) {
        eventually("flows and causes add up to the interface", || {
            let interface = self.interface();
            let sums = [self.observed(), self.in_flows() + self.unaccounted()];
            (sums == [interface; 2] && self.interface() == interface).then_some(())
        });
    }
}

#[test]
fn every_packet_of_a_flood_is_in_a_flow_or_counted_by_cause() {
    if !root() {
        return;
    }
    let (flooded, interface) = Flooded::new(
        QUICK,
        "iperf3 -u -c 10.9.1.2 -l 64 -b 0 -P 2 -t 2 >/dev/null",
    );
    assert!(interface > 50_000, "{interface} packets are no flood");
    flooded.balances();
    println!("{interface} packets, {} by cause", flooded.unaccounted());
}

#[test]
fn packets_that_find_the_table_full_are_counted() {
    if !root() {
        return;
    }
    let config = format!("{QUICK}flows_ipv4 = 4\ndrops = false\n");
    let (flooded, interface) = Flooded::new(
        &config,
        &format!("{FLOOD} syn 10.9.1.2 20000 --rate 1000000"),
    );
    assert!(interface >= 20_000, "{interface} packets are no flood");
    flooded.balances();
    let full = flooded.counted("ipv4_table_full");
    assert!(full > 1000, "{full} packets found the table full");
    // Each is told: to followers, in the state, in the log with what to do.
    flooded.tells_all_lost();
    let status = flooded.daemon.own_status().unwrap();
    assert_eq!(status.state(), State::Degraded);
    let problem = &status.problems[0];
    assert_eq!(problem.kind(), ProblemKind::Loss);
    assert!(problem.text.contains("raise flows_ipv4"), "{problem:?}");
    let log = flooded.daemon.log();
    assert!(log.contains("raise flows_ipv4"), "{log}");
    let warnings = log.matches("the table of IPv4 flows was full").count();
    assert!(warnings < 20, "{warnings} warnings");
}

#[test]
fn events_that_find_the_ring_full_are_counted_and_told() {
    if !root() {
        return;
    }
    let config = format!(
        "{QUICK}observed_ring_bytes = 4096\ndenied_ring_bytes = 4096\naggregation = false\n"
    );
    let (flooded, _) = Flooded::new(
        &config,
        "iperf3 -u -c 10.9.1.2 -l 64 -b 0 -P 2 -t 1 >/dev/null",
    );
    let full = flooded.counted("observed_ring_full");
    assert!(full > 0, "no event found the ring full");
    flooded.tells_all_lost();
    flooded.balances();
}

fn told_lost(daemon: &Daemon) -> u64 {
    let responses = daemon.responses(GetFlowsRequest::default());
    let lost = |response: GetFlowsResponse| match response.response_types {
        Some(ResponseTypes::LostEvents(lost))
            if lost.source() == LostEventSource::PerfEventRingBuffer =>
        {
            Some(lost.num_events_lost)
        }
        _ => None,
    };
    responses.into_iter().filter_map(lost).sum()
}

/// Two namespaces; whatever source comes, its answer goes back. The daemon is in
/// the second, with tables of 4,096.
fn attacked(config: &str) -> (Netns, Netns, Daemon, u64) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    b.run("ip route add default via 10.9.1.1 && ip -6 route add default via fd09:1::1");
    a.run("ping -c 1 10.9.1.2 && ping -c 1 fd09:1::2");
    b.run("ip link set vb down");
    let before = packets(&b, "vb");
    let config = format!("[datapath]\nflows_ipv4 = 4096\nflows_ipv6 = 4096\n{config}");
    let daemon = Daemon::start(&b, &config, &["--interface", "vb"]);
    b.run("ip link set vb up && ip addr replace fd09:1::2/64 dev vb nodad");
    b.run("ip route replace default via 10.9.1.1 && ip -6 route replace default via fd09:1::1");
    (a, b, daemon, before)
}

/// The packets of the ledger, when no packet is missing in it and it has all that
/// the kernel counted.
fn balanced(b: &Netns, daemon: &Daemon, before: u64) -> PacketBalance {
    let (_, balance) = with_packets(b, "vb", || {
        let packets = daemon.own_status()?.ledger?.packets?;
        let is_all = packets.seen?.packets == self::packets(b, "vb") - before;
        (packets.difference == 0 && is_all).then_some(packets)
    });
    balance
}

fn without_flow(balance: &PacketBalance, cause: &str) -> u64 {
    let mut causes = balance.without_flow.iter();
    let found = causes.find(|without| without.cause == cause).unwrap();
    found.volume.unwrap().packets
}

fn is_to(flow: &Flow, port: u16) -> bool {
    totals::direction(flow).is_some_and(|way| way.to.1 == u32::from(port))
}

#[test]
fn after_a_flood_of_any_kind_a_new_connection_is_seen_and_no_packet_is_missing() {
    if !root() {
        return;
    }
    let (a, b, daemon, before) = attacked("drops = false\n");
    for (number, kind) in [
        "syn",
        "syn-ack",
        "ack",
        "fin",
        "rst",
        "ack-both",
        "handshake",
        "udp",
        "udp-twice",
        "icmp",
        "fragment",
        "late-fragment",
    ]
    .into_iter()
    .enumerate()
    {
        let began = Instant::now();
        a.run(&format!("{FLOOD} {kind} 10.9.1.2 20000 --rate 20000"));
        let flooded = began.elapsed();
        let port = 2000 + 100 * number as u16;
        let seen = seen_after(&a, &daemon, Instant::now(), "10.9.1.2", port);
        let balance = balanced(&b, &daemon, before);
        println!(
            "{kind}: 20000 in {flooded:.1?}, seen after {seen:.1?}, table full for {}",
            without_flow(&balance, "ipv4_table_full")
        );
        assert!(seen < SEEN_AGAIN, "{kind}: {seen:?}");
    }
    for kind in ["syn", "udp", "icmp"] {
        a.run(&format!("{FLOOD} {kind} fd09:1::2 20000 --rate 20000"));
        let seen = seen_after(&a, &daemon, Instant::now(), "fd09:1::2", 4000);
        let balance = balanced(&b, &daemon, before);
        println!(
            "IPv6 {kind}: seen after {seen:.1?}, table full for {}",
            without_flow(&balance, "ipv6_table_full")
        );
        assert!(seen < SEEN_AGAIN, "IPv6 {kind}: {seen:?}");
    }
}

#[test]
fn a_flood_ends_no_established_connection_and_its_own_flows_end_with_their_totals() {
    if !root() {
        return;
    }
    let (a, b, daemon, before) = attacked("drops = false\n");
    // It says something every now and then, and is silent between.
    let server = b.spawn(
        "python3 -c 'import socket\ns=socket.create_server((\"\",7000))\n\
         c,_=s.accept()\nwhile c.recv(9): pass'",
    );
    eventually("the server listens", || {
        b.run("ss -Hltn sport = 7000")
            .contains("7000")
            .then_some(())
    });
    let client = a.spawn("python3 -c 'import socket,time\n\
         c=socket.create_connection((\"10.9.1.2\",7000))\nwhile 1:\n c.send(b\"x\")\n time.sleep(2)'");
    eventually("the connection is seen", || {
        daemon
            .flows()
            .iter()
            .any(|flow| is_to(flow, 7000))
            .then_some(())
    });
    a.run(&format!("{FLOOD} syn 10.9.1.2 25000 --rate 10000"));
    let balance = balanced(&b, &daemon, before);
    let full = without_flow(&balance, "ipv4_table_full");
    let in_flows = balance.in_flows.unwrap().packets;
    let ends = || {
        let flows = daemon.flows();
        let ended = totals::ended(&flows);
        let connection = flows
            .iter()
            .any(|flow| is_to(flow, 7000) && totals::text(flow, "end_reason").is_some());
        assert!(!connection, "the flood ended an established connection");
        ended.values().map(|(packets, _)| packets).sum::<u64>()
    };
    // All but what still lives has been told.
    eventually("the flood's flows end", || {
        (ends() + 4096 > in_flows).then_some(())
    });
    println!("{in_flows} in flows, {full} found the table full");
    drop((client, server));
}

#[test]
fn flows_that_go_for_room_while_there_is_some_have_all_their_ends_told() {
    if !root() {
        return;
    }
    // A quarter of it is more than may wait for the reader.
    let namespace = Netns::new();
    let config = "[datapath]\nflows_ipv4 = 98304\nother_idle = \"1h\"\n";
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    namespace.run(
        "python3 -c 'import socket,struct\n\
         r=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); r.bind((\"\",5201))\n\
         s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((\"127.0.0.1\",40000))\n\
         for n in range(90000):\n \
         s.sendto(b\"x\",(socket.inet_ntoa(struct.pack(\"!I\",0x7f100000+n)),5201)); r.recv(1)'",
    );
    let left = eventually("room is made", || {
        let status = daemon.own_status()?;
        let ipv4 = status.tables.iter().find(|table| table.name == "ipv4")?;
        // Half of the table stays, and what came after the walk: at most 66,000.
        (20_000..70_000)
            .contains(&ipv4.entries)
            .then_some(ipv4.entries)
    });
    let lost = "sextant_lost_events_total{place=\"ends\",cause=\"full\"}";
    assert_eq!(daemon.metric(&namespace, lost), 0, "{left} are left");
}

/// Whether a drop of a datagram to this port was told.
fn is_drop_seen(daemon: &Daemon, port: u16) -> bool {
    let to_it = FlowFilter {
        destination_port: vec![port.to_string()],
        verdict: vec![Verdict::Dropped.into()],
        ..FlowFilter::default()
    };
    let request = GetFlowsRequest {
        number: 1,
        whitelist: vec![to_it],
        ..GetFlowsRequest::default()
    };
    let responses = daemon.responses(request);
    let mut responses = responses.iter();
    responses.any(|response| matches!(response.response_types, Some(ResponseTypes::Flow(_))))
}

#[test]
fn dropped_flows_that_find_their_table_full_are_told_and_a_new_drop_is_seen() {
    if !root() {
        return;
    }
    let (a, b, daemon, before) = attacked("flows_dropped = 256\n");
    b.run(
        "nft add table ip t; nft add chain ip t i '{ type filter hook input priority 0; }'; \
         nft add rule ip t i ip protocol udp drop",
    );
    let full = "sextant_unaccounted_packets_total{cause=\"drop_table_full\"}";
    // Ever new dropped flows, faster than any sweep makes room in so small a table.
    a.run(&format!("{FLOOD} udp 10.9.1.2 20000 --rate 1000000"));
    let flooded = Instant::now();
    let mut port = 3000;
    let seen = eventually("a new drop is seen", || {
        port += 1;
        a.run(&format!("echo > /dev/udp/10.9.1.2/{port}"));
        let tried = Instant::now();
        while tried.elapsed() < Duration::from_millis(500) {
            if is_drop_seen(&daemon, port) {
                return Some(flooded.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    });
    assert!(seen < SEEN_AGAIN, "{seen:?}");
    let lost = daemon.metric(&b, full);
    assert!(lost > 1000, "{lost} found the table of drops full");
    eventually("the state tells it", || {
        let status = daemon.own_status()?;
        let mut problems = status.problems.iter();
        let is_told = problems.any(|problem| {
            problem.kind() == ProblemKind::Loss && problem.text.contains("raise flows_dropped")
        });
        (is_told && status.state() == State::Degraded).then_some(())
    });
    eventually("followers are told of each", || {
        (told_lost(&daemon) >= lost).then_some(())
    });
    let log = daemon.log();
    let warnings = log.matches("the table of dropped flows was full").count();
    assert!((1..20).contains(&warnings), "{log}");
    // Packets themselves are counted as ever: a drop is no packet less.
    let balance = balanced(&b, &daemon, before);
    println!(
        "{lost} drops found no room, seen after {seen:.1?}, table of flows full for {}",
        without_flow(&balance, "ipv4_table_full")
    );
}
