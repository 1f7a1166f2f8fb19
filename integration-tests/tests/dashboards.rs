//! The dashboards that Hubble ships: a real Prometheus scrapes a daemon with flows of what they are about,
//! and every query of every panel gives data.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use sextant_integration_tests::{
    Daemon, Netns, eventually,
    hubble::tool,
    prometheus::{Prometheus, queries, without_data},
    root,
};

/// A panel that asks for what is none of Hubble's metrics.
const NOT_HUBBLE: &str = "container_cpu_usage_seconds_total";
const CONTEXT: &str =
    "sourceContext=pod;destinationContext=pod;labelsContext=source_namespace,destination_namespace";

/// Flows of two endpoints and a name server, with some that have no answer.
fn flows() -> Vec<Value> {
    let mut flows = Vec::new();
    for version in ["IPv4", "IPv6"] {
        for flags in [
            json!({"SYN": true}),
            json!({"SYN": true}),
            json!({"SYN": true, "ACK": true}),
        ] {
            let is_reply = flags.get("ACK").is_some();
            let l4 = json!({"TCP": {"source_port": 40000, "destination_port": 80, "flags": flags}});
            flows.push(packet(version, "web", is_reply, &l4));
        }
        let icmp = format!("ICMP{}", version.trim_start_matches("IP"));
        let (request, reply) = if version == "IPv4" {
            (8, 0)
        } else {
            (128, 129)
        };
        for kind in [request, request, reply] {
            let l4 = json!({icmp.clone(): {"type": kind}});
            flows.push(packet(version, "web", kind == reply, &l4));
        }
    }
    let mut dropped = flows[0].clone();
    dropped["verdict"] = json!("DROPPED");
    dropped["drop_reason_desc"] = json!("POLICY_DENIED");
    dropped["event_type"] = json!({"type": 1, "sub_type": 133});
    flows.push(dropped);
    let question = json!({"query": "web.shop.", "qtypes": ["A"]});
    let mut answer = question.clone();
    answer["ips"] = json!(["10.0.0.2"]);
    answer["rrtypes"] = json!(["A"]);
    let mut refusal = question.clone();
    refusal["rcode"] = json!(3);
    for _ in 0..3 {
        flows.push(message(
            "dns",
            "EGRESS",
            "REQUEST",
            &json!({"dns": question}),
        ));
    }
    flows.push(message(
        "dns",
        "EGRESS",
        "RESPONSE",
        &json!({"dns": answer}),
    ));
    flows.push(message(
        "dns",
        "EGRESS",
        "RESPONSE",
        &json!({"dns": refusal}),
    ));
    for code in [200, 200, 503] {
        let http = |code| json!({"http": {"method": "GET", "protocol": "HTTP/1.1", "url": "http://web/", "code": code}});
        flows.push(message("web", "INGRESS", "REQUEST", &http(0)));
        flows.push(message("web", "INGRESS", "RESPONSE", &http(code)));
    }
    flows
}

fn endpoint(name: &str) -> Value {
    json!({
        "namespace": if name == "dns" { "infra" } else { "shop" },
        "pod_name": format!("{name}-1"),
        "identity": 300,
        "labels": [format!("k8s:app={name}")],
        "workloads": [{"name": name, "kind": "Deployment"}],
    })
}

/// A flow between the client and a server.
fn packet(version: &str, server: &str, is_reply: bool, l4: &Value) -> Value {
    let (client, other) = match version {
        "IPv4" => ("10.0.0.1", "10.0.0.2"),
        _ => ("fd00::1", "fd00::2"),
    };
    let mut flow = json!({
        "verdict": "FORWARDED",
        "Type": "L3_L4",
        "event_type": {"type": 4, "sub_type": if is_reply { 5 } else { 0 }},
        "IP": {"source": client, "destination": other, "ipVersion": version},
        "l4": l4,
        "source": endpoint("client"),
        "destination": endpoint(server),
        "is_reply": is_reply,
        "traffic_direction": "EGRESS",
    });
    if is_reply {
        let (source, destination) = (flow["source"].take(), flow["destination"].take());
        (flow["source"], flow["destination"]) = (destination, source);
        flow["IP"] = json!({"source": other, "destination": client, "ipVersion": version});
    }
    flow
}

