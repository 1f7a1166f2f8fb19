//! The real `hubble-relay` in front of two servers.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::{Command, Stdio};

use sextant_integration_tests::{
    Daemon, Netns, Process, eventually, free_port,
    hubble::{hubble, run, tool},
    root, veth,
};

/// Relay over a server that names the other one.
fn relay(server: &str) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let child = Command::new(tool("hubble-relay"))
        .args(["serve", "--disable-client-tls", "--disable-server-tls"])
        .args(["--gops=false", "--retry-timeout", "1s"])
        .args(["--peer-service", server, "--listen-address", &address])
        .args([
            "--health-listen-address",
            &format!("127.0.0.1:{}", free_port()),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Process(child), address)
}

#[test]
fn relay_merges_two_servers_and_tells_when_one_is_gone_and_back() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    // One socket that stays where it is over the restart.
    let folder = tempfile::tempdir().unwrap();
    let second_socket = format!("unix://{}", folder.path().join("b.socket").display());
    let second = || {
        Daemon::start(
            &b,
            "",
            &["--node-name", "node-b", "--listen", &second_socket],
        )
    };
    let peers = format!("[[peer]]\nname = \"node-b\"\naddress = \"{second_socket}\"\n");
    let first = Daemon::start(&a, &peers, &[]);
    let mut other = second();
    let (_relay, relay) = relay(&first.server());

    connected(&relay, "2/2");
    a.run("ping -q -c 3 -i 0.2 10.9.1.2");
    let merged = eventually("flows of both nodes", || {
        let out = hubble(&relay, "observe --all --protocol icmpv4 -o jsonpb");
        ["node-a", "node-b"]
            .iter()
            .all(|node| out.contains(&format!("\"node_name\":\"{node}\"")))
            .then_some(out)
    });
    in_order_of_time(&merged);

    other.signal("KILL");
    other.wait();
    connected(&relay, "1/2");
    let nodes = hubble(&relay, "list nodes");
    assert!(nodes.contains("Unavailable"), "{nodes}");

    other = second();
    connected(&relay, "2/2");
    let nodes = hubble(&relay, "list nodes");
    assert_eq!(nodes.matches("Connected").count(), 2, "{nodes}");
    drop(other);
}

/// Waits until status through relay tells so many nodes.
fn connected(relay: &str, nodes: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(75);
    let wanted = format!("Connected Nodes: {nodes}");
    loop {
        let output = run(relay, "status");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains(&wanted) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{nodes}: {text}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn in_order_of_time(lines: &str) {
    let times: Vec<&str> = lines
        .lines()
        .filter_map(|line| {
            line.split("\"flow\":{\"time\":\"")
                .nth(1)?
                .split('"')
                .next()
        })
        // Nine digits each, so that texts compare as times do.
        .filter(|time| time.len() == "2026-11-24T05:09:53.043650630Z".len())
        .collect();
    assert!(times.len() >= 4, "{lines}");
    assert!(times.is_sorted(), "{times:?}");
}
