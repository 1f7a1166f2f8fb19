//! How well TCP connections do, beside what `ss` says.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::Command;

use prost_types::{Struct, value::Kind};
use sextant_integration_tests::{
    Daemon, Netns, Process,
    daemon::QUICK,
    eventually, root, slow,
    tcp::{CLIENT, client, end, events, is_set, number, ports, python, server, told},
};
use sextant_proto::flow::layer4::Protocol;

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
