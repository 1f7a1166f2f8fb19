//! Policies that stay in force when the daemon ends, and are taken over by the next one:
//! without a gap, with the flows and what they counted.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    io::Write as _,
    process::{Child, Command},
    time::{Duration, Instant},
};

use sextant_integration_tests::{
    Daemon, Netns,
    bpffs::Bpffs,
    cgroups::Cgroups,
    daemon::QUICK,
    enforced::{COUNTER, Hosts, SENDER, TALKER, host_policy, line_of, says, server, start},
    eventually,
    netns::veth,
    root, totals,
};

/// Allows port 8080, and no other.
fn policy() -> String {
    host_policy("ingress: [{fromCIDR: [10.9.1.0/24], toPorts: [{ports: [{port: \"8080\"}]}]}]")
}

fn config(bpffs: &Bpffs, on_exit: &str) -> String {
    format!(
        "{QUICK}[policy]\non_exit = \"{on_exit}\"\npins = \"{}\"\n",
        bpffs.pins().display()
    )
}

/// A daemon that keeps its policies, killed and started again so often under traffic to a
/// port that is allowed and one that is not.
fn killed_under_traffic(bpffs: &Bpffs, config: &str, times: usize, hook: &str) {
    let hosts = Hosts::new();
    let mut daemon = hosts.observe(config);
    hosts.apply(&daemon, &policy(), &[]);
    let mut counter = start(&hosts.host, COUNTER, "8080 8082");
    assert_eq!(line_of(&mut counter), "ready");
    let mut sender = start(&hosts.neighbour, SENDER, "10.9.1.1 8080 8082");
    assert_eq!(line_of(&mut sender), "ready");
    for _ in 0..times {
        daemon.signal("KILL");
        daemon.again();
    }
    if hook == "clsact" {
        // One filter in each direction, not one of each daemon.
        for direction in ["ingress", "egress"] {
            let filters = hosts
                .host
                .run(&format!("tc filter show dev v0 {direction}"));
            assert_eq!(filters.matches("direct-action").count(), 1, "{filters}");
        }
    }
    // A clean end is as good, and on TCX a daemon of another layout.
    daemon.signal("TERM");
    daemon.again();
    assert!(daemon.log().contains("took over"), "{}", daemon.log());
    if hook == "tcx" {
        daemon.configure(&config.replace("tcp_idle", "flows_ipv4 = 5000\ntcp_idle"));
        daemon.signal("KILL");
        daemon.again();
        // It is judged by both until the old one goes.
        eventually("the old programs are gone", || {
            (links(bpffs) == 2).then_some(())
        });
    }
    eventually("the policy is named", || {
        let flows = daemon.flows();
        let mut denied = flows.iter().flat_map(|flow| &flow.ingress_denied_by);
        denied.find(|policy| policy.name == "the-host").map(|_| ())
    });
    let told = daemon.own_status().unwrap().attachments;
    assert!(
        told.iter().all(|attached| attached.hook == hook),
        "{told:?}"
    );
    writeln!(sender.stdin.as_mut().unwrap(), "end").unwrap();
    let sent: u64 = line_of(&mut sender).parse().unwrap();
    writeln!(counter.stdin.as_mut().unwrap(), "end").unwrap();
    assert_eq!(line_of(&mut counter), format!("{sent} 0"), "came of {sent}");
    assert!(sent > 1000, "{sent}");
    end([counter, sender]);
}

/// Those of interfaces.
fn links(bpffs: &Bpffs) -> usize {
    let pinned = bpffs.pinned();
    let of_interfaces = pinned.iter().filter(|name| name.ends_with("gress"));
    of_interfaces.count()
}

fn end<const N: usize>(children: [Child; N]) {
    for mut child in children {
        child.kill().ok();
        child.wait().unwrap();
    }
}

#[test]
fn nothing_passes_or_is_lost_while_the_daemon_is_killed_and_starts_again() {
    if !root() {
        return;
    }
    let bpffs = Bpffs::new();
    killed_under_traffic(&bpffs, &config(&bpffs, "keep"), 5, "tcx");
    // One program in each direction, not one of each daemon.
    assert_eq!(links(&bpffs), 2);
}

#[test]
fn nor_where_programs_are_filters_of_clsact() {
    if !root() {
        return;
    }
    let bpffs = Bpffs::new();
    let config = config(&bpffs, "keep").replace("[policy]", "force_clsact = true\n[policy]");
    killed_under_traffic(&bpffs, &config, 2, "clsact");
}

