//! What is counted, from an event to the page.

use std::{sync::LazyLock, time::Duration};

use prometheus_client::{encoding::text::encode, registry::Registry};
use sextant_proto::flow as pb;

use super::{follow::Engine as _, *};
use crate::flow::{
    Address, Counters, DirectionCounters, EndReason, Endpoint, Flow, Interned, Ip, L4, Origin,
    Process, Time,
};

const SECOND: i64 = 1_000_000_000;
static NODE: LazyLock<Interned<Origin>> = LazyLock::new(Interned::default);

fn setting(
    name: &str,
    kind: CustomKind,
    measured: Measured,
    labels: &[(&str, &str)],
) -> CustomSetting {
    let labels = labels.iter();
    let labels = labels.map(|(name, path)| ((*name).into(), Field::parse(path).unwrap()));
    CustomSetting {
        name: name.into(),
        help: "Help".into(),
        kind,
        measured,
        allow: Vec::new(),
        deny: Vec::new(),
        labels: labels.collect(),
        buckets: match kind {
            CustomKind::Histogram => vec![1.0, 10.0],
            _ => Vec::new(),
        },
        max_series: 10,
        idle: Duration::from_secs(60),
    }
}

fn counter(name: &str, measured: Measured, labels: &[(&str, &str)]) -> CustomSetting {
    setting(name, CustomKind::Counter, measured, labels)
}

fn metrics(settings: &[CustomSetting]) -> CustomMetrics {
    CustomMetrics::new(settings).unwrap()
}

/// What the page says behind this; none if it does not.
fn value(metrics: &CustomMetrics, series: &str) -> Option<f64> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(series));
    value.map(|value| value.trim().parse().unwrap())
}

fn endpoint(name: &str) -> Option<Interned<Endpoint>> {
    Some(Interned::from(Endpoint {
        namespace: "shop".into(),
        pod_name: name.into(),
        labels: vec![format!("k8s:app={name}")],
        ..Endpoint::default()
    }))
}

/// An event at a second of a flow from `client` to `web`, which began at 0: packets either way.
fn flow(second: i64, there: u64, back: u64) -> Flow {
    let direction = |packets| DirectionCounters {
        packets,
        bytes: 100 * packets,
        ..DirectionCounters::default()
    };
    let process = |name: &str| {
        Some(Interned::from(Process {
            name: name.into(),
            ..Process::default()
        }))
    };
    Flow {
        verdict: pb::Verdict::Forwarded.into(),
        time: Some(Time::from_nanos(second * SECOND)),
        is_reply: Some(false),
        origin: NODE.clone(),
        source: endpoint("client"),
        destination: endpoint("web"),
        ip: Some(Ip {
            source: Address::V4([10, 0, 0, 1]),
            destination: Address::V4([10, 0, 0, 2]),
            version: 1,
            encrypted: false,
        }),
        l4: Some(L4::Tcp {
            source_port: 40_000,
            destination_port: 80,
            flags: None,
        }),
        counters: Some(Box::new(Counters {
            forward: direction(there),
            reverse: direction(back),
            duration_ns: (second * SECOND) as u64,
            source_process: process("curl"),
            destination_process: process("nginx"),
            ..Counters::default()
        })),
        ..Flow::default()
    }
}

fn ended(mut flow: Flow) -> Flow {
    flow.counters.as_mut().unwrap().end = Some(EndReason::Fin);
    flow
}

fn dropped(packets: u64) -> Flow {
    let mut flow = flow(1, 1, 0);
    flow.verdict = pb::Verdict::Dropped.into();
    flow.counters.as_mut().unwrap().drops = packets;
    flow
}

fn see(metrics: &CustomMetrics, flow: Flow) {
    metrics.see(&Event::Flow(flow));
}

/// A filter as configurations have it.
fn filter(text: &str) -> Vec<pb::FlowFilter> {
    sextant_flows::json::parse_strict(text, "flow.FlowFilter").unwrap()
}

