//! Nothing that is sent first opens what policies deny: who opens a connection is judged by
//! what opens it.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::Duration;

use sextant_integration_tests::{
    Daemon, Netns,
    enforced::{Hosts, host_policy, line_of, server, start},
    root,
};

/// Sends what looks like an answer out of `c0`, or nothing, and then tries: the name of the
/// trick, the address of the host, the port there, the one here, and the seconds that an
/// answer may take. Says `in` or `out`.
const EVADER: &str = r#"
import socket, struct, subprocess, sys, time
trick, host, port, own, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
v6 = ":" in host
family = socket.AF_INET6 if v6 else socket.AF_INET
me = "fd09:1::2" if v6 else "10.9.1.2"
def packed(address): return socket.inet_pton(family, address)
def total(b):
    if len(b) % 2: b += b"\0"
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def segment(src, sport, dst, dport, flags):
    head = struct.pack("!HHIIBBHHH", sport, dport, 1000, 0, 0x50, flags, 65000, 0, 0)
    pseudo = packed(src) + packed(dst) + (struct.pack("!II", 20, 6) if v6 else struct.pack("!BBH", 0, 6, 20))
    return head[:16] + struct.pack("!H", total(pseudo + head)) + head[18:]
def datagram(src, sport, dst, dport):
    head = struct.pack("!HHHH", sport, dport, 9, 0) + b"x"
    pseudo = packed(src) + packed(dst) + (struct.pack("!II", 9, 17) if v6 else struct.pack("!BBH", 0, 17, 9))
    return head[:6] + struct.pack("!H", total(pseudo + head)) + b"x"
def packet(src, dst, protocol, payload, offset=0, more=0):
    if v6:
        if offset or more:
            payload = struct.pack("!BBHI", protocol, 0, offset << 3 | more, own) + payload
            protocol = 44
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + packed(src) + packed(dst) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), own, more << 13 | offset, 64, protocol, 0) + packed(src) + packed(dst)
    return head[:10] + struct.pack("!H", total(head)) + head[12:] + payload
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
wire.bind(("c0", 0))
neighbours = subprocess.run(["ip", "neigh", "show", host], capture_output=True, text=True).stdout.split()
mac = bytes.fromhex(neighbours[neighbours.index("lladdr") + 1].replace(":", ""))
def send(packet):
    wire.send(mac + wire.getsockname()[4] + struct.pack("!H", 0x86dd if v6 else 0x0800) + packet)
is_udp = trick.startswith("udp")
if trick == "null": send(packet(me, host, 6, segment(me, own, host, port, 0)))
if trick == "answer": send(packet(me, host, 6, segment(me, own, host, port, 0x12)))
if trick == "forged": send(packet(host, me, 6, segment(host, port, me, own, 2)))
if trick == "udp-forged": send(packet(host, me, 17, datagram(host, port, me, own)))
time.sleep(0.2)
if trick == "fragments":
    raw = socket.socket(family, socket.SOCK_RAW, 6)
    raw.settimeout(patience)
    syn = segment(me, own, host, port, 2)
    send(packet(me, host, 6, syn[:8], more=1))
    send(packet(me, host, 6, syn[8:], offset=1))
    end = time.time() + patience
    got = "out"
    try:
        while got == "out" and time.time() < end:
            b = raw.recv(100)
            b = b if v6 else b[(b[0] & 15) * 4:]
            if struct.unpack("!HH", b[:4]) == (port, own) and b[13] & 0x12 == 0x12: got = "in"
    except TimeoutError: pass
    print(got, flush=True)
    sys.exit()
s = socket.socket(family, socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((me, own))
s.settimeout(patience)
try:
    s.connect((host, port))
    if is_udp:
        s.send(b"x")
        s.recv(9)
    print("in", flush=True)
except (TimeoutError, ConnectionError): print("out", flush=True)
"#;

/// Ports that are denied, low and high: as those of a server and of a client look.
const DENIED: [u16; 2] = [8081, 40_001];
const ALLOWED: u16 = 80;

/// Whether the neighbour got in.
fn gets_in(neighbour: &Netns, trick: &str, host: &str, port: u16, own: u16) -> bool {
    // What is allowed may take long on a busy machine.
    let patience = if port == ALLOWED { "5" } else { "0.5" };
    let arguments = format!("{trick} {host} {port} {own} {patience}");
    let mut child = start(neighbour, EVADER, &arguments);
    let told = line_of(&mut child);
    child.wait().unwrap();
    assert!(told == "in" || told == "out", "{arguments}: {told}");
    told == "in"
}

fn denying(hosts: &Hosts) -> Daemon {
    let daemon = hosts.observe("");
    let rules = format!("ingress: [{{toPorts: [{{ports: [{{port: \"{ALLOWED}\"}}]}}]}}]");
    hosts.apply(&daemon, &host_policy(&rules), &[]);
    daemon
}

#[test]
fn nothing_that_is_sent_first_opens_what_is_denied() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let _daemon = denying(&hosts);
    let [low, high] = DENIED;
    // The last is what anybody of the host may have open.
    let _serves = server(&hosts.host, &format!("{ALLOWED} {low} {high} 5353"));
    // Who sent a datagram opened its flow, from then on.
    std::thread::sleep(Duration::from_secs(4));
    for (number, host) in ["10.9.1.1", "fd09:1::1"].into_iter().enumerate() {
        // It is denied, but its address of the link is known then.
        let _ = hosts
            .neighbour
            .try_run(&format!("ping -q -c 1 -W 1 {host}"));
        let own = 1000 + 100 * number as u16;
        let gets_in = |trick, port, own| gets_in(&hosts.neighbour, trick, host, port, own);
        for (trick, port, own) in [
            ("plain", low, own),
            ("null", low, own + 1),
            ("null", low, 50_000 + own),
            ("answer", low, own + 2),
            ("forged", low, own + 3),
            ("fragments", low, own + 4),
            ("udp", high, own + 5),
            ("udp", high, 5353),
            ("udp-forged", low, own + 6),
        ] {
            assert!(
                !gets_in(trick, port, own),
                "{trick} {host}:{port} from {own}"
            );
        }
        // They do reach what is allowed.
        for (trick, own) in [("plain", own + 7), ("fragments", own + 8), ("udp", own + 9)] {
            // Of IPv6 the kernel itself takes no such fragment.
            let is_taken = trick != "fragments" || !host.contains(':');
            let gets_in = gets_in(trick, ALLOWED, own);
            assert_eq!(gets_in, is_taken, "{trick} {host}:{ALLOWED}");
        }
    }
}
