//! Flows for OpenTelemetry, as the real collector gets them.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use sextant_integration_tests::{
    Daemon, Netns, Process,
    certificates::{Certificates, HERE, Subject},
    collector::{self, flow_of, flow_with_nanos, map, records, spans},
    daemon::QUICK,
    eventually,
    exported::{exporter, network, shown, web},
    netns::quiet,
    root,
    sink::Sink,
};
use tempfile::TempDir;

/// Flows of all layers and kinds, with what captures alone do not have.
const KINDS: &str = include_str!("kinds.jsonl");

/// What the collector got by one of the exporters: flows made again, by uuid, each once.
fn got(sink: &Sink, via: &str) -> BTreeMap<String, Value> {
    let mut flows = BTreeMap::new();
    for (about, record) in records(sink) {
        if about["via"] != via || record["eventName"] != "network.flow" {
            continue;
        }
        let flow = flow_of(&record);
        let uuid = flow["uuid"].as_str().unwrap().to_owned();
        assert!(flows.insert(uuid, flow).is_none(), "twice: {record}");
    }
    flows
}

fn wanted(daemon: &Daemon) -> BTreeMap<String, Value> {
    let shown = shown(daemon).into_iter();
    shown
        .map(|(uuid, line)| (uuid, flow_with_nanos(&line["flow"])))
        .collect()
}

/// Both ways to the collector, at this scheme.
fn config(scheme: &str, keys: &str) -> String {
    let section = |name: &str, port: u16, keys: &str| {
        format!(
            "[[export.otlp]]\nname = '{name}'\nendpoint = '{scheme}://127.0.0.1:{port}'\ninterval = '50ms'\n\
             resource = {{ via = '{name}' }}\nsignals = ['logs', 'metrics', 'traces']\nmetrics_interval = '500ms'\n{keys}\n"
        )
    };
    let [grpc, http] = collector::PORTS;
    let by_http = format!("protocol = 'http'\ncompression = 'gzip'\n{keys}");
    let groups = format!(
        "[[export.otlp]]\nname = 'groups'\nendpoint = '{scheme}://127.0.0.1:{grpc}'\ninterval = '50ms'\n\
         resource = {{ via = 'groups' }}\nsignals = ['logs']\nfield_aggregate = ['verdict', 'l4.TCP.destination_port']\n\
         aggregation_interval = '1s'\n{keys}\n"
    );
    format!(
        "{QUICK}{groups}{}{}",
        section("grpc", grpc, &format!("compression = 'zstd'\n{keys}")),
        section("http", http, &by_http)
    )
}

struct Setup {
    a: Netns,
    _b: Netns,
    _web: Process,
    sink: Sink,
    folder: TempDir,
}

fn setup() -> Setup {
    let (a, b) = network();
    let web = web(&a, &b);
    let sink = Sink::start(&a);
    Setup {
        a,
        _b: b,
        _web: web,
        sink,
        folder: tempfile::tempdir().unwrap(),
    }
}

fn traffic(a: &Netns, times: u32) {
    a.run(&format!("for i in $(seq {times}); do curl -s -o /dev/null http://10.9.1.2/; done; ping -c 2 -i 0.2 10.9.1.2"));
}

/// All that is shown came by both ways, and is the same flow again.
fn complete(daemon: &Daemon, sink: &Sink) -> BTreeMap<String, Value> {
    eventually("all flows by both ways", || {
        let wanted = wanted(daemon);
        let is_all = ["grpc", "http"]
            .iter()
            .all(|via| got(sink, via).len() >= wanted.len());
        is_all.then_some(())
    });
    let wanted = wanted(daemon);
    for via in ["grpc", "http"] {
        let got = got(sink, via);
        for (uuid, flow) in &wanted {
            assert_eq!(got.get(uuid), Some(flow), "by {via}");
        }
    }
    wanted
}

