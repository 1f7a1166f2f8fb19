#![allow(clippy::unwrap_used, reason = "tests panic")]

mod layout;
mod reference;

use std::{io::Cursor, path::Path};

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, SerializeOptions};
use serde_json::json;

use super::{source::MAX_BYTES, *};
use crate::replay::{MAX_PROBLEMS, Problem, Report, testing};

fn load_text(text: impl AsRef<[u8]>) -> (Report, Vec<Event>) {
    let mut events = Vec::new();
    let report = load(
        Path::new("x.jsonl"),
        Cursor::new(text.as_ref()),
        &mut Interners::default(),
        &mut |event| events.push(event),
    );
    (report.unwrap(), events)
}

fn load_one(text: &str) -> Event {
    let (report, mut events) = load_text(text);
    assert_eq!((report.loaded, report.rejected), (1, 0), "{report:?}");
    events.remove(0)
}

fn flow_of(text: &str) -> pb::Flow {
    proto::to_proto(load_one(text).as_flow().unwrap())
}

/// The one problem of a line that must be rejected.
fn problem(text: &str) -> Problem {
    let (mut report, events) = load_text(text);
    assert_eq!(report.rejected, 1, "{text}");
    assert!(events.is_empty());
    report.problems.remove(0)
}

const EXPORTED: &str = r#"{"flow":{"time":"2024-01-02T03:04:05.678901234Z","uuid":"u1",
"verdict":"DROPPED","drop_reason":133,"IP":{"source":"10.0.0.1","destination":"10.0.0.2",
"ipVersion":"IPv4"},"l4":{"TCP":{"source_port":1,"destination_port":443,"flags":{"SYN":true}}},
"source":{"ID":7,"identity":300,"labels":["k8s:app=x"]},"destination":{},"Type":"L3_L4",
"node_name":"c/n1","l7":{"type":"RESPONSE","latency_ns":"18446744073709551615"},
"is_reply":false,"drop_reason_desc":"POLICY_DENIED","Summary":"TCP Flags: SYN",
"extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"packets":3}}},
"node_name":"c/n1","time":"2024-01-02T03:04:05.678901234Z"}"#;

fn exported() -> String {
    EXPORTED.replace('\n', "")
}

#[test]
fn a_line_of_the_exporter_becomes_its_flow() {
    let flow = flow_of(&exported());
    let time = flow.time.unwrap();
    assert_eq!((time.seconds, time.nanos), (1_704_164_645, 678_901_234));
    assert_eq!(flow.verdict(), pb::Verdict::Dropped);
    assert_eq!(flow.drop_reason_desc(), pb::DropReason::PolicyDenied);
    assert_eq!(flow.source.unwrap().id, 7);
    assert_eq!(flow.destination, Some(pb::Endpoint::default()));
    assert_eq!(flow.is_reply, Some(false));
    assert_eq!(flow.l7.unwrap().latency_ns, u64::MAX);
    let inner = prost_types::Struct::decode(flow.extensions.unwrap().value.as_slice()).unwrap();
    let packets = inner.fields["packets"].kind.clone();
    assert_eq!(packets, Some(prost_types::value::Kind::NumberValue(3.0)));
}

#[test]
fn camel_case_numbers_and_unknown_fields_are_accepted() {
    let proto = flow_of(&exported());
    let other = exported()
        .replace("node_name", "nodeName")
        .replace("source_port", "sourcePort")
        .replace("drop_reason_desc", "dropReasonDesc")
        .replace("is_reply", "isReply")
        .replace("lost_events", "lostEvents")
        .replace("\"DROPPED\"", "2")
        .replace("\"18446744073709551615\"", "18446744073709551615")
        .replace("\"Type\":\"L3_L4\"", "\"Type\":1,\"auth_type\":\"NEWER\"")
        .replace("{\"flow\"", "{\"new\":{\"a\":[1]},\"flow\"")
        .replace("\"uuid\"", "\"newer\":null,\"uuid\"");
    assert_eq!(flow_of(&other), proto);
}

#[test]
fn a_bare_flow_of_the_legacy_output_is_a_flow() {
    let value: serde_json::Value = serde_json::from_str(&exported()).unwrap();
    assert_eq!(flow_of(&value["flow"].to_string()), flow_of(&exported()));
}

#[test]
fn an_empty_flow_is_a_flow_but_an_empty_line_is_none() {
    assert_eq!(flow_of("{\"flow\":{}}"), pb::Flow::default());
    let (report, events) = load_text("\u{feff}\r\n\n  \n{\"flow\":{}}\r\n\n");
    assert_eq!((report.loaded, report.rejected, events.len()), (1, 0, 1));
}

