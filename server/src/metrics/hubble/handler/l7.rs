//! What is counted of the application layer: DNS, HTTP, Kafka.

use sextant_proto::flow::{self as pb, Dns, Http, L7FlowType, Verdict, layer7::Record};

use super::{Counted, Switches};
use crate::metrics::hubble::kind::Kind;
use crate::{
    flow::Flow,
    metrics::hubble::names::{record, reporter, response_code, verdict},
};

type Described = (&'static str, &'static str, Vec<&'static str>);

pub(super) fn counters(kind: Kind, switches: Switches) -> Vec<Described> {
    const REQUESTS: (&str, &str) = ("http_requests", "Count of HTTP requests");
    let with_query = |mut labels: Vec<&'static str>| {
        labels.extend(switches.query.then_some("query"));
        labels
    };
    let common = || with_query(vec!["rcode", "qtypes", "ips_returned"]);
    match kind {
        Kind::Dns => vec![
            ("dns_queries", "Number of DNS queries observed", common()),
            (
                "dns_responses",
                "Number of DNS responses observed",
                common(),
            ),
            (
                "dns_response_types",
                "Number of DNS response types observed",
                with_query(vec!["type", "qtypes"]),
            ),
        ],
        Kind::Http => vec![
            (
                REQUESTS.0,
                REQUESTS.1,
                vec!["method", "protocol", "reporter"],
            ),
            (
                "http_responses",
                "Count of HTTP responses",
                vec!["method", "protocol", "status", "reporter"],
            ),
        ],
        Kind::HttpV2 => vec![(
            REQUESTS.0,
            REQUESTS.1,
            vec!["method", "protocol", "status", "reporter"],
        )],
        Kind::Kafka => vec![(
            "kafka_requests",
            "Count of Kafka requests by topic",
            vec!["topic", "api_key", "error_code", "reporter"],
        )],
        _ => Vec::new(),
    }
}

pub(super) fn durations(kind: Kind) -> Option<Described> {
    match kind {
        Kind::Http | Kind::HttpV2 => Some((
            "http_request_duration_seconds",
            "Quantiles of HTTP request duration in seconds",
            vec!["method", "reporter"],
        )),
        Kind::Kafka => Some((
            "kafka_request_duration_seconds",
            "Quantiles of Kafka request duration in seconds",
            vec!["topic", "api_key", "reporter"],
        )),
        _ => None,
    }
}

/// Whether a metric counts the flow, but for its filters.
#[expect(deprecated, reason = "Kafka is in the schema")]
pub(super) fn is_wanted(kind: Kind, switches: Switches, flow: &Flow) -> bool {
    match (kind, record(flow)) {
        (Kind::Dns, Some(Record::Dns(dns))) => {
            !(switches.ignore_aaaa && dns.qtypes.as_slice() == ["AAAA"])
        }
        (Kind::Http, Some(Record::Http(_))) => {
            matches!(
                l7_type(flow),
                Some(L7FlowType::Request | L7FlowType::Response)
            )
        }
        (Kind::HttpV2, Some(Record::Http(_))) | (Kind::Kafka, Some(Record::Kafka(_))) => {
            l7_type(flow) == Some(L7FlowType::Response)
        }
        _ => false,
    }
}