/// Databases, as many as these, of which a policy speaks.
fn inventory(addresses: u32) -> String {
    let addresses: Vec<String> = (0..addresses)
        .map(|n| format!("\"10.77.{}.{}\"", n / 100, 2 * (n % 100)))
        .collect();
    format!(
        "[[endpoint]]\nname = \"db\"\nnamespace = \"shop\"\nlabels = [\"k8s:app=db\"]\naddresses = [{}]\n",
        addresses.join(", ")
    )
}

#[test]
fn what_no_longer_fits_the_host_leaves_in_force_what_was() {
    if !root() {
        return;
    }
    let bpffs = Bpffs::new();
    let config = format!("{}max_ranges = 256\n", config(&bpffs, "keep"));
    let hosts = Hosts::new();
    let mut daemon = hosts.observe(&format!("{config}{}", inventory(1)));
    let rules = "ingress: [{fromCIDR: [10.9.1.0/24], toPorts: [{ports: [{port: \"8080\"}]}]}, \
                 {fromEndpoints: [{matchLabels: {app: db}}]}]";
    hosts.apply(&daemon, &host_policy(rules), &[]);
    let mut counter = start(&hosts.host, COUNTER, "8080 8082");
    assert_eq!(line_of(&mut counter), "ready");
    let mut sender = start(&hosts.neighbour, SENDER, "10.9.1.1 8080 8082");
    assert_eq!(line_of(&mut sender), "ready");
    daemon.signal("KILL");
    daemon.configure(&format!("{config}{}", inventory(600)));
    daemon.again();
    let told = |daemon: &Daemon| {
        let problems = daemon.own_status()?.problems;
        let mut texts = problems.into_iter().map(|problem| problem.text);
        texts.find(|text| text.contains("ranges of IPv4"))
    };
    eventually("it is told that the set does not fit", || told(&daemon));
    // Longer than what was taken over stays by itself, and than until it is tried again.
    std::thread::sleep(Duration::from_secs(9));
    assert!(told(&daemon).is_some());
    writeln!(sender.stdin.as_mut().unwrap(), "end").unwrap();
    let sent: u64 = line_of(&mut sender).parse().unwrap();
    writeln!(counter.stdin.as_mut().unwrap(), "end").unwrap();
    assert_eq!(line_of(&mut counter), format!("{sent} 0"), "came of {sent}");
    daemon.configure(&format!("{config}{}", inventory(1)));
    daemon.signal("TERM");
    daemon.again();
    eventually("it fits again", || told(&daemon).is_none().then_some(()));
    end([counter, sender]);
}

/// Packets of the end of a flow from a port of the neighbour's.
fn ended(daemon: &Daemon, port: u32) -> Option<u64> {
    let flows = daemon.flows();
    let mut ends = flows.iter().filter(|flow| {
        totals::text(flow, "end_reason").is_some()
            && totals::direction(flow).is_some_and(|way| way.from.1 == port)
    });
    totals::ended(&[ends.next()?.clone()])
        .values()
        .map(|(packets, _)| *packets)
        .next()
}

#[test]
fn connections_go_on_with_what_they_counted() {
    if !root() {
        return;
    }
    let (bpffs, hosts) = (Bpffs::new(), Hosts::new());
    let mut daemon = hosts.observe(&config(&bpffs, "keep").replace("\"2s\"", "\"90s\""));
    hosts.apply(&daemon, &policy(), &[]);
    let at_host = server(&hosts.host, "8080");
    let mut talker = start(&hosts.neighbour, TALKER, "10.9.1.1 8080");
    assert_eq!(line_of(&mut talker), "ready");
    let mut say = |times: u32| {
        for _ in 0..times {
            assert_eq!(says(&mut talker), "came back");
        }
    };
    say(20);
    daemon.signal("KILL");
    // Nobody watches, and it is counted.
    daemon.wait();
    say(20);
    daemon.again();
    say(20);
    // The port that it has at its end.
    let of = hosts
        .neighbour
        .run("ss -Htn state established dport = 8080");
    let local = of
        .split_whitespace()
        .nth(2)
        .unwrap()
        .rsplit_once(':')
        .unwrap();
    let port = local.1.parse().unwrap();
    end([talker]);
    // Both sides close.
    drop(at_host);
    let packets = eventually("its end", || ended(&daemon, port));
    assert!(packets > 60, "{packets} of 60 lines and more");
    // What was counted before this daemon is in none of its sums.
    eventually("sums that add up", || {
        let status = daemon.own_status()?;
        let packets = status.ledger?.packets?;
        (packets.difference == 0 && packets.seen?.packets > 0).then_some(())
    });
}

