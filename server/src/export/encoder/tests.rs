#![allow(clippy::unwrap_used, reason = "tests panic")]

use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
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
