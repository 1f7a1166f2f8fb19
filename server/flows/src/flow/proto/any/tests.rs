use prost_types::{ListValue, Timestamp};
use sextant_proto::flow as pb;

use super::*;

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

fn object(kind: Option<Kind>) -> Any {
    let fields = [("key".to_owned(), Value { kind })];
    any(
        STRUCT,
        &Struct {
            fields: fields.into(),
        },
    )
}

/// What it became: its type and its bytes, as texts.
fn held(any: Any) -> (String, String) {
    let held = printable(any);
    assert_eq!(held.type_url, STRUCT_URL);
    let mut fields = Struct::decode(&*held.value).expect("a struct").fields;
    let mut text = |key: &str| match fields.remove(key).and_then(|value| value.kind) {
        Some(Kind::StringValue(text)) => text,
        other => panic!("{key}: {other:?}"),
    };
    let texts = (text("@type"), text("value"));
    assert!(fields.is_empty());
    texts
}

#[test]
fn what_clients_print_is_left_as_it_is() {
    let flow = pb::Flow {
        uuid: "a".into(),
        time: Some(Timestamp {
            seconds: 1,
            nanos: 2,
        }),
        extensions: Some(object(Some(Kind::NumberValue(1.5)))),
        ..pb::Flow::default()
    };
    let same_name = Any {
        type_url: "other.example/google.protobuf.Struct".into(),
        value: Vec::new(),
    };
    for sound in [
        Any::default(),
        object(Some(Kind::NullValue(0))),
        same_name,
        any("google.protobuf.StringValue", &"text".to_owned()),
        any(
            "google.protobuf.Timestamp",
            &Timestamp {
                seconds: 5,
                nanos: 6,
            },
        ),
        any("google.protobuf.Any", &object(Some(Kind::BoolValue(true)))),
        any("flow.Flow", &flow),
        any("flow.LostEvent", &pb::LostEvent::default()),
    ] {
        assert_eq!(printable(sound.clone()), sound);
    }
}

#[test]
fn a_type_that_clients_do_not_know_becomes_an_object_that_has_all_of_it() {
    for name in [
        "utils.RetinaMetadata",
        "sextant.flow.v1.RecordFlowsResponse",
        "google.protobuf.Nothing",
        "google.protobuf.FieldMask",
        "flow",
        "",
    ] {
        let unknown = Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: vec![8, 1, 0xff],
        };
        let expect = (unknown.type_url.clone(), "CAH/".to_owned());
        assert_eq!(held(unknown), expect);
    }
    let nameless = Any {
        type_url: String::new(),
        value: vec![1],
    };
    assert_eq!(held(nameless), (String::new(), "AQ==".into()));
}

#[test]
fn content_without_a_json_form_becomes_an_object_too_at_any_depth() {
    let nan = Kind::NumberValue(f64::NAN);
    let in_list = Kind::ListValue(ListValue {
        values: vec![Value {
            kind: Some(nan.clone()),
        }],
    });
    let late = Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    };
    let unknown = any("utils.RetinaMetadata", &pb::Workload::default());
    let flow = |flow: pb::Flow| any("flow.Flow", &flow);
    for unsound in [
        object(None),
        object(Some(nan)),
        object(Some(in_list)),
        object(Some(Kind::NumberValue(f64::NEG_INFINITY))),
        any("google.protobuf.Timestamp", &late),
        any("google.protobuf.Value", &Value::default()),
        any("google.protobuf.Any", &unknown),
        any("google.protobuf.Any", &any("google.protobuf.Any", &unknown)),
        flow(pb::Flow {
            time: Some(late),
            ..pb::Flow::default()
        }),
        flow(pb::Flow {
            extensions: Some(unknown),
            ..pb::Flow::default()
        }),
        Any {
            type_url: STRUCT_URL.into(),
            value: vec![0xff],
        },
    ] {
        let expect = (
            unsound.type_url.clone(),
            BASE64_STANDARD.encode(&unsound.value),
        );
        assert_eq!(held(unsound), expect);
    }
}

#[test]
fn a_struct_that_is_too_deep_is_kept_as_bytes() {
    let mut deep = Kind::NullValue(0);
    for _ in 0..60 {
        let fields = [("a".to_owned(), Value { kind: Some(deep) })];
        deep = Kind::StructValue(Struct {
            fields: fields.into(),
        });
    }
    let deep = object(Some(deep));
    assert_eq!(held(deep.clone()).0, deep.type_url);
}
