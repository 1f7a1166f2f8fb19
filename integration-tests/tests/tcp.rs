//! How well TCP connections do, beside what `ss` and the kernel's own counters say.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::{Command, Output};

use prost::Message as _;
use prost_types::{Struct, value::Kind};
use sextant_integration_tests::{
    Daemon, Netns, Process,
    daemon::{QUICK, client_binary},
    eventually,
    hubble::hubble,
    netns::veth,
    root, slow,
};
use sextant_proto::flow::{Flow, layer4::Protocol};

/// Announces where it listens, reads when it is told to, says how much it read.
const SERVER: &str = r#"
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
const CLIENT: &str = r#"
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

fn python(namespace: &Netns, program: &str, arguments: &str) -> Output {
    Command::new("ip")
        .args(["netns", "exec", &namespace.name, "python3", "-c", program])
        .args(arguments.split(' '))
        .output()
        .unwrap()
}

fn client(namespace: &Netns, arguments: &str) -> String {
    let output = python(namespace, CLIENT, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn server(namespace: &Netns, host: &str, port: u16, rest: f64) -> Process {
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
fn told(flow: &Flow) -> Struct {
    let all = flow.extensions.as_ref().unwrap();
    let all = Struct::decode(all.value.as_slice()).unwrap();
    match all.fields.get("tcp").and_then(|tcp| tcp.kind.clone()) {
        Some(Kind::StructValue(tcp)) => tcp,
        _ => Struct::default(),
    }
}

fn number(told: &Struct, key: &str) -> Option<f64> {
    match told.fields.get(key)?.kind {
        Some(Kind::NumberValue(number)) => Some(number),
        _ => None,
    }
}

fn is_set(told: &Struct, key: &str) -> bool {
    told.fields
        .get(key)
        .is_some_and(|value| value.kind == Some(Kind::BoolValue(true)))
}

fn ports(flow: &Flow) -> Option<(u32, u32)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        _ => None,
    }
}

fn is_end(flow: &Flow) -> bool {
    let all = flow.extensions.as_ref().unwrap();
    let all = Struct::decode(all.value.as_slice()).unwrap();
    all.fields.contains_key("end_reason")
}

/// All events of the connection to a port, once its end is among them.
fn events(daemon: &Daemon, port: u16) -> Vec<Flow> {
    let port = u32::from(port);
    eventually("the end of the connection", || {
        let mut flows = daemon.flows();
        flows.retain(|flow| ports(flow).is_some_and(|(a, b)| a == port || b == port));
        flows.iter().any(is_end).then_some(flows)
    })
}

fn end(daemon: &Daemon, port: u16) -> Struct {
    told(
        events(daemon, port)
            .iter()
            .find(|flow| is_end(flow))
            .unwrap(),
    )
}

/// What was told with the client's FIN.
fn at_close(daemon: &Daemon, port: u16) -> Struct {
    let events = events(daemon, port);
    let closing = events.iter().find(|flow| {
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().unwrap().protocol.as_ref() else {
            return false;
        };
        tcp.destination_port == u32::from(port) && tcp.flags.is_some_and(|flags| flags.fin)
    });
    told(closing.unwrap())
}

/// `rtt:0.2/0.1`, `minrtt:0.1`, `retrans:0/3` of `ss`.
fn of_ss(ss: &str, key: &str) -> Option<f64> {
    let word = ss
        .split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))?;
    let part = match key {
        "retrans" => word.split('/').nth(1),
        _ => word.split('/').next(),
    };
    part?.parse().ok()
}

fn near(told: Option<f64>, ss_millis: f64, what: &str) {
    let told = told.unwrap_or_else(|| panic!("no {what}")) / 1000.0;
    assert!(
        (told - ss_millis).abs() <= 1.0 + ss_millis * 0.2,
        "{what}: {told} ms, ss {ss_millis} ms"
    );
}

