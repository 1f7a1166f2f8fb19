//! A host whose policies are in force, and its neighbour.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use crate::{Daemon, Netns, Process, daemon::client_binary, netns::veth};

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
pub const TALKER: &str = r#"
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(2)
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

/// Counts datagrams that come to two ports, until a line comes; then says how many.
pub const COUNTER: &str = r#"
import select, socket, sys
sockets, counts = [], []
for port in sys.argv[1:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.bind(("", int(port)))
    s.setblocking(False)
    sockets.append(s)
    counts.append(0)
print("ready", flush=True)
ended = False
while True:
    ready, _, _ = select.select(sockets + [sys.stdin], [], [], 0.5)
    if sys.stdin in ready and not ended:
        sys.stdin.readline()
        ended = True
    if ended and not [s for s in ready if s is not sys.stdin]: break
    for n, s in enumerate(sockets):
        try:
            while True:
                s.recv(16)
                counts[n] += 1
        except BlockingIOError: pass
print(*counts, flush=True)
"#;

/// Sends a datagram to each port, again and again from several of its own, until a line
/// comes; then says how many each was sent.
pub const SENDER: &str = r#"
import select, socket, sys, time
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
print("ready", flush=True)
sent = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for s in sockets:
        for port in sys.argv[2:]:
            s.sendto(b"x", (sys.argv[1], int(port)))
        sent += 1
    time.sleep(0.005)
print(sent, flush=True)
"#;

/// The host with the daemon, and a neighbour behind its interface `v0`.
pub struct Hosts {
    /// The host.
    pub host: Netns,
    /// The neighbour.
    pub neighbour: Netns,
    folder: tempfile::TempDir,
}

impl Hosts {
    /// Joined: `10.9.1.1` and `fd09:1::1` are the host's, `.2` the neighbour's.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes namespaces")]
    pub fn new() -> Self {
        let hosts = Self {
            host: Netns::new(),
            neighbour: Netns::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        veth((&hosts.host, "v0"), (&hosts.neighbour, "c0"), 1);
        hosts
    }

    /// A daemon on the host, at its interface.
    #[must_use]
    pub fn observe(&self, config: &str) -> Daemon {
        Daemon::start(&self.host, config, &["--interface", "v0"])
    }

    /// Puts these policies in force, and no others.
    pub fn apply(&self, daemon: &Daemon, policies: &str, options: &[&str]) {
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

    /// All may come in.
    pub fn allow_everything(&self, daemon: &Daemon) {
        self.apply(
            daemon,
            &host_policy("ingress: [{fromEntities: [all]}]"),
            &[],
        );
    }
}

/// A policy about the host, with these rules.
#[must_use]
pub fn host_policy(rules: &str) -> String {
    named_host_policy("the-host", rules)
}

/// One of several of them.
#[must_use]
pub fn named_host_policy(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec:\n  nodeSelector: {{}}\n  {rules}\n"
    )
}

/// An echo at these ports, for TCP and UDP; it listens already.
#[must_use]
pub fn server(namespace: &Netns, ports: &str) -> Process {
    let mut child = start(namespace, SERVER, ports);
    assert_eq!(line_of(&mut child), "ready");
    Process(child)
}

/// A program of Python, with pipes to it and from it.
#[must_use]
pub fn start(namespace: &Netns, program: &str, arguments: &str) -> Child {
    Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", namespace.name))
        .args(["python3", "-c", program])
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Says a line to a talker; what became of it.
#[must_use]
pub fn says(talker: &mut Child) -> String {
    writeln!(talker.stdin.as_mut().unwrap(), "hello").unwrap();
    line_of(talker)
}

/// The next line that it prints.
#[must_use]
pub fn line_of(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut line = String::new();
    // A line at a time is written: nothing is left in the buffer.
    BufReader::with_capacity(64, stdout)
        .read_line(&mut line)
        .unwrap();
    line.trim_end().to_owned()
}
