//! What a daemon must survive: floods of interfaces, clients that stall or
//! vanish, signals, crashes, mistakes.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::Command;

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::{binary, connect_for_ever},
    eventually,
    hubble::hubble,
    netns::Process,
    root, veth,
};
use sextant_proto::observer::{
    GetFlowsRequest, get_flows_response::ResponseTypes, observer_client::ObserverClient,
};
use tonic::Code;

/// Programs and links of ours that are in the kernel for this process.
fn programs_of(pid: u32) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    fds.filter_map(|fd| std::fs::read_to_string(fd.ok()?.path()).ok())
        .filter(|info| info.contains("prog_id:") && info.contains("link_type:"))
        .count()
}

/// Memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_hundred_interfaces_come_and_go_without_a_trace() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let mut daemon = Daemon::start(&namespace, "", &["--interface", "t*"]);
    let before = programs_of(daemon.pid());
    for round in 0..4 {
        namespace.run(&format!(
            "for n in $(seq 50); do ip link add t{round}x$n type veth peer name p{round}x$n; \
             ip link set t{round}x$n up; ip link set p{round}x$n up; done"
        ));
        eventually("all are attached", || {
            (programs_of(daemon.pid()) == before + 100).then_some(())
        });
        namespace.run(&format!(
            "for n in $(seq 50); do ip link del t{round}x$n; done"
        ));
        eventually("all are let go", || {
            (programs_of(daemon.pid()) == before).then_some(())
        });
    }
    assert!(
        resident(daemon.pid()) < 300_000,
        "{} KiB",
        resident(daemon.pid())
    );
    // These mean nothing, and the last one what SIGTERM does.
    for signal in [
        "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "RTMIN", "RTMIN+9",
        "RTMAX",
    ] {
        daemon.signal(signal);
        assert!(daemon.status().is_some(), "SIG{signal}");
    }
    daemon.signal("QUIT");
    assert!(daemon.wait().success());
}

#[test]
fn a_client_that_stops_reading_costs_nothing_and_is_told_its_loss() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    // A ring that takes the whole flood: nothing is lost before the store.
    let config = "flow_capacity = 2000\n[datapath]\naggregation = false\n\
                  observed_ring_bytes = 134217728\ndrops = false\n";
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    let flood = |packets: u32| {
        namespace.run(&format!(
            "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
             [s.sendto(b\"x\",(\"127.0.0.1\",9)) for _ in range({packets})]'"
        ));
    };
    let server = daemon.server();
    let mut stalled = daemon.block_on(async {
        let mut client = ObserverClient::new(connect_for_ever(&server).await.unwrap());
        let request = GetFlowsRequest {
            follow: true,
            ..GetFlowsRequest::default()
        };
        client.get_flows(request).await.unwrap().into_inner()
    });
    // Each packet and its ICMP error are an event each: far more than is kept.
    flood(20_000);
    let settled = resident(daemon.pid());
    flood(40_000);
    let grown = resident(daemon.pid()).saturating_sub(settled);
    assert!(grown < 20_000, "grew by {grown} KiB");
    // A batch shows in the status when it is stored whole.
    let mut last = (0, std::time::Instant::now());
    let seen = eventually("the store is at rest", || {
        let seen = daemon.status()?.seen_flows;
        if seen != last.0 {
            last = (seen, std::time::Instant::now());
        }
        (last.1.elapsed().as_secs() >= 2).then_some(seen)
    });
    assert!(seen > 60_000, "{seen}");
    let (mut received, mut lost) = (0_u64, 0_u64);
    daemon.block_on(async {
        while received + lost < seen {
            let next = tokio::time::timeout(std::time::Duration::from_secs(10), stalled.message());
            let response = next.await.expect("the rest comes").unwrap().unwrap();
            match response.response_types.unwrap() {
                ResponseTypes::Flow(_) => received += 1,
                ResponseTypes::LostEvents(event) => lost += event.num_events_lost,
                ResponseTypes::NodeStatus(_) => {}
            }
        }
    });
    let full = "sextant_unaccounted_packets_total{cause=\"observed_ring_full\"}";
    assert_eq!(daemon.metric(&namespace, full), 0);
    assert_eq!(received + lost, seen, "{received} received, {lost} lost");
    assert!(lost > 0);
}

#[test]
fn streams_are_limited_and_those_of_vanished_clients_are_free_again() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let config = "[server]\nmax_streams = 4\n";
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    let server = daemon.server();
    let follow = || async {
        let mut client = ObserverClient::new(connect_for_ever(&server).await.unwrap());
        let request = GetFlowsRequest {
            follow: true,
            ..GetFlowsRequest::default()
        };
        let response = client.get_flows(request).await;
        response.map(tonic::Response::into_inner)
    };
    for _ in 0..20 {
        // The server learns of vanished clients in its own time.
        eventually("all places are free", || {
            (daemon.own_status()?.streams?.open == 0).then_some(())
        });
        let mut held: Vec<_> = (0..4).map(|_| daemon.block_on(follow()).unwrap()).collect();
        let refused = daemon.block_on(follow()).err();
        namespace.run("ping -q -c 1 127.0.0.1");
        // All four were open meanwhile: each goes on.
        for stream in &mut held {
            let next = daemon.block_on(stream.message());
            assert!(
                matches!(next, Ok(Some(_))),
                "{next:?}; the fifth: {refused:?}"
            );
        }
        let refused = refused.expect("a fifth is refused beside four open ones");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(
            refused.message().contains("server.max_streams"),
            "{refused}"
        );
    }
}

