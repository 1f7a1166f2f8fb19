#![allow(clippy::unwrap_used, reason = "tests panic")]

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use sextant_proto::flow::{self as pb, Flow, layer4::Protocol, layer7::Record};

use super::*;
use crate::replay::testing;

fn paths(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn masked(list: &[&str], flow: &Flow) -> Flow {
    let mask = Mask::compile(&paths(list)).unwrap().unwrap();
    let mut out = Vec::new();
    mask.apply(&flow.encode_to_vec(), &mut out);
    Flow::decode(out.as_slice()).unwrap()
}

fn udp() -> Flow {
    Flow {
        l4: Some(pb::Layer4 {
            protocol: Some(Protocol::Udp(pb::Udp {
                source_port: 53,
                destination_port: 40_000,
            })),
        }),
        node_name: "n".into(),
        ..Flow::default()
    }
}

#[test]
fn paths_are_valid_exactly_as_upstream_has_it() {
    for (path, valid) in [
        ("time", true),
        ("time.seconds", true),
        ("IP", true),
        ("IP.ipVersion", true),
        ("Type", true),
        ("Summary", true),
        ("l4.TCP.flags.SYN", true),
        ("source.ID", true),
        ("source.labels", true),
        ("is_reply.value", true),
        ("extensions.type_url", true),
        ("l7.http.headers", true),
        ("", false),
        (".", false),
        ("source.", false),
        (".source", false),
        ("source..identity", false),
        ("ip", false),
        ("type", false),
        ("nodeName", false),
        ("l4.protocol", false),
        ("l4.tcp", false),
        ("node_labels.x", false),
        ("l7.http.headers.key", false),
        ("verdict.name", false),
        ("uuid.x", false),
        ("invalid-path", false),
    ] {
        let compiled = Mask::compile(&paths(&[path]));
        assert_eq!(compiled.is_ok(), valid, "{path:?}");
        // One bad path spoils the mask, also under a field that is selected whole.
        let both = Mask::compile(&paths(&["source", "l4", "l7", "node_labels", path]));
        assert_eq!(both.is_ok(), valid, "{path:?}");
    }
    assert_eq!(MaskError::Invalid.to_string(), "invalid fieldmask");
}

#[test]
fn no_paths_mean_no_mask() {
    assert_eq!(Mask::compile(&[]), Ok(None));
}

#[test]
fn a_parent_covers_its_children_in_any_order() {
    let compile = |list: &[&str]| Mask::compile(&paths(list)).unwrap().unwrap();
    let source = compile(&["source"]);
    assert_eq!(source, compile(&["source.identity", "source", "source"]));
    assert_eq!(source, compile(&["source", "source.identity"]));
    assert_ne!(source, compile(&["source.identity"]));
    assert!(source.selects(8) && !source.selects(9) && !source.selects(100_000));
    assert!(compile(&["Summary"]).selects(100_000));
}

#[test]
fn a_whole_message_is_copied_or_left_out() {
    assert_eq!(masked(&["l4"], &udp()).l4, udp().l4);
    assert_eq!(masked(&["l4"], &Flow::default()), Flow::default());
    assert_eq!(masked(&["node_name"], &udp()).node_name, "n");
    assert_eq!(masked(&["node_name"], &udp()).l4, None);
}

#[test]
fn another_member_of_a_oneof_leaves_an_empty_parent() {
    let empty = Flow {
        l4: Some(pb::Layer4 { protocol: None }),
        ..Flow::default()
    };
    assert_eq!(masked(&["l4.TCP"], &udp()), empty);
    assert_eq!(masked(&["l4.TCP.destination_port"], &udp()), empty);
    assert_eq!(masked(&["l4.TCP"], &Flow::default()), empty);
    let l7 = masked(&["l7.http.url"], &udp()).l7.unwrap();
    assert_eq!(l7, pb::Layer7::default());
}

#[test]
fn of_several_members_of_a_oneof_the_active_one_is_taken() {
    let flow = masked(&["l4.TCP.source_port", "l4.UDP.destination_port"], &udp());
    let port = Protocol::Udp(pb::Udp {
        source_port: 0,
        destination_port: 40_000,
    });
    assert_eq!(flow.l4.unwrap().protocol, Some(port));
    // The member is there even if none of the selected parts is set.
    let dns = Flow {
        l7: Some(pb::Layer7 {
            record: Some(Record::Dns(pb::Dns::default())),
            ..pb::Layer7::default()
        }),
        ..Flow::default()
    };
    assert_eq!(masked(&["l7.dns.rcode"], &dns), dns);
}

#[test]
fn a_part_of_an_absent_message_makes_it_and_its_parents_present() {
    let flow = masked(&["source.identity"], &Flow::default());
    assert_eq!(flow.source, Some(pb::Endpoint::default()));
    let flow = masked(&["trace_context.parent.trace_id"], &Flow::default());
    let parent = Some(pb::TraceParent::default());
    assert_eq!(flow.trace_context, Some(pb::TraceContext { parent }));
    assert_eq!(
        masked(&["is_reply.value"], &Flow::default()).is_reply,
        Some(false)
    );
}

#[test]
fn messages_longer_than_127_bytes_keep_their_length() {
    let flow = Flow {
        source: Some(pb::Endpoint {
            id: 7,
            labels: (0..40).map(|n| format!("k8s:key{n}=value")).collect(),
            ..pb::Endpoint::default()
        }),
        ..Flow::default()
    };
    let out = masked(&["source.labels", "verdict"], &flow).source.unwrap();
    assert_eq!(out.labels, flow.source.unwrap().labels);
    assert_eq!(out.id, 0);
}

/// All valid paths, of any depth.
fn all_paths(message: &Shape, prefix: &str, out: &mut Vec<String>) {
    for field in &message.fields {
        let path = format!("{prefix}{}", field.name);
        if let Some(inner) = message_of(field) {
            all_paths(inner, &format!("{path}."), out);
        }
        out.push(path);
    }
}

/// What upstream's `FieldMask.Copy` does, on decoded messages.
fn naive(paths: &[&str], from: &DynamicMessage) -> DynamicMessage {
    let mut out = DynamicMessage::new(from.descriptor());
    for field in from.descriptor().fields() {
        let heads = paths.iter().map(|path| path.split_once('.'));
        let mine = |name: &str| name == field.name();
        let inner: Vec<&str> = heads
            .flatten()
            .filter(|(head, _)| mine(head))
            .map(|(_, rest)| rest)
            .collect();
        if paths.iter().any(|path| mine(path)) {
            if from.has_field(&field) {
                out.set_field(&field, from.get_field(&field).into_owned());
            }
        } else if !inner.is_empty()
            && (field.containing_oneof().is_none() || from.has_field(&field))
        {
            let value = from.get_field(&field);
            let message = naive(&inner, value.as_message().unwrap());
            out.set_field(&field, Value::Message(message));
        }
    }
    out
}

proptest! {
    #[test]
    fn masking_bytes_is_masking_the_decoded_message(
        seed: u64,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let mut all = Vec::new();
        all_paths(Shape::named(FLOW).unwrap(), "", &mut all);
        let picked: Vec<String> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
        let flow = testing::message(FLOW, seed);
        let mask = Mask::compile(&picked).unwrap().unwrap();
        let mut out = Vec::new();
        mask.apply(&flow.encode_to_vec(), &mut out);
        let names: Vec<&str> = picked.iter().map(String::as_str).collect();
        let expected = naive(&names, &flow);
        prop_assert_eq!(
            Flow::decode(out.as_slice()).unwrap(),
            Flow::decode(expected.encode_to_vec().as_slice()).unwrap()
        );
    }

    #[test]
    fn no_bytes_and_no_paths_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        path in "[a-zA-Z0-9_.]{0,20}",
        cut in any::<prop::sample::Index>(),
        seed: u64,
    ) {
        let _ = Mask::compile(&[path]);
        let mask = Mask::compile(&paths(&["source.identity", "l4.TCP.flags.SYN", "Summary"]));
        let mask = mask.unwrap().unwrap();
        let mut out = Vec::new();
        mask.apply(&bytes, &mut out);
        let flow = testing::message(FLOW, seed).encode_to_vec();
        mask.apply(&flow[..cut.index(flow.len() + 1)], &mut out);
    }
}