fn l7_type(flow: &Flow) -> Option<L7FlowType> {
    L7FlowType::try_from(flow.l7()?.r#type).ok()
}

/// Counts a flow that is wanted.
#[expect(deprecated, reason = "Kafka is in the schema")]
pub(super) fn count(counted: Counted<'_>) {
    let Some(record) = record(counted.flow) else {
        return;
    };
    match (counted.setting.kind, record) {
        (Kind::Dns, Record::Dns(dns)) => count_dns(counted, dns),
        (Kind::Http, Record::Http(http)) => count_http(counted, http),
        (Kind::HttpV2, Record::Http(http)) => count_http_v2(counted, http),
        (Kind::Kafka, Record::Kafka(kafka)) => count_kafka(counted, kafka),
        _ => {}
    }
}

fn count_dns(mut counted: Counted<'_>, dns: &Dns) {
    const QUERIES: usize = 0;
    const RESPONSES: usize = 1;
    const RESPONSE_TYPES: usize = 2;
    let flow = counted.flow;
    counted.context(false);
    let place = counted.labels.place();
    let (counter, code) = if verdict(flow) == Some(Verdict::Dropped) {
        (QUERIES, "Policy denied")
    } else if flow.is_reply == Some(true) {
        (RESPONSES, response_code(dns.rcode))
    } else {
        (QUERIES, "")
    };
    let query = counted.setting.switches.query.then_some(&dns.query);
    counted.labels.value(code);
    counted.labels.joined(&dns.qtypes);
    counted.labels.end();
    counted.labels.shown(dns.ips.len());
    query.inspect(|query| counted.labels.value(query));
    counted.count(counter, "");
    let types = match counter {
        RESPONSES => dns.rrtypes.as_slice(),
        _ => &[],
    };
    for kind in types {
        counted.labels.back_to(place);
        counted.labels.value(kind);
        counted.labels.joined(&dns.qtypes);
        counted.labels.end();
        query.inspect(|query| counted.labels.value(query));
        counted.count(RESPONSE_TYPES, "");
    }
}

fn count_http(mut counted: Counted<'_>, http: &Http) {
    const REQUESTS: usize = 0;
    const RESPONSES: usize = 1;
    let flow = counted.flow;
    let trace = trace(&counted);
    counted.context(false);
    let place = counted.labels.place();
    counted.labels.value(&http.method);
    counted.labels.value(&http.protocol);
    if l7_type(flow) == Some(L7FlowType::Request) {
        counted.labels.value(reporter(flow));
        counted.count(REQUESTS, trace);
        return;
    }
    counted.labels.shown(http.code);
    counted.labels.value(reporter(flow));
    counted.count(RESPONSES, trace);
    observe_http(counted, place, http, trace);
}

fn count_http_v2(mut counted: Counted<'_>, http: &Http) {
    let trace = trace(&counted);
    counted.context(true);
    let place = counted.labels.place();
    counted.labels.value(&http.method);
    counted.labels.value(&http.protocol);
    counted.labels.shown(http.code);
    counted.labels.value(reporter(counted.flow));
    counted.count(0, trace);
    observe_http(counted, place, http, trace);
}

fn observe_http(mut counted: Counted<'_>, place: usize, http: &Http, trace: &str) {
    counted.labels.back_to(place);
    counted.labels.value(&http.method);
    counted.labels.value(reporter(counted.flow));
    counted.observe(seconds(counted.flow), trace);
}

fn count_kafka(mut counted: Counted<'_>, kafka: &pb::Kafka) {
    counted.context(true);
    counted.labels.value(&kafka.topic);
    counted.labels.value(&kafka.api_key);
    let both = counted.labels.place();
    counted.labels.shown(kafka.error_code);
    counted.labels.value(reporter(counted.flow));
    counted.count(0, "");
    counted.labels.back_to(both);
    counted.labels.value(reporter(counted.flow));
    counted.observe(seconds(counted.flow), "");
}

/// The trace that the flow belongs to, where it is wanted.
fn trace<'a>(counted: &Counted<'a>) -> &'a str {
    let flow: &'a Flow = counted.flow;
    if counted.setting.switches.exemplars != Some(true) {
        return "";
    }
    let context = flow
        .cold
        .as_ref()
        .and_then(|cold| cold.trace_context.as_ref());
    let parent = context.and_then(|context| context.parent.as_ref());
    parent.map_or("", |parent| &parent.trace_id)
}

fn seconds(flow: &Flow) -> f64 {
    flow.l7().map_or(0, |l7| l7.latency_ns) as f64 / 1e9
}
