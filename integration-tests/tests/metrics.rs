//! Hubble's metrics, of real traffic and from a file that changes.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{collections::BTreeMap, fs};

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, netns::quiet, root, veth,
};
use sextant_proto::flow::{Flow, Verdict};

/// The series of a metric: labels as they are printed, and value.
fn series(namespace: &Netns, metric: &str) -> BTreeMap<String, u64> {
    let page = namespace.run("curl -s http://127.0.0.1:9965/metrics");
    let lines = page.lines().filter_map(|line| line.strip_prefix(metric));
    let lines = lines.filter_map(|line| line.strip_prefix('{')?.rsplit_once("} "));
    lines
        .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Flows by verdict and protocol, in the order of the labels of a series.
fn counted(flows: &[Flow]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for flow in flows {
        let verdict = flow.verdict().as_str_name();
        let source = flow.source.as_ref().map_or("", |source| &source.pod_name);
        *counts.entry(format!("{source} {verdict}")).or_default() += 1;
    }
    counts
}

fn summed(series: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let value = |labels: &str, name: &str| {
        let begin = format!("{name}=\"");
        let rest = labels.split(&begin).nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let mut counts = BTreeMap::new();
    for (labels, count) in series {
        let key = format!("{} {}", value(labels, "source"), value(labels, "verdict"));
        *counts.entry(key).or_default() += count;
    }
    counts
}

#[test]
fn counters_equal_the_flows_of_real_traffic() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let config = format!(
        "{QUICK}[metrics]\nhubble = ['flow:sourceContext=pod-name', 'drop tcp icmp:destinationContext=ip']\n\
         [[endpoint]]\nname = 'web'\nnamespace = 'shop'\naddresses = ['10.9.1.2']\n"
    );
    let daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = b.spawn("python3 -m http.server 80");
    eventually("a server", || {
        a.try_run("curl -s http://10.9.1.2/").0.then_some(())
    });
    a.run("ping -c 3 -i 0.2 10.9.1.2");
    a.run(
        "nft add table ip t && nft add chain ip t out '{ type filter hook output priority 0; }' && \
         nft add rule ip t out tcp dport 9 drop",
    );
    a.try_run("timeout 1 bash -c 'echo x > /dev/tcp/10.9.1.2/9'");
    quiet(&a, "va");
    eventually("as many as there are flows", || {
        let flows = daemon.flows();
        let all = counted(&flows);
        let is_dropped = |flow: &&Flow| flow.verdict() == Verdict::Dropped;
        let drops = flows.iter().filter(is_dropped).count() as u64;
        let told = series(&a, "hubble_flows_processed_total");
        let dropped: u64 = series(&a, "hubble_drop_total").values().sum();
        (drops > 0 && dropped == drops && summed(&told) == all).then_some(())
    });
    let flags = series(&a, "hubble_tcp_flags_total");
    assert!(flags["flag=\"SYN\",family=\"IPv4\""] > 0, "{flags:?}");
    assert!(flags["flag=\"SYN-ACK\",family=\"IPv4\""] > 0, "{flags:?}");
    let pings = series(&a, "hubble_icmp_total");
    let ping = "destination=\"10.9.1.2\",family=\"IPv4\",type=\"EchoRequest\"";
    assert!(pings[ping] > 0, "{pings:?}");
}

#[test]
fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
    if !root() {
        return;
    }
    let a = Netns::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.yaml");
    fs::write(&path, "metrics: [{name: flow}]").unwrap();
    let config = format!("[metrics]\nhubble_file = '{}'\n", path.display());
    let daemon = Daemon::start(&a, &config, &["--interface", "lo"]);
    let ping = || a.run("ping -c 1 127.0.0.1");
    let counts = || {
        ping();
        let sum = |metric| series(&a, metric).values().sum::<u64>();
        (
            sum("hubble_flows_processed_total"),
            sum("hubble_icmp_total"),
        )
    };
    eventually("flows", || (counts().0 > 0).then_some(()));
    fs::write(&path, "metrics: [{name: flow}, {name: icmp}]").unwrap();
    daemon.signal("HUP");
    eventually("pings", || (counts().1 > 0).then_some(()));
    fs::write(&path, "metrics: [{name: flow}, {name: icpm}]").unwrap();
    daemon.signal("HUP");
    eventually("it is told", || {
        let says = "metrics[1]: `icpm` is no metric of Hubble; known: dns, drop";
        daemon.log().contains(says).then_some(())
    });
    let before = counts();
    eventually("as before", || {
        let now = counts();
        (now.0 > before.0 && now.1 > before.1).then_some(())
    });
    fs::write(
        &path,
        "metrics: [{name: icmp, excludeFilters: [{protocol: [icmp]}]}]",
    )
    .unwrap();
    // By itself, within seconds.
    eventually("other metrics", || (counts().0 == 0).then_some(()));
    let stopped = counts();
    ping();
    assert_eq!((counts(), stopped.1 > 0), (stopped, true));
}
