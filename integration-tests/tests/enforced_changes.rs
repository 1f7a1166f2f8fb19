//! Changes of policies under traffic: what all of them allow is never lost, what all of
//! them deny never arrives, and a change is soon felt.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    env,
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use sextant_integration_tests::{
    Daemon,
    cgroups::Cgroups,
    daemon::{client_binary, connect},
    enforced::{COUNTER, Hosts, SENDER, host_policy, line_of, start},
    eventually, root,
};
use sextant_proto::sextant::policy::v1::{
    ApplyRequest, Document, policy_service_client::PolicyServiceClient,
};

/// A set of which both allow port 8080 and neither 8082; each allows another one.
fn set(other: u16) -> ApplyRequest {
    let rule = format!(
        "ingress: [{{fromCIDR: [10.9.1.0/24], toPorts: [{{ports: [{{port: \"8080\"}}, {{port: \"{other}\"}}]}}]}}]"
    );
    ApplyRequest {
        documents: vec![Document {
            name: "set".into(),
            text: host_policy(&rule),
        }],
        prune: true,
        force: true,
        ..ApplyRequest::default()
    }
}

/// Changes from one set to the other so often; tells how long each call took.
fn flip(daemon: &Daemon, changes: usize) -> Vec<Duration> {
    daemon.block_on(async {
        let mut client = PolicyServiceClient::new(connect(&daemon.server()).await.unwrap());
        let mut took = Vec::with_capacity(changes);
        for n in 0..changes {
            let began = Instant::now();
            client.apply(set(9000 + (n % 2) as u16)).await.unwrap();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        took
    })
}

#[test]
fn what_all_sets_allow_is_never_lost_and_what_all_deny_never_arrives() {
    if !root() {
        return;
    }
    let changes = env::var("SEXTANT_POLICY_CHANGES");
    let changes = changes.map_or(1000, |number| number.parse().unwrap());
    let hosts = Hosts::new();
    let daemon = hosts.observe("");
    hosts.apply(&daemon, &set(9000).documents[0].text, &[]);
    let mut counter = start(&hosts.host, COUNTER, "8080 8082");
    assert_eq!(line_of(&mut counter), "ready");
    let mut sender = start(&hosts.neighbour, SENDER, "10.9.1.1 8080 8082");
    assert_eq!(line_of(&mut sender), "ready");
    let took = flip(&daemon, changes);
    writeln!(sender.stdin.as_mut().unwrap(), "end").unwrap();
    let sent: u64 = line_of(&mut sender).parse().unwrap();
    writeln!(counter.stdin.as_mut().unwrap(), "end").unwrap();
    let came = line_of(&mut counter);
    println!(
        "{changes} changes, {sent} datagrams to each port; a change took {:?}, p99 {:?}",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
    assert_eq!(came, format!("{sent} 0"), "came of {sent}");
    assert!(sent > 1000, "{sent}");
    for mut child in [counter, sender] {
        child.wait().unwrap();
    }
}

/// Moves to each of these cgroups and makes a socket there, which stays.
const EVERYWHERE: &str = r#"
import os, socket, sys
sockets = []
for path in sys.argv[1:]:
    with open(path + "/cgroup.procs", "w") as f: f.write(str(os.getpid()))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    s.sendto(b"x", s.getsockname())
    sockets.append(s)
print("ready", flush=True)
sys.stdin.readline()
"#;

#[test]
fn it_is_told_that_policies_do_not_follow_the_host_and_when_they_do_again() {
    if !root() {
        return;
    }
    let slice = format!("sextant-many-{}.slice", std::process::id());
    let mut paths: Vec<_> = (0..300).map(|n| format!("{slice}/n{n}.service")).collect();
    paths.push(slice);
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let Some(cgroups) = Cgroups::new(&paths) else {
        println!("SKIPPED: no cgroup2 hierarchy that can be written");
        return;
    };
    let hosts = Hosts::new();
    let daemon = hosts.observe("[policy]\nmax_endpoints = 256\n");
    hosts.apply(
        &daemon,
        &host_policy("ingressDeny: [{fromCIDR: [10.9.1.2/32]}]"),
        &[],
    );
    let list = || policy_list(&daemon);
    let told = list();
    assert!(
        told.contains("in force") && !told.contains("warning"),
        "{told}"
    );

    let units = cgroups.0[..300].iter().map(|path| path.to_str().unwrap());
    let units: Vec<_> = units.collect();
    let mut child = start(&hosts.host, EVERYWHERE, &units.join(" "));
    assert_eq!(line_of(&mut child), "ready");
    let wanted = "warning: in force for the host as it was before: ";
    let told = eventually("it is told", || {
        Some(list()).filter(|told| told.contains(wanted))
    });
    assert!(told.contains("raise `[policy] max_endpoints`"), "{told}");
    let status = daemon.own_status().unwrap();
    let mut problems = status.problems.iter();
    assert!(
        problems.any(|problem| problem.text.contains("as it was before")),
        "{problems:?}"
    );

    child.kill().unwrap();
    child.wait().unwrap();
    drop(cgroups);
    eventually("they follow the host again", || {
        (!list().contains(wanted)).then_some(())
    });
}

fn policy_list(daemon: &Daemon) -> String {
    let output = Command::new(client_binary())
        .args(["--server", &daemon.server(), "policy", "list"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
