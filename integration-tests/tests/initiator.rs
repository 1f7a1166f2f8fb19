//! Who opened a connection that is older than the daemon and has two high ports, of which
//! the lower one is the client's: 40000 called 50051.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    path::PathBuf,
    process::{Child, Command},
};

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, netns::veth, root, slow, totals,
};
use sextant_proto::flow::{Flow, layer4::Protocol};
use tempfile::TempDir;

/// Events of active flows soon, ends soon.
const LIVELY: &str = "active_interval = \"200ms\"\n";
const CLIENT: u32 = 40_000;
const SERVER: u32 = 50_051;

/// Takes what comes; answers each time.
const SERVE: &str = r#"
import socket, sys, threading
l = socket.create_server((sys.argv[1], 50051), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
def serve(c):
    while True:
        b = c.recv(100)
        if not b: return c.close()
        c.sendall(b)
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
"#;

/// Calls from 40000, speaks while the file `speak` is there, ends when `stop` is.
const CALL: &str = r#"
import os, socket, sys, time
host, folder = sys.argv[1], sys.argv[2]
c = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
c.bind(("", 40000))
c.connect((host, 50051))
open(folder + "/open", "w")
while not os.path.exists(folder + "/stop"):
    if os.path.exists(folder + "/speak"):
        c.sendall(b"x")
        c.recv(1)
    time.sleep(0.02)
c.close()
"#;

/// A connection that is open.
struct Call {
    programs: [Child; 2],
    folder: TempDir,
}

impl Call {
    fn open(client: &Netns, server: &Netns, host: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = |namespace: &Netns, program: &str, arguments: &[&str]| {
            Command::new("nsenter")
                .arg(format!("--net=/run/netns/{}", namespace.name))
                .args(["python3", "-c", program])
                .args(arguments)
                .spawn()
                .unwrap()
        };
        let serving = python(server, SERVE, &[host]);
        eventually("the server listens", || {
            let listening = server.run("ss -Hltn sport = 50051");
            (!listening.is_empty()).then_some(())
        });
        let calling = python(client, CALL, &[host, folder.path().to_str().unwrap()]);
        let call = Self {
            programs: [serving, calling],
            folder,
        };
        eventually("the connection is open", || {
            call.file("open").exists().then_some(())
        });
        call
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tell(&self, what: &str) {
        std::fs::write(self.file(what), "").unwrap();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Events of the connection in the order of the store.
fn events(daemon: &Daemon) -> Vec<Flow> {
    let mut flows = daemon.flows();
    flows.retain(|flow| {
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else {
            return false;
        };
        [tcp.source_port, tcp.destination_port].contains(&CLIENT)
    });
    flows
}

fn is_right(flow: &Flow) -> bool {
    let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else {
        return false;
    };
    flow.is_reply == Some(tcp.source_port == SERVER)
}

fn is_end(flow: &Flow) -> bool {
    totals::text(flow, "end_reason").is_some()
}

/// Speaks under the eyes of the daemon, ends, and gives all events.
fn watched(call: &Call, daemon: &Daemon) -> Vec<Flow> {
    call.tell("speak");
    eventually("some events", || (events(daemon).len() >= 4).then_some(()));
    call.tell("stop");
    eventually("the end", || {
        let events = events(daemon);
        events.iter().any(is_end).then_some(events)
    })
}

fn all_right(events: &[Flow]) {
    for flow in events {
        assert!(is_right(flow), "{flow:?}");
        assert_eq!(totals::text(flow, "initiator").as_deref(), Some("guessed"));
    }
}

#[test]
fn with_both_ends_here_who_listens_is_the_server() {
    if !root() {
        return;
    }
    for host in ["127.0.0.1", "::1"] {
        let here = Netns::new();
        let call = Call::open(&here, &here, host);
        let daemon = Daemon::start(&here, &format!("{QUICK}{LIVELY}"), &["--interface", "lo"]);
        all_right(&watched(&call, &daemon));
    }
}

#[test]
fn the_end_that_is_here_tells_whether_it_called() {
    if !root() {
        return;
    }
    for host in ["10.9.1.2", "fd09:1::2"] {
        let (client, server) = (Netns::new(), Netns::new());
        let _link = slow::link((&client, "slow0"), (&server, "slow0"), 1, 1);
        let call = Call::open(&client, &server, host);
        let daemons = [&client, &server].map(|namespace| {
            Daemon::start(
                namespace,
                &format!("{QUICK}{LIVELY}"),
                &["--interface", "slow0"],
            )
        });
        call.tell("speak");
        for daemon in &daemons {
            eventually("some events", || (events(daemon).len() >= 4).then_some(()));
        }
        for daemon in &daemons {
            all_right(&watched(&call, daemon));
        }
    }
}

#[test]
fn a_server_in_a_container_is_known_at_the_hosts_end() {
    if !root() {
        return;
    }
    let (host, container) = (Netns::new(), Netns::new());
    veth((&host, "veth0"), (&container, "eth0"), 2);
    let call = Call::open(&host, &container, "10.9.2.2");
    let daemon = Daemon::start(
        &host,
        &format!("{QUICK}{LIVELY}"),
        &["--interface", "veth0"],
    );
    all_right(&watched(&call, &daemon));
}

#[test]
fn of_what_is_forwarded_a_later_answer_to_a_syn_teaches_the_server() {
    if !root() {
        return;
    }
    let [client, router, server] = [Netns::new(), Netns::new(), Netns::new()];
    let _links = slow::routed([&client, &router, &server], [3, 4], [1, 1]);
    let call = Call::open(&client, &server, "10.9.4.2");
    let daemon = Daemon::start(&router, &format!("{QUICK}{LIVELY}"), &["--interface", "*0"]);
    call.tell("speak");
    eventually("events by the ports", || {
        (events(&daemon).len() >= 3).then_some(())
    });
    let before = events(&daemon);
    assert!(
        before.iter().all(|flow| !is_right(flow)),
        "the lower port is the client's"
    );
    client
        .run("python3 -c 'import socket; socket.create_connection((\"10.9.4.2\", 50051)).close()'");
    eventually("events that are right", || {
        events(&daemon).last().is_some_and(is_right).then_some(())
    });
    let all = watched(&call, &daemon);
    let (told, later) = all.split_at(before.len());
    assert!(
        told.iter().all(|flow| !is_right(flow)),
        "what was told stays"
    );
    let first = later.iter().position(is_right).unwrap();
    all_right(&later[first..]);
    assert!(later.iter().any(is_end));
}
