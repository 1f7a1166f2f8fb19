//! Policies in force in the kernel: what they deny does not arrive, what they allow does,
//! in real connections between namespaces; who says so is told.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{fs, io::Write as _, process::Command};

use serde_json::Value;
use sextant_integration_tests::{
    Daemon, Netns,
    cgroups::Cgroups,
    daemon::client_binary,
    enforced::{Hosts, TALKER, host_policy, line_of, says, server, start},
    eventually,
    hubble::hubble,
    netns::veth,
    root,
};

/// Whether a connection is answered; on a busy machine the first may be too slow.
fn answers(from: &Netns, protocol: &str, host: &str, port: u16) -> bool {
    let (kind, family) = match protocol {
        "tcp" => ("SOCK_STREAM", family(host)),
        _ => ("SOCK_DGRAM", family(host)),
    };
    let command = format!(
        "python3 -c 'import socket as s; c = s.socket(s.{family}, s.{kind}); c.settimeout(0.7); \
         c.connect((\"{host}\", {port})); c.send(b\"x\"); c.recv(1)' 2>&1"
    );
    (0..2).any(|_| from.try_run(&command).0)
}

fn family(host: &str) -> &'static str {
    if host.contains(':') {
        "AF_INET6"
    } else {
        "AF_INET"
    }
}

fn pings(from: &Netns, host: &str) -> bool {
    (0..2).any(|_| from.try_run(&format!("ping -c 1 -W 1 {host}")).0)
}

/// Lines of the real CLI about these policies' verdicts.
fn verdicts(daemon: &Daemon) -> String {
    let of = "observe --last 1000 --print-policy-names --type policy-verdict --type drop";
    hubble(&daemon.server(), of)
}

#[test]
fn what_no_rule_allows_is_denied_and_told_and_what_one_allows_is_answered() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe("");
    let _at_host = server(&hosts.host, "8080 8081");
    let _at_neighbour = server(&hosts.neighbour, "9090");
    let (host, neighbour) = (&hosts.host, &hosts.neighbour);
    hosts.apply(
        &daemon,
        &host_policy(
            "ingress: [{fromCIDR: [10.9.1.0/24, \"fd09:1::/64\"], toPorts: [{ports: [{port: \"8080\"}]}]}]",
        ),
        &[],
    );
    for address in ["10.9.1.1", "fd09:1::1"] {
        for protocol in ["tcp", "udp"] {
            assert!(
                answers(neighbour, protocol, address, 8080),
                "{protocol} {address}"
            );
            assert!(
                !answers(neighbour, protocol, address, 8081),
                "{protocol} {address}"
            );
        }
        assert!(!pings(neighbour, address), "{address}");
    }
    // Of what the host itself calls nothing is said, and its answers come in.
    for address in ["10.9.1.2", "fd09:1::2"] {
        assert!(answers(host, "tcp", address, 9090) && answers(host, "udp", address, 9090));
        assert!(pings(host, address), "{address}");
    }
    for wanted in [
        "8080 (host) policy-verdict:L3-L4 INGRESS ALLOWED BY the-host (CiliumClusterwideNetworkPolicy) (TCP Flags: SYN)",
        "8081 (host) policy-verdict:none INGRESS DENIED BY the-host (CiliumClusterwideNetworkPolicy) (TCP Flags: SYN)",
        "8081 (host) Policy denied DROPPED (TCP Flags: SYN)",
        "8081 (host) Policy denied DROPPED (UDP)",
        "fd09:1::1 (host) Policy denied DROPPED (ICMPv6 EchoRequest)",
    ] {
        eventually(wanted, || verdicts(&daemon).contains(wanted).then_some(()));
    }
    // Told once: not again as what the kernel does with it.
    for reason in ["TC_INGRESS", "Unknown", "DROP_REASON_UNKNOWN"] {
        assert!(!verdicts(&daemon).contains(reason), "{}", verdicts(&daemon));
    }
}

#[test]
fn a_rule_that_denies_beats_one_that_allows_and_says_so() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe("");
    let _at_host = server(&hosts.host, "8080 8081");
    hosts.apply(
        &daemon,
        &host_policy(
            "ingress: [{fromEntities: [all]}]\n  ingressDeny: [{toPorts: [{ports: [{port: \"8081\", protocol: TCP}]}]}]",
        ),
        &[],
    );
    assert!(answers(&hosts.neighbour, "tcp", "10.9.1.1", 8080));
    assert!(!answers(&hosts.neighbour, "tcp", "10.9.1.1", 8081));
    assert!(answers(&hosts.neighbour, "udp", "10.9.1.1", 8081));
    let wanted = "8081 (host) Policy denied by denylist DROPPED";
    eventually(wanted, || verdicts(&daemon).contains(wanted).then_some(()));
}