#[test]
fn round_trips_are_those_of_the_sockets_at_both_ends_and_both_families() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    let _link = slow::link((&here, "fast0"), (&there, "slow0"), 1, 15);
    let _servers = [
        server(&there, "0.0.0.0", 7001, 0.0),
        server(&there, "::", 7002, 0.0),
    ];
    let daemons = [&here, &there].map(|one| Daemon::start(one, QUICK, &["--interface", "*0"]));
    for (host, port) in [("10.9.1.2", 7001), ("fd09:1::2", 7002)] {
        let ss = client(&here, &format!("{host} {port} 50000"));
        // When it closed it knew what `ss` had told; later packets may come late.
        let told = at_close(&daemons[0], port);
        near(number(&told, "srtt_us"), of_ss(&ss, "rtt").unwrap(), "srtt");
        near(
            number(&told, "rtt_min_us"),
            of_ss(&ss, "minrtt").unwrap(),
            "least rtt",
        );
        assert_eq!(
            number(&told, "retrans"),
            Some(of_ss(&ss, "retrans").unwrap_or(0.0))
        );
        let handshake = number(&told, "handshake_us").unwrap();
        assert!(
            (30_000.0..5_000_000.0).contains(&handshake),
            "{handshake} us"
        );
        let established = number(&told, "established_us").unwrap();
        assert!(
            (handshake..handshake + 1_000_000.0).contains(&established),
            "{established}"
        );
        // The other socket is not on this host.
        assert!(
            told.fields.keys().all(|key| !key.starts_with("reverse_")),
            "{told:?}"
        );

        let told = end(&daemons[1], port);
        let round_trip = number(&told, "reverse_srtt_us").unwrap();
        assert!(round_trip >= 30_000.0, "{round_trip} us");
        assert_eq!(number(&told, "srtt_us"), None, "{told:?}");
        // Answered here at once, and acknowledged after a round trip.
        assert!(
            number(&told, "handshake_us").unwrap() < 30_000.0,
            "{told:?}"
        );
        assert!(
            number(&told, "established_us").unwrap() >= 30_000.0,
            "{told:?}"
        );
    }
    // Nothing came back in less than 25 ms, all of it within 10 s.
    let [here_daemon, _] = &daemons;
    let metric = |name: &str| here_daemon.metric(&here, name);
    assert_eq!(
        metric("sextant_tcp_handshake_seconds_bucket{le=\"0.025\"}"),
        0
    );
    assert_eq!(metric("sextant_tcp_handshake_seconds_count"), 2);
    assert!(metric("sextant_tcp_round_trip_seconds_bucket{le=\"10.0\"}") >= 2);
    assert_eq!(
        metric("sextant_tcp_round_trip_seconds_bucket{le=\"0.025\"}"),
        0
    );
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
    let mut counted = again();
    for (host, port) in [("10.9.2.2", 7101), ("fd09:2::2", 7102)] {
        client(&here, &format!("{host} {port} 300000"));
        let told = end(&daemon, port);
        let now = again();
        assert!(now > counted, "the loss");
        assert_eq!(number(&told, "retrans"), Some(now - counted), "{told:?}");
        counted = now;
    }
    assert_eq!(
        daemon.metric(&here, "sextant_tcp_retransmitted_segments_total"),
        counted as u64
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
        top.contains("RETR") && top.contains("7101") && top.contains(&format!(" {retrans}\n")),
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
    told_again(&here, &daemon, &bad);
}

/// What the real client printed is told again by a server that reads it.
fn told_again(namespace: &Netns, daemon: &Daemon, printed: &str) {
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
    let _ = (namespace, daemon);
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

#[test]
fn a_port_that_is_closed_resets_and_has_no_figures() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    let _link = slow::link((&here, "slow0"), (&there, "slow0"), 3, 1);
    let daemon = Daemon::start(&here, QUICK, &["--interface", "slow0"]);
    for (host, port) in [("10.9.3.1", 7201), ("fd09:3::1", 7202)] {
        let refused = python(&there, CLIENT, &format!("{host} {port} 1000"));
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("refused"),
            "{refused:?}"
        );
        let flows = events(&daemon, port);
        assert!(flows.len() >= 3, "SYN, RST, end: {flows:?}");
        for flow in &flows {
            let told = told(flow);
            let keys: Vec<&str> = told.fields.keys().map(String::as_str).collect();
            assert!(keys.is_empty() || keys == ["reset_by"], "{told:?}");
        }
        let by = end(&daemon, port).fields["reset_by"].kind.clone();
        assert_eq!(by, Some(Kind::StringValue("server".into())));
    }
}

