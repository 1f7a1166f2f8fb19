//! Hubble's metrics, of real traffic and from a file that changes.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{collections::BTreeMap, fs};

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, netns::quiet, prometheus::series, root, veth,
};
use sextant_proto::flow::{Flow, Verdict};

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

/// A metric as it is told: kind, labels in order, meaning.
type Told = (String, Vec<String>, String);

/// The table of the documentation.
fn documented() -> BTreeMap<String, Told> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `sextant_"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("{row}")
        };
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        let told = (kind.to_owned(), labels.collect(), meaning.to_owned());
        (name.trim_matches('`').to_owned(), told)
    })
    .collect()
}

/// The metrics of a page; labels where there is a series.
fn on_page(page: &str) -> BTreeMap<String, (String, Option<Vec<String>>, String)> {
    let mut metrics = BTreeMap::new();
    let (mut help, mut now) = (String::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap().1.to_owned();
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let ending = if kind == "counter" { "_total" } else { "" };
            now = format!("{name}{ending}");
            metrics.insert(now.clone(), (kind.to_owned(), None, help.clone()));
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let names = labels
                .split("=\"")
                .filter_map(|part| part.rsplit(['"', ',']).next());
            let names = names.filter(|name| !name.is_empty() && !name.contains([' ', '}']));
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            metrics.get_mut(&now).unwrap().1 = Some(names.collect());
        }
    }
    metrics.retain(|name, _| name.starts_with("sextant_"));
    metrics
}

#[test]
fn the_documentation_has_all_metrics_and_no_others() {
    if !root() {
        return;
    }
    let a = Netns::new();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[metrics]\nhubble = ['flow']\n[[metrics.custom]]\nname = 'x'\nhelp = 'X'\ntype = 'counter'\n\
         [[export.file]]\npath = '{}'\n",
        folder.path().join("flows.log").display()
    );
    let daemon = Daemon::start(&a, &config, &["--interface", "lo"]);
    let documented = documented();
    a.run("ping -c 1 127.0.0.1");
    let page = on_page(&a.run("curl -s http://127.0.0.1:9965/metrics"));
    let names = |of: Vec<&String>| of.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(page.keys().collect()),
        names(documented.keys().collect())
    );
    for (name, (kind, labels, meaning)) in page {
        let told = &documented[&name];
        assert_eq!((&kind, &meaning), (&told.0, &told.2), "{name}");
        if let Some(labels) = labels {
            assert_eq!(labels, told.1, "{name}");
        }
    }
    drop(daemon);
}

#[test]
fn totals_and_rates_are_those_of_the_flows() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    // Not the loopback, over which the page is asked for.
    let daemon = Daemon::start(&a, QUICK, &["--interface", "va"]);
    let probe = |path: &str| {
        a.run(&format!(
            "curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:9965/{path}"
        ))
    };
    eventually("ready", || (probe("readyz") == "200").then_some(()));
    assert_eq!(probe("livez"), "200");
    a.run("ping -c 3 -i 0.2 10.9.1.2");
    quiet(&a, "va");
    let rate = |name: &str| {
        let page = a.run("curl -s http://127.0.0.1:9965/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().parse::<f64>().unwrap()
    };
    eventually("as many as there are flows", || {
        let flows = daemon.flows();
        let of = |verdict| {
            flows
                .iter()
                .filter(|flow| flow.verdict() == verdict)
                .count() as u64
        };
        let value = |name| daemon.metric(&a, name);
        let is_same = value("sextant_flows_processed_total") == flows.len() as u64
            && value("sextant_flows_forwarded_total") == of(Verdict::Forwarded)
            && value("sextant_flows_dropped_total") == of(Verdict::Dropped)
            && value("sextant_packets_processed_total") >= 6;
        is_same.then_some(())
    });
    // Since the first look, just after the start.
    assert!(rate("sextant_flows_per_second") > 0.0);
    let [packets, bytes] = ["sextant_packets_per_second", "sextant_bytes_per_second"].map(rate);
    assert!(bytes > 60.0 * packets && packets > 0.0, "{packets} {bytes}");
    assert_eq!(rate("sextant_drop_rate"), 0.0);
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
