//! The real Prometheus beside a daemon with real traffic: it knows every metric that is
//! documented, and every panel and alert that is shipped has what it asks for.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use sextant_integration_tests::{
    Certificates, Daemon, Netns, Process, Subject,
    daemon::QUICK,
    dns::DnsServer,
    enforced::{Hosts, host_policy},
    eventually,
    hubble::tool,
    netns::quiet,
    prometheus::{Prometheus, queries, without_data},
    root,
};
use sextant_proto::flow::{Flow, Verdict, layer4::Protocol};

const WHO: &str =
    "sourceContext=pod-name|reserved-identity;destinationContext=pod-name|reserved-identity";

/// The trace of the HTTP that is recorded.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The folder of the repository's root.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn config(folder: &Path) -> String {
    let names = [
        "flow",
        "drop",
        "policy",
        "httpV2:exemplars=true",
        "dns:query",
    ];
    let with_who = names.map(|name| match name.contains(':') {
        true => format!("'{name};{WHO}'"),
        false => format!("'{name}:{WHO}'"),
    });
    format!(
        "{QUICK}[metrics]\nhubble = [{}, 'tcp icmp port-distribution sctp kafka flows-to-world']\n\
         [[metrics.custom]]\nname = 't_bytes'\nhelp = 'Bytes'\ntype = 'counter'\nvalue = 'bytes'\n\
         labels = {{ from = 'source.pod_name', to = 'destination.pod_name' }}\n\
         [[metrics.custom]]\nname = 't_seconds'\nhelp = 'How long flows last'\ntype = 'histogram'\nvalue = 'duration'\n\
         [[metrics.custom]]\nname = 't_rtt_seconds'\nhelp = 'The latest'\ntype = 'gauge'\nvalue = 'rtt'\n\
         [[export.file]]\nname = 'flows'\npath = '{}'\n\
         [[export.http]]\nname = 'spooled'\nurl = 'http://127.0.0.1:9/flows'\n\
         allow = ['{{\"source_pod\":[\"nobody/\"]}}']\nspool = {{ directory = '{}' }}\n\
         [[endpoint]]\nname = 'client'\nnamespace = 'shop'\naddresses = ['10.9.1.1']\n\
         [[endpoint]]\nname = 'web'\nnamespace = 'shop'\naddresses = ['10.9.1.2']\n",
        with_who.join(", "),
        folder.join("flows.log").display(),
        folder.join("spool").display(),
    )
}

/// The daemon's host with a policy, its neighbour with servers, and Prometheus.
struct Scraped {
    prometheus: Prometheus,
    daemon: Daemon,
    hosts: Hosts,
    _servers: (Process, DnsServer),
    _folder: tempfile::TempDir,
}

impl Scraped {
    fn start() -> Self {
        let (hosts, folder) = (Hosts::new(), tempfile::tempdir().unwrap());
        let daemon = hosts.observe(&config(folder.path()));
        let rules = ["rules.yml", "alerts.yml"].map(|name| shipped("docker/prometheus").join(name));
        let prometheus = Prometheus::start(
            &hosts.host,
            "sextant",
            &rules.each_ref().map(|path| &**path),
        );
        hosts.apply(
            &daemon,
            &host_policy(
                "egress: [{toEntities: [all]}]\n  \
                 egressDeny: [{toPorts: [{ports: [{port: \"8888\", protocol: TCP}]}]}]",
            ),
            &[],
        );
        hosts.host.run(
            "nft add table ip t && nft add chain ip t out '{ type filter hook output priority 0; }' && \
             nft add rule ip t out tcp dport 9 drop",
        );
        let web = hosts.neighbour.spawn("python3 -m http.server 80");
        let dns = DnsServer::start(&hosts.neighbour, "address=/web.shop/10.9.1.2");
        let scraped = Self {
            prometheus,
            daemon,
            hosts,
            _servers: (web, dns),
            _folder: folder,
        };
        eventually("a first scrape", || {
            scraped.prometheus.has_data("up == 1").then_some(())
        });
        scraped
    }