#[test]
fn a_collector_gets_logs_that_make_the_flows_again_and_a_span_for_each_connection() {
    if !root() {
        return;
    }
    let setup = setup();
    let _collector = collector::start(&setup.a, setup.folder.path(), &setup.sink, None);
    let daemon = Daemon::start(&setup.a, &config("http", ""), &["--interface", "va"]);
    let start = now();
    traffic(&setup.a, 10);
    let times = start..now();
    quiet(&setup.a, "va");
    let flows = eventually("all connections ended", || {
        let flows = complete(&daemon, &setup.sink);
        (ended(&flows).len() >= 10).then_some(flows)
    });
    let ended = ended(&flows);
    for via in ["grpc", "http"] {
        eventually("a span for each", || {
            let spans = spans(&setup.sink).into_iter();
            (spans.filter(|(about, _)| about["via"] == via).count() >= ended.len()).then_some(())
        });
        check_spans(&setup.sink, via, &ended, &times);
    }
    check_metrics(&setup, &daemon);
    check_groups(&setup, &daemon);
    let (about, record) = records(&setup.sink).remove(0);
    assert_eq!(about["service.name"], "sextantd");
    assert!(about["host.name"].is_string() && record["severityText"] == "INFO");
    for name in [
        "grpc/logs",
        "grpc/metrics",
        "grpc/traces",
        "http/logs",
        "http/metrics",
        "http/traces",
    ] {
        let state = exporter(&daemon, name);
        assert!(
            state.up && state.sent > 0 && state.dropped.iter().all(|cause| cause.events == 0),
            "{state:?}"
        );
    }
}

#[test]
fn flows_of_every_kind_that_are_replayed_are_made_again() {
    if !root() {
        return;
    }
    let setup = setup();
    let _collector = collector::start(&setup.a, setup.folder.path(), &setup.sink, None);
    let replay = setup.folder.path().join("kinds.jsonl");
    std::fs::write(&replay, KINDS).unwrap();
    let replay = replay.display().to_string();
    let flags = ["--no-datapath", "--replay", &replay];
    let daemon = Daemon::start(&setup.a, &config("http", ""), &flags);
    let flows = complete(&daemon, &setup.sink);
    assert_eq!(flows.len(), KINDS.lines().count());
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_nanos() as u64
}

/// Last events of connections.
fn ended(flows: &BTreeMap<String, Value>) -> Vec<&Value> {
    let is_end = |flow: &&Value| flow["extensions"]["value"]["end_reason"] == "fin";
    flows.values().filter(is_end).collect()
}

/// The counter of flows has at last, by both ways, what the page has.
fn check_metrics(setup: &Setup, daemon: &Daemon) {
    for via in ["grpc", "http"] {
        eventually("the counter as the page has it", || {
            let on_page = daemon.metric(&setup.a, "sextant_flows_processed_total");
            let metrics = collector::metrics(&setup.sink).into_iter().rev();
            let mut named = metrics.filter(|(about, metric)| {
                about["via"] == via && metric["name"] == "sextant_flows_processed"
            });
            let (_, metric) = named.next()?;
            assert!(
                metric["sum"]["isMonotonic"] == true
                    && metric["sum"]["aggregationTemporality"] == 2
            );
            let sent = metric["sum"]["dataPoints"][0]["asInt"]
                .as_str()?
                .parse::<u64>();
            (sent == Ok(on_page) && on_page > 20).then_some(())
        });
    }
}

/// Records that count flows count each once, in fewer records than there are flows.
fn check_groups(setup: &Setup, daemon: &Daemon) {
    eventually("all flows are counted in groups", || {
        let records = records(&setup.sink).into_iter();
        let mut groups = records
            .filter(|(about, _)| about["via"] == "groups")
            .peekable();
        groups.peek()?;
        let (mut flows, mut lines, mut ports) = (0, 0, 0);
        for (_, record) in groups {
            if record["eventName"] != "network.flows" {
                // Events of the agent are as ever.
                assert!(record["eventName"] != "network.flow", "{record}");
                continue;
            }
            let attributes = map(&record["attributes"]);
            let count =
                |direction| attributes[format!("hubble.aggregate.{direction}_flow_count")].as_u64();
            let counts = ["ingress", "egress", "unknown_direction"].map(count);
            flows += counts.into_iter().flatten().sum::<u64>();
            lines += 1;
            ports += u64::from(attributes["destination.port"] == 80);
        }
        (flows == wanted(daemon).len() as u64 && lines < flows && ports > 0).then_some(())
    });
}

