//! What cannot be judged goes on, or does not (`[policy] unknown`), where policies are in
//! force; what is understood is judged as ever.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns,
    enforced::{Hosts, server},
    eventually,
    hubble::hubble,
    root,
};

/// Sends so many packets of a kind to the host, from a raw socket: `fragment` is the end of
/// a datagram without its beginning, `cut` a part of a header of UDP, `segment` an ACK of no
/// connection. `fill` takes a table of flows: as many datagrams, each from its own port.
const SENDER: &str = r#"
import socket, struct, sys
kind, times, family = sys.argv[1], int(sys.argv[2]), sys.argv[3]
v6 = family == "6"
here, there = ("fd09:1::2", "fd09:1::1") if v6 else ("10.9.1.2", "10.9.1.1")
af = socket.AF_INET6 if v6 else socket.AF_INET
if kind == "fill":
    for port in range(20000, 20000 + times):
        u = socket.socket(af, socket.SOCK_DGRAM)
        u.bind((here, port))
        u.sendto(b"x", (there, 7))
        u.close()
    sys.exit()
def packed(address): return socket.inet_pton(af, address)
def total(b): 
    if len(b) % 2: b += b"\0"
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def segment(port):
    head = struct.pack("!HHIIBBHHH", port, 8080, 1, 1, 0x50, 0x10, 100, 0, 0)
    pseudo = packed(here) + packed(there) + (struct.pack("!II", 20, 6) if v6 else struct.pack("!BBH", 0, 6, 20))
    return head[:16] + struct.pack("!H", total(pseudo + head)) + head[18:]
raw = socket.socket(af, socket.SOCK_RAW, socket.IPPROTO_RAW)
for n in range(times):
    protocol, payload, offset = {
        "fragment": (17, b"y" * 64, 100),
        "cut": (17, b"\x1f\x90\x1f\x90", 0),
        "segment": (6, segment(40000 + n), 0),
    }[kind]
    if v6:
        following = protocol
        if offset:
            payload = struct.pack("!BBHI", protocol, 0, offset << 3, 7000 + n) + payload
            following = 44
        packet = struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + packed(here) + packed(there) + payload
        raw.sendto(packet, (there, 0))
    else:
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7000 + n, offset, 64, protocol, 0)
        raw.sendto(packet + packed(here) + packed(there) + payload, (there, 0))
"#;

const TIMES: u64 = 20;

/// Everybody may come in: what is denied is for another reason than rules.
fn start(hosts: &Hosts, config: &str) -> Daemon {
    let daemon = hosts.observe(config);
    hosts.allow_everything(&daemon);
    daemon
}

fn send(from: &Netns, kind: &str, times: u64, family: &str) {
    let program = SENDER.replace('\'', "\"");
    from.run(&format!("python3 -c '{program}' {kind} {times} {family}"));
}

/// A counter of the stack, of what came so far.
fn came(at: &Netns, family: &str, kind: &str) -> u64 {
    let counter = match (kind, family) {
        ("fragment", "4") => "IpReasmReqds",
        ("fragment", _) => "Ip6ReasmReqds",
        ("cut", "4") => "UdpInErrors",
        ("cut", _) => "Udp6InErrors",
        _ => "TcpInSegs",
    };
    let table = at.run(&format!("nstat -asz {counter}"));
    let line = table.lines().find(|line| line.starts_with(counter));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap_or_else(|| panic!("{table}")).parse().unwrap()
}

/// Packets that could not be judged and were denied, for a cause.
fn denied(daemon: &Daemon, hosts: &Hosts, cause: &str) -> u64 {
    let name = format!("sextant_policy_unjudged_denied_packets_total{{cause=\"{cause}\"}}");
    daemon.metric(&hosts.host, &name)
}

const CASES: [(&str, &str); 2] = [
    ("fragment", "fragment_without_first"),
    ("cut", "truncated_transport_header"),
];