#[test]
fn bytes_go_from_who_sent_them_to_who_got_them_and_count_once() {
    let sides = [("from", "source.pod_name"), ("to", "destination.pod_name")];
    let mut only_web = counter("web_bytes", Measured::Bytes, &[]);
    only_web.allow = filter(r#"{"source_pod":["shop/web"]}"#);
    let metrics = metrics(&[
        counter("bytes", Measured::Bytes, &sides),
        counter(
            "packets",
            Measured::Packets,
            &[("process", "extensions.source_process.name")],
        ),
        counter("flows", Measured::Flows, &sides),
        only_web,
    ]);
    see(&metrics, flow(0, 1, 0));
    let mut reply = super::turned::turned(&flow(1, 1, 1));
    assert_eq!(reply.is_reply, Some(true));
    reply.time = Some(Time::from_nanos(SECOND));
    see(&metrics, reply);
    see(&metrics, flow(5, 7, 4));
    see(&metrics, ended(flow(9, 8, 5)));
    for (series, is) in [
        ("bytes_total{from=\"client\",to=\"web\"}", 800.0),
        ("bytes_total{from=\"web\",to=\"client\"}", 500.0),
        ("packets_total{process=\"curl\"}", 8.0),
        ("packets_total{process=\"nginx\"}", 5.0),
        ("flows_total{from=\"client\",to=\"web\"}", 3.0),
        ("flows_total{from=\"web\",to=\"client\"}", 1.0),
        ("web_bytes_total", 500.0),
    ] {
        assert_eq!(value(&metrics, series), Some(is), "{series}");
    }
    assert_eq!(metrics.counts().tracked, 0);
}

#[test]
fn drops_and_durations_are_counted_where_they_are_told() {
    let metrics = metrics(&[
        counter("drops", Measured::DroppedPackets, &[]),
        counter("seconds", Measured::Duration, &[]),
        setting("last", CustomKind::Gauge, Measured::Duration, &[]),
        setting("size", CustomKind::Histogram, Measured::Packets, &[]),
        setting("rtt", CustomKind::Histogram, Measured::RoundTrip, &[]),
    ]);
    assert_eq!(value(&metrics, "drops_total"), Some(0.0));
    assert_eq!(value(&metrics, "last"), None);
    see(&metrics, dropped(3));
    see(&metrics, flow(5, 4, 0));
    see(&metrics, ended(flow(8, 9, 0)));
    see(&metrics, ended(flow(2, 1, 0)));
    for (series, is) in [
        ("drops_total", 3.0),
        ("seconds_total", 10.0),
        ("last", 2.0),
        ("size_sum", 10.0),
        ("size_count", 2.0),
        ("size_bucket{le=\"1.0\"}", 1.0),
        ("size_bucket{le=\"10.0\"}", 2.0),
        ("rtt_count", 0.0),
    ] {
        assert_eq!(value(&metrics, series), Some(is), "{series}");
    }
}

#[test]
fn filters_judge_and_cel_is_one_of_them() {
    let mut metric = counter("http", Measured::Flows, &[]);
    metric.allow =
        filter(r#"{"experimental":{"cel_expression":["_flow.l4.TCP.destination_port == 80u"]}}"#);
    metric.deny = filter(r#"{"verdict":["DROPPED"]}"#);
    let metrics = metrics(&[metric]);
    see(&metrics, flow(0, 1, 0));
    see(&metrics, dropped(1));
    assert_eq!(value(&metrics, "http_total"), Some(1.0));
}

#[test]
fn what_stays_goes_on_and_what_is_new_begins_after_the_change() {
    let bytes = counter("bytes", Measured::Bytes, &[]);
    let metrics = metrics(&[bytes.clone(), counter("gone", Measured::Flows, &[])]);
    see(&metrics, flow(0, 1, 0));
    let mut narrower = bytes;
    narrower.help = "Other".into();
    narrower.allow = filter(r#"{"source_pod":["shop/client"]}"#);
    let settings = vec![narrower, counter("new", Measured::Flows, &[])];
    metrics.lock().take_up(&settings);
    see(&metrics, flow(5, 3, 9));
    assert_eq!(value(&metrics, "bytes_total"), Some(300.0));
    assert_eq!(value(&metrics, "new_total"), Some(1.0));
    assert_eq!(value(&metrics, "gone_total"), None);
    // Other labels are other series.
    let labelled = counter("bytes", Measured::Bytes, &[("pod", "source.pod_name")]);
    metrics.lock().take_up(&vec![labelled]);
    see(&metrics, flow(6, 4, 9));
    assert_eq!(value(&metrics, "bytes_total{pod=\"client\"}"), Some(100.0));
    metrics.lock().take_up(&Vec::new());
    assert!(metrics.lock().is_idle());
    // Whoever begins to look again has not seen how the flow began.
    metrics
        .lock()
        .take_up(&vec![counter("bytes", Measured::Bytes, &[])]);
    see(&metrics, flow(7, 90, 0));
    assert_eq!(value(&metrics, "bytes_total"), Some(0.0));
    see(&metrics, flow(8, 91, 0));
    assert_eq!(value(&metrics, "bytes_total"), Some(100.0));
}

#[test]
fn idle_series_are_removed_and_the_bound_is_told() {
    let mut metric = counter("ports", Measured::Flows, &[("port", "source_port")]);
    metric.max_series = 2;
    let metrics = metrics(&[metric, counter("all", Measured::Flows, &[])]);
    let from = |port| {
        let mut flow = flow(0, 1, 0);
        flow.l4 = Some(L4::Udp {
            source_port: port,
            destination_port: 53,
        });
        Event::Flow(flow)
    };
    let now = Instant::now();
    for port in [1, 2, 3, 4, 1] {
        metrics.lock().see(&from(port), now);
    }
    assert_eq!(value(&metrics, "ports_total{port=\"overflow\"}"), Some(2.0));
    let counts = metrics.counts().metrics[0].clone();
    assert_eq!((counts.series, counts.most, counts.overflowed), (2, 2, 2));
    metrics.lock().see(&from(2), now + Duration::from_secs(50));
    let due = metrics
        .lock()
        .forget(now + Duration::from_secs(59))
        .unwrap();
    assert_eq!(metrics.counts().metrics[0].series, 2);
    let later = now + Duration::from_secs(80);
    assert!(due < later);
    assert!(metrics.lock().forget(later).is_some());
    let counts = metrics.counts().metrics[0].clone();
    assert_eq!((counts.series, counts.removed), (1, 1));
    assert_eq!(value(&metrics, "ports_total{port=\"2\"}"), Some(2.0));
    // Where there is only one it stays.
    metrics.lock().forget(now + Duration::from_secs(1000));
    assert_eq!(value(&metrics, "all_total"), Some(6.0));
    assert_eq!(metrics.counts().metrics[0].series, 0);
    metrics.lock().see(&from(3), later);
    assert_eq!(value(&metrics, "ports_total{port=\"3\"}"), Some(1.0));
}

#[test]
fn every_field_is_told_of_any_flow() {
    let mut labels = crate::metrics::labels::Labels::default();
    let own = flow(0, 1, 0);
    let told = |path: &str, flow: &Flow, labels: &mut crate::metrics::labels::Labels| {
        labels.clear();
        Field::parse(path).unwrap().put(flow, labels);
        let values: Vec<String> = crate::metrics::labels::values(labels.key())
            .map(str::to_owned)
            .collect();
        let [value] = &values[..] else {
            panic!("{path}: {values:?}")
        };
        value.clone()
    };
    // As one value each, also where there is nothing.
    for path in Field::paths() {
        told(&path, &own, &mut labels);
        told(&path, &Flow::default(), &mut labels);
    }
    for (path, is) in [
        ("verdict", "FORWARDED"),
        ("drop_reason_desc", ""),
        ("protocol", "TCP"),
        ("destination_port", "80"),
        ("IP.source", "10.0.0.1"),
        ("source.labels", "k8s:app=client"),
        ("source.labels[app]", "client"),
        ("destination.labels[k8s:app]", "web"),
        ("destination.labels[tier]", ""),
        ("is_reply", "false"),
        ("extensions.destination_process.name", "nginx"),
    ] {
        assert_eq!(told(path, &own, &mut labels), is, "{path}");
    }
    // The same from the extensions of a flow that was recorded.
    let message = sextant_flows::flow::proto::to_proto(&ended(own));
    let recorded = sextant_flows::flow::proto::from_proto(message, &mut Default::default());
    assert!(recorded.counters.is_none());
    for (path, is) in [
        ("extensions.destination_process.name", "nginx"),
        ("extensions.end_reason", "fin"),
        ("extensions.tcp.reset_by", ""),
    ] {
        assert_eq!(told(path, &recorded, &mut labels), is, "{path}");
    }
    for wrong in ["source", "source.labels[]", "l4.TCP", "extensions.x", ""] {
        assert!(Field::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_documentation_has_every_field() {
    let text = include_str!("../../../../docs/metrics.md");
    for path in Field::paths() {
        // What is told of both sides is written once.
        let path = path.replace("destination.", "source.");
        let path = path.replace("destination_process", "source_process");
        let of_process = path.strip_prefix("extensions.source_process");
        let is_there = |path: &str| text.contains(&format!("`{path}`"));
        let of_both = path.replace("destination_", "source_");
        assert!(
            is_there(&path) || is_there(&of_both) || of_process.is_some_and(is_there),
            "{path}"
        );
    }
}
