//! Both legs of connections whose addresses are translated, on a router between two hosts:
//! what nft was told to do is the truth.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use prost::Message as _;
use prost_types::{Struct, value::Kind};
use sextant_integration_tests::{
    Daemon, Netns, Process,
    daemon::{QUICK, client_binary},
    eventually,
    hubble::hubble,
    netns::veth,
    root,
};
use sextant_proto::flow::{Flow, layer4::Protocol};

/// Answers on TCP and UDP, again and again.
const SERVER: &str = r#"
import socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
l = socket.create_server((host, port), family=family)
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind((host, port))
def udp():
    while True:
        b, a = u.recvfrom(100)
        u.sendto(b, a)
threading.Thread(target=udp, daemon=True).start()
print("ready", flush=True)
while True:
    c, _ = l.accept()
    c.sendall(c.recv(100))
    c.close()
"#;

/// Asks once and prints its own port.
const CLIENT: &str = r#"
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((host, port))
s.send(b"x")
assert s.recv(10) == b"x"
print(s.getsockname()[1])
"#;

/// Client's host, router, server's host.
struct Hosts {
    left: Netns,
    router: Netns,
    right: Netns,
}

impl Hosts {
    /// Calls of 8080 at the router or at the service's own address go to 80 on the right, as
    /// if they came from the router; 9090 at the router is its own 9091.
    fn new() -> Self {
        let hosts = Self {
            left: Netns::new(),
            router: Netns::new(),
            right: Netns::new(),
        };
        veth((&hosts.router, "r1"), (&hosts.left, "c0"), 1);
        veth((&hosts.router, "r2"), (&hosts.right, "c0"), 2);
        let router = &hosts.router;
        router.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && \
             ip route add 10.99.0.0/24 via 10.9.2.2 && ip -6 route add fd99::/64 via fd09:2::2",
        );
        for (host, net) in [(&hosts.left, 1), (&hosts.right, 2)] {
            host.run(&format!(
                "ip route add default via 10.9.{net}.1 && ip -6 route add default via fd09:{net}::1"
            ));
        }
        for (family, left, right, service) in [
            ("ip", "10.9.1.1", "10.9.2.2", "10.99.0.1"),
            ("ip6", "fd09:1::1", "[fd09:2::2]", "fd99::1"),
        ] {
            let to = right.trim_matches(['[', ']']);
            router.run(&format!(
                "nft add table {family} nat && \
                 nft add chain {family} nat pre \"{{ type nat hook prerouting priority -100; }}\" && \
                 nft add chain {family} nat out \"{{ type nat hook output priority -100; }}\" && \
                 nft add chain {family} nat post \"{{ type nat hook postrouting priority 100; }}\" && \
                 for chain in pre out; do for l4 in tcp udp; do \
                   nft add rule {family} nat $chain {family} daddr {left} $l4 dport 8080 dnat to {right}:80; \
                   nft add rule {family} nat $chain {family} daddr {service} $l4 dport 8080 dnat to {right}:80; \
                 done; done && \
                 nft add rule {family} nat pre {family} daddr {left} tcp dport 9090 redirect to :9091 && \
                 nft add rule {family} nat post oifname r2 {family} daddr {to} masquerade"
            ));
        }
        hosts
    }
}