#[test]
fn a_change_is_felt_by_the_next_packet_of_connections_that_exist() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe("");
    let _at_host = server(&hosts.host, "8080");
    let mut talker = start(&hosts.neighbour, TALKER, "10.9.1.1 8080");
    assert_eq!(line_of(&mut talker), "ready");
    assert_eq!(says(&mut talker), "came back");
    let none = host_policy("ingress: [{}]").replace("[{}]", "[{fromCIDR: [192.0.2.0/24]}]");
    hosts.apply(&daemon, &none, &[]);
    assert_eq!(says(&mut talker), "did not");
    hosts.allow_everything(&daemon);
    // TCP sends again what was denied.
    eventually("the connection goes on", || {
        (says(&mut talker) == "came back").then_some(())
    });
    talker.kill().unwrap();
    talker.wait().unwrap();
}

#[test]
fn in_audit_nothing_is_denied_and_all_that_would_be_is_told() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe("");
    let _at_host = server(&hosts.host, "8080");
    hosts.apply(
        &daemon,
        &host_policy("ingress: [{fromCIDR: [192.0.2.0/24]}]"),
        &["--audit"],
    );
    assert!(answers(&hosts.neighbour, "tcp", "10.9.1.1", 8080));
    let wanted = "8080 (host) policy-verdict:none INGRESS AUDITED BY the-host";
    eventually(wanted, || verdicts(&daemon).contains(wanted).then_some(()));
    assert!(!verdicts(&daemon).contains("DROPPED"));
}

