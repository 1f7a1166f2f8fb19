//! Metrics that the configuration makes up, of real traffic: they equal the flows, their
//! series are bounded, and they are changed at work.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::collections::BTreeMap;

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::QUICK,
    eventually,
    netns::quiet,
    prometheus::series,
    root,
    totals::{number, text},
    veth,
};
use sextant_proto::flow::Flow;

/// A metric with these labels, and with these lines beside its name and help.
fn metric(name: &str, labels: &str, lines: &str) -> String {
    format!("[[metrics.custom]]\nname = '{name}'\nhelp = 'H'\nlabels = {{ {labels} }}\n{lines}\n")
}

const FLOWS: &str = "pod = 'source.pod_name', verdict = 'verdict'";

/// Two endpoints, and what is counted of them.
fn config() -> String {
    let endpoint = |name: &str, address: &str| {
        format!("[[endpoint]]\nname = '{name}'\nnamespace = 'shop'\naddresses = ['{address}']\n")
    };
    [
        QUICK.to_owned(),
        metric("t_flows", FLOWS, "type = 'counter'"),
        metric(
            "t_bytes",
            "by = 'source.pod_name'",
            "type = 'counter'\nvalue = 'bytes'",
        ),
        metric(
            "t_packets",
            "by = 'source.pod_name'",
            "type = 'counter'\nvalue = 'packets'",
        ),
        metric(
            "t_web_bytes",
            "by = 'source_port'",
            "type = 'counter'\nvalue = 'bytes'\nallow = ['{\"source_pod\":[\"shop/web\"],\"source_port\":[\"80\"]}']",
        ),
        metric(
            "t_seconds",
            "by = 'protocol'",
            "type = 'histogram'\nvalue = 'duration'\nbuckets = [60]",
        ),
        endpoint("client", "10.9.1.1"),
        endpoint("web", "10.9.1.2"),
    ]
    .concat()
}

/// Flow events by source and verdict, as a series tells them.
fn events(flows: &[Flow]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for flow in flows {
        let pod = flow.source.as_ref().map_or("", |source| &source.pod_name);
        let verdict = flow.verdict().as_str_name();
        let labels = format!("pod=\"{pod}\",verdict=\"{verdict}\"");
        *counts.entry(labels).or_default() += 1;
    }
    counts
}

/// What the flows that ended had in all, by who sent it, as a series tells it.
fn sent(flows: &[Flow], what: &str, is_wanted: impl Fn(&Flow) -> bool) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let ended = flows
        .iter()
        .filter(|flow| text(flow, "end_reason").is_some());
    for flow in ended.filter(|flow| is_wanted(flow)) {
        let back = format!("reverse_{what}");
        for (side, key) in [(&flow.source, what), (&flow.destination, &back)] {
            let pod = side.as_ref().map_or("", |side| &side.pod_name);
            *sums.entry(format!("by=\"{pod}\"")).or_default() += number(flow, key);
        }
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

fn is_http(flow: &Flow) -> bool {
    use sextant_proto::flow::layer4::Protocol;
    let l4 = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref());
    matches!(l4, Some(Protocol::Tcp(tcp)) if tcp.destination_port == 80)
}

#[test]
fn counters_equal_the_events_packets_and_bytes_of_real_traffic() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let daemon = Daemon::start(&a, &config(), &["--interface", "va"]);
    let _web = b.spawn("python3 -m http.server 80");
    eventually("a server", || {
        a.try_run("curl -s http://10.9.1.2/").0.then_some(())
    });
    // Three at a time of the same two hosts, which only their beginnings tell apart.
    a.run("for i in 1 2 3; do ping -c 4 -i 0.2 -s $((i * 100)) 10.9.1.2 & done; wait");
    b.run("ping -c 2 -i 0.2 10.9.1.1");
    a.run("for i in $(seq 20); do curl -s -o /dev/null http://10.9.1.2/; done");
    quiet(&a, "va");
    eventually("what the flows have, in all", || {
        let flows = daemon.flows();
        let told = ["packets", "bytes"].map(|what| {
            let told = series(&a, &format!("t_{what}_total"));
            (told == sent(&flows, what, |_| true)).then(|| told.values().sum::<u64>())
        });
        let [Some(packets), Some(bytes)] = told else {
            return None;
        };
        // By the kernel's own count, of all that is in flows.
        let is_all = packets == daemon.metric(&a, "sextant_flow_packets_total")
            && bytes == daemon.metric(&a, "sextant_flow_bytes_total")
            && series(&a, "t_flows_total") == events(&flows);
        is_all.then_some(())
    });
    let flows = daemon.flows();
    let web = sent(&flows, "bytes", is_http)["by=\"web\""];
    assert_eq!(series(&a, "t_web_bytes_total")["by=\"80\""], web);
    let http = flows.iter().filter(|flow| is_http(flow));
    let ended = http.filter(|flow| text(flow, "end_reason").is_some());
    let connections = ended.count() as u64;
    assert_eq!(series(&a, "t_seconds_count")["by=\"TCP\""], connections);
    assert!(connections >= 21, "{connections}");
}

#[test]
fn metrics_are_changed_at_work_and_mistakes_change_nothing() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let config = config();
    let daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let flows = || series(&a, "t_flows_total").values().sum::<u64>();
    a.run("ping -c 2 -i 0.2 10.9.1.2");
    eventually("the ping", || (flows() > 0).then_some(()));
    let wrong = metric("t_wrong", "a = 'source.pod'", "type = 'counter'");
    daemon.configure(&(config.clone() + &wrong));
    daemon.signal("HUP");
    eventually("it is told", || {
        daemon
            .log()
            .contains("did you mean `source.pod_name`?")
            .then_some(())
    });
    let ports = metric(
        "t_ports",
        "port = 'destination_port'",
        "type = 'counter'\nmax_series = 3\nidle = '2s'",
    );
    daemon.configure(&(config + &ports));
    daemon.signal("HUP");
    let [limit, overflowed, removed] = ["series_limit", "overflowed_total", "removed_series_total"]
        .map(|what| format!("sextant_custom_metric_{what}{{metric=\"t_ports_total\"}}"));
    eventually("the new one", || {
        (daemon.metric(&a, &limit) == 3).then_some(())
    });
    // What was counted before is still there.
    assert!(flows() > 0);
    a.run("for port in 1 2 3 4 5; do echo > /dev/udp/10.9.1.2/$port; done");
    let of_overflow = || {
        let told = series(&a, "t_ports_total")
            .get("port=\"overflow\"")
            .copied();
        told.is_some_and(|told| told == daemon.metric(&a, &overflowed))
    };
    eventually("two find no room", || of_overflow().then_some(()));
    eventually("all but that are removed", || {
        let told = series(&a, "t_ports_total");
        (told.len() == 1 && daemon.metric(&a, &removed) >= 3).then_some(())
    });
    assert!(flows() > 0);
    eventually("as many as there are flows", || {
        (series(&a, "t_flows_total") == events(&daemon.flows())).then_some(())
    });
}
