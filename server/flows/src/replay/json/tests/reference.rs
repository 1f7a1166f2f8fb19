//! Lines as the reflecting library reads them, and extensions of any type.

use super::*;
use crate::descriptors;

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
    let pool = descriptors::pool();
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
    let mut message = DynamicMessage::new(
        descriptors::pool()
            .get_message_by_name("flow.Flow")
            .unwrap(),
    );
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