#[test]
fn streams_end_with_unavailable_at_shutdown_and_nothing_is_left() {
    if !root() {
        return;
    }
    for config in ["", "[datapath]\nforce_clsact = true\n"] {
        let (a, b) = (Netns::new(), Netns::new());
        veth((&a, "va"), (&b, "vb"), 1);
        let mut daemon = Daemon::start(&b, config, &["--interface", "vb"]);
        let server = daemon.server();
        let clsact = !config.is_empty();
        assert_eq!(b.run("tc qdisc show dev vb").contains("clsact"), clsact);
        b.run("ping -q -c 1 10.9.1.1");
        assert!(hubble(&server, "observe --all").contains("EchoRequest"));
        let mut stream = daemon.block_on(async {
            let mut client = ObserverClient::new(connect_for_ever(&server).await.unwrap());
            let request = GetFlowsRequest {
                follow: true,
                ..GetFlowsRequest::default()
            };
            client.get_flows(request).await.unwrap().into_inner()
        });
        daemon.signal("TERM");
        let end = daemon.block_on(async {
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("ended with OK"),
                    Err(status) => return status,
                }
            }
        });
        assert_eq!(end.code(), Code::Unavailable, "{end}");
        assert!(daemon.wait().success());
        nothing_is_left(&b, &server);
    }
}

#[test]
fn a_start_that_never_ends_is_ended_by_a_signal() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = Command::new("mkfifo").arg(path("flows.jsonl")).status();
        assert!(made.unwrap().success());
        let log = std::fs::File::create(path("log")).unwrap();
        let child = Command::new(binary())
            .args(["--no-datapath", "--metrics-listen", "off"])
            .args(["--listen", &format!("unix://{}", path("socket"))])
            .args(["--state-dir", &path("state")])
            // Nobody writes to it.
            .args(["--replay", &path("flows.jsonl")])
            .stderr(log)
            .spawn()
            .unwrap();
        let mut starting = Process(child);
        let pid = starting.0.id();
        eventually("it waits for signals", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught?.trim(), 16).unwrap();
            // SIGHUP is the last.
            (caught & 0x4003 == 0x4003).then_some(())
        });
        sextant_integration_tests::netns::host(&format!("kill -{signal} {pid}"));
        let end = eventually("it ends", || starting.0.try_wait().unwrap());
        let log = std::fs::read_to_string(path("log")).unwrap();
        assert!(end.success(), "{signal}: {end}: {log}");
        assert!(log.contains("stopped before it was ready"), "{log}");
    }
}

#[test]
fn after_a_crash_and_a_restart_nothing_stale_is_left() {
    if !root() {
        return;
    }
    for config in ["", "[datapath]\nforce_clsact = true\n"] {
        let (a, b) = (Netns::new(), Netns::new());
        veth((&a, "va"), (&b, "vb"), 1);
        let mut crashed = Daemon::start(&b, config, &["--interface", "vb"]);
        crashed.signal("KILL");
        crashed.wait();
        let mut daemon = Daemon::start(&b, config, &["--interface", "vb"]);
        let filters = b
            .run("tc filter show dev vb ingress")
            .matches("handle")
            .count();
        assert!(filters <= 1, "{filters} filters");
        a.run("ping -q -c 1 10.9.1.2");
        let pings = hubble(&daemon.server(), "observe --all --protocol icmpv4");
        assert!(pings.contains("EchoRequest"), "{pings}");
        daemon.signal("TERM");
        assert!(daemon.wait().success());
        nothing_is_left(&b, &daemon.server());
    }
}

fn nothing_is_left(namespace: &Netns, server: &str) {
    assert!(!namespace.run("tc qdisc show dev vb").contains("clsact"));
    assert!(!namespace.run("bpftool net show dev vb").contains("sextant"));
    let socket = server.strip_prefix("unix://").unwrap();
    assert!(!std::path::Path::new(socket).exists());
}

#[test]
fn two_instances_on_one_interface_both_see_the_flows() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let options = ["--interface", "vb", "--metrics-listen", "off"];
    let first = Daemon::start(&b, "", &options);
    let second = Daemon::start(&b, "", &options);
    a.run("ping -q -c 1 10.9.1.2");
    for daemon in [&first, &second] {
        eventually("the ping is seen", || {
            hubble(&daemon.server(), "observe --all --protocol icmpv4")
                .contains("EchoReply")
                .then_some(())
        });
    }
    // The same address is refused, and the first goes on.
    let socket = first.server();
    let mut third = Daemon::launch(&b, "", &["--metrics-listen", "off", "--listen", &socket]);
    assert!(!third.wait().success());
    assert!(
        third.log().contains("is another sextantd running?"),
        "{}",
        third.log()
    );
    assert!(first.status().is_some());
}

#[test]
fn a_second_instance_on_clsact_is_refused_with_a_reason() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let config = "[datapath]\nforce_clsact = true\n";
    let options = ["--interface", "vb", "--metrics-listen", "off"];
    let first = Daemon::start(&b, config, &options);
    let mut second = Daemon::launch(&b, config, &options);
    assert!(!second.wait().success());
    assert!(
        second.log().contains("another sextantd"),
        "{}",
        second.log()
    );
    a.run("ping -q -c 1 10.9.1.2");
    eventually("the first one goes on", || {
        hubble(&first.server(), "observe --all --protocol icmpv4")
            .contains("EchoReply")
            .then_some(())
    });
}

#[test]
fn bytes_that_are_no_grpc_do_not_hurt() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(
        &namespace,
        "",
        &["--interface", "lo", "--listen", "tcp://127.0.0.1:4245"],
    );
    namespace.run(
        "for n in $(seq 20); do head -c 20000 /dev/urandom > /dev/tcp/127.0.0.1/4245 || true; done",
    );
    assert!(daemon.status().is_some());
}