fn start(namespace: &Netns, program: &str, arguments: &str) -> std::process::Child {
    Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", namespace.name))
        .args(["python3", "-c", program])
        .args(arguments.split(' '))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A server that listens, and its process.
fn server(namespace: &Netns, host: &str, port: u16) -> (Process, u32) {
    let mut child = start(namespace, SERVER, &format!("{host} {port}"));
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = child.id();
    (Process(child), pid)
}

/// Calls once: its port and its process.
fn call(namespace: &Netns, kind: &str, host: &str, port: u16) -> (u32, u32) {
    let child = start(namespace, CLIENT, &format!("{kind} {host} {port}"));
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{kind} {host}");
    (
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap(),
        pid,
    )
}

fn of(flow: &Flow, path: &[&str]) -> Option<Kind> {
    let all = flow.extensions.as_ref()?;
    let mut all = Struct::decode(all.value.as_slice()).unwrap();
    let (last, way) = path.split_last().unwrap();
    for key in way {
        match all.fields.remove(*key)?.kind {
            Some(Kind::StructValue(inner)) => all = inner,
            _ => return None,
        }
    }
    all.fields.remove(*last)?.kind
}

fn text(flow: &Flow, path: &[&str]) -> String {
    match of(flow, path) {
        Some(Kind::StringValue(text)) => text,
        _ => String::new(),
    }
}

fn pid(flow: &Flow, side: &str) -> Option<u32> {
    match of(flow, &[side, "pid"])? {
        Kind::NumberValue(pid) => Some(pid as u32),
        _ => None,
    }
}

/// `address:port` of sender and receiver.
fn ends(flow: &Flow) -> Option<[String; 2]> {
    let ip = flow.ip.as_ref()?;
    let (from, to) = match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(l4) => (l4.source_port, l4.destination_port),
        Protocol::Udp(l4) => (l4.source_port, l4.destination_port),
        _ => return None,
    };
    let end = |ip: &str, port: u32| match ip.contains(':') {
        true => format!("[{ip}]:{port}"),
        false => format!("{ip}:{port}"),
    };
    Some([end(&ip.source, from), end(&ip.destination, to)])
}

fn is_end(flow: &Flow) -> bool {
    of(flow, &["end_reason"]).is_some()
}

/// The end of the flow from one to the other, as its client sees it.
fn leg(daemon: &Daemon, kind: &str, from: &str, to: &str) -> Flow {
    let is_kind = |flow: &Flow| {
        let l4 = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref());
        matches!(
            (l4, kind),
            (Some(Protocol::Tcp(_)), "tcp") | (Some(Protocol::Udp(_)), "udp")
        )
    };
    eventually(&format!("the end of {kind} {from} -> {to}"), || {
        daemon.flows().into_iter().find(|flow| {
            is_end(flow) && is_kind(flow) && ends(flow) == Some([from.into(), to.into()])
        })
    })
}

/// What the translation makes of the client's address: its port may be another.
fn translated(flow: &Flow) -> String {
    text(flow, &["nat", "reply", "destination"])
}

fn host_of(end: &str) -> &str {
    end.rsplit_once(':').unwrap().0.trim_matches(['[', ']'])
}

