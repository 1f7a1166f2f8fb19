//! What a process hears whose connection a policy denies (`[policy] deny_error`), and that it
//! is told as any other denial.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{fs, io::Write as _, process::Command};

use sextant_integration_tests::{
    Daemon, Netns,
    bpffs::Bpffs,
    cgroups::Cgroups,
    daemon::{QUICK, client_binary},
    enforced::{Hosts, host_policy, line_of, server, start},
    eventually,
    hubble::hubble,
    root,
};

/// Connects to each address that it is told; says what came of it within so many seconds.
const CALLER: &str = r#"
import errno, socket, sys
print("ready", flush=True)
for line in sys.stdin:
    family, host, port = line.split()
    s = socket.socket(getattr(socket, family), socket.SOCK_STREAM)
    s.settimeout(float(sys.argv[1]))
    try:
        s.connect((host, int(port)))
        print("connected", flush=True)
    except TimeoutError:
        print("waited", flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
"#;

/// What became of a connection.
fn calls(from: &Netns, family: &str, host: &str, port: u16) -> String {
    let mut caller = start(from, CALLER, "2");
    assert_eq!(line_of(&mut caller), "ready");
    writeln!(caller.stdin.as_mut().unwrap(), "{family} {host} {port}").unwrap();
    let said = line_of(&mut caller);
    caller.kill().unwrap();
    caller.wait().unwrap();
    said
}

/// The host may call port 9090 of its neighbours, and nobody else.
fn policy() -> String {
    host_policy(
        "egress: [{toCIDR: [10.9.1.0/24, \"fd09:1::/64\"], toPorts: [{ports: [{port: \"9090\"}]}]}]",
    )
}

fn config(deny_error: &str) -> String {
    format!("[policy]\ndeny_error = \"{deny_error}\"\n")
}

fn lines(daemon: &Daemon, wanted: &str) -> usize {
    let all = hubble(
        &daemon.server(),
        "observe --last 1000 --print-policy-names --type policy-verdict --type drop",
    );
    all.lines().filter(|line| line.contains(wanted)).count()
}

/// By IPv4, IPv6, and IPv4 with a socket of IPv6.
const WAYS: [(&str, &str); 3] = [
    ("AF_INET", "10.9.1.2"),
    ("AF_INET6", "fd09:1::2"),
    ("AF_INET6", "::ffff:10.9.1.2"),
];

fn answered_at_once(deny_error: &str, error: &str) {
    let hosts = Hosts::new();
    let daemon = hosts.observe(&config(deny_error));
    let _at_neighbour = server(&hosts.neighbour, "9090 9091");
    let _at_host = server(&hosts.host, "9091");
    hosts.apply(&daemon, &policy(), &[]);
    for (family, host) in WAYS {
        assert_eq!(calls(&hosts.host, family, host, 9091), error, "{host}");
        assert_eq!(
            calls(&hosts.host, family, host, 9090),
            "connected",
            "{host}"
        );
    }
    // What is never judged: itself, and who is in another network namespace.
    for (family, host) in [
        ("AF_INET", "127.0.0.1"),
        ("AF_INET", "0.0.0.0"),
        ("AF_INET", "10.9.1.1"),
        ("AF_INET6", "::1"),
        ("AF_INET6", "fd09:1::1"),
        ("AF_INET6", "::ffff:127.0.0.1"),
    ] {
        assert_eq!(
            calls(&hosts.host, family, host, 9091),
            "connected",
            "{host}"
        );
    }
    assert_eq!(
        calls(&hosts.neighbour, "AF_INET", "10.9.1.1", 9091),
        "connected"
    );
    // Told as packets that are denied, with the address that they would have had.
    for (from, to, times) in [
        ("10.9.1.1", "10.9.1.2:9091", 2),
        ("fd09:1::1", "[fd09:1::2]:9091", 1),
    ] {
        for said in [
            "policy-verdict:none EGRESS DENIED BY the-host (CiliumClusterwideNetworkPolicy) (TCP Flags: SYN)",
            "Policy denied DROPPED (TCP Flags: SYN)",
        ] {
            let line = format!("{from} (host) <> {to} (world) {said}");
            eventually(&line, || (lines(&daemon, &line) == times).then_some(()));
        }
    }
    assert_eq!(
        lines(&daemon, ":9091 (world) Policy denied"),
        3,
        "each once"
    );
    let refused = daemon.metric(&hosts.host, "sextant_policy_refused_connections_total");
    assert_eq!(refused, 3);
    assert!(hits(&daemon).contains("default deny"), "{}", hits(&daemon));
    eventually("events add up", || {
        let events = daemon.own_status()?.ledger?.events?;
        (events.in_flight == 0 && events.raised >= 3).then_some(())
    });
}

fn hits(daemon: &Daemon) -> String {
    let output = Command::new(client_binary())
        .args(["--server", &daemon.server(), "policy", "hits"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn who_is_denied_hears_at_once_that_it_is_not_permitted() {
    if root() {
        answered_at_once("eperm", "EPERM");
    }
}

#[test]
fn or_that_nobody_listens() {
    if root() {
        answered_at_once("refused", "ECONNREFUSED");
    }
}

#[test]
fn by_default_it_hears_nothing_and_in_audit_nothing_is_refused() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let _at_neighbour = server(&hosts.neighbour, "9091");
    let silent = hosts.observe("");
    hosts.apply(&silent, &policy(), &[]);
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "waited");
    drop(silent);
    let daemon = hosts.observe(&config("eperm"));
    hosts.apply(&daemon, &policy(), &["--audit"]);
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "connected");
    let audited = "10.9.1.2:9091 (world) policy-verdict:none EGRESS AUDITED BY the-host";
    eventually(audited, || (lines(&daemon, audited) == 1).then_some(()));
    // A change of the set is felt by the next one.
    hosts.apply(&daemon, &policy(), &["--mode", "enforce"]);
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "EPERM");
    hosts.allow_everything(&daemon);
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "connected");
}

