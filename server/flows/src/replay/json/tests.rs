#![allow(clippy::unwrap_used, reason = "tests panic")]

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

/// A line as Hubble writes it, with proto names or camelCase.
fn line_of(message: &DynamicMessage, proto_names: bool) -> String {
    let options = SerializeOptions::new().use_proto_field_name(proto_names);
    let mut out = Vec::new();
    let mut json = serde_json::Serializer::new(&mut out);
    message.serialize_with_options(&mut json, &options).unwrap();
    String::from_utf8(out).unwrap()
}

/// As `Types::parse`, by prost-reflect.
fn reference(line: &[u8]) -> Option<ExportEvent> {
    let pool = testing::pool();
    let read = |name: &str| {
        let descriptor = pool.get_message_by_name(name).unwrap();
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let mut json = serde_json::Deserializer::from_slice(line);
        let message =
            DynamicMessage::deserialize_with_options(descriptor, &mut json, &options).ok()?;
        json.end().ok()?;
        Some(message.encode_to_vec())
    };
    ExportEvent::decode(read("observer.ExportEvent")?.as_slice()).ok()
}

proptest! {
    #[test]
    fn lines_are_read_as_prost_reflect_reads_them(
        seed: u64,
        proto_names: bool,
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(b"0123456789-.e\"\\{}[],:xnul".to_vec())),
            0..3,
        ),
    ) {
        let message = testing::message("observer.ExportEvent", seed);
        let mut line = line_of(&message, proto_names).into_bytes();
        for (at, byte) in changes {
            let at = at.index(line.len());
            line[at] = byte;
        }
        let mut wire = Vec::new();
        let read = transcode(&TYPES.schema, TYPES.export_event, &line, &mut wire);
        // As upstream, and unlike prost-reflect, which takes the last one.
        let twice = |error: &serde_json::Error| error.to_string().contains("twice");
        prop_assume!(!read.as_ref().is_err_and(twice));
        let read = read.ok().and_then(|()| ExportEvent::decode(wire.as_slice()).ok());
        // Extensions of any type are taken, which prost-reflect does not.
        let without = |event: Option<ExportEvent>| event.map(|mut event| {
            let extensions = match &mut event.response_types {
                Some(ResponseTypes::Flow(flow)) => flow.extensions.take(),
                _ => None,
            };
            (event, extensions.is_some())
        });
        let (read, expected) = (without(read), without(reference(&line)));
        prop_assume!(expected.is_some() || !matches!(read, Some((_, true))));
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn what_hubble_writes_is_loaded_as_it_was(seed: u64, proto_names: bool) {
        let message = testing::message("observer.ExportEvent", seed);
        let line = line_of(&message, proto_names);
        let mut expected = ExportEvent::decode(message.encode_to_vec().as_slice()).unwrap();
        let time = expected.time;
        match expected.response_types.take() {
            Some(ResponseTypes::Flow(mut flow)) => {
                flow.time = time.or(flow.time);
                prop_assert_eq!(flow_of(&line), flow);
            }
            Some(ResponseTypes::LostEvents(event)) => {
                prop_assert!(matches!(load_one(&line), Event::Lost(lost) if lost.event == event));
            }
            Some(ResponseTypes::AgentEvent(event)) => {
                prop_assert!(matches!(load_one(&line), Event::Agent(agent) if agent.event == event));
            }
            Some(ResponseTypes::DebugEvent(event)) => {
                prop_assert!(matches!(load_one(&line), Event::Debug(debug) if debug.event == event));
            }
            Some(ResponseTypes::NodeStatus(_)) => prop_assert_eq!(load_text(&line).0.skipped, 1),
            None => prop_assert_eq!(load_text(&line).0.rejected, 1),
        }
    }

    #[test]
    fn no_bytes_panic(seed: u64, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let message = testing::message("observer.ExportEvent", seed);
        let mut line = line_of(&message, true).into_bytes();
        let place = at.index(line.len());
        line[place] = byte;
        line.truncate(cut.index(line.len()) + 1);
        let (report, events) = load_text(&line);
        prop_assert_eq!(report.loaded, events.len() as u64);
    }

    #[test]
    fn arbitrary_bytes_are_loaded_rejected_or_blank(bytes: Vec<u8>) {
        let (report, events) = load_text(&bytes);
        prop_assert_eq!(report.loaded, events.len() as u64);
    }
}