#[test]
fn who_is_behind_an_interface_is_judged_in_both_directions_by_its_labels() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe(
        "[[endpoint]]\nnamespace = \"shop\"\nname = \"api\"\nlabels = [\"k8s:app=api\"]\n\
         addresses = [\"10.9.1.2\", \"fd09:1::2\"]\ninterfaces = [\"v0\"]\n",
    );
    let _at_host = server(&hosts.host, "8080 8081");
    let _at_neighbour = server(&hosts.neighbour, "9090 9091");
    hosts.apply(
        &daemon,
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: api, namespace: shop}\n\
         spec:\n  endpointSelector: {matchLabels: {app: api}}\n\
         \x20 ingress: [{fromEntities: [host], toPorts: [{ports: [{port: \"9090\"}]}]}]\n\
         \x20 egress: [{toEntities: [host], toPorts: [{ports: [{port: \"8080\"}]}]}]\n",
        &[],
    );
    for (host, neighbour) in [("10.9.1.1", "10.9.1.2"), ("fd09:1::1", "fd09:1::2")] {
        for protocol in ["tcp", "udp"] {
            assert!(
                answers(&hosts.neighbour, protocol, host, 8080),
                "{protocol} {host}"
            );
            assert!(
                !answers(&hosts.neighbour, protocol, host, 8081),
                "{protocol} {host}"
            );
            assert!(
                answers(&hosts.host, protocol, neighbour, 9090),
                "{protocol} {neighbour}"
            );
            assert!(
                !answers(&hosts.host, protocol, neighbour, 9091),
                "{protocol} {neighbour}"
            );
        }
    }
    for wanted in [
        ":8081 (host) policy-verdict:none EGRESS DENIED BY api (CiliumNetworkPolicy)",
        "shop/api:9091 (ID:256) policy-verdict:none INGRESS DENIED BY api (CiliumNetworkPolicy)",
    ] {
        eventually(wanted, || verdicts(&daemon).contains(wanted).then_some(()));
    }
}

#[test]
fn a_daemon_that_starts_again_has_its_policies_in_force() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let mut daemon = hosts.observe("");
    let _at_host = server(&hosts.host, "8080");
    let nobody = host_policy("ingress: [{fromCIDR: [192.0.2.0/24]}]");
    hosts.apply(&daemon, &nobody, &[]);
    assert!(!answers(&hosts.neighbour, "tcp", "10.9.1.1", 8080));
    for signal in ["KILL", "TERM"] {
        daemon.signal(signal);
        daemon.again();
        assert!(!answers(&hosts.neighbour, "tcp", "10.9.1.1", 8080));
    }
    hosts.allow_everything(&daemon);
    assert!(answers(&hosts.neighbour, "tcp", "10.9.1.1", 8080));
}

#[test]
fn who_is_let_through_to_a_container_is_told_once_with_the_policy() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let web = Netns::new();
    veth((&hosts.host, "w0"), (&web, "c0"), 2);
    hosts.host.run("sysctl -qw net.ipv4.ip_forward=1");
    hosts.neighbour.run("ip route add default via 10.9.1.1");
    web.run("ip route add default via 10.9.2.1");
    let config = "[[endpoint]]\nnamespace = \"shop\"\nname = \"web\"\nlabels = [\"k8s:app=web\"]\n\
                  addresses = [\"10.9.2.2\"]\ninterfaces = [\"w0\"]\n";
    let daemon = Daemon::start(
        &hosts.host,
        config,
        &["--interface", "v0", "--interface", "w0"],
    );
    let _at_web = server(&web, "80 81");
    hosts.apply(
        &daemon,
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web, namespace: shop}\n\
         spec:\n  endpointSelector: {matchLabels: {app: web}}\n\
         \x20 ingress: [{fromCIDR: [10.9.1.2/32], toPorts: [{ports: [{port: \"80\"}]}]}]\n",
        &[],
    );
    assert!(answers(&hosts.neighbour, "tcp", "10.9.2.2", 80));
    assert!(!answers(&hosts.neighbour, "tcp", "10.9.2.2", 81));
    let lines = |wanted: &str| {
        let all = hubble(&daemon.server(), "observe --last 1000 --print-policy-names");
        all.lines().filter(|line| line.contains(wanted)).count()
    };
    let allowed = "shop/web:80 (ID:256) policy-verdict:L3-L4 INGRESS ALLOWED BY web";
    let denied = "shop/web:81 (ID:256) policy-verdict:none INGRESS DENIED BY web";
    for wanted in [
        allowed,
        denied,
        "shop/web:81 (ID:256) Policy denied DROPPED",
    ] {
        eventually(wanted, || (lines(wanted) > 0).then_some(()));
    }
    // The SYN: where it came in, and there alone.
    let forwarded = "-> shop/web:80 (ID:256) from-network FORWARDED (TCP Flags: SYN)";
    assert_eq!(lines(forwarded), lines(allowed));
    assert_eq!(lines("-> shop/web:80 (ID:256) to-"), 0);
}

/// Serves and calls in a cgroup of its own: moved there before it makes a socket.
const UNIT: &str = r#"
import socket, sys, threading
sys.stdin.readline()
l = socket.create_server(("", int(sys.argv[1])))
def serve():
    while True:
        c, _ = l.accept()
        c.sendall(c.recv(1))
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
for _ in sys.stdin:
    try:
        c = socket.create_connection((sys.argv[2], int(sys.argv[3])), 2)
        c.sendall(b"x")
        c.settimeout(2)
        c.recv(1)
        print("came back", flush=True)
    except OSError:
        print("did not", flush=True)
"#;

#[test]
fn a_unit_is_judged_by_its_cgroup_and_others_of_the_host_are_not() {
    if !root() {
        return;
    }
    let Some((cgroups, unit)) = Cgroups::of_unit("enforced") else {
        return;
    };
    let hosts = Hosts::new();
    let daemon = hosts.observe("");
    hosts.apply(
        &daemon,
        &format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: unit, namespace: system}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{unit: {unit}}}}}\n\
             \x20 ingress: [{{fromCIDR: [192.0.2.0/24]}}]\n\
             \x20 egress: [{{toCIDR: [10.9.1.2/32], toPorts: [{{ports: [{{port: \"9090\"}}]}}]}}]\n"
        ),
        &[],
    );
    let _other = server(&hosts.host, "8081");
    let _at_neighbour = server(&hosts.neighbour, "9090 9091");
    for (port, word) in [("9090", "came back"), ("9091", "did not")] {
        let mut child = start(&hosts.host, UNIT, &format!("8080 10.9.1.2 {port}"));
        fs::write(cgroups.0[0].join("cgroup.procs"), child.id().to_string()).unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "begin").unwrap();
        assert_eq!(line_of(&mut child), "ready");
        // It is known a moment after its first socket.
        eventually("who calls the unit is denied", || {
            (!answers(&hosts.neighbour, "tcp", "10.9.1.1", 8080)).then_some(())
        });
        writeln!(child.stdin.as_mut().unwrap(), "call").unwrap();
        assert_eq!(line_of(&mut child), word, "{port}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(answers(&hosts.neighbour, "tcp", "10.9.1.1", 8081));
    assert!(answers(&hosts.host, "tcp", "10.9.1.2", 9091));
    let wanted = format!("system/{unit}:8080");
    eventually("told of the unit", || {
        let denied =
            |line: &&str| line.contains(&wanted) && line.contains("INGRESS DENIED BY unit");
        verdicts(&daemon).lines().find(denied).map(|_| ())
    });
    let output = Command::new(client_binary())
        .args(["--server", &daemon.server(), "policy", "hits"])
        .output()
        .unwrap();
    let hits = String::from_utf8(output.stdout).unwrap();
    assert!(
        hits.contains("system/unit") && hits.contains("default deny"),
        "{hits}"
    );
    let output = Command::new(client_binary())
        .args(["--server", &daemon.server(), "policy", "list", "-o", "json"])
        .output()
        .unwrap();
    let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
    let status = &policy["status"];
    assert!(number(&status["map_entries"]) > 0, "{policy}");
    let denied = status["hits"].as_array().unwrap().iter();
    let mut denied = denied.filter(|hits| hits["verdict"] == "POLICY_VERDICT_DENY");
    assert!(number(&denied.next().unwrap()["flows"]) > 0, "{policy}");
}

/// Of 64 bits: a text in JSON.
fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}
