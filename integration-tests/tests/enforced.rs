//! Policies in force in the kernel: what they deny does not arrive, what they allow does,
//! in real connections between namespaces; who says so is told.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use sextant_integration_tests::{
    Daemon, Netns, Process, daemon::client_binary, eventually, hubble::hubble, netns::veth, root,
};

/// Serves TCP and UDP on these ports by both families: an echo.
const SERVER: &str = r#"
import socket, sys, threading
def serve(c):
    try:
        while b := c.recv(100): c.sendall(b)
    except OSError: pass
def udp(u):
    while True:
        b, a = u.recvfrom(100)
        u.sendto(b, a)
def tcp(l):
    while True:
        c, _ = l.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()
for port in map(int, sys.argv[1:]):
    l = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.bind(("::", port))
    threading.Thread(target=tcp, args=(l,), daemon=True).start()
    threading.Thread(target=udp, args=(u,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"#;

/// One connection; each line on stdin is sent, and told whether it came back.
const TALKER: &str = r#"
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(0.7)
print("ready", flush=True)
for line in sys.stdin:
    b = line.encode()
    s.sendall(b)
    try:
        got = b""
        while len(got) < len(b): got += s.recv(100)
        print("came back", flush=True)
    except TimeoutError:
        print("did not", flush=True)
"#;

/// The host with the daemon, and a neighbour behind its interface `v0`.
struct Hosts {
    host: Netns,
    neighbour: Netns,
    folder: tempfile::TempDir,
}

impl Hosts {
    fn new() -> Self {
        let hosts = Self {
            host: Netns::new(),
            neighbour: Netns::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        veth((&hosts.host, "v0"), (&hosts.neighbour, "c0"), 1);
        hosts
    }

    fn observe(&self, config: &str) -> Daemon {
        Daemon::start(&self.host, config, &["--interface", "v0"])
    }

    /// Puts these policies in force, and no others.
    fn apply(&self, daemon: &Daemon, policies: &str, options: &[&str]) {
        let file = self.folder.path().join("policies.yaml");
        fs::write(&file, policies).unwrap();
        let output = Command::new(client_binary())
            .args([
                "--server",
                &daemon.server(),
                "policy",
                "apply",
                "--prune",
                "--force",
                "-f",
            ])
            .arg(file)
            .args(options)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}\n{policies}");
    }

    fn allow_everything(&self, daemon: &Daemon) {
        self.apply(
            daemon,
            &host_policy("ingress: [{fromEntities: [all]}]"),
            &[],
        );
    }
}

/// A policy about the host, with these rules.
fn host_policy(rules: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: the-host}}\n\
         spec:\n  nodeSelector: {{}}\n  {rules}\n"
    )
}

fn server(namespace: &Netns, ports: &str) -> Process {
    let mut child = start(namespace, SERVER, ports);
    assert_eq!(line_of(&mut child), "ready");
    Process(child)
}

fn start(namespace: &Netns, program: &str, arguments: &str) -> Child {
    Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", namespace.name))
        .args(["python3", "-c", program])
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn line_of(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut line = String::new();
    // A line at a time is written: nothing is left in the buffer.
    BufReader::with_capacity(64, stdout)
        .read_line(&mut line)
        .unwrap();
    line.trim_end().to_owned()
}

/// Whether a connection is answered.
fn answers(from: &Netns, protocol: &str, host: &str, port: u16) -> bool {
    let (kind, family) = match protocol {
        "tcp" => ("SOCK_STREAM", family(host)),
        _ => ("SOCK_DGRAM", family(host)),
    };
    let (came, _) = from.try_run(&format!(
        "python3 -c 'import socket as s; c = s.socket(s.{family}, s.{kind}); c.settimeout(0.7); \
         c.connect((\"{host}\", {port})); c.send(b\"x\"); c.recv(1)' 2>&1"
    ));
    came
}

fn family(host: &str) -> &'static str {
    if host.contains(':') {
        "AF_INET6"
    } else {
        "AF_INET"
    }
}

fn pings(from: &Netns, host: &str) -> bool {
    from.try_run(&format!("ping -c 1 -W 1 {host}")).0
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
    let says = |talker: &mut Child| {
        writeln!(talker.stdin.as_mut().unwrap(), "hello").unwrap();
        line_of(talker)
    };
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