/// The extensions of a flow, as JSON.
fn extensions_of(any: &str) -> serde_json::Value {
    let flow = flow_of(&format!(r#"{{"flow":{{"extensions":{any}}}}}"#));
    let mut message =
        DynamicMessage::new(testing::pool().get_message_by_name("flow.Flow").unwrap());
    message.transcode_from(&flow).unwrap();
    serde_json::to_value(&message).unwrap()["extensions"].take()
}

#[test]
fn extensions_of_any_type_are_loaded_and_lose_nothing() {
    const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
    for unknown in [
        json!({"@type": "type.googleapis.com/utils.RetinaMetadata", "bytes": 12,
            "tcp_id": "18446744073709551615", "dns": {"names": ["a", null], "ok": true}}),
        json!({"@type": "type.googleapis.com/utils.RetinaMetadata", "value": "CAE="}),
        json!({"@type": "x/y.Z"}),
        json!({"@type": 5, "a": 1.5}),
        json!({"a": {"@type": "x/y.Z", "b": []}}),
        // Known types with content that is not theirs.
        json!({"@type": STRUCT, "value": {}, "more": 1}),
        json!({"@type": STRUCT, "value": 7}),
        json!({"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": "x"}),
        json!({"@type": "type.googleapis.com/flow.Flow", "uuid": {}}),
        json!({"@type": "type.googleapis.com/google.protobuf.Any", "value": {"@type": "x/y.Z"}}),
    ] {
        let expect = json!({"@type": STRUCT, "value": unknown});
        let same = serde_json::to_string(&unknown).unwrap();
        assert_eq!(floats(extensions_of(&same)), floats(expect), "{same}");
    }
    for known in [
        json!({"@type": STRUCT, "value": {"packets": 3, "list": [1, "a", null]}}),
        json!({"@type": "type.googleapis.com/flow.Workload", "name": "w"}),
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "s"}),
    ] {
        let same = serde_json::to_string(&known).unwrap();
        assert_eq!(
            floats(extensions_of(&same)),
            floats(known.clone()),
            "{same}"
        );
    }
    let exact = extensions_of(r#"{"@type":"x/y.Z","n":9007199254740993}"#);
    assert_eq!(exact["value"]["n"], json!("9007199254740993"));
}

/// All numbers as a `Struct` has them.
fn floats(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.into_iter().map(floats).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter();
            Value::Object(entries.map(|(key, value)| (key, floats(value))).collect())
        }
        other => other,
    }
}

/// The ids of the flows that a text gives; nothing of it may be rejected.
fn uuids(text: &str) -> Vec<String> {
    let (report, events) = load_text(text);
    assert_eq!(report.rejected, 0, "{text}: {:?}", report.problems);
    let flows = events
        .iter()
        .map(|event| proto::to_proto(event.as_flow().unwrap()));
    flows.map(|flow| flow.uuid).collect()
}

fn line(uuid: &str) -> String {
    format!(
        r#"{{"flow":{{"uuid":"{uuid}","verdict":"FORWARDED","Summary":"a {{b}} \"c\""}},"node_name":"n"}}"#
    )
}

#[test]
fn flows_are_found_however_they_are_laid_out() {
    let [a, b, c] = ["a", "b", "c"].map(line);
    let pretty = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    let list: Vec<serde_json::Value> = [&a, &b, &c]
        .map(|line| serde_json::from_str(line).unwrap())
        .into();
    for text in [
        format!("{a}\n{b}\n{c}"),
        format!("{a}{b} {c}"),
        format!("{a},{b},\n{c},"),
        format!("{}\n{}{}", pretty(&a), pretty(&b), pretty(&c)),
        format!("[{a},{b},{c}]"),
        format!("[\n  {a},\n  {b},\n  {c}\n]\n"),
        serde_json::to_string_pretty(&list).unwrap(),
        format!("\u{feff}{a}\r\n{b}\r\n\r\n{c}\r\n"),
        format!("[{a}]\n[{b},{c}]"),
    ] {
        assert_eq!(uuids(&text), ["a", "b", "c"], "{text}");
    }
    let bare = r#"{"uuid":"a","verdict":"FORWARDED"}"#;
    assert_eq!(uuids(&format!("[{bare},\n{}]", pretty(bare))), ["a", "a"]);
}