/// A message of the application layer.
fn message(server: &str, direction: &str, kind: &str, record: &Value) -> Value {
    let is_reply = kind == "RESPONSE";
    let mut flow = packet(
        "IPv4",
        server,
        is_reply,
        &json!({"TCP": {"source_port": 40001, "destination_port": 80}}),
    );
    flow["Type"] = json!("L7");
    flow["event_type"] = json!({"type": 129});
    flow["traffic_direction"] = json!(direction);
    flow["l7"] = record.clone();
    flow["l7"]["type"] = json!(kind);
    if is_reply {
        flow["l7"]["latency_ns"] = json!("12000000");
    }
    flow
}

/// A daemon with the flows, and a Prometheus that has seen them twice.
struct Scraped {
    prometheus: Prometheus,
    _daemon: Daemon,
    _namespace: Netns,
    _folder: tempfile::TempDir,
}

impl Scraped {
    fn start(metrics: &str) -> Self {
        let (namespace, folder) = (Netns::new(), tempfile::tempdir().unwrap());
        let replay = folder.path().join("flows.jsonl");
        let lines = flows()
            .into_iter()
            .map(|flow| format!("{}\n", json!({"flow": flow})));
        fs::write(&replay, lines.collect::<String>()).unwrap();
        let config = format!("[metrics]\nhubble = ['{metrics}']\n");
        let replay = replay.display().to_string();
        let daemon = Daemon::start(&namespace, &config, &["--no-datapath", "--replay", &replay]);
        let prometheus = Prometheus::start(&namespace, "hubble", &[]);
        eventually("a first scrape", || {
            prometheus
                .has_data("hubble_flows_processed_total")
                .then_some(())
        });
        record(&daemon, &flows());
        eventually("a second scrape", || {
            let grown = "sum(increase(hubble_flows_processed_total[1m])) > 0";
            prometheus.has_data(grown).then_some(())
        });
        Self {
            prometheus,
            _daemon: daemon,
            _namespace: namespace,
            _folder: folder,
        }
    }

    /// Every query of a dashboard, with its variables set.
    fn check(&self, dashboard: &str, variables: &[(&str, &str)]) {
        let variables = [&[("__rate_interval", "1m")], variables].concat();
        let mut queries = queries(&dashboards().join(dashboard), &variables);
        queries.retain(|query| !query.contains(NOT_HUBBLE));
        assert!(queries.len() > 3, "{queries:?}");
        let without = without_data(&self.prometheus, queries);
        assert!(without.is_empty(), "{dashboard}: no data for {without:#?}");
    }
}

fn record(daemon: &Daemon, flows: &[Value]) {
    let output = Command::new(tool("grpcurl"))
        .args(["-plaintext", "-unix", "-d"])
        .arg(json!({"flows": flows}).to_string())
        .arg(daemon.server().trim_start_matches("unix://"))
        .arg("sextant.flow.v1.FlowService/RecordFlows")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("\"recorded\": \"{}\"", flows.len());
    assert!(said.contains(&all), "{output:?}");
}

/// Where the module of the real Hubble has them.
fn dashboards() -> PathBuf {
    let go = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let module = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium"])
        .current_dir(go)
        .output()
        .unwrap();
    let module = String::from_utf8(module.stdout).unwrap();
    Path::new(module.trim()).join("install/kubernetes/cilium/files/hubble/dashboards")
}

#[test]
fn every_panel_of_the_dashboards_by_pod_and_namespace_has_data() {
    if !root() {
        return;
    }
    let names = [
        "flow",
        "drop",
        "tcp",
        "icmp",
        "port-distribution",
        "http",
        "dns:query",
    ];
    let metrics = names.map(|name| match name.contains(':') {
        true => format!("{name};{CONTEXT}"),
        false => format!("{name}:{CONTEXT}"),
    });
    let scraped = Scraped::start(&metrics.join(" "));
    scraped.check("hubble-dashboard.json", &[]);
    // As Grafana sets them, without a label of the cluster.
    let variables = [
        ("cluster", ""),
        ("source_namespace", ".*"),
        ("destination_namespace", ".*"),
    ];
    scraped.check("hubble-dns-namespace.json", &variables);
    scraped.check("hubble-network-overview-namespace.json", &variables);
}

#[test]
fn every_panel_of_the_dashboard_of_http_has_data() {
    if !root() {
        return;
    }
    let scraped = Scraped::start(
        "httpV2:labelsContext=source_namespace,source_workload,destination_namespace,destination_workload,traffic_direction flow",
    );
    let variables = [
        ("cluster", ""),
        ("destination_namespace", "shop"),
        ("destination_workload", "web"),
        ("reporter", "server"),
        ("source_namespace", "shop"),
        ("source_workload", "client"),
    ];
    scraped.check("hubble-l7-http-metrics-by-workload.json", &variables);
}
