//! A host whose policies are in force, and its neighbour.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
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
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: the-host}}\n\
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
