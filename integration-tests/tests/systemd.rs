//! Units of a real systemd, as servers and as clients: nginx, sockets that systemd made for services, a unit of a user and a scope.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use prost::Message as _;
use sextant_integration_tests::{
    Daemon, Netns, booted::Booted, daemon::QUICK, eventually, hubble::hubble, root,
};
use sextant_proto::flow::{Flow, layer4::Protocol};

/// Asks all servers again and again, from one process.
const CLIENT: &str = r#"
import socket, time
def stream(port):
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert s.recv(9)
    s.close()
def datagram(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(b"x", ("127.0.0.1", port))
    assert s.recv(9)
    s.close()
while True:
    for ask, port in ((stream, 80), (stream, 7001), (stream, 7002), (datagram, 7003), (stream, 7004)):
        try:
            ask(port)
        except OSError:
            pass
    time.sleep(0.3)
"#;

/// Answers on a socket that it was given.
const ONCE: &str = r#"
import socket
l = socket.socket(fileno=3)
while True:
    if l.type == socket.SOCK_DGRAM:
        l.sendto(*l.recvfrom(9))
    else:
        c, _ = l.accept()
        c.sendall(c.recv(9))
        c.close()
"#;

const FILES: &[(&str, &str)] = &[
    ("opt/client.py", CLIENT),
    ("opt/once.py", ONCE),
    (
        "etc/systemd/system/once.socket",
        "[Socket]\nListenStream=127.0.0.1:7001\n",
    ),
    (
        "etc/systemd/system/once.service",
        "[Service]\nExecStart=/usr/bin/python3 /opt/once.py\n",
    ),
    (
        "etc/systemd/system/each.socket",
        "[Socket]\nListenStream=127.0.0.1:7002\nAccept=yes\nTriggerLimitIntervalSec=0\nMaxConnections=1000\n",
    ),
    (
        "etc/systemd/system/each@.service",
        "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n",
    ),
    (
        "etc/systemd/system/datagram.socket",
        "[Socket]\nListenDatagram=127.0.0.1:7003\n",
    ),
    (
        "etc/systemd/system/datagram.service",
        "[Service]\nExecStart=/usr/bin/python3 /opt/once.py\n",
    ),
    (
        "etc/systemd/system/call.service",
        "[Service]\nExecStart=/usr/bin/python3 /opt/client.py\n",
    ),
    (
        "etc/systemd/system/run.service",
        "[Service]\nExecStart=/usr/bin/systemd-run --scope --unit=tool /usr/bin/python3 /opt/client.py\n",
    ),
    (
        "etc/systemd/user/mine.service",
        "[Unit]\nConditionUser=alice\n[Service]\nExecStart=/usr/bin/python3 /opt/client.py\n",
    ),
    (
        "etc/systemd/user/own.socket",
        "[Unit]\nConditionUser=alice\n[Socket]\nListenStream=127.0.0.1:7004\n",
    ),
    (
        "etc/systemd/user/own.service",
        "[Service]\nExecStart=/usr/bin/python3 /opt/once.py\n",
    ),
    ("var/lib/systemd/linger/alice", ""),
];

/// What is started as the system comes up.
const PREPARE: &str = "useradd --create-home --uid 1000 alice
    mkdir -p /etc/systemd/system/multi-user.target.wants /etc/systemd/user/default.target.wants
    for unit in once.socket each.socket datagram.socket call.service run.service; do
        ln -s /etc/systemd/system/$unit /etc/systemd/system/multi-user.target.wants/
    done
    ln -s /etc/systemd/user/mine.service /etc/systemd/user/own.socket /etc/systemd/user/default.target.wants/
    rm -f /etc/systemd/system/*.wants/*.timer";

/// Namespace, name, and cgroup below the root of all.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("system", "call.service", "system.slice/call.service"),
    ("system", "tool.scope", "system.slice/tool.scope"),
    (
        "user-1000",
        "mine.service",
        "user.slice/user-1000.slice/user@1000.service/app.slice/mine.service",
    ),
];

fn ports(flow: &Flow) -> Option<(u32, u32)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(l4) => Some((l4.source_port, l4.destination_port)),
        Protocol::Udp(l4) => Some((l4.source_port, l4.destination_port)),
        _ => None,
    }
}

/// Whether it tells that the server at this port accepts.
fn is_accepted(flow: &Flow, port: u32) -> bool {
    let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else {
        return false;
    };
    let flags = tcp.flags.unwrap_or_default();
    tcp.source_port == port && flags.syn && flags.ack
}

fn pid(flow: &Flow, side: &str) -> Option<u32> {
    use prost_types::value::Kind;
    let any = flow.extensions.as_ref()?;
    let all = prost_types::Struct::decode(any.value.as_slice()).unwrap();
    let Some(Kind::StructValue(process)) = all.fields.get(side)?.kind.clone() else {
        return None;
    };
    match process.fields.get("pid")?.kind.clone()? {
        Kind::NumberValue(number) => Some(number as u32),
        _ => None,
    }
}

#[test]
fn units_of_a_real_systemd_are_told_as_clients_and_as_servers() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, QUICK, &["--interface", "lo"]);
    let booted = Booted::start(&namespace, FILES, PREPARE);
    let process = |cgroup: &str| {
        eventually(&format!("one process of {cgroup}"), || {
            let [pid] = booted.pids(cgroup)[..] else {
                return None;
            };
            Some(pid)
        })
    };
    for (namespace, client, cgroup) in CLIENTS {
        let own = process(cgroup);
        for (port, of, server) in [
            (80, "system", "nginx.service"),
            (7001, "system", "once.service"),
            // systemd itself accepts it, and hands it on.
            (7002, "system", "init.scope"),
            (7003, "system", "datagram.service"),
            (7004, "user-1000", "own.service"),
        ] {
            let flow = eventually(&format!("{client} calls {server} at {port}"), || {
                daemon.flows().into_iter().rev().find(|flow| {
                    let to = flow.destination.as_ref();
                    let from = flow.source.as_ref();
                    ports(flow).is_some_and(|(_, to)| to == port)
                        && to.is_some_and(|to| to.namespace == of && to.pod_name == server)
                        && from.is_some_and(|from| {
                            from.namespace == *namespace && from.pod_name == *client
                        })
                })
            });
            assert_eq!(pid(&flow, "source_process"), Some(own), "{flow:?}");
        }
    }
    for flow in daemon.flows().iter().filter(|flow| is_accepted(flow, 80)) {
        let server = flow.source.as_ref().map(|from| from.pod_name.as_str());
        assert_eq!(server, Some("nginx.service"), "{flow:?}");
    }
    let shown = hubble(
        &daemon.server(),
        "observe --last 20 --from-pod user-1000/mine.service --to-label unit=nginx.service",
    );
    assert!(shown.contains("mine.service"), "{shown}");
}