#[test]
fn both_legs_are_one_story_with_their_processes() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let config = format!(
        "{QUICK}[[endpoint]]\nname = \"api\"\nnamespace = \"shop\"\naddresses = [\"10.99.0.1\", \"fd99::1\"]\n"
    );
    let (_four, pid4) = server(&hosts.right, "10.9.2.2", 80);
    let (_six, pid6) = server(&hosts.right, "fd09:2::2", 80);
    let daemon = Daemon::start(&hosts.router, &config, &["--interface", "r*"]);
    for (client, called, target, outside, server_pid) in [
        ("10.9.1.2", "10.9.1.1", "10.9.2.2:80", "10.9.2.1", pid4),
        (
            "fd09:1::2",
            "fd09:1::1",
            "[fd09:2::2]:80",
            "fd09:2::1",
            pid6,
        ),
        ("10.9.1.2", "10.99.0.1", "10.9.2.2:80", "10.9.2.1", pid4),
        ("fd09:1::2", "fd99::1", "[fd09:2::2]:80", "fd09:2::1", pid6),
    ] {
        for kind in ["tcp", "udp"] {
            let (port, client_pid) = call(&hosts.left, kind, called, 8080);
            let bracket = |ip: &str, port: u32| match ip.contains(':') {
                true => format!("[{ip}]:{port}"),
                false => format!("{ip}:{port}"),
            };
            let (from, to) = (bracket(client, port), bracket(called, 8080));
            let inner = leg(&daemon, kind, &from, &to);
            let behind = translated(&inner);
            assert_eq!(host_of(&behind), outside, "{inner:?}");
            let outer = leg(&daemon, kind, &behind, target);
            for flow in [&inner, &outer] {
                assert_eq!(text(flow, &["nat", "original", "source"]), from);
                assert_eq!(text(flow, &["nat", "original", "destination"]), to);
                assert_eq!(text(flow, &["nat", "reply", "source"]), target);
                assert_eq!(flow.ip.as_ref().unwrap().source_xlated, outside);
                assert_eq!(pid(flow, "source_process"), Some(client_pid), "{flow:?}");
                assert_eq!(
                    pid(flow, "destination_process"),
                    Some(server_pid),
                    "{flow:?}"
                );
                let service = flow.destination_service.as_ref();
                let service = service.map(|it| (it.namespace.as_str(), it.name.as_str()));
                let is_known = called.contains("99");
                assert_eq!(service, is_known.then_some(("shop", "api")), "{flow:?}");
            }
        }
    }
    let shown = hubble(
        &daemon.server(),
        "observe --snat-ip 10.9.2.1 -o jsonpb --last 1000",
    );
    assert!(
        shown.contains("\"source\":\"10.9.1.2\"") && shown.contains("\"10.9.2.1\""),
        "{shown}"
    );
    assert!(!shown.contains("fd09"), "of IPv6: {shown}");
    assert!(
        shown
            .lines()
            .all(|line| line.contains("\"source_xlated\":\"10.9.2.1\""))
    );
    let columns = Command::new(client_binary())
        .args(["--server", &daemon.server(), "observe", "--last", "1000"])
        .args(["--columns", "nat", "--snat-ip", "10.9.2.1"])
        .output()
        .unwrap();
    let columns = String::from_utf8(columns.stdout).unwrap();
    assert!(columns.contains(">10.9.1.1:8080=10.9.2.1:"), "{columns}");
    assert!(columns.contains(">10.9.2.2:80"), "{columns}");
    assert!(daemon.metric(&hosts.router, "sextant_nat_joined_events_total") >= 32);
    assert_eq!(
        daemon.metric(
            &hosts.router,
            "sextant_nat_translations_total{fate=\"lost\"}"
        ),
        0
    );
}

#[test]
fn what_the_router_itself_calls_and_redirects_has_its_original_address() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let (_right, server_pid) = server(&hosts.right, "10.9.2.2", 80);
    let (_six, pid6) = server(&hosts.right, "fd09:2::2", 80);
    let (_here, here_pid) = server(&hosts.router, "0.0.0.0", 9091);
    let daemon = Daemon::start(&hosts.router, QUICK, &["--interface", "r*"]);
    for (called, original, target, server_pid) in [
        ("10.99.0.1", "10.99.0.1:8080", "10.9.2.2:80", server_pid),
        ("fd99::1", "[fd99::1]:8080", "[fd09:2::2]:80", pid6),
    ] {
        for kind in ["tcp", "udp"] {
            let (_, own_pid) = call(&hosts.router, kind, called, 8080);
            let outer = eventually("the router's own connection", || {
                daemon.flows().into_iter().find(|flow| {
                    let to = ends(flow).map(|[_, to]| to);
                    let is_own = pid(flow, "source_process") == Some(own_pid);
                    is_end(flow) && is_own && to.as_deref() == Some(target)
                })
            });
            assert_eq!(text(&outer, &["nat", "original", "destination"]), original);
            assert_eq!(pid(&outer, "destination_process"), Some(server_pid));
        }
    }

    let (port, client_pid) = call(&hosts.left, "tcp", "10.9.1.1", 9090);
    let redirected = leg(&daemon, "tcp", &format!("10.9.1.2:{port}"), "10.9.1.1:9090");
    assert_eq!(
        text(&redirected, &["nat", "reply", "source"]),
        "10.9.1.1:9091"
    );
    assert_eq!(
        redirected.ip.as_ref().unwrap().source_xlated,
        "",
        "its source is its own"
    );
    assert_eq!(pid(&redirected, "source_process"), Some(client_pid));
    assert_eq!(pid(&redirected, "destination_process"), Some(here_pid));
}

