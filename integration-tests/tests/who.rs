//! Which process is behind each direction of each flow, beside what the processes themselves
//! logged: short-lived ones, in other namespaces, with sockets that were there before or were
//! passed on.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sextant_integration_tests::{
    Daemon, Netns, Process,
    cgroups::Cgroups,
    enforced::{line_of, start},
    eventually,
    hubble::hubble,
    netns::veth,
    process::{of_process, pid, ports},
    root,
};
use sextant_proto::flow::Flow;

/// Less than until flows end for silence, whose last event would tell who was not told.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the servers listen.
const PORT: u16 = 7777;

/// A process of `talk` and what it and its children logged.
struct Talk {
    child: Child,
    log: PathBuf,
}

impl Talk {
    fn start(namespace: &Netns, folder: &Path, arguments: &str) -> Self {
        Self::start_in(None, namespace, folder, arguments)
    }

    /// Moves into a cgroup before it begins.
    fn start_in(cgroup: Option<&Path>, namespace: &Netns, folder: &Path, arguments: &str) -> Self {
        let log = folder.join(arguments.replace([' ', '[', ']', ':'], "_"));
        let enter = match cgroup {
            Some(cgroup) => format!("echo $$ >{}/cgroup.procs && ", cgroup.display()),
            None => String::new(),
        };
        let child = Command::new("sh")
            .args(["-c", &format!("{enter}exec nsenter \"$@\""), "sh"])
            .arg(format!("--net=/run/netns/{}", namespace.name))
            .arg(env!("CARGO_BIN_EXE_talk"))
            .args(arguments.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(
                File::options()
                    .append(true)
                    .create(true)
                    .open(&log)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// A server, once it listens.
    fn server(namespace: &Netns, folder: &Path, arguments: &str) -> Self {
        let talk = Self::start(namespace, folder, arguments);
        eventually("a server that listens", || {
            (!talk.lines().is_empty()).then_some(())
        });
        talk
    }

    /// What, port and process.
    fn lines(&self) -> Vec<(String, u16, u32)> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap().to_owned();
            (word(), word().parse().unwrap(), word().parse().unwrap())
        };
        text.lines().map(line).collect()
    }

    fn pids(&self) -> BTreeSet<u32> {
        self.lines().into_iter().map(|(.., pid)| pid).collect()
    }

    fn finished(&mut self) {
        assert!(self.child.wait().unwrap().success(), "{:?}", self.log);
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Workers that were forked have no other parent.
        for pid in self.pids() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of the directions of all flows to and from the port.
#[derive(Debug, Default)]
struct Tally {
    right: BTreeSet<(&'static str, u16, u32)>,
    answered: usize,
    nobody: Vec<String>,
    wrong: Vec<String>,
}

/// Compares who sends, by flow, with the truth: clients by their port, servers by theirs.
fn tally(flows: &[Flow], clients: &BTreeSet<(String, u16, u32)>, servers: &BTreeSet<u32>) -> Tally {
    let mut by_port: BTreeMap<(&str, u16), BTreeSet<u32>> = BTreeMap::new();
    for (protocol, port, pid) in clients {
        by_port.entry((protocol, *port)).or_default().insert(*pid);
    }
    let mut tally = Tally::default();
    for flow in flows {
        let Some((protocol, from, to)) = ports(flow) else {
            continue;
        };
        if from != PORT && to != PORT {
            continue;
        }
        let Some(found) = pid(flow, "source_process") else {
            tally
                .nobody
                .push(format!("{protocol} {from} -> {to}: {:?}", flow.event_type));
            continue;
        };
        if from == PORT {
            match servers.contains(&found) {
                true => tally.answered += 1,
                false => tally.wrong.push(format!("{protocol} server is {found}")),
            }
        } else if by_port
            .get(&(protocol, from))
            .is_some_and(|pids| pids.contains(&found))
        {
            tally.right.insert((protocol, from, found));
        } else {
            tally.wrong.push(format!("{protocol} {from} is {found}"));
        }
    }
    tally
}

/// All are told, nobody else is.
fn check(daemon: &Daemon, talks: &[&Talk], servers: &BTreeSet<u32>) -> usize {
    let clients: BTreeSet<_> = talks.iter().flat_map(|talk| talk.lines()).collect();
    let mut seen = Tally::default();
    let deadline = Instant::now() + PATIENCE;
    while seen.right.len() < clients.len() && Instant::now() < deadline {
        seen = tally(&daemon.flows(), &clients, servers);
    }
    let missing = clients.iter().filter(|(protocol, port, pid)| {
        let told =
            |right: &&(&str, u16, u32)| right.0 == protocol && right.1 == *port && right.2 == *pid;
        !seen.right.iter().any(|right| told(&right))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "not in any flow: {missing:?}");
    assert!(seen.nobody.is_empty(), "of nobody: {:?}", &seen.nobody);
    assert!(seen.wrong.is_empty(), "wrong: {:?}", &seen.wrong);
    assert!(seen.answered >= clients.len());
    2 * clients.len()
}

#[test]
fn each_short_lived_process_is_behind_its_own_flows() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let mut talks = Vec::new();
    let mut servers = Vec::new();
    for (protocol, address) in [
        ("tcp", "127.0.0.1"),
        ("udp", "127.0.0.1"),
        ("tcp", "[::1]"),
        ("udp", "[::1]"),
    ] {
        let server = format!("serve {protocol} {address}:{PORT}");
        servers.push(Talk::server(&namespace, folder.path(), &server));
        let clients = format!("clients 1300 {protocol} {address}:{PORT}");
        talks.push(Talk::start(&namespace, folder.path(), &clients));
    }
    talks.iter_mut().for_each(Talk::finished);
    let pids = servers.iter().flat_map(Talk::pids).collect();
    let directions = check(&daemon, &talks.iter().collect::<Vec<_>>(), &pids);
    assert!(directions >= 10_000, "{directions}");
    let flows = daemon.flows();
    let own = env!("CARGO_BIN_EXE_talk");
    let exe = |flow: &Flow| of_process(flow, "source_process", "exe");
    let ours = flows.iter().filter(|flow| ports(flow).is_some());
    let others: BTreeSet<_> = ours.filter_map(exe).filter(|exe| exe != own).collect();
    assert!(others.is_empty(), "also of those that are gone: {others:?}");
}

#[test]
fn behind_a_veth_both_sides_are_known_from_the_hosts_end_alone() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (host, container) = (Netns::new(), Netns::new());
    veth((&host, "va"), (&container, "vb"), 77);
    let daemon = Daemon::start(&host, "", &["--interface", "va"]);
    let mut talks = Vec::new();
    let mut servers = Vec::new();
    for (from, to, address) in [
        (&host, &container, "10.9.77.2"),
        (&container, &host, "10.9.77.1"),
    ] {
        for protocol in ["tcp", "udp"] {
            let server = format!("serve {protocol} {address}:{PORT}");
            servers.push(Talk::server(to, folder.path(), &server));
            let clients = format!("clients 300 {protocol} {address}:{PORT}");
            talks.push(Talk::start(from, folder.path(), &clients));
        }
    }
    talks.iter_mut().for_each(Talk::finished);
    let pids = servers.iter().flat_map(Talk::pids).collect();
    check(&daemon, &talks.iter().collect::<Vec<_>>(), &pids);
}

#[test]
fn sockets_from_before_and_those_passed_on_have_who_holds_them() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    // Who made the socket is gone; its workers have it.
    let workers = format!("fork 3 serve tcp 127.0.0.1:{PORT}");
    let workers = Talk::server(&namespace, folder.path(), &workers);
    let hold = format!("hold tcp 127.0.0.1:{PORT}");
    let mut holds = Talk::server(&namespace, folder.path(), &hold);
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let clients = format!("clients 20 tcp 127.0.0.1:{PORT}");
    let mut new = Talk::start(&namespace, folder.path(), &clients);
    writeln!(holds.child.stdin.as_mut().unwrap()).unwrap();
    new.finished();
    eventually("all workers", || (workers.pids().len() == 3).then_some(()));
    check(&daemon, &[&holds, &new], &workers.pids());
}

#[test]
fn command_lines_are_told_where_they_are_wanted_without_secrets() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    let config = "[command_lines]\nenabled = true\nredact = ['hunter\\d']\n";
    // Its socket is older than the daemon.
    let server = format!("serve tcp 127.0.0.1:{PORT}");
    let _server = Talk::server(&namespace, folder.path(), &server);
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    let curl = || {
        namespace.try_run(&format!(
        "curl -sm 2 -A hunter2 -H 'Authorization: Bearer S3CRET' http://user:S3CRET@127.0.0.1:{PORT}/"
    ))
    };
    curl();
    let shown = format!(
        "curl -sm 2 -A HUBBLE_REDACTED -H 'Authorization: HUBBLE_REDACTED' \
         http://user:HUBBLE_REDACTED@127.0.0.1:{PORT}/"
    );
    let of = |flow: &Flow, side: &str| of_process(flow, side, "command_line");
    eventually("the command line", || {
        let flows = daemon.flows();
        let found = flows
            .iter()
            .find_map(|flow| of(flow, "source_process").filter(|line| line.starts_with("curl")))?;
        assert_eq!(found, shown);
        Some(())
    });
    let own = format!("{} {server}", env!("CARGO_BIN_EXE_talk"));
    eventually("that of the server", || {
        curl();
        let flows = daemon.flows();
        let is_own = |flow: &Flow| of(flow, "destination_process").as_ref() == Some(&own);
        flows.iter().any(is_own).then_some(())
    });
}

#[test]
fn a_unit_and_a_container_are_endpoints_for_the_real_client() {
    if !root() {
        return;
    }
    let id = format!("{:0<64x}", std::process::id());
    let unit = format!("sextant-test-{}.service", std::process::id());
    let slice = format!("sextant-test-{}.slice", std::process::id());
    let paths = [
        format!("{slice}/{unit}"),
        format!("{slice}/docker-{id}.scope"),
    ];
    let Some(cgroups) = Cgroups::new(&[&paths[0], &paths[1], &slice]) else {
        println!("SKIPPED: no cgroup2 hierarchy that can be written");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let of = |cgroup: usize, arguments: &str| {
        Talk::start_in(
            Some(&cgroups.0[cgroup]),
            &namespace,
            folder.path(),
            arguments,
        )
    };
    let server = of(0, &format!("serve tcp 127.0.0.1:{PORT}"));
    eventually("the server", || (!server.lines().is_empty()).then_some(()));
    let mut clients = of(1, &format!("clients 3 tcp 127.0.0.1:{PORT}"));
    clients.finished();
    let short = &id[..12];
    for filter in [
        format!("--to-pod system/{unit}"),
        format!("--from-pod docker/{short}"),
        format!("--from-label container={short},engine=docker --to-label unit={unit}"),
        format!("--to-workload Unit/{unit} --from-workload Container/{short}"),
        "--from-namespace docker --to-namespace system".to_owned(),
    ] {
        let arguments = format!("observe --last 100 {filter} --tcp-flags syn");
        eventually(&format!("both names: {arguments}"), || {
            let shown = hubble(&daemon.server(), &arguments);
            let is_one = |line: &str| {
                line.contains(&format!("docker/{short}:"))
                    && line.contains(&format!("-> system/{unit}:{PORT}"))
            };
            (shown.lines().filter(|line| is_one(line)).count() == 3).then_some(())
        });
    }
    let flows = daemon.flows();
    let number = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let of_client = |flow: &&Flow| {
        flow.source
            .as_ref()
            .is_some_and(|side| side.pod_name == short)
    };
    let mut sent = flows.iter().filter(of_client).peekable();
    assert!(sent.peek().is_some() && sent.all(|flow| flow.cgroup_id == number(&cgroups.0[1])));
    let told = |flow: &Flow| of_process(flow, "source_process", "command_line");
    assert!(!flows.iter().any(|flow| told(flow).is_some()), "not wanted");
    drop((server, clients));
}

#[test]
fn units_that_come_and_go_are_told_as_endpoints() {
    if !root() {
        return;
    }
    let Some((cgroups, unit)) = Cgroups::of_unit("comes-and-goes") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let told = |event: &str| {
        eventually(event, || {
            let events = hubble(&daemon.server(), "observe agent-events --all -o jsonpb");
            let is_it = |line: &&str| line.contains(event) && line.contains(&unit);
            events.lines().find(is_it).map(str::to_owned)
        })
    };
    let arguments = format!("serve tcp 127.0.0.1:{PORT}");
    let server = Talk::start_in(Some(&cgroups.0[0]), &namespace, folder.path(), &arguments);
    eventually("the server", || (!server.lines().is_empty()).then_some(()));
    let arguments = format!("clients 1 tcp 127.0.0.1:{PORT}");
    Talk::start_in(None, &namespace, folder.path(), &arguments).finished();
    let came = told("ENDPOINT_CREATED");
    assert!(came.contains(&format!("sextant:unit={unit}")), "{came}");
    drop(server);
    // The cgroup goes with it, as systemd does it.
    drop(cgroups);
    told("ENDPOINT_DELETED");
}

/// Listens by Multipath TCP, as servers of Go do unless they are told not to.
const MULTIPATH: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
print("ready", flush=True)
while True: s.accept()[0].close()
"#;

#[test]
fn a_cgroup_is_what_is_outermost_however_deep_and_a_multipath_listener_has_its_process() {
    if !root() {
        return;
    }
    let number = std::process::id();
    let (slice, unit) = (
        format!("sextant-deep-{number}.slice"),
        format!("sextant-deep-{number}.service"),
    );
    let mut paths = vec![slice, format!("sextant-deep-{number}.slice/{unit}")];
    for part in ["a", "b", "c", "d", "e", "f", "g", "h", "posing.service"] {
        let path = format!("{}/{part}", paths.last().unwrap());
        paths.push(path);
    }
    paths.reverse();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let Some(cgroups) = Cgroups::new(&paths) else {
        println!("SKIPPED: no cgroup2 hierarchy that can be written");
        return;
    };
    if fs::read_to_string("/proc/sys/net/mptcp/enabled").is_err() {
        println!("SKIPPED: the kernel has no MPTCP");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let mut server = start(&namespace, MULTIPATH, &PORT.to_string());
    assert_eq!(line_of(&mut server), "ready");
    let server_pid = server.id();
    let server = Process(server);
    let arguments = format!("clients 1 tcp 127.0.0.1:{PORT}");
    let client = Talk::start_in(Some(&cgroups.0[0]), &namespace, folder.path(), &arguments);
    eventually("both sides", || {
        let flows = daemon.flows();
        let is_it = |flow: &&Flow| {
            let client = flow.source.as_ref().map(|side| side.pod_name.as_str());
            client == Some(&unit) && pid(flow, "destination_process") == Some(server_pid)
        };
        flows.iter().find(is_it).map(|_| ())
    });
    drop((client, server));
}