fn check_spans(sink: &Sink, via: &str, ended: &[&Value], times: &Range<u64>) {
    for flow in ended {
        let mut of_flow = spans(sink).into_iter().filter(|(about, span)| {
            about["via"] == via && map(&span["attributes"])["log.record.uid"] == flow["uuid"]
        });
        let (_, span) = of_flow.next().unwrap();
        assert!(of_flow.next().is_none(), "one for each");
        // By the clock of who connected; the event of the end comes a second later.
        let [begin, end] = ["startTimeUnixNano", "endTimeUnixNano"]
            .map(|key| span[key].as_str().unwrap().parse::<u64>().unwrap());
        assert!(begin >= times.start && end <= times.end, "{times:?} {span}");
        let duration = flow["extensions"]["value"]["duration_ns"].as_str();
        assert_eq!(duration, Some((end - begin).to_string().as_str()));
        assert_eq!(span["name"], "flow_ipv4_tcp");
        // INTERNAL: the processes of both sides are on this host.
        assert_eq!(span["kind"], 1, "{span}");
        let attributes = map(&span["attributes"]);
        assert_eq!(attributes["server.port"], 80);
        assert_eq!(attributes["client.address"], "10.9.1.1");
        let port = attributes["client.port"].as_u64().unwrap() as u16;
        let id = attributes["flow.community_id"].as_str().unwrap();
        assert_eq!(id, community_id(port));
        let trace = span["traceId"].as_str().unwrap();
        assert_eq!(trace.len(), 32);
        assert!(trace.bytes().any(|byte| byte != b'0'));
    }
}

/// By another who knows it: Python's own hash over the bytes of the specification.
fn community_id(client_port: u16) -> String {
    let script = format!(
        "import base64,hashlib,socket,struct\n\
         a,b=socket.inet_aton('10.9.1.1'),socket.inet_aton('10.9.1.2')\n\
         data=struct.pack('!H',0)+a+b+bytes([6,0])+struct.pack('!HH',{client_port},80)\n\
         print('1:'+base64.b64encode(hashlib.sha1(data).digest()).decode())"
    );
    let output = std::process::Command::new("python3")
        .args(["-c", &script])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Certificates on both sides, and a collector that is killed and comes back under load.
#[test]
fn a_collector_that_dies_and_comes_back_over_tls_gets_everything() {
    if !root() {
        return;
    }
    let setup = setup();
    let certificates = Certificates::new();
    certificates.issue("collector", &Subject::server(&HERE));
    certificates.issue("node", &Subject::client("node-a", &[]));
    let path = |file: &str| certificates.path(file).display().to_string();
    let tls = format!(
        "cert_file: '{}', key_file: '{}', client_ca_file: '{}'",
        path("collector.pem"),
        path("collector-key.pem"),
        path("ca.pem")
    );
    let keys = format!(
        "ca = ['{}']\ncertificate = '{}'\nkey = '{}'",
        path("ca.pem"),
        path("node.pem"),
        path("node-key.pem")
    );
    let start = || collector::start(&setup.a, setup.folder.path(), &setup.sink, Some(&tls));
    let first = start();
    let daemon = Daemon::start(&setup.a, &config("https", &keys), &["--interface", "va"]);
    traffic(&setup.a, 5);
    eventually("some", || {
        (!got(&setup.sink, "grpc").is_empty()).then_some(())
    });
    drop(first);
    traffic(&setup.a, 10);
    eventually("it is told", || {
        (!exporter(&daemon, "grpc/logs").up).then_some(())
    });
    let _second = start();
    traffic(&setup.a, 5);
    quiet(&setup.a, "va");
    let flows = complete(&daemon, &setup.sink);
    assert!(flows.len() > 40);
    // Without its certificate it gets in nowhere.
    let without = config("https", &format!("ca = ['{}']", path("ca.pem")));
    daemon.configure(&without);
    daemon.signal("HUP");
    traffic(&setup.a, 1);
    let told = eventually("it is told", || {
        let by_grpc = exporter(&daemon, "grpc/logs");
        let by_http = exporter(&daemon, "http/logs");
        (!by_grpc.up && !by_http.up).then_some(by_http.last_error)
    });
    assert!(
        told.contains("name one that its `client_ca` issued"),
        "{told}"
    );
}
