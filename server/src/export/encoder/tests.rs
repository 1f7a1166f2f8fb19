#![allow(clippy::unwrap_used, reason = "tests panic")]

use opentelemetry_proto::tonic::{logs::v1::ScopeLogs, trace::v1::ScopeSpans};
use prost::Message as _;
use sextant_proto::flow as pb;

use super::*;
use crate::{
    export::{FileTarget, OtlpTarget, Protocol, Remote, Selected, SpansOf},
    flow::{Interners, proto::from_proto},
    replay::testing,
};

fn setting(target: Target, mask: &[&str]) -> Setting {
    let field_mask = mask.iter().map(ToString::to_string).collect();
    Setting {
        name: "n".into(),
        selected: Selected {
            field_mask,
            ..Selected::default()
        },
        target,
    }
}

fn logs() -> Target {
    Target::Otlp(OtlpTarget {
        remote: Remote::new("http://127.0.0.1:4317".into()),
        protocol: Protocol::Grpc,
        signal: Signal::Logs,
        spans: SpansOf::default(),
        resource: Vec::new(),
    })
}

/// Flows of all kinds, some of which have ends in common.
fn flows() -> Vec<Event> {
    let mut interners = Interners::default();
    let random = |seed| {
        let flow = testing::message("flow.Flow", seed);
        flow.transcode_to::<pb::Flow>().unwrap()
    };
    let flow = |seed| {
        let mut flow = random(seed);
        (flow.source, flow.destination) = {
            let ends = random(seed % 7);
            match seed % 2 {
                0 => (ends.source, ends.destination),
                _ => (ends.destination, ends.source),
            }
        };
        Event::Flow(from_proto(flow, &mut interners))
    };
    (1..400).map(flow).collect()
}

/// What is made of an event.
fn made(encoder: &mut Encoder, event: &Event) -> Vec<u8> {
    let mut batch = Batch::default();
    assert_eq!(encoder.add(0, event, &mut batch), Made::Added);
    batch.events().next().unwrap().to_vec()
}

/// A record but for the time at which it was made.
fn unseen(record: &[u8]) -> ScopeLogs {
    let mut logs = ScopeLogs::decode(record).unwrap();
    logs.log_records[0].observed_time_unix_nano = 0;
    logs
}

#[test]
fn what_is_remembered_of_flows_before_changes_nothing() {
    let file = || Target::File(FileTarget::new("/dev/null".into()));
    for mask in [
        &[][..],
        &["source.labels", "destination.pod_name", "verdict"],
    ] {
        let new = |target: Target| {
            Encoder::new(&setting(target, mask), "n".into(), &Lines::default()).unwrap()
        };
        let (mut lines, mut records) = (new(file()), new(logs()));
        for event in &flows() {
            let line = made(&mut lines, event);
            assert_eq!(line, made(&mut new(file()), event));
            let record = unseen(&made(&mut records, event));
            assert_eq!(record, unseen(&made(&mut new(logs()), event)));
        }
    }
}

fn spans() -> Target {
    let Target::Otlp(target) = logs() else {
        panic!();
    };
    Target::Otlp(OtlpTarget {
        signal: Signal::Traces,
        ..target
    })
}

/// What a sensor records: a line of Hubble's JSON.
fn recorded(line: &str) -> Event {
    let mut interners = Interners::default();
    let flow: pb::Flow = sextant_flows::json::parse(line, "flow.Flow").unwrap();
    Event::Flow(from_proto(flow, &mut interners))
}

#[test]
fn a_connection_is_a_span_of_the_trace_that_its_first_request_is_of() {
    let ends = |port: u16| {
        format!(
            r#""IP":{{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{port},"destination_port":80}}}}"#
        )
    };
    let request = |trace: char| {
        let trace: String = std::iter::repeat_n(trace, 32).collect();
        recorded(&format!(
            r#"{{"time":"2026-11-29T00:00:01Z","verdict":"FORWARDED",{},"l7":{{"type":"REQUEST","http":{{"method":"GET","headers":[{{"key":"Traceparent","value":"00-{trace}-b7ad6b7169203331-01"}}]}}}}}}"#,
            ends(1000)
        ))
    };
    let end = |port: u16, reason: &str| {
        recorded(&format!(
            r#"{{"time":"2026-11-29T00:00:05Z","verdict":"FORWARDED",{},"extensions":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"packets":4,"bytes":400,"duration_ns":3000000000,"end_reason":"{reason}"}}}}}}"#,
            ends(port)
        ))
    };
    let new = || Encoder::new(&setting(spans(), &[]), "n".into(), &Lines::default()).unwrap();
    let mut before = new();
    let mut batch = Batch::default();
    for trace in ['a', 'b'] {
        assert_eq!(before.add(0, &request(trace), &mut batch), Made::Filtered);
    }
    // Another setting is taken meanwhile.
    let mut encoder = new();
    encoder.inherit(&mut before);
    let mut span = |event: &Event| {
        let span = ScopeSpans::decode(&made(&mut encoder, event)[..]).unwrap();
        span.spans.into_iter().next().unwrap()
    };
    let joined = span(&end(1000, "fin"));
    assert_eq!(joined.trace_id, [0xaa; 16]);
    assert_eq!(
        joined.parent_span_id,
        0xb7ad_6b71_6920_3331_u64.to_be_bytes()
    );
    assert_eq!(
        joined.end_time_unix_nano - joined.start_time_unix_nano,
        3_000_000_000
    );
    assert!(joined.status.is_none());
    // The next one of the same ends is another, and so is one that never said.
    let community = |port| {
        let Event::Flow(flow) = end(port, "rst") else {
            panic!();
        };
        crate::community::Connection::of(&flow)
            .unwrap()
            .id()
            .trace_id()
    };
    for port in [1000, 1001] {
        let own = span(&end(port, "rst"));
        assert_eq!(own.trace_id, community(port));
        assert!(own.parent_span_id.is_empty());
        assert_eq!(own.status.unwrap().code, 2);
    }
}