    /// Of all kinds that the dashboards are about.
    fn traffic(&self) {
        let host = &self.hosts.host;
        for command in [
            "curl -s -o /dev/null http://10.9.1.2/",
            "ping -c 2 -i 0.2 10.9.1.2",
            "dig +tries=1 +time=2 @10.9.1.2 web.shop",
            "dig +tries=1 +time=2 @10.9.1.2 no.test",
            // Refused, dropped, denied.
            "curl -s --max-time 1 http://10.9.1.2:81/",
            "curl -s --max-time 1 http://10.9.1.2:9/",
            "curl -s --max-time 1 http://10.9.1.2:8888/",
        ] {
            host.try_run(command);
        }
        self.record();
    }

    /// HTTP, which packets are not looked at for.
    fn record(&self) {
        let message = |kind: &str, code: u32| {
            json!({
                "verdict": "FORWARDED", "Type": "L7", "event_type": {"type": 129}, "is_reply": kind == "RESPONSE",
                "traffic_direction": "INGRESS", "trace_context": {"parent": {"trace_id": TRACE}},
                "source": {"namespace": "shop", "pod_name": if kind == "RESPONSE" { "web" } else { "client" }},
                "destination": {"namespace": "shop", "pod_name": if kind == "RESPONSE" { "client" } else { "web" }},
                "l7": {"type": kind, "latency_ns": "12000000",
                       "http": {"method": "GET", "protocol": "HTTP/1.1", "url": "http://web/", "code": code}},
            })
        };
        let flows = json!({"flows": [message("REQUEST", 0), message("RESPONSE", 200), message("RESPONSE", 503)]});
        let output = Command::new(tool("grpcurl"))
            .args(["-plaintext", "-unix", "-d"])
            .arg(flows.to_string())
            .arg(self.daemon.server().trim_start_matches("unix://"))
            .arg("sextant.flow.v1.FlowService/RecordFlows")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Counters are those of the flows, once nothing comes any more.
    fn counters_equal_the_flows(&self) {
        quiet(&self.hosts.host, "v0");
        eventually("as many in Prometheus as there are flows", || {
            let flows = self.daemon.flows();
            let of = |verdict| {
                let is = |flow: &&Flow| flow.verdict() == verdict;
                flows.iter().filter(is).count() as f64
            };
            let sum = |query: &str| self.prometheus.sum(query);
            let is_same = sum("sextant_flows_processed_total") == flows.len() as f64
                && sum("hubble_flows_processed_total") == flows.len() as f64
                && sum("sextant_flows_forwarded_total") == of(Verdict::Forwarded)
                && sum("sextant_flows_dropped_total") == of(Verdict::Dropped)
                && sum("hubble_drop_total") == of(Verdict::Dropped)
                && sum("t_bytes_total") == sum("sextant_flow_bytes_total")
                && sum("t_seconds_count") == sum("sextant_flow_duration_seconds_count")
                && of(Verdict::Dropped) > 0.0;
            is_same.then_some(())
        });
        let denied = self
            .prometheus
            .sum("sextant_policy_hits_total{verdict=\"DENY\", mode=\"enforce\"}");
        assert!(denied > 0.0);
    }

    /// Buckets lead to the traces that are made of the same connections.
    fn exemplars_are_the_traces_of_connections(&self) {
        let traces = traces(&self.daemon.flows());
        for name in ["flow_duration", "tcp_handshake"] {
            let series = format!("sextant_{name}_seconds_bucket");
            let exemplars = eventually("exemplars", || {
                let exemplars = self.prometheus.exemplars(&series);
                (!exemplars.is_empty()).then_some(exemplars)
            });
            for exemplar in exemplars {
                let trace = exemplar["trace_id"].as_str().unwrap();
                assert!(traces.contains(trace), "{series}: {exemplar}");
            }
        }
        for name in ["requests_total", "request_duration_seconds_bucket"] {
            let exemplars = self.prometheus.exemplars(&format!("hubble_http_{name}"));
            assert!(
                exemplars.contains(&json!({"traceID": TRACE})),
                "{name}: {exemplars:?}"
            );
        }
        assert!(!self.page().contains(" # {"), "none in the older format");
    }

    fn promtool(&self, arguments: &[&str], page: &str) -> (bool, String) {
        use std::io::Write as _;
        let mut child = Command::new(tool("promtool"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(page.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    fn page(&self) -> String {
        self.hosts
            .host
            .run("curl -s -H 'Accept: text/plain' http://127.0.0.1:9965/metrics")
    }
}

/// Trace ids of connections, by another who knows Community IDs: Python's own hash over the
/// bytes of the specification.
fn traces(flows: &[Flow]) -> BTreeSet<String> {
    let connection = |flow: &Flow| {
        let (ip, Some(Protocol::Tcp(tcp))) =
            (flow.ip.as_ref()?, flow.l4.as_ref()?.protocol.as_ref())
        else {
            return None;
        };
        Some(json!([
            ip.source,
            tcp.source_port,
            ip.destination,
            tcp.destination_port
        ]))
    };
    let connections: Vec<_> = flows.iter().filter_map(connection).collect();
    let script = "import hashlib,ipaddress,json,struct,sys\n\
        for a,p,b,q in json.loads(sys.argv[1]):\n \
        (a,p),(b,q)=sorted([(ipaddress.ip_address(a).packed,p),(ipaddress.ip_address(b).packed,q)])\n \
        print(hashlib.sha1(bytes(2)+a+b+bytes([6,0])+struct.pack('!HH',p,q)).hexdigest()[:32])";
    let output = Command::new("python3")
        .args(["-c", script, &json!(connections).to_string()])
        .output()
        .unwrap();
    let traces = String::from_utf8(output.stdout).unwrap();
    traces.lines().map(str::to_owned).collect()
}

/// Names of the metrics in the documentation's table, with their kinds.
fn documented() -> Vec<(String, String)> {
    let text = fs::read_to_string(shipped("docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `sextant_"));
    let metrics = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
    });
    metrics.collect()
}

/// Names of metrics in a query.
fn asked_for(query: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = query.split(move |c| !is_part(c));
    words.filter(|word| {
        ["sextant_", "hubble_", "instance:"]
            .iter()
            .any(|begin| word.starts_with(begin))
    })
}

/// The queries of rules and alerts, as Prometheus read them.
fn rules(prometheus: &Prometheus) -> Vec<(String, String)> {
    let answer = prometheus.get("rules", &["type="]);
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap().to_owned();
    rules
        .map(|rule| {
            assert_eq!(rule["health"], "ok", "{rule}");
            (text(rule, "name"), text(rule, "query"))
        })
        .collect()
}

/// What may have no series where nothing of the kind happened.
const RARE: [&str; 3] = [
    "sextant_engine_containers",
    "sextant_engine_failures_total",
    "sextant_kubernetes_",
];

#[test]
fn prometheus_knows_every_metric_and_panels_and_alerts_have_data() {
    if !root() {
        return;
    }
    let scraped = Scraped::start();
    let prometheus = &scraped.prometheus;
    // Rates need two scrapes with something between them.
    scraped.traffic();
    eventually("a scrape of the traffic", || {
        prometheus
            .has_data("hubble_http_requests_total > 0")
            .then_some(())
    });
    scraped.traffic();
    scraped.counters_equal_the_flows();
    scraped.exemplars_are_the_traces_of_connections();

    let (is_clean, said) = scraped.promtool(&["check", "metrics"], &scraped.page());
    assert!(is_clean && said.is_empty(), "{said}");

    let missing: Vec<_> = documented()
        .into_iter()
        .map(|(name, kind)| match kind.as_str() {
            "histogram" => format!("{name}_bucket"),
            _ => name,
        })
        .filter(|name| !RARE.iter().any(|rare| name.starts_with(rare)))
        .filter(|name| prometheus.ask(name).is_empty())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");

    let variables = [
        ("job", "sextant"),
        ("instance", ".*"),
        ("__rate_interval", "1m"),
        ("__range", "1m"),
    ];
    let dashboards = fs::read_dir(shipped("docker/grafana/dashboards")).unwrap();
    let mut count = 0;
    for dashboard in dashboards {
        let path = dashboard.unwrap().path();
        let queries = queries(&path, &variables);
        assert!(queries.len() > 8, "{queries:?}");
        let without = without_data(prometheus, queries);
        assert!(
            without.is_empty(),
            "{}: no data for {without:#?}",
            path.display()
        );
        count += 1;
    }
    assert!(count >= 6, "{count}");

    let rules = rules(prometheus);
    assert!(rules.len() >= 20, "{rules:?}");
    for (name, query) in &rules {
        let names: BTreeSet<_> = asked_for(query).collect();
        assert!(!names.is_empty() || query.contains("up{"), "{name}");
        for asked in names {
            assert!(!prometheus.ask(asked).is_empty(), "{name}: no {asked}");
        }
    }
    // Nothing is wrong here, so none of them fires.
    let firing = prometheus.ask("ALERTS{alertstate=\"firing\"}");
    assert!(firing.is_empty(), "{firing:?}");
}

/// Panels and rows of a dashboard.
fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// The cells of Grafana's grid that a panel takes.
fn cells(panel: &Value) -> Vec<(u64, u64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    assert!(x + w <= 24, "{panel}");
    let columns = x..x + w;
    columns
        .flat_map(|column| (y..y + h).map(move |row| (column, row)))
        .collect()
}

#[test]
fn dashboards_are_of_one_kind_and_their_panels_do_not_overlap() {
    let mut uids = BTreeSet::new();
    for file in fs::read_dir(shipped("docker/grafana/dashboards")).unwrap() {
        let path = file.unwrap().path();
        let dashboard: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(dashboard["schemaVersion"], 39, "{}", path.display());
        assert!(
            uids.insert(dashboard["uid"].to_string()),
            "{}",
            path.display()
        );
        assert_eq!(dashboard["tags"], json!(["sextant"]));
        assert_eq!(dashboard["links"][0]["tags"], json!(["sextant"]));
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<_> = variables.iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["datasource", "job", "instance"]);
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(&dashboard) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
            for cell in cells(panel) {
                assert!(taken.insert(cell), "{}: {panel}", path.display());
            }
            if panel["type"] == "row" {
                continue;
            }
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].is_string(), "{panel}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}");
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let is_chosen = query.contains("job=\"$job\", instance=~\"$instance\"");
                assert!(is_chosen, "{query}");
            }
        }
    }
}

