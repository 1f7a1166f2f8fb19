//! The stack of `docker/compose.yml`, started by the real `docker compose`: flows come to Prometheus, the collector and
//! hubble-relay, and Hubble UI gets what it asks for.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use sextant_integration_tests::{
    daemon::client_binary,
    deployed::{DOCS, Deployed, stated},
    eventually,
    hubble::tool,
    root,
};

/// What the stack's file says is what the docs say, and all that it mounts is there.
fn the_stack_is_as_documented(deployed: &Deployed) {
    let stack = deployed.stack();
    let services = stack["services"].as_object().unwrap();
    for (name, service) in services {
        let list = |key: &str| -> BTreeSet<String> {
            let items = service[key].as_array().into_iter().flatten();
            items
                .map(|item| item.as_str().unwrap().to_owned())
                .collect()
        };
        let image = service["image"].as_str().unwrap();
        let (_, tag) = image.rsplit_once(':').unwrap();
        assert!(
            tag.contains(|letter: char| letter.is_ascii_digit()),
            "{image}"
        );
        assert_eq!(service["read_only"], Value::Bool(true), "{name}");
        assert_eq!(list("cap_drop"), BTreeSet::from(["ALL".into()]), "{name}");
        let added = match name.as_str() {
            "sextantd" => stated(),
            _ => BTreeSet::new(),
        };
        assert_eq!(list("cap_add"), added, "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume["source"].as_str().unwrap();
            assert!(
                volume["type"] == "volume" || fs::exists(source).unwrap(),
                "{source}"
            );
        }
        let row = format!("| `{name}` |");
        assert!(DOCS.contains(&row), "docs/docker.md has no {row}");
    }
    the_dashboards_have_their_data_source(&services["grafana"]);
}

/// Grafana finds what is provisioned where it looks, and the dashboards find their data source.
fn the_dashboards_have_their_data_source(grafana: &Value) {
    let shipped = Deployed::shipped().join("grafana");
    let read = |path: &str| fs::read_to_string(shipped.join(path)).unwrap();
    let mounts = grafana["volumes"].as_array().unwrap().iter();
    let targets: Vec<&str> = mounts
        .filter_map(|mount| mount["target"].as_str())
        .collect();
    let provider = read("provisioning/dashboards/sextant.yml");
    let path = provider.split("path: ").nth(1).unwrap().trim();
    assert!(targets.contains(&path), "{path} of {targets:?}");
    let source = read("provisioning/datasources/prometheus.yml");
    assert!(source.contains("url: ${PROMETHEUS_URL}") && source.contains("type: prometheus"));
    assert_eq!(
        grafana["environment"]["PROMETHEUS_URL"],
        "http://127.0.0.1:9090"
    );
    let uid = source
        .split("uid: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    for file in fs::read_dir(shipped.join("dashboards")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let kind = |variable: &&Value| variable["type"] == "datasource";
        let chosen = variables.iter().find(kind).unwrap();
        assert_eq!(chosen["query"], "prometheus");
        let name = format!("${{{}}}", chosen["name"].as_str().unwrap());
        let mut uids = BTreeSet::new();
        sources_in(&dashboard, &mut uids);
        uids.retain(|used| *used != name && used != uid && used != "-- Grafana --");
        assert!(uids.is_empty(), "{}: {uids:?}", path.display());
    }
    let home = &grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home
        .as_str()
        .unwrap()
        .strip_prefix("/etc/grafana/")
        .unwrap();
    assert!(shipped.join(home).exists());
}

/// The data sources that a dashboard names, at whatever depth.
fn sources_in(value: &Value, uids: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            let named = entries.get("datasource").and_then(|of| of["uid"].as_str());
            uids.extend(named.map(str::to_owned));
            entries.values().for_each(|value| sources_in(value, uids));
        }
        Value::Array(values) => values.iter().for_each(|value| sources_in(value, uids)),
        _ => {}
    }
}

/// Services of the stack whose images can be made here, of the same programs.
const OURS: [(&str, &str, &str); 3] = [
    ("otel-collector", "otel-collector", "otelcol"),
    ("prometheus", "prometheus", "bin/prometheus"),
    ("hubble-relay", "hubble-relay", "usr/bin/hubble-relay"),
];

