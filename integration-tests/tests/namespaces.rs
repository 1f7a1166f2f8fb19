//! Network namespaces other than the daemon's own.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::collections::BTreeSet;

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, netns::host, root, totals, veth,
};
use sextant_proto::flow::Flow;

/// The daemon in a namespace of its own, told to observe these.
fn watching(paths: &[String]) -> (Netns, Daemon) {
    let own = Netns::new();
    let mut config = QUICK.to_owned();
    for path in paths {
        config += &format!("[[datapath.namespace]]\npath = \"{path}\"\n");
    }
    let daemon = Daemon::start(&own, &config, &[]);
    (own, daemon)
}

fn path(namespace: &Netns) -> String {
    format!("/run/netns/{}", namespace.name)
}

/// Last events of flows to a port.
fn ended(daemon: &Daemon, port: u32) -> Vec<Flow> {
    let mut flows = daemon.flows();
    flows.retain(|flow| {
        totals::direction(flow).is_some_and(|way| way.to.1 == port)
            && totals::text(flow, "end_reason").is_some()
    });
    flows
}

/// Sends a datagram from a fixed port to a port where nobody listens, `count` times.
fn send(namespace: &Netns, to: &str, port: u16, count: u32) {
    namespace.run(&format!(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",33000))\nfor _ in range({count}):\n s.sendto(b\"x\",(\"{to}\",{port}))'"
    ));
}

#[test]
fn a_flow_between_two_namespaces_counts_once_and_tells_where() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let (_own, daemon) = watching(&[path(&a), path(&b)]);
    send(&a, "10.9.1.2", 3001, 7);
    let flows = eventually("the end of the flow", || {
        let flows = ended(&daemon, 3001);
        (!flows.is_empty()).then_some(flows)
    });
    assert_eq!(flows.len(), 1, "{flows:?}");
    assert_eq!(totals::number(&flows[0], "packets"), 7);
    let points: BTreeSet<String> = totals::texts(&flows[0], "observation_points")
        .into_iter()
        .collect();
    let expected = [
        format!("{}/va:egress", a.name),
        format!("{}/vb:ingress", b.name),
    ];
    assert_eq!(points, BTreeSet::from(expected));
    let namespace = totals::text(&flows[0], "network_namespace");
    assert_eq!(namespace, Some(a.name.clone()));
    assert_eq!(flows[0].interface.as_ref().unwrap().name, "va");
}

#[test]
fn loopbacks_of_namespaces_are_told_apart() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    let (own, daemon) = watching(&[path(&a), path(&b)]);
    // The same addresses and ports at the same time.
    for (namespace, count) in [(&own, 3), (&a, 5), (&b, 9)] {
        send(namespace, "127.0.0.1", 3002, count);
    }
    let flows = eventually("three flows", || {
        let flows = ended(&daemon, 3002);
        (flows.len() == 3).then_some(flows)
    });
    let counted: BTreeSet<(Option<String>, u64)> = flows
        .iter()
        .map(|flow| {
            (
                totals::text(flow, "network_namespace"),
                totals::number(flow, "packets"),
            )
        })
        .collect();
    let expected = [
        (None, 3),
        (Some(a.name.clone()), 5),
        (Some(b.name.clone()), 9),
    ];
    assert_eq!(counted, BTreeSet::from(expected));
}

/// Not what the kernel sends to find its neighbours, which it drops at times.
fn of_the_test(flow: &Flow) -> bool {
    totals::direction(flow).is_some_and(|way| way.is_ours())
}

#[test]
fn drops_in_another_namespace_are_told_with_its_name() {
    if !root() {
        return;
    }
    let (a, b, unwatched) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    veth((&unwatched, "vc"), (&b, "vd"), 2);
    let (_own, daemon) = watching(&[path(&b)]);
    b.run("nft add table ip t && nft 'add chain ip t i { type filter hook input priority 0; }' && nft add rule ip t i udp dport 3003 drop");
    unwatched.run("nft add table ip t && nft 'add chain ip t o { type filter hook output priority 0; }' && nft add rule ip t o udp dport 3004 drop");
    // Refused at its output: the sender is told.
    unwatched.try_run("echo x > /dev/udp/10.9.2.2/3004");
    send(&a, "10.9.1.2", 3003, 1);
    let dropped = eventually("the drop", || {
        let mut flows = daemon.flows();
        flows.retain(|flow| totals::is_drop(flow) && of_the_test(flow));
        (!flows.is_empty()).then_some(flows)
    });
    for flow in &dropped {
        assert_eq!(totals::direction(flow).unwrap().to.1, 3003, "{flow:?}");
        let namespace = totals::text(flow, "network_namespace");
        assert_eq!(namespace, Some(b.name.clone()));
    }
}