#[test]
fn a_reader_that_does_not_read_is_told_once_by_its_window() {
    if !root() {
        return;
    }
    let here = Netns::new();
    let _servers = [
        server(&here, "127.0.0.1", 7301, 2.0),
        server(&here, "::1", 7302, 2.0),
    ];
    let daemon = Daemon::start(&here, QUICK, &["--interface", "lo"]);
    for (host, port) in [("127.0.0.1", 7301), ("::1", 7302)] {
        // More than buffers have room for.
        client(&here, &format!("{host} {port} 20000000"));
        let flows = events(&daemon, port);
        let told_zero: Vec<_> = flows
            .iter()
            .filter(|flow| is_set(&told(flow), "reverse_zero_window"))
            .collect();
        let first = told_zero.first().unwrap();
        assert_eq!(
            ports(first).unwrap().0,
            u32::from(port),
            "the reader's own packet"
        );
        let Some(Protocol::Tcp(tcp)) = first.l4.as_ref().unwrap().protocol.as_ref() else {
            panic!("no TCP");
        };
        let flags = tcp.flags.unwrap();
        assert!(
            flags.ack && !flags.fin && !flags.syn && !flags.rst,
            "news by itself: {flags:?}"
        );
        let told = end(&daemon, port);
        assert!(
            is_set(&told, "reverse_zero_window") && !is_set(&told, "zero_window"),
            "{told:?}"
        );
        // Both sockets are on this host.
        for key in ["srtt_us", "reverse_srtt_us", "retrans", "reverse_retrans"] {
            assert!(number(&told, key).is_some(), "no {key}: {told:?}");
        }
    }
}

#[test]
fn a_forwarded_connection_has_its_handshake_and_no_socket_figures() {
    if !root() {
        return;
    }
    let [left, router, right] = [Netns::new(), Netns::new(), Netns::new()];
    let _links = slow::routed([&left, &router, &right], [4, 5], [5, 20]);
    let _servers = [
        server(&right, "0.0.0.0", 7401, 0.0),
        server(&right, "::", 7402, 0.0),
    ];
    let daemon = Daemon::start(&router, QUICK, &["--interface", "*0"]);
    for (host, port) in [("10.9.5.2", 7401), ("fd09:5::2", 7402)] {
        client(&left, &format!("{host} {port} 10000"));
        let told = end(&daemon, port);
        let keys: Vec<&str> = told.fields.keys().map(String::as_str).collect();
        assert_eq!(keys, ["established_us", "handshake_us"], "{told:?}");
        let handshake = number(&told, "handshake_us").unwrap();
        assert!((40_000.0..5_000_000.0).contains(&handshake), "{handshake}");
        let established = number(&told, "established_us").unwrap();
        assert!(
            (handshake + 10_000.0..9_000_000.0).contains(&established),
            "{established}"
        );
    }
}

#[test]
fn a_connection_from_before_the_start_tells_all_that_its_socket_knows() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    let _link = slow::link((&here, "slow0"), (&there, "slow0"), 6, 10);
    let _server = server(&there, "0.0.0.0", 7501, 0.0);
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let waits = format!(
        "import os, socket, sys, time\nc = socket.create_connection(('10.9.6.2', 7501))\n\
         for _ in range(20): c.sendall(b'x' * 1000); time.sleep(0.01)\n\
         while not os.path.exists('{}'): time.sleep(0.05)\n\
         c.sendall(b'x'); c.shutdown(1); c.recv(9); c.close()\n",
        go.display()
    );
    let child = Command::new("ip")
        .args(["netns", "exec", &here.name, "python3", "-c", &waits])
        .spawn()
        .unwrap();
    let _client = Process(child);
    eventually("a connection", || {
        let open = here.run("ss -tnH state established dport = 7501");
        (!open.trim().is_empty()).then_some(())
    });
    let daemon = Daemon::start(&here, QUICK, &["--interface", "slow0"]);
    std::fs::write(&go, "").unwrap();
    let told = end(&daemon, 7501);
    assert!(number(&told, "srtt_us").unwrap() >= 20_000.0, "{told:?}");
    assert_eq!(
        number(&told, "handshake_us"),
        None,
        "nobody saw it: {told:?}"
    );
}