#[test]
fn a_unit_hears_of_its_own_rules_and_others_do_not() {
    if !root() {
        return;
    }
    let Some((cgroups, unit)) = Cgroups::of_unit("answers") else {
        return;
    };
    let hosts = Hosts::new();
    let daemon = hosts.observe(&config("eperm"));
    let _at_neighbour = server(&hosts.neighbour, "9090 9091");
    hosts.apply(
        &daemon,
        &format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: unit, namespace: system}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{unit: {unit}}}}}\n\
             \x20 egress: [{{toCIDR: [10.9.1.2/32], toPorts: [{{ports: [{{port: \"9090\"}}]}}]}}]\n"
        ),
        &[],
    );
    let mut caller = start(&hosts.host, CALLER, "2");
    fs::write(cgroups.0[0].join("cgroup.procs"), caller.id().to_string()).unwrap();
    assert_eq!(line_of(&mut caller), "ready");
    let mut call = |port: u16| {
        writeln!(caller.stdin.as_mut().unwrap(), "AF_INET 10.9.1.2 {port}").unwrap();
        line_of(&mut caller)
    };
    // It is known a moment after its first socket.
    eventually("the unit is known", || {
        (call(9091) == "EPERM").then_some(())
    });
    assert_eq!(call(9090), "connected");
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "connected");
    let line = format!(
        "system/{unit} (ID:256) <> 10.9.1.2:9091 (world) policy-verdict:none EGRESS DENIED BY unit"
    );
    // Who was moved to it while running is told under its name a moment later, too.
    eventually(&line, || {
        assert_eq!(call(9091), "EPERM");
        (lines(&daemon, &line) > 0).then_some(())
    });
    caller.kill().unwrap();
    caller.wait().unwrap();
}

#[test]
fn the_answer_is_kept_when_the_daemon_ends() {
    if !root() {
        return;
    }
    let (bpffs, hosts) = (Bpffs::new(), Hosts::new());
    let config = |deny_error: &str| {
        format!(
            "{QUICK}[policy]\non_exit = \"keep\"\ndeny_error = \"{deny_error}\"\npins = \"{}\"\n",
            bpffs.pins().display()
        )
    };
    let _at_neighbour = server(&hosts.neighbour, "9090 9091");
    let mut daemon = hosts.observe(&config("eperm"));
    hosts.apply(&daemon, &policy(), &[]);
    daemon.signal("KILL");
    daemon.wait();
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "EPERM");
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9090), "connected");
    // The next one says what is heard.
    for (deny_error, heard) in [("refused", "ECONNREFUSED"), ("silent", "waited")] {
        daemon.configure(&config(deny_error));
        daemon.again();
        assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), heard);
        daemon.signal("TERM");
    }
}

#[test]
fn without_processes_the_host_is_answered_all_the_same() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let config = format!("[datapath]\nprocesses = false\n{}", config("eperm"));
    let daemon = hosts.observe(&config);
    let _at_neighbour = server(&hosts.neighbour, "9091");
    hosts.apply(&daemon, &policy(), &[]);
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "EPERM");
    let line = "10.9.1.1 (host) <> 10.9.1.2:9091 (world) Policy denied DROPPED";
    eventually(line, || (lines(&daemon, line) == 1).then_some(()));
}

/// Numbers of the links of this process to cgroups, and whether each is on.
fn links(daemon: &Daemon) -> Vec<(String, bool)> {
    let files = fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid())).unwrap();
    let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
    let of = |text: &str, field: &str| {
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.map(|value| value.trim().to_owned())
    };
    let cgroups = texts.filter(|text| of(text, "link_type").is_some_and(|of| of == "cgroup"));
    cgroups
        .map(|text| {
            (
                of(&text, "link_id").unwrap(),
                of(&text, "cgroup_id").unwrap() != "0",
            )
        })
        .collect()
}

#[test]
fn programs_that_somebody_takes_off_the_cgroups_are_put_back_and_told() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe(&config("eperm"));
    hosts.apply(&daemon, &policy(), &[]);
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "EPERM");
    let before = links(&daemon);
    assert_eq!(before.len(), 3, "{before:?}");
    for (id, _) in &before {
        let detached = Command::new("bpftool")
            .args(["link", "detach", "id", id])
            .status();
        assert!(detached.unwrap().success());
    }
    assert!(links(&daemon).iter().all(|(_, is_on)| !is_on));
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "waited");
    eventually("they are put back", || {
        links(&daemon).iter().all(|(_, is_on)| *is_on).then_some(())
    });
    assert_eq!(calls(&hosts.host, "AF_INET", "10.9.1.2", 9091), "EPERM");
    for program in ["sextant_sock", "sextant_connect4", "sextant_connect6"] {
        let told =
            format!("took the program off the cgroups; it is attached again program=\"{program}\"");
        assert!(daemon.log().contains(&told), "{}", daemon.log());
    }
}
