//! Spans of the daemon's own work, as the real collector gets them.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sextant_integration_tests::{
    Daemon, Netns, Process,
    collector::{self, map, spans},
    enforced::host_policy,
    eventually,
    exported::{exporter, network},
    hubble::tool,
    root,
    sink::Sink,
};

const APPLY: &str = "sextant.policy.v1.PolicyService/Apply";
const STATUS: &str = "observer.Observer/ServerStatus";
const FOLLOW: &str = "observer.Observer/GetFlows";

fn config(spans: &str) -> String {
    let [grpc, _] = collector::PORTS;
    format!(
        "[[export.otlp]]\nname = 'c'\nendpoint = 'http://127.0.0.1:{grpc}'\ninterval = '20ms'\n\
         signals = ['traces']\nspans = ['{spans}']\n"
    )
}

/// A daemon that is called with a caller's span.
struct Called {
    a: Netns,
    _b: Netns,
    sink: Sink,
    daemon: Daemon,
    _collector: Process,
    _folder: tempfile::TempDir,
}

/// `traceparent` of a caller in this trace.
fn parent(trace: u8, flags: &str) -> String {
    format!("traceparent: 00-{trace:032x}-00000000000000aa-{flags}")
}

impl Called {
    fn new() -> Self {
        let ((a, b), folder) = (network(), tempfile::tempdir().unwrap());
        let sink = Sink::start(&a);
        let collector = collector::start(&a, folder.path(), &sink, None);
        let arguments = ["--interface", "va", "--listen", "tcp://127.0.0.1:4245"];
        Self {
            daemon: Daemon::start(&a, &config("connections"), &arguments),
            a,
            _b: b,
            sink,
            _collector: collector,
            _folder: folder,
        }
    }

    fn grpcurl(&self, headers: &[&str], data: &Value, server: &[&str], method: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.a.name])
            .arg(tool("grpcurl"))
            .args(["-plaintext", "-d", &data.to_string()])
            .args(headers.iter().flat_map(|header| ["-H", header]))
            .args(server)
            .arg(method)
            .stdin(Stdio::null());
        command
    }

    /// As root, by the unix socket.
    fn call(&self, header: &str, data: &Value, method: &str) -> Output {
        let socket = self.daemon.server();
        let server = ["-unix", socket.trim_start_matches("unix://")];
        let mut call = self.grpcurl(&[header], data, &server, method);
        call.output().unwrap()
    }

    /// Spans of a trace, as soon as one has this name; `attributes` are a map.
    fn trace(&self, trace: u8, name: &str) -> Vec<Value> {
        eventually(&format!("a span `{name}` of trace {trace}"), || {
            let found = self.so_far(trace);
            let is_there = found.iter().any(|span| span["name"] == name);
            is_there.then_some(found)
        })
    }

    fn so_far(&self, trace: u8) -> Vec<Value> {
        let trace = format!("{trace:032x}");
        let spans = spans(&self.sink).into_iter().map(|(_, span)| span);
        let of_trace = spans.filter(|span| span["traceId"] == trace);
        let mapped = of_trace.map(|mut span| {
            span["attributes"] = map(&span["attributes"]);
            span
        });
        mapped.collect()
    }

    /// Reads a configuration, and waits until it is in force.
    fn reload(&self, config: &str, told: &str) {
        let count = || self.daemon.log().matches(told).count();
        let before = count();
        self.daemon.configure(config);
        self.daemon.signal("HUP");
        eventually("it is read", || (count() > before).then_some(()));
    }
}

fn named<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    spans.iter().find(|span| span["name"] == name).unwrap()
}