#[test]
fn the_time_of_the_line_goes_before_that_of_the_flow() {
    let line = json!({"flow": {"time": "1970-01-01T00:00:01Z"}, "time": "1970-01-01T00:00:02Z"});
    let seconds = |line: &str| load_one(line).time().unwrap().seconds;
    assert_eq!(seconds(&line.to_string()), 2);
    assert_eq!(
        seconds(r#"{"flow":{"time":"1970-01-01T01:00:01+01:00"}}"#),
        1
    );
}

#[test]
fn other_events_keep_time_and_node() {
    let common = r#""node_name":"n","time":"1970-01-01T00:00:03Z"}"#;
    let lost = r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"9","cpu":0},"#;
    let Event::Lost(lost) = load_one(&format!("{lost}{common}")) else {
        panic!("not a lost event");
    };
    assert_eq!((lost.event.num_events_lost, lost.event.cpu), (9, Some(0)));
    assert_eq!(
        (lost.node_name.as_str(), lost.time.unwrap().seconds),
        ("n", 3)
    );
    let agent = r#"{"agent_event":{"type":"POLICY_UPDATED","policy_update":{"revision":"4"}},"#;
    let agent = load_one(&format!("{agent}{common}"));
    assert!(matches!(agent, Event::Agent(event) if event.event.r#type == 3));
    let debug = r#"{"debug_event":{"type":"DBG_GENERIC","hash":5,"message":"m"},"#;
    let debug = load_one(&format!("{debug}{common}"));
    assert!(matches!(debug, Event::Debug(event) if event.event.hash == Some(5)));
}

#[test]
fn node_status_lines_are_skipped_and_counted() {
    let status = r#"{"node_status":{"state_change":"NODE_CONNECTED","node_names":["a"]}}"#;
    let (report, events) = load_text(status);
    assert!(events.is_empty() && report.problems.is_empty());
    assert_eq!((report.skipped, report.rejected), (1, 0));
    assert_eq!(report.causes[&Cause::NodeStatus], 1);
}

#[test]
fn bad_lines_are_told_by_number_and_cause_and_the_rest_is_loaded() {
    for (line, cause, words) in [
        ("{\"flow\":{", Cause::NotJson, "EOF"),
        ("flow", Cause::NotJson, "column 2: expected ident"),
        ("[7]", Cause::BadValue, ""),
        ("{} x", Cause::NoEvent, "neither a flow"),
        ("{}", Cause::NoEvent, "neither a flow"),
        (r#"{"new_event":{},"node_name":"n"}"#, Cause::NoEvent, ""),
        (r#"{"flow":7}"#, Cause::BadValue, ""),
        (r#"{"flow":{"verdict":[1]}}"#, Cause::BadValue, ""),
        (r#"{"flow":{"time":"yesterday"}}"#, Cause::BadValue, ""),
        (
            r#"{"flow":{"uuid":"a","uuid":"b"}}"#,
            Cause::BadValue,
            "twice",
        ),
        (
            r#"{"flow":{"l4":{"TCP":{},"UDP":{}}}}"#,
            Cause::BadValue,
            "column 33: a field that comes twice, or beside another of its oneof",
        ),
        (
            r#"{"flow":{"proxy_port":4294967296}}"#,
            Cause::BadValue,
            "4294967296 is out of range",
        ),
        (
            r#"{"flow":{"cgroup_id":"-1"}}"#,
            Cause::BadValue,
            "\"-1\" is no integer that fits",
        ),
        (
            r#"{"flow":{"cgroup_id":1.5}}"#,
            Cause::BadValue,
            "1.5 is no",
        ),
        (r#"{"flow":{"cgroup_id":2e19}}"#, Cause::BadValue, "fits"),
        (r#"{"flow":{"node_labels":[null]}}"#, Cause::BadValue, ""),
        (r#"{"flow":{"node_labels":"a"}}"#, Cause::BadValue, "a list"),
        (
            r#"{"flow":{"extensions":7}}"#,
            Cause::BadValue,
            "expected an object with",
        ),
        (
            r#"{"flow":{"time":"0000-12-31T23:59:59Z"}}"#,
            Cause::BadValue,
            "out of range",
        ),
        ("{\"flow\":{\"uuid\":\"\u{1}\"}}", Cause::NotJson, ""),
    ] {
        let (report, events) = load_text(format!("{{\"flow\":{{}}}}\n{line}\n{{\"flow\":{{}}}}"));
        assert_eq!((report.loaded, events.len()), (2, 2), "{line}");
        let problem = &report.problems[0];
        assert_eq!(
            (problem.number, problem.cause),
            (2, cause),
            "{line}: {problem:?}"
        );
        assert!(problem.text.contains(words), "{line}: {problem:?}");
    }
    assert_eq!(problem("\"\u{fffd}").number, 1);
}

#[test]
fn problems_are_bounded_and_counted() {
    let (report, _) = load_text("x\n".repeat(1_000));
    assert_eq!(
        (report.rejected, report.causes[&Cause::NotJson]),
        (1_000, 1_000)
    );
    assert_eq!(report.problems.len(), MAX_PROBLEMS);
    let name = "x".repeat(10_000);
    let long = problem(&format!("{{\"flow\":{{\"proxy_port\":\"{name}\"}}}}"));
    assert!(long.text.len() < 400);
}

#[test]
fn a_line_beyond_the_bound_is_rejected_and_the_next_one_is_read() {
    for begin in ["x", "{\"flow\":{\"uuid\":\""] {
        let mut text = begin.as_bytes().to_vec();
        text.resize(MAX_BYTES + 1, b'x');
        text.extend_from_slice(b"\n{\"flow\":{}}");
        let (report, events) = load_text(&text);
        assert_eq!((report.problems[0].number, events.len()), (1, 1));
        assert_eq!(report.problems[0].cause, Cause::LineTooLong);
    }
    // The bound itself is allowed.
    let end = "\"}}";
    let mut text = b"{\"flow\":{\"uuid\":\"".to_vec();
    text.resize(MAX_BYTES - end.len(), b'x');
    text.extend_from_slice(end.as_bytes());
    let (report, _) = load_text(&text);
    assert_eq!((report.rejected, report.loaded), (0, 1));
}

#[test]
fn deep_nesting_is_rejected_without_a_crash() {
    let deep = format!(
        r#"{{"flow":{{"extensions":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{}"#,
        "{\"a\":".repeat(100_000)
    );
    assert_eq!(problem(&deep).cause, Cause::NotJson);
}
