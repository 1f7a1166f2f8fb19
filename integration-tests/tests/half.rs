//! Interfaces and namespaces that are observed in part, or look alike, and say so.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, eventually,
    foreign::{XDP_TX, generic_xdp},
    netns::{host, pair},
    root,
};
use sextant_proto::sextant::status::v1::Attachment;

fn packets(one: &Attachment) -> [u64; 2] {
    [&one.ingress, &one.egress].map(|way| way.as_ref().unwrap().packets)
}

fn is_told(daemon: &Daemon, text: &str) -> bool {
    let status = daemon.own_status();
    status.is_some_and(|status| {
        let mut problems = status.problems.iter();
        problems.any(|problem| problem.text.contains(text))
    })
}

/// The `ingress` qdisc has one list, whatever direction a filter is for.
#[test]
fn what_is_sent_past_an_ingress_qdisc_is_told_and_nothing_counts_twice() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    b.run("tc qdisc add dev vb ingress");
    let config = "[datapath]\nforce_clsact = true\n";
    let mut daemon = Daemon::start(&b, config, &["--interface", "vb"]);
    assert!(is_told(&daemon, "`ingress` qdisc"), "{}", daemon.log());
    let before = packets(&daemon.attachment("vb").unwrap());
    a.run("ping -q -c 10 -i 0.02 10.9.1.2");
    let after = packets(&daemon.attachment("vb").unwrap());
    assert!((10..20).contains(&(after[0] - before[0])), "{after:?}");
    assert_eq!(after[1], 0, "{after:?}");
    let filters = b.run("tc filter show dev vb ingress");
    assert!(!filters.contains("sextant_out"), "{filters}");
    // With a place for both directions all is well again, at the next look.
    b.run("tc qdisc del dev vb ingress && tc qdisc add dev vb clsact");
    eventually("both directions", || {
        a.run("ping -q -c 2 -i 0.02 10.9.1.2");
        let seen = packets(&daemon.attachment("vb")?);
        (seen[1] > 0 && !is_told(&daemon, "`ingress` qdisc")).then_some(())
    });
    // And back: as somebody's shaping does it while the daemon runs.
    b.run("tc qdisc del dev vb clsact && tc qdisc add dev vb ingress");
    eventually("told again", || {
        is_told(&daemon, "`ingress` qdisc").then_some(())
    });
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(b.run("tc qdisc show dev vb").contains("ingress"));
    let filters = b.run("tc filter show dev vb ingress");
    assert!(!filters.contains("sextant"), "{filters}");
}

#[test]
fn what_xdp_takes_before_the_hook_is_told() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    // No answer comes any more, to ARP neither.
    let mac = b.run("cat /sys/class/net/vb/address");
    a.run(&format!(
        "ip neigh replace 10.9.1.2 lladdr {} dev va",
        mac.trim()
    ));
    let _holder = generic_xdp(&b, "vb", XDP_TX);
    eventually("a gap on ingress", || {
        a.try_run("ping -q -c 50 -i 0.002 -W 0.1 10.9.1.2");
        (daemon.attachment("vb")?.unseen_ingress >= 50).then_some(())
    });
    assert!(is_told(&daemon, "on ingress of vb were seen by no program"));
}

#[test]
fn namespaces_whose_paths_end_alike_have_names_of_their_own() {
    if !root() {
        return;
    }
    let (one, other, own) = (Netns::new(), Netns::new(), Netns::new());
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::new();
    for (place, namespace) in [("p", &one), ("q", &other)] {
        namespace.run("ip link set lo up");
        let inside = folder.path().join(place);
        std::fs::create_dir(&inside).unwrap();
        let link = inside.join("ns");
        host(&format!(
            "ln -s /run/netns/{} {}",
            namespace.name,
            link.display()
        ));
        config += &format!("[[datapath.namespace]]\npath = \"{}\"\n", link.display());
    }
    // Beside them what must not be opened.
    host(&format!("mkfifo {}/q/fifo", folder.path().display()));
    config += &format!(
        "[[datapath.namespace]]\npath = \"{}/q/*\"\n",
        folder.path().display()
    );
    let daemon = Daemon::start(
        &own,
        &config,
        &["--interface", "lo", "--metrics-listen", "127.0.0.1:9965"],
    );
    let mut names: Vec<String> = daemon
        .own_status()
        .unwrap()
        .attachments
        .into_iter()
        .map(|one| one.interface)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["lo", "ns/lo", "q/ns/lo"]);
    let page = own.run("curl -s http://127.0.0.1:9965/metrics");
    let series = |line: &&str| line.starts_with("sextant_interface_packets_total{");
    let lines: Vec<&str> = page.lines().filter(series).collect();
    let keys: std::collections::HashSet<&str> = lines
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(key, _)| key)
        .collect();
    assert_eq!((lines.len(), keys.len()), (6, 6), "{page}");
}