#[test]
fn calls_changes_and_reloads_are_spans_that_go_on_with_the_callers() {
    if !root() {
        return;
    }
    let called = Called::new();
    // As long as nobody wants them there are none.
    called.call(&parent(5, "01"), &json!({}), STATUS);
    called.reload(&config("daemon"), "configuration read again");
    eventually("spans", || {
        called.call(&parent(6, "01"), &json!({}), STATUS);
        (!called.so_far(6).is_empty()).then_some(())
    });
    // The caller does not want this one.
    called.call(&parent(7, "00"), &json!({}), STATUS);
    // A call that goes well, and its parent.
    assert!(
        called
            .call(&parent(1, "01"), &json!({}), STATUS)
            .status
            .success()
    );
    let spans = called.trace(1, STATUS);
    let span = named(&spans, STATUS);
    assert_eq!(span["parentSpanId"], "00000000000000aa");
    assert_eq!(span["kind"], 2, "SERVER");
    let expect = json!({
        "rpc.system.name": "grpc", "rpc.method": STATUS,
        "rpc.response.status_code": "OK", "network.transport": "unix", "sextant.peer.kind": "unix",
    });
    assert_eq!(span["attributes"], expect, "{span}");
    // One that is refused: plaintext changes nothing.
    let document = json!({"documents": [{"text": host_policy("egress: [{toEntities: [all]}]")}]});
    let mut refused = called.grpcurl(&[&parent(2, "01")], &document, &["127.0.0.1:4245"], APPLY);
    assert!(!refused.output().unwrap().status.success());
    let spans = called.trace(2, APPLY);
    let attributes = &named(&spans, APPLY)["attributes"];
    assert_eq!(attributes["rpc.response.status_code"], "PERMISSION_DENIED");
    assert_eq!(attributes["sextant.peer.kind"], "plaintext");
    // A change of policies is a child of the call.
    let done = called.call(&parent(3, "01"), &document, APPLY);
    assert!(done.status.success(), "{done:?}");
    let spans = called.trace(3, APPLY);
    let (call, change) = (named(&spans, APPLY), named(&spans, "policies apply"));
    assert_eq!(change["parentSpanId"], call["spanId"]);
    let expect = json!({
        "sextant.policy.action": "apply", "sextant.policy.outcome": "changed",
        "sextant.policy.revision": 1, "sextant.policy.changed": 1, "sextant.policy.policies": 1,
    });
    assert_eq!(change["attributes"], expect, "{change}");
    called.a_stream_ends_when_its_client_is_gone();
    called.what_is_read_again_is_a_span();
    for trace in [5, 7] {
        assert_eq!(called.so_far(trace), [] as [Value; 0]);
    }
    let state = exporter(&called.daemon, "c/traces");
    let dropped: u64 = state.dropped.iter().map(|cause| cause.events).sum();
    assert!(state.sent >= 7 && dropped == 0, "{state:?}");
}

impl Called {
    fn a_stream_ends_when_its_client_is_gone(&self) {
        let follow = json!({"follow": true});
        let server = ["127.0.0.1:4245"];
        let mut client = self.grpcurl(&[&parent(4, "01")], &follow, &server, FOLLOW);
        let client = Process(client.stdout(Stdio::null()).spawn().unwrap());
        eventually("it follows", || {
            let streams = self.daemon.metric(&self.a, "sextant_open_streams");
            (streams > 0).then_some(())
        });
        assert!(self.so_far(4).iter().all(|span| span["name"] != FOLLOW));
        drop(client);
        let spans = self.trace(4, FOLLOW);
        let span = named(&spans, FOLLOW);
        let code = &span["attributes"]["rpc.response.status_code"];
        assert_eq!(code, "CANCELLED");
    }

    fn what_is_read_again_is_a_span(&self) {
        self.reload("nonsense = 1", "as before");
        self.reload(&config("daemon"), "configuration read again");
        let outcomes = || {
            let spans = spans(&self.sink).into_iter().map(|(_, span)| span);
            let reloads = spans.filter(|span| span["name"] == "reload configuration");
            let outcome = |span: Value| map(&span["attributes"])["sextant.reload.outcome"].clone();
            reloads.map(outcome).collect::<Vec<_>>()
        };
        eventually("both", || (outcomes().len() == 2).then_some(()));
        assert_eq!(outcomes(), ["as before", "taken"]);
    }
}