#[test]
fn what_is_only_forwarded_is_no_translation() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let (_right, _) = server(&hosts.right, "10.9.2.2", 8000);
    hosts.router.run("nft flush chain ip nat post");
    let daemon = Daemon::start(&hosts.router, QUICK, &["--interface", "r*"]);
    let (port, _) = call(&hosts.left, "tcp", "10.9.2.2", 8000);
    let plain = leg(&daemon, "tcp", &format!("10.9.1.2:{port}"), "10.9.2.2:8000");
    assert_eq!(of(&plain, &["nat"]), None, "{plain:?}");
    assert_eq!(plain.ip.as_ref().unwrap().source_xlated, "");
    assert_eq!(
        daemon.metric(
            &hosts.router,
            "sextant_nat_translations_total{fate=\"told\"}"
        ),
        0
    );
}

/// Sends something that is not answered.
const KNOCK: &str = r#"
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(0.3)
try:
    s.connect((host, port))
    s.send(b"x")
except OSError:
    pass
"#;

/// Services of the flows to an address and port, latest last.
fn services_to(daemon: &Daemon, address: &str, port: u32) -> Vec<Option<String>> {
    let flows = daemon.flows();
    let to = flows.iter().filter(|flow| {
        let called = match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
            Some(Protocol::Tcp(tcp)) => tcp.destination_port,
            Some(Protocol::Udp(udp)) => udp.destination_port,
            _ => 0,
        };
        called == port && flow.ip.as_ref().is_some_and(|ip| ip.destination == address)
    });
    let named = |flow: &Flow| {
        let service = flow.destination_service.as_ref()?;
        Some(format!("{}/{}", service.namespace, service.name))
    };
    to.map(named).collect()
}

#[test]
fn a_port_that_rules_lead_elsewhere_has_its_service_before_a_packet_went_there() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    // Nothing is sent on, so connection tracking has nothing to tell.
    hosts.router.run(
        "nft add table inet hole && \
         nft add chain inet hole in \"{ type filter hook forward priority 0; policy drop; }\"",
    );
    let config = format!(
        "{QUICK}[[endpoint]]\nname = \"web\"\nnamespace = \"shop\"\naddresses = [\"10.9.2.2\", \"fd09:2::2\"]\n"
    );
    let daemon = Daemon::start(&hosts.router, &config, &["--interface", "r1"]);
    let knock = |kind: &str, host: &str, port: u16| {
        let arguments = format!("{kind} {host} {port}");
        start(&hosts.left, KNOCK, &arguments).wait().unwrap();
    };
    let is_told = |kind: &str, host: &str, port: u16, service: Option<&str>| {
        eventually(&format!("{service:?} behind {kind} {host}:{port}"), || {
            let before = services_to(&daemon, host, port.into()).len();
            knock(kind, host, port);
            let told = services_to(&daemon, host, port.into());
            (told.len() > before && told.last()?.as_deref() == service).then_some(())
        });
    };
    for host in ["10.9.1.1", "fd09:1::1", "10.99.0.1", "fd99::1"] {
        for kind in ["tcp", "udp"] {
            is_told(kind, host, 8080, Some("shop/web"));
        }
    }
    is_told("tcp", "10.9.1.1", 9090, None);
    // By iptables, at all addresses of this host. It wants the table for itself.
    is_told("tcp", "10.9.1.1", 8088, None);
    hosts.router.run(
        "nft delete table ip nat && \
         iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m tcp --dport 8088 \
         -m comment --comment web -j DNAT --to-destination 10.9.2.2:80",
    );
    is_told("tcp", "10.9.1.1", 8088, Some("shop/web"));
    hosts.router.run("iptables -t nat -F PREROUTING");
    is_told("tcp", "10.9.1.1", 8088, None);
    // For some callers alone.
    hosts.router.run(
        "nft add table ip some && nft add chain ip some pre \"{ type nat hook prerouting priority -100; }\" && \
         nft add rule ip some pre ip saddr 10.9.1.3 tcp dport 8089 dnat to 10.9.2.2:80",
    );
    is_told("tcp", "10.9.1.1", 8089, None);
}
