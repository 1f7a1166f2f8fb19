//! The real OpenTelemetry Collector, and flows made again of what it got.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::{Netns, Process, hubble::tool, sink::Sink};

/// Names of attributes, from the table of the docs.
const DOCS: &str = include_str!("../../docs/opentelemetry.md");

/// Ports that the collector listens at, by gRPC and by HTTP.
pub const PORTS: [u16; 2] = [4317, 4318];

/// Starts a collector that sends on to the sink what it gets; `tls` are lines of its
/// receivers' settings.
///
/// # Panics
///
/// When its settings cannot be written.
#[must_use]
pub fn start(namespace: &Netns, folder: &Path, sink: &Sink, tls: Option<&str>) -> Process {
    let [grpc, http] = PORTS.map(|port| {
        let tls = tls.map_or(String::new(), |tls| format!(", tls: {{{tls}}}"));
        format!("{{endpoint: '127.0.0.1:{port}'{tls}}}")
    });
    let config = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {grpc}, http: {http}}}}}}}\n\
         exporters: {{otlphttp: {{endpoint: 'http://{}', encoding: json, compression: none, \
         sending_queue: {{enabled: false}}}}}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n",
        sink.address
    );
    let pipelines: String = ["logs", "traces", "metrics"]
        .map(|signal| format!("    {signal}: {{receivers: [otlp], exporters: [otlphttp]}}\n"))
        .concat();
    let path = folder.join("collector.yaml");
    fs::write(&path, config + &pipelines).expect("a folder of the test");
    let program = tool("otel-collector");
    namespace.spawn(&format!(
        "{} --config {}",
        program.display(),
        path.display()
    ))
}

/// The items of a signal that the sink got, each with its resource's attributes: those of
/// `field` in each scope.
///
/// # Panics
///
/// For what is no JSON.
#[must_use]
pub fn items(sink: &Sink, path: &str, [around, scopes, field]: [&str; 3]) -> Vec<(Value, Value)> {
    let mut items = Vec::new();
    for taken in sink.taken().iter().filter(|taken| taken.path == path) {
        let body: Value = serde_json::from_slice(&taken.body).expect("the collector sends JSON");
        for resource in list(&body[around]) {
            let about = map(&resource["resource"]["attributes"]);
            for scope in list(&resource[scopes]) {
                items.extend(
                    list(&scope[field])
                        .iter()
                        .map(|item| (about.clone(), item.clone())),
                );
            }
        }
    }
    items
}

/// Log records.
#[must_use]
pub fn records(sink: &Sink) -> Vec<(Value, Value)> {
    items(
        sink,
        "/v1/logs",
        ["resourceLogs", "scopeLogs", "logRecords"],
    )
}

/// Metrics.
#[must_use]
pub fn metrics(sink: &Sink) -> Vec<(Value, Value)> {
    items(
        sink,
        "/v1/metrics",
        ["resourceMetrics", "scopeMetrics", "metrics"],
    )
}

/// Spans.
#[must_use]
pub fn spans(sink: &Sink) -> Vec<(Value, Value)> {
    items(sink, "/v1/traces", ["resourceSpans", "scopeSpans", "spans"])
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Attributes as an object.
#[must_use]
pub fn map(attributes: &Value) -> Value {
    let entries = list(attributes).iter().map(|entry| {
        let key = entry["key"].as_str().unwrap_or_default().to_owned();
        (key, plain(&entry["value"]))
    });
    Value::Object(entries.collect())
}

fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|value| value.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        // 64 bits are text in JSON.
        "intValue" => match inner {
            Value::String(digits) => json!(digits.parse::<i64>().unwrap_or_default()),
            number => number.clone(),
        },
        "arrayValue" => list(&inner["values"]).iter().map(plain).collect(),
        "kvlistValue" => map(&inner["values"]),
        "bytesValue" => {
            let bytes = BASE64_STANDARD.decode(inner.as_str().unwrap_or_default());
            json!(bytes.unwrap_or_default())
        }
        _ => inner.clone(),
    }
}

/// The flow that a log record tells of, as Hubble prints it but that all numbers are text.
#[must_use]
pub fn flow_of(record: &Value) -> Value {
    let attributes = map(&record["attributes"]);
    let transport = attributes["network.transport"].as_str();
    let l4 = transport.map_or("", |transport| match transport {
        "tcp" => "l4.TCP.",
        "udp" => "l4.UDP.",
        "sctp" => "l4.SCTP.",
        "icmp" => "l4.ICMPv4.",
        _ => "l4.ICMPv6.",
    });
    let mut flow = Map::new();
    let mut extensions = Map::new();
    for (name, value) in attributes.as_object().into_iter().flatten() {
        let paths = paths(name);
        let fitting = |path: &&&str| !path.starts_with("l4.") || path.starts_with(l4);
        let path = match paths.iter().find(fitting) {
            Some(path) => (*path).to_owned(),
            None if name == "network.transport" => continue,
            None => match name.split_once('.') {
                Some(("hubble", path)) => path.to_owned(),
                _ => name.replacen("flow.", "extensions.", 1),
            },
        };
        let value = match name.as_str() {
            "network.type" => json!(value.as_str().unwrap_or_default().replace("ipv", "IPv")),
            _ => value.clone(),
        };
        match path.strip_prefix("extensions.") {
            Some(path) => put(&mut extensions, path, value),
            None => put(&mut flow, &path, value),
        }
    }
    if !extensions.is_empty() {
        let any =
            json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": extensions});
        flow.insert("extensions".into(), any);
    }
    flow.insert("time".into(), json!(record["timeUnixNano"]));
    texts(Value::Object(flow))
}

/// A flow as Hubble prints it, with its time in nanoseconds and all numbers as text.
///
/// # Panics
///
/// For one without a time.
#[must_use]
pub fn flow_with_nanos(flow: &Value) -> Value {
    let mut flow = flow.clone();
    let time = flow["time"].as_str().expect("it has a time");
    let time: prost_types::Timestamp = time.parse().expect("RFC 3339");
    flow["time"] = json!(format!("{}{:09}", time.seconds, time.nanos));
    texts(flow)
}

fn paths(name: &str) -> Vec<&'static str> {
    let rows = DOCS.lines().filter_map(|line| {
        let cells = line.strip_prefix("| `")?.strip_suffix("` |")?;
        cells.split_once("` | `")
    });
    rows.filter(|(_, attribute)| *attribute == name)
        .map(|(path, _)| path)
        .collect()
}

fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Numbers as text: JSON has those of 64 bits so.
fn texts(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0);
            match whole {
                Some(whole) if number.is_f64() => json!(format!("{whole:.0}")),
                _ => json!(number.to_string()),
            }
        }
        Value::Array(values) => values.into_iter().map(texts).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key, texts(value)));
            let sorted: BTreeMap<_, _> = entries.collect();
            Value::Object(sorted.into_iter().collect())
        }
        other => other,
    }
}