#[test]
fn namespaces_are_found_by_glob_as_they_come_and_are_not_kept_alive() {
    if !root() {
        return;
    }
    let before = Netns::new();
    let prefix = before.name.rsplit_once('-').unwrap().0.to_owned();
    let (own, daemon) = watching(&[format!("/run/netns/{prefix}-*")]);
    let later = Netns::new();
    let found = path(&later);
    eventually("the new one is attached", || {
        send(&later, "127.0.0.1", 3005, 1);
        let metric = format!(
            "sextant_interface_packets_total{{interface=\"{}/lo\",direction=\"egress\"}}",
            later.name
        );
        (daemon.metric(&own, &metric) > 0).then_some(())
    });
    // When a namespace ends the kernel takes both ends of its veth pairs.
    veth((&later, "vx"), (&own, "vy"), 5);
    drop(later);
    eventually("let go", || {
        let log = daemon.log();
        log.lines()
            .any(|line| line.contains("let go") && line.contains(&found))
            .then_some(())
    });
    eventually("ended in the kernel", || {
        let links = own.run("ip -o link");
        (!links.contains("vy")).then_some(())
    });
    // What was there before still is.
    send(&before, "127.0.0.1", 3006, 2);
    eventually("a flow of the older one", || {
        ended(&daemon, 3006).first().cloned()
    });
}

/// Links that the daemon holds.
fn links(daemon: &Daemon) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter(|to| to.to_string_lossy().contains("bpf_link"))
        .count()
}

#[test]
fn links_of_a_namespace_that_is_gone_are_closed() {
    if !root() {
        return;
    }
    let first = Netns::new();
    let prefix = first.name.rsplit_once('-').unwrap().0.to_owned();
    let own = Netns::new();
    let glob = format!("/run/netns/{prefix}-gu*");
    let config = format!("{QUICK}[[datapath.namespace]]\npath = \"{glob}\"\n");
    let daemon = Daemon::start(&own, &config, &[]);
    let before = links(&daemon);
    for _ in 0..3 {
        let name = format!("{prefix}-guest");
        host(&format!(
            "ip netns add {name} && ip -n {name} link set lo up"
        ));
        let guest = Netns { name };
        eventually("attached", || (links(&daemon) == before + 2).then_some(()));
        drop(guest);
        eventually("closed", || (links(&daemon) == before).then_some(()));
    }
}

#[test]
fn a_path_that_is_no_namespace_stops_the_start() {
    if !root() {
        return;
    }
    let own = Netns::new();
    let config = "[[datapath.namespace]]\npath = \"/run/netns/sx-nobody\"\n";
    let mut daemon = Daemon::launch(&own, config, &[]);
    assert!(!daemon.wait().success());
    assert!(
        daemon.log().contains("/run/netns/sx-nobody"),
        "{}",
        daemon.log()
    );
}

/// Files that a process has open.
fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .unwrap()
        .count()
}

fn limit_descriptors(daemon: &Daemon, most: usize) {
    host(&format!("prlimit --pid {} --nofile={most}:", daemon.pid()));
}

#[test]
fn a_namespace_is_not_gone_when_descriptors_are_short() {
    if !root() {
        return;
    }
    // Under names of their own: other tests make namespaces too.
    let prefix = format!("short-{}-", std::process::id());
    let named = |last: &str| {
        let name = format!("{prefix}{last}");
        host(&format!(
            "ip netns add {name} && ip -n {name} link set lo up"
        ));
        Netns { name }
    };
    let first = named("a");
    let (own, daemon) = watching(&[format!("/run/netns/{prefix}*")]);
    let name = format!("{}/lo", first.name);
    let attached = |name: &str| {
        let attachments = daemon.own_status()?.attachments;
        attachments.into_iter().find(|one| one.interface == name)
    };
    let before = eventually("the first namespace", || attached(&name));
    limit_descriptors(&daemon, descriptors(&daemon));
    // A new one is in the folder, so that all are looked at again.
    let second = named("b");
    eventually("what is short is told", || {
        daemon.log().contains("LimitNOFILE").then_some(())
    });
    limit_descriptors(&daemon, 1024);
    eventually("the second namespace", || {
        attached(&format!("{}/lo", second.name))
    });
    let after = attached(&name).unwrap();
    assert_eq!(after.since, before.since, "it was let go: {}", daemon.log());
    eventually("all is well again", || {
        daemon.own_status()?.unobserved.is_empty().then_some(())
    });
    drop(own);
}