#[test]
fn the_port_of_metrics_serves_by_tls_who_shows_a_certificate() {
    if !root() {
        return;
    }
    let (namespace, files) = (Netns::new(), Certificates::new());
    files.issue("server", &Subject::server(&["localhost", "127.0.0.1"]));
    files.issue("ada", &Subject::client("ada", &[]));
    files.issue("stranger", &Subject::client("ada", &[]).by_stranger());
    let config = format!(
        "[metrics]\ncertificate = '{}'\nkey = '{}'\nclient_ca = ['{}']\nclient = 'required'\n",
        files.text("server.pem"),
        files.text("server-key.pem"),
        files.text("ca.pem"),
    );
    let _daemon = Daemon::start(&namespace, &config, &["--no-datapath"]);
    let curl = |scheme: &str, path: &str, who: Option<&str>| {
        let shown = who.map(|who| {
            let (certificate, key) = (format!("{who}.pem"), format!("{who}-key.pem"));
            format!(
                "--cert {} --key {}",
                files.text(&certificate),
                files.text(&key)
            )
        });
        namespace.try_run(&format!(
            "curl -sS --max-time 5 --fail --cacert {} {} {scheme}://127.0.0.1:9965/{path}",
            files.text("ca.pem"),
            shown.unwrap_or_default(),
        ))
    };
    for (path, said) in [
        ("readyz", "ok"),
        ("livez", "ok"),
        ("metrics", "sextant_stored_events"),
    ] {
        let (is_served, page) = curl("https", path, Some("ada"));
        assert!(is_served && page.contains(said), "{path}: {page}");
        for (scheme, who) in [("https", None), ("https", Some("stranger")), ("http", None)] {
            let (is_served, page) = curl(scheme, path, who);
            assert!(!is_served, "{scheme} {who:?}: {page}");
        }
    }
}