#[test]
fn flows_are_found_in_the_output_of_log_collectors() {
    let a = line("a");
    let quoted = serde_json::to_string(&a).unwrap();
    let ended = serde_json::to_string(&format!("{a}\n")).unwrap();
    let (begin, end) = a.split_at(40);
    let quote = |text: &str| serde_json::to_string(text).unwrap();
    let time = "2026-01-02T03:04:05.678901234Z";
    for text in [
        format!("{time} stdout F {a}"),
        format!("{time} stdout P {begin}\n{time} stderr F {a}\n{time} stdout F {end}"),
        format!("time={time} level=info msg={quoted} subsys=exporter"),
        format!("hubble-export-1  | {a}"),
        format!("[pod/cilium-x/cilium-agent] {a}"),
        format!("Jan  2 03:04:05 host hubble[7]: {a}"),
        format!("{{pod=\"x\"}} {a}"),
        format!("{{\"log\":{ended},\"stream\":\"stdout\",\"time\":\"{time}\"}}"),
        format!(
            "{{\"log\":{},\"stream\":\"stdout\"}}\n{{\"log\":{},\"stream\":\"stdout\"}}",
            quote(begin),
            quote(&format!("{end}\n"))
        ),
        format!(
            "{{\"@timestamp\":\"{time}\",\"message\":{quoted},\"log\":{{\"offset\":7}},\"source\":\"/var/log/x\"}}"
        ),
        format!(
            "{{\"@timestamp\":\"{time}\",\"message\":{quoted},\"source\":{{\"address\":\"10.0.0.1\"}}}}"
        ),
        format!(
            "{{\"log\":{},\"kubernetes\":{{}}}}",
            quote(&format!("{time} stdout F {a}"))
        ),
        format!("{{\"MESSAGE\":{quoted},\"_HOSTNAME\":\"h\"}}"),
        format!("{{\"_source\":{{\"message\":{quoted}}}}}"),
        format!("{{\"jsonPayload\":{a}}}"),
        format!("{{\"flows\":[{a},{a}]}}"),
        format!("{{\"hits\":{{\"hits\":[{{\"_source\":{{\"message\":{quoted}}}}}]}}}}"),
        format!("{{\"streams\":[{{\"stream\":{{}},\"values\":[[\"1\",{quoted}]]}}]}}"),
        format!("{{\"result\":{a}}}"),
    ] {
        let found = uuids(&text);
        assert!(
            !found.is_empty() && found.iter().all(|uuid| uuid == "a"),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn what_is_no_flow_in_a_log_is_told_by_its_line() {
    let a = line("a");
    let (begin, _) = a.split_at(40);
    for (text, numbers) in [
        (format!("starting\n{a}\nstopped {{1}}\n"), vec![1, 3]),
        (
            format!("{a}\n{begin}\n{a}\n{{\n \"flow\": {{\n{a}"),
            vec![2, 4, 5],
        ),
        (
            format!("{a}\n{{\"log\":\"started\",\"stream\":\"stdout\"}}\n{a}"),
            vec![2],
        ),
        (format!("[\n{a},\n\"x\",\n{a}]"), vec![3]),
        (
            format!("{a}\n2026-01-02T03:04:05Z stdout P {begin}\n"),
            vec![3],
        ),
    ] {
        let (report, events) = load_text(&text);
        let problems: Vec<u64> = report
            .problems
            .iter()
            .map(|problem| problem.number)
            .collect();
        assert_eq!(problems, numbers, "{text}: {:?}", report.problems);
        let flows = text.matches(&a).count();
        assert_eq!(events.len(), flows, "{text}");
    }
}

#[test]
fn a_line_of_many_flows_costs_no_more_than_its_length() {
    let many = format!("[{}]", vec![line("a"); 50_000].join(","));
    let began = std::time::Instant::now();
    assert_eq!(uuids(&many).len(), 50_000);
    // A search of the whole line for each takes minutes.
    assert!(began.elapsed().as_secs() < 30);
}