#[test]
fn what_is_kept_goes_with_a_daemon_that_keeps_nothing() {
    if !root() {
        return;
    }
    let (bpffs, hosts) = (Bpffs::new(), Hosts::new());
    let _server = server(&hosts.host, "8080 8082");
    let asks =
        "python3 -c 'import socket as s; c = s.create_connection((\"10.9.1.1\", 8082), 0.7)' 2>&1";
    let mut keeps = hosts.observe(&config(&bpffs, "keep"));
    hosts.apply(&keeps, &policy(), &[]);
    keeps.signal("TERM");
    assert!(keeps.wait().success());
    assert!(!hosts.neighbour.try_run(asks).0, "denied without a daemon");
    assert!(bpffs.pinned().contains(&"CONTROL".into()));
    let mut removes = hosts.observe(&config(&bpffs, "remove"));
    eventually("nothing is pinned", || {
        bpffs.pinned().is_empty().then_some(())
    });
    removes.signal("TERM");
    assert!(removes.wait().success());
    assert!(hosts.neighbour.try_run(asks).0, "nothing is in force");
}

#[test]
fn links_of_interfaces_that_are_gone_are_not_kept() {
    if !root() {
        return;
    }
    let (bpffs, hosts, other) = (Bpffs::new(), Hosts::new(), Netns::new());
    veth((&hosts.host, "v1"), (&other, "c1"), 2);
    let config = config(&bpffs, "keep");
    let mut daemon = Daemon::start(&hosts.host, &config, &["--interface", "v*"]);
    assert_eq!(links(&bpffs), 4);
    daemon.signal("KILL");
    daemon.wait();
    hosts.host.run("ip link del v1");
    daemon.again();
    assert_eq!(links(&bpffs), 2);
}

#[test]
fn two_daemons_never_share_what_is_kept_and_it_is_never_on_a_disk() {
    if !root() {
        return;
    }
    let (bpffs, hosts) = (Bpffs::new(), Hosts::new());
    let config = config(&bpffs, "keep");
    let _first = hosts.observe(&config);
    let mut second = Daemon::launch(&hosts.neighbour, &config, &["--interface", "c0"]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(
        second
            .log()
            .contains("another sextantd keeps its policies in"),
        "{}",
        second.log()
    );
    let folder = tempfile::tempdir().unwrap();
    let on_disk = config.replace(
        &*bpffs.pins().to_string_lossy(),
        &folder.path().join("sextant").to_string_lossy(),
    );
    let mut third = Daemon::launch(&hosts.neighbour, &on_disk, &["--interface", "c0"]);
    assert_eq!(third.wait().code(), Some(1));
    assert!(third.log().contains("mount -t bpf bpf"), "{}", third.log());
}

#[test]
fn a_unit_that_makes_sockets_while_there_is_no_daemon_is_judged_as_itself() {
    if !root() {
        return;
    }
    let Some((cgroups, unit)) = Cgroups::of_unit("kept") else {
        return;
    };
    let (bpffs, hosts) = (Bpffs::new(), Hosts::new());
    let mut daemon = hosts.observe(&config(&bpffs, "keep"));
    let _server = server(&hosts.neighbour, "9090");
    let ask = |port: u16| {
        let procs = cgroups.0[0].join("cgroup.procs");
        let connect = format!(
            "echo $$ >{} && exec nsenter --net=/run/netns/{} python3 -c \
             'import socket as s; c = s.create_connection((\"10.9.1.2\", {port}), 0.7)' 2>/dev/null",
            procs.display(),
            hosts.host.name
        );
        let status = Command::new("bash").args(["-c", &connect]).status();
        status.unwrap().success()
    };
    assert!(ask(9090));
    let denies = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: unit, namespace: system}}\n\
         spec:\n  endpointSelector: {{matchLabels: {{unit: {unit}}}}}\n\x20 egress: [{{toCIDR: [10.9.9.9/32]}}]\n"
    );
    hosts.apply(&daemon, &denies, &[]);
    eventually("the unit is judged", || (!ask(9090)).then_some(()));
    daemon.signal("KILL");
    daemon.wait();
    assert!(!ask(9090), "a new socket of the unit");
    let others =
        "python3 -c 'import socket as s; c = s.create_connection((\"10.9.1.2\", 9090), 2)'";
    assert!(hosts.host.try_run(others).0, "nobody else is denied");
    let began = Instant::now();
    daemon.again();
    while began.elapsed() < Duration::from_secs(6) {
        assert!(!ask(9090), "after {:?}", began.elapsed());
    }
}
