//! What TCP sends again, beside what the kernel's own counters say.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::Command;

use prost_types::Struct;
use sextant_integration_tests::{
    Daemon, Netns, Process,
    daemon::{QUICK, client_binary},
    eventually,
    hubble::hubble,
    netns::veth,
    root,
    tcp::{client, end, events, is_end, number, ports, server, told},
};

/// Sent again by client and server, which is on this host too, in its other namespace:
/// of its figures its FIN tells, which may need to be sent again.
fn by_both(told: &Struct) -> f64 {
    number(told, "retrans").unwrap() + number(told, "reverse_retrans").unwrap_or(0.0)
}

#[test]
fn what_is_sent_again_is_what_the_kernel_counts() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    veth((&here, "veth0"), (&there, "veth1"), 2);
    let _servers = [
        server(&there, "0.0.0.0", 7101, 0.0),
        server(&there, "::", 7102, 0.0),
    ];
    there.run(
        "nft add table inet loss && nft add chain inet loss in \"{ type filter hook input priority 0; }\" && \
         nft add rule inet loss in tcp dport { 7101, 7102 } tcp flags ! fin numgen random mod 10 == 0 drop",
    );
    let daemon = Daemon::start(&here, QUICK, &["--interface", "veth0"]);
    let again = || -> f64 {
        let line = here.run("nstat -asz TcpRetransSegs | tail -1");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (mut counted, mut all) = (again(), 0.0);
    for (host, port) in [("10.9.2.2", 7101), ("fd09:2::2", 7102)] {
        client(&here, &format!("{host} {port} 300000"));
        let told = end(&daemon, port);
        let now = again();
        assert!(now > counted, "the loss");
        assert_eq!(number(&told, "retrans"), Some(now - counted), "{told:?}");
        counted = now;
        all += by_both(&told);
    }
    assert_eq!(
        daemon.metric(&here, "sextant_tcp_retransmitted_segments_total"),
        all as u64
    );

    let sextant = |arguments: &str| {
        let output = Command::new(client_binary())
            .args(["--server", &daemon.server()])
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let last = told(
        events(&daemon, 7101)
            .iter()
            .find(|flow| is_end(flow))
            .unwrap(),
    );
    let retrans = number(&last, "retrans").unwrap();
    let shown = sextant("observe --port 7101 --columns rtt,retrans,handshake,reset -o table");
    assert!(shown.contains(&format!(" {retrans}/")), "{shown}");
    let top = sextant("top --once --by retrans --window 60s");
    assert!(
        top.contains("RETR")
            && top.contains("7101")
            && top.contains(&format!(" {}\n", by_both(&last))),
        "{top}"
    );
    let stats = sextant("stats --window 60s --group-by server-port --order retrans");
    assert!(
        stats.contains("RETRANS") && stats.contains("7102"),
        "{stats}"
    );
    let bad = "observe -o jsonpb --last 100 --cel-expression _flow.extensions.tcp.retrans>0.0";
    let bad = hubble(&daemon.server(), bad);
    assert!(bad.contains(&format!("\"retrans\":{retrans}")), "{bad}");
    assert!(!bad.contains("\"retrans\":0,"), "{bad}");
    told_again(&bad);
}

/// What the real client printed is told again by a server that reads it.
fn told_again(printed: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flows.jsonl");
    std::fs::write(&file, printed).unwrap();
    let file = file.to_str().unwrap();
    let replay = Daemon::start(&Netns::new(), "", &["--no-datapath", "--replay", file]);
    let again = hubble(&replay.server(), "observe -o jsonpb --last 100");
    let values = |text: &str| -> Vec<String> {
        let part = |line: &str| line.split("\"tcp\":").nth(1).map(str::to_owned);
        text.lines()
            .filter_map(part)
            .map(|part| part.split('}').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(printed), values(&again));
    assert!(!values(&again).is_empty());
}

/// Sends, and sends again once nothing comes through; stays open.
const TALKER: &str = r#"
import os, socket, sys, time
host, port, go = sys.argv[1], int(sys.argv[2]), sys.argv[3]
c = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
c.connect((host, port))
c.sendall(b"x")
while not os.path.exists(go): time.sleep(0.05)
c.sendall(b"y")
time.sleep(600)
"#;

#[test]
fn what_is_sent_again_is_told_while_the_connection_is_in_trouble() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    veth((&here, "veth0"), (&there, "veth1"), 7);
    let _servers =
        [("0.0.0.0", 7601), ("::", 7602)].map(|(host, port)| server(&there, host, port, 600.0));
    // Nothing but the trouble makes it tell.
    let still = "[datapath]\nactive_interval = \"1h\"\n";
    let daemon = Daemon::start(&here, still, &["--interface", "veth0"]);
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let calls = [
        ("10.9.7.2", "7601"),
        ("fd09:7::2", "7602"),
        ("::ffff:10.9.7.2", "7601"),
    ];
    let talkers = calls.map(|(host, port)| {
        let child = Command::new("ip")
            .args(["netns", "exec", &here.name, "python3", "-c", TALKER])
            .args([host, port, go.to_str().unwrap()])
            .spawn()
            .unwrap();
        Process(child)
    });
    eventually("open connections", || {
        let open = here.run("ss -tnH state established");
        (open.lines().count() == talkers.len()).then_some(())
    });
    there.run(
        "nft add table inet hole && nft add chain inet hole in \"{ type filter hook input priority 0; }\" && \
         nft add rule inet hole in tcp dport { 7601, 7602 } drop",
    );
    std::fs::write(&go, "").unwrap();
    let trouble = eventually("each connection in trouble", || {
        let mut flows = daemon.flows();
        flows.retain(|flow| {
            ports(flow).is_some_and(|(_, to)| to == 7601 || to == 7602)
                && number(&told(flow), "retrans").is_some_and(|retrans| retrans > 0.0)
        });
        let clients: std::collections::BTreeSet<_> = flows.iter().filter_map(ports).collect();
        (clients.len() == talkers.len()).then_some(flows)
    });
    assert!(!trouble.iter().any(is_end), "all are open");
    assert_eq!(trouble.len(), talkers.len(), "once: {trouble:?}");
}