#[test]
fn the_stack_shows_flows_in_prometheus_the_collector_and_relay() {
    if !root() {
        return;
    }
    let deployed = Deployed::new();
    the_stack_is_as_documented(&deployed);
    for (service, program, place) in OURS {
        deployed.image(service, program, place);
    }
    deployed.traffic();
    let services = OURS.map(|(service, ..)| service).join(" ");
    deployed.compose(&format!(
        "up --detach --no-build --pull never sextantd {services}"
    ));

    let between = "--from-pod docker/client --to-pod docker/api";
    deployed.observed("127.0.0.1:4245", between);
    deployed.observed("127.0.0.1:4246", between);
    eventually("a series in Prometheus", || {
        let query = "http://127.0.0.1:9090/api/v1/query?query=sextant_flows_processed_total%3E0";
        let (_, answer) = deployed.host.try_run(&format!("curl -s '{query}'"));
        answer.contains("\"job\":\"sextant\"").then_some(())
    });
    let rules = deployed
        .host
        .run("curl -s http://127.0.0.1:9090/api/v1/rules");
    assert!(rules.contains("SextantDown"), "{rules}");
    for signal in ["log records", "spans"] {
        eventually(&format!("{signal} at the collector"), || {
            deployed
                .compose("logs otel-collector")
                .contains(signal)
                .then_some(())
        });
    }
    relay_may_only_look(&deployed);
    for server in ["127.0.0.1:4245", "127.0.0.1:4246"] {
        hubble_ui_is_served(&deployed, server);
    }
    deployed.compose("down --volumes --timeout 20");
}

/// Root's socket that relay has lets nobody write.
fn relay_may_only_look(deployed: &Deployed) {
    let at = deployed
        .engine
        .run("volume inspect --format '{{.Mountpoint}}' sextant_relay");
    let delete = |socket: &str| {
        deployed.host.try_run(&format!(
            "HOME=/nonexistent {} --server unix://{socket} policy delete docker/kept",
            client_binary().display()
        ))
    };
    let (ok, told) = delete(&format!("{}/relay.sock", at.trim()));
    assert!(!ok && told.contains("policy-admin"), "{told}");
}

/// A call as grpcurl makes it: the answers, as far as they came within three seconds.
fn call(deployed: &Deployed, server: &str, method: &str, request: &Value) -> Vec<Value> {
    let (_, printed) = deployed.host.try_run(&format!(
        "{} -plaintext -max-time 3 -d '{request}' {server} observer.Observer/{method} 2>/dev/null",
        tool("grpcurl").display()
    ));
    let answers = serde_json::Deserializer::from_str(&printed).into_iter();
    answers.map_while(Result::ok).collect()
}

/// The title that Hubble UI gives a card, by its rules for labels.
fn title(endpoint: &Value) -> Option<String> {
    const PREFIXES: [&str; 5] = [
        "any:",
        "k8s:",
        "cni:",
        "io.kubernetes.pod.",
        "app.kubernetes.io/",
    ];
    let labels = endpoint["labels"].as_array()?;
    labels.iter().filter_map(Value::as_str).find_map(|label| {
        let (key, value) = label.split_once('=')?;
        let key = PREFIXES.iter().fold(key.to_lowercase(), |key, prefix| {
            key.replacen(prefix, "", 1)
        });
        ["app", "name", "functionname", "k8s-app"]
            .contains(&key.as_str())
            .then(|| value.to_owned())
    })
}

/// What the backend of Hubble UI asks for, and what its page needs of each flow.
fn hubble_ui_is_served(deployed: &Deployed, server: &str) {
    let base = json!({"reply": [false]});
    let with = |key: &str| {
        let mut filter = base.clone();
        filter[key] = json!(["docker/"]);
        filter
    };
    let request = json!({
        "number": 10000, "follow": true,
        "whitelist": [with("source_pod"), with("destination_pod")],
        "blacklist": [
            {"source_label": ["reserved:unknown"]}, {"destination_label": ["reserved:unknown"]},
            {"source_fqdn": ["*.cluster.local*"]}, {"destination_fqdn": ["*.cluster.local*"]},
        ],
    });
    let answers = call(deployed, server, "GetFlows", &request);
    let flows: Vec<&Value> = answers
        .iter()
        .map(|answer| &answer["flow"])
        .filter(|flow| flow.is_object())
        .collect();
    let mut titles = BTreeSet::new();
    for flow in &flows {
        assert!(
            flow["l4"].is_object() && flow["isReply"] != Value::Bool(true),
            "{flow}"
        );
        for side in ["source", "destination"] {
            let endpoint = &flow[side];
            if endpoint["namespace"] == "docker" {
                assert!(endpoint["identity"].as_u64() >= Some(256), "{flow}");
                titles.extend(title(endpoint));
            }
        }
    }
    for name in ["api", "client"] {
        assert!(
            titles.contains(name),
            "{server}: {titles:?} of {} flows",
            flows.len()
        );
    }
    let none = json!({});
    let status = call(deployed, server, "ServerStatus", &none);
    assert!(
        status[0]["seenFlows"].is_string() && status[0]["uptimeNs"].is_string(),
        "{status:?}"
    );
    let nodes = call(deployed, server, "GetNodes", &none);
    assert_eq!(nodes[0]["nodes"][0]["state"], "NODE_CONNECTED", "{nodes:?}");
    let namespaces = call(deployed, server, "GetNamespaces", &none);
    assert!(
        namespaces[0].to_string().contains("\"docker\""),
        "{namespaces:?}"
    );
}
