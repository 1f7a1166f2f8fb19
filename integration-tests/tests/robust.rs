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
    daemon.signal("TERM");
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

/// Runs the daemon to its end; whether it succeeded, and what it said.
fn said(arguments: &[&str], unprivileged: bool) -> (bool, String) {
    let mut command = if unprivileged {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(binary());
        command
    } else {
        Command::new(binary())
    };
    let output = command.args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn mistakes_are_refused_with_what_to_do() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod")
        .arg("755")
        .arg(folder.path())
        .status()
        .unwrap();
    let state = folder.path().join("state").display().to_string();
    let socket = format!("unix://{}", folder.path().join("socket").display());
    let base = [
        "--metrics-listen",
        "off",
        "--state-dir",
        &state,
        "--listen",
        &socket,
    ];
    let with = |more: &[&'static str]| -> Vec<String> {
        base.iter()
            .copied()
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let check = |arguments: Vec<String>, unprivileged: bool, wanted: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (ok, text) = said(&arguments, unprivileged);
        assert!(!ok, "{text}");
        for part in wanted {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    };
    check(
        with(&["--interface", "nothere0"]),
        false,
        &["no interface is named `nothere0`", "ip link"],
    );
    check(
        with(&["--flow-capacity", "0", "--interface", "["]),
        false,
        &["flow-capacity", "--interface"],
    );
    let unprivileged = vec![
        "--metrics-listen",
        "off",
        "--state-dir",
        "/tmp/none",
        "--listen",
        "tcp://127.0.0.1:0",
        "--interface",
        "lo",
    ];
    check(
        unprivileged.into_iter().map(str::to_owned).collect(),
        true,
        &["CAP_BPF", "--no-datapath"],
    );
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "flow_capacty = 1\n[server]\nmax_streams = \"x\"\n").unwrap();
    let (ok, text) = said(&["check", "--config", file.to_str().unwrap()], false);
    assert!(
        !ok && text.contains("bad.toml:1")
            && text.contains("flow_capacity")
            && text.contains("bad.toml:3"),
        "{text}"
    );
    let (ok, text) = said(&["probe"], false);
    assert!(
        ok && text.contains("programs  yes") && text.contains("tcx       yes"),
        "{text}"
    );
}

#[test]
fn what_each_part_needs_is_told_and_what_is_off_without_it() {
    if !root() {
        return;
    }
    let few = "-all,+bpf,+net_admin,+perfmon";
    let out = Command::new("setpriv")
        .args(["--bounding-set", few, "--inh-caps", few])
        .arg(sextant_integration_tests::daemon::binary())
        .arg("probe")
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}");
    for (part, found) in [
        ("programs", "yes"),
        ("names", "yes"),
        (
            "lookup",
            "no  a process that the kernel did not tell has no executable: sextantd lacks CAP_SYS_PTRACE",
        ),
        (
            "netns",
            "no  only the network namespace that sextantd runs in: sextantd lacks CAP_SYS_ADMIN",
        ),
    ] {
        assert!(
            text.contains(&format!("\n{part:<9} {found}")),
            "{part}: {text}"
        );
    }
    let needs = text
        .lines()
        .filter(|line| line.trim_start().starts_with("needs "));
    assert!(needs.count() >= 7, "{text}");
}

#[test]
fn replay_needs_no_rights() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod")
        .arg("777")
        .arg(folder.path())
        .status()
        .unwrap();
    let file = folder.path().join("flows.jsonl");
    let flow = r#"{"flow":{"time":"2026-01-02T03:04:05Z","verdict":"DROPPED","IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}}}"#;
    std::fs::write(&file, format!("{flow}\nnot json\n{flow}\n")).unwrap();
    let server = format!("unix://{}/s", folder.path().display());
    let child = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary())
        .args([
            "--no-datapath",
            "--metrics-listen",
            "off",
            "--listen",
            &server,
        ])
        .arg("--replay")
        .arg(&file)
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let _process = Process(child);
    eventually("replayed flows are served", || {
        let output = sextant_integration_tests::hubble::run(&server, "observe --all");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text.matches("10.0.0.1").count() == 2).then_some(())
    });
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("number") && log.contains("2"), "{log}");
}