#[test]
fn what_is_not_understood_goes_on_by_default() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = start(&hosts, "");
    for family in ["4", "6"] {
        for (kind, cause) in CASES {
            let before = came(&hosts.host, family, kind);
            send(&hosts.neighbour, kind, TIMES, family);
            eventually(kind, || {
                (came(&hosts.host, family, kind) == before + TIMES).then_some(())
            });
            assert_eq!(denied(&daemon, &hosts, cause), 0);
        }
    }
}

#[test]
fn and_does_not_where_it_is_denied_counted_by_cause_and_told() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = start(&hosts, "[policy]\nunknown = \"deny\"\n");
    for (at, family) in ["4", "6"].into_iter().enumerate() {
        for (kind, cause) in CASES {
            let before = came(&hosts.host, family, kind);
            send(&hosts.neighbour, kind, TIMES, family);
            let wanted = TIMES * (at as u64 + 1);
            eventually(cause, || {
                (denied(&daemon, &hosts, cause) == wanted).then_some(())
            });
            assert_eq!(came(&hosts.host, family, kind), before, "{kind} {family}");
        }
    }
    // Not in silence.
    eventually("told as a drop", || {
        let lines = hubble(&daemon.server(), "observe --last 1000 --verdict DROPPED");
        (lines.contains("10.9.1.2") && lines.contains("fd09:1::2")).then_some(())
    });
    // What is understood passes: ARP, neighbour discovery, fragments behind their first one.
    hosts
        .neighbour
        .run("ip neigh flush all && ip -6 neigh flush all");
    for address in ["10.9.1.1", "fd09:1::1"] {
        hosts
            .neighbour
            .run(&format!("ping -c 2 -W 5 -s 4000 {address}"));
    }
}

#[test]
fn nothing_is_denied_before_there_is_a_policy() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe("[policy]\nunknown = \"deny\"\n");
    let before = came(&hosts.host, "4", "cut");
    send(&hosts.neighbour, "cut", TIMES, "4");
    eventually("they came", || {
        (came(&hosts.host, "4", "cut") == before + TIMES).then_some(())
    });
    assert_eq!(denied(&daemon, &hosts, "truncated_transport_header"), 0);
}

#[test]
fn of_a_full_table_segments_of_unknown_connections_are_denied_and_new_ones_judged() {
    if !root() {
        return;
    }
    for (unknown, family) in [("allow", "4"), ("deny", "4"), ("deny", "6")] {
        let hosts = Hosts::new();
        let _server = server(&hosts.host, "8081");
        let config = format!(
            "[datapath]\nflows_ipv4 = 16\nflows_ipv6 = 16\n[policy]\nunknown = \"{unknown}\"\n"
        );
        let daemon = start(&hosts, &config);
        let (cause, address) = match family {
            "4" => ("ipv4_table_full", "10.9.1.1"),
            _ => ("ipv6_table_full", "fd09:1::1"),
        };
        // Who sends is known here by his socket; of the host's answer, a reset, nothing is.
        let resets = || came(&hosts.neighbour, family, "segment");
        let (before, mut sent) = (resets(), 0);
        // A sweep may make room at any time: then once more.
        let mut send_beyond_room = || {
            send(&hosts.neighbour, "fill", 500, family);
            send(&hosts.neighbour, "segment", TIMES, family);
            sent += TIMES;
            sent
        };
        if unknown == "allow" {
            let sent = send_beyond_room();
            eventually("answers", || (resets() == before + sent).then_some(()));
            assert_eq!(denied(&daemon, &hosts, cause), 0);
        } else {
            let (sent, found) = eventually("they are denied", || {
                let sent = send_beyond_room();
                let found = denied(&daemon, &hosts, cause);
                (found > TIMES / 2).then_some((sent, found))
            });
            assert_eq!(resets(), before + sent - found);
        }
        let opens = format!(
            "python3 -c 'import socket as s; c = s.create_connection((\"{address}\", 8081), 5)'"
        );
        hosts.neighbour.run(&opens);
    }
}
