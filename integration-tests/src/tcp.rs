//! Connections of TCP between namespaces, and what the daemon tells of them.

use std::process::{Command, Output};

use prost::Message as _;
use prost_types::{Struct, value::Kind};
use sextant_proto::flow::{Flow, layer4::Protocol};

use crate::{Daemon, Netns, Process, eventually};

/// Announces where it listens, reads when it is told to, says how much it read.
pub const SERVER: &str = r#"
import socket, sys, time
host, port, rest = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
l = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
while True:
    c, _ = l.accept()
    time.sleep(rest)
    n = 0
    while True:
        b = c.recv(65536)
        if not b: break
        n += len(b)
    c.sendall(b"%d" % n)
    c.close()
"#;

/// Sends, prints what `ss` tells of the socket once all is acknowledged, and closes.
pub const CLIENT: &str = r#"
import socket, subprocess, sys, time
host, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
c = socket.create_connection((host, port))
for _ in range(size // 1000):
    c.sendall(b"x" * 1000)
def look():
    return subprocess.run(["ss", "-tinH", "dport", "=", str(port)], capture_output=True, text=True).stdout
while True:
    seen = look()
    if "unacked" not in seen and seen.split()[2] == "0": break
    time.sleep(0.05)
time.sleep(0.2)
print(look())
c.shutdown(1)
c.recv(100)
c.close()
"#;

/// Runs a program of Python in a namespace to its end.
pub fn python(namespace: &Netns, program: &str, arguments: &str) -> Output {
    Command::new("ip")
        .args(["netns", "exec", &namespace.name, "python3", "-c", program])
        .args(arguments.split(' '))
        .output()
        .unwrap()
}

/// Runs `CLIENT`: host, port and bytes to send; what `ss` told.
pub fn client(namespace: &Netns, arguments: &str) -> String {
    let output = python(namespace, CLIENT, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Starts `SERVER`, which rests so many seconds before it reads; it listens.
pub fn server(namespace: &Netns, host: &str, port: u16, rest: f64) -> Process {
    let child = Command::new("ip")
        .args(["netns", "exec", &namespace.name, "python3", "-c", SERVER])
        .args([host, &port.to_string(), &rest.to_string()])
        .spawn()
        .unwrap();
    let server = Process(child);
    eventually("a server that listens", || {
        let listening = namespace.run(&format!("ss -tlnH sport = {port}"));
        (!listening.trim().is_empty()).then_some(())
    });
    server
}

/// What is told of the connection.
pub fn told(flow: &Flow) -> Struct {
    let all = flow.extensions.as_ref().unwrap();
    let all = Struct::decode(all.value.as_slice()).unwrap();
    match all.fields.get("tcp").and_then(|tcp| tcp.kind.clone()) {
        Some(Kind::StructValue(tcp)) => tcp,
        _ => Struct::default(),
    }
}

/// A number among what is told.
pub fn number(told: &Struct, key: &str) -> Option<f64> {
    match told.fields.get(key)?.kind {
        Some(Kind::NumberValue(number)) => Some(number),
        _ => None,
    }
}

/// Whether it is told as true.
pub fn is_set(told: &Struct, key: &str) -> bool {
    told.fields
        .get(key)
        .is_some_and(|value| value.kind == Some(Kind::BoolValue(true)))
}

/// Source and destination, if it is TCP.
pub fn ports(flow: &Flow) -> Option<(u32, u32)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        _ => None,
    }
}

/// The event of a flow's end.
pub fn is_end(flow: &Flow) -> bool {
    let all = flow.extensions.as_ref().unwrap();
    let all = Struct::decode(all.value.as_slice()).unwrap();
    all.fields.contains_key("end_reason")
}

/// All events of the connection to a port, once its end is among them.
pub fn events(daemon: &Daemon, port: u16) -> Vec<Flow> {
    let port = u32::from(port);
    eventually("the end of the connection", || {
        let mut flows = daemon.flows();
        flows.retain(|flow| ports(flow).is_some_and(|(a, b)| a == port || b == port));
        flows.iter().any(is_end).then_some(flows)
    })
}

/// What is told at the end of the connection to a port.
pub fn end(daemon: &Daemon, port: u16) -> Struct {
    told(
        events(daemon, port)
            .iter()
            .find(|flow| is_end(flow))
            .unwrap(),
    )
}
