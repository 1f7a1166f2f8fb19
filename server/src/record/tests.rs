use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, Value};
use prost_types::Timestamp;
use sextant_proto::flow as pb;

use super::Checked;
use crate::service::Sides;

/// As the daemon checks a flow that comes in.
fn check(flow: &pb::Flow) -> Checked {
    Sides::default().decode(&flow.encode_to_vec()).map(|_| ())
}

fn valid() -> pb::Flow {
    pb::Flow {
        time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 999_999_999,
        }),
        uuid: "any-text".into(),
        ethernet: Some(pb::Ethernet {
            source: "02:00:00:00:00:01".into(),
            destination: "2-0-0-0-0-FF".into(),
        }),
        ip: Some(pb::Ip {
            source: "10.0.0.1".into(),
            destination: "10.0.0.2".into(),
            ip_version: 1,
            ..pb::Ip::default()
        }),
        l4: Some(tcp(65535, 0)),
        ..pb::Flow::default()
    }
}

fn tcp(source_port: u32, destination_port: u32) -> pb::Layer4 {
    pb::Layer4 {
        protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
            source_port,
            destination_port,
            flags: None,
        })),
    }
}

fn icmp6(r#type: u32) -> pb::Layer4 {
    pb::Layer4 {
        protocol: Some(pb::layer4::Protocol::IcmPv6(pb::IcmPv6 { r#type, code: 0 })),
    }
}

/// What becomes of a valid flow with one change: the field that is refused.
fn refused(change: impl FnOnce(&mut pb::Flow)) -> String {
    let mut flow = valid();
    change(&mut flow);
    match check(&flow) {
        Ok(()) => "kept".into(),
        Err(invalid) => invalid.field,
    }
}

#[test]
fn each_wrong_field_is_named() {
    let time = |seconds, nanos| refused(|f| f.time = Some(Timestamp { seconds, nanos }));
    assert_eq!(time(253_402_300_800, 0), "time.seconds");
    assert_eq!(time(-62_135_596_801, 0), "time.seconds");
    assert_eq!(time(0, -1), "time.nanos");
    assert_eq!(time(0, 1_000_000_000), "time.nanos");

    let ip = |source: &str, destination: &str, ip_version| {
        refused(|f| {
            f.ip = Some(pb::Ip {
                source: source.into(),
                destination: destination.into(),
                ip_version,
                ..pb::Ip::default()
            });
        })
    };
    assert_eq!(ip("10.0.0", "10.0.0.1", 1), "IP.source");
    assert_eq!(ip("10.0.0.1", "fd00::1", 1), "IP.destination");
    assert_eq!(ip("10.0.0.1", "10.0.0.2", 2), "IP.source");
    assert_eq!(ip("fd00::1", "fd00::2", 2), "kept");
    assert_eq!(ip("10.0.0.1", "", 0), "kept");

    let l4 = |l4| refused(|f| f.l4 = Some(l4));
    assert_eq!(l4(tcp(65536, 1)), "l4.TCP.source_port");
    assert_eq!(l4(tcp(1, u32::MAX)), "l4.TCP.destination_port");
    assert_eq!(l4(icmp6(256)), "l4.ICMPv6.type");
    assert_eq!(refused(|f| f.proxy_port = 70_000), "proxy_port");
    for mac in ["02:00:00:00:00", "02:00:00:00:00:0g", "x", "02:::00:00:01"] {
        let field = refused(|f| f.ethernet.get_or_insert_default().source = mac.into());
        assert_eq!(field, "ethernet.source", "{mac}");
    }
}

#[test]
fn each_list_and_text_has_a_bound() {
    let side =
        |change: fn(&mut pb::Endpoint)| refused(|f| change(f.source.get_or_insert_default()));
    assert_eq!(refused(|f| f.uuid = "u".repeat(129)), "uuid");
    assert_eq!(refused(|f| f.node_name = "n".repeat(1025)), "node_name");
    assert_eq!(
        refused(|f| f.source_names = vec!["a".into(), "n".repeat(1025)]),
        "source_names[1]"
    );
    assert_eq!(
        refused(|f| f.destination_names = vec![String::new(); 257]),
        "destination_names"
    );
    assert_eq!(side(|s| s.labels = vec!["a".into(); 257]), "source.labels");
    assert_eq!(side(|s| s.pod_name = "p".repeat(1025)), "source.pod_name");
    assert_eq!(
        side(|s| s.workloads = vec![pb::Workload::default(); 257]),
        "source.workloads"
    );
    let too_long = prost_types::Any {
        type_url: "t".into(),
        value: vec![0; 64 << 10],
    };
    assert_eq!(refused(|f| f.extensions = Some(too_long)), "");
}

/// Paths to all lists of a message.
fn lists(message: &MessageDescriptor, above: &[FieldDescriptor]) -> Vec<Vec<FieldDescriptor>> {
    let mut found = Vec::new();
    for field in message.fields() {
        let path = [above, std::slice::from_ref(&field)].concat();
        let inner = field.kind().as_message().cloned();
        if field.is_list() {
            found.push(path.clone());
        }
        // `Any` and wrappers have none.
        if let Some(inner) = inner.filter(|inner| inner.package_name() == "flow") {
            found.extend(lists(&inner, &path));
        }
    }
    found
}

/// A message whose list at the end of the path has so many empty values.
fn with_list(message: MessageDescriptor, path: &[FieldDescriptor], length: usize) -> Value {
    let (field, below) = path.split_first().expect("a path is not empty");
    let value = match field.kind().as_message() {
        Some(inner) if !below.is_empty() => with_list(inner.clone(), below, length),
        _ => Value::default_value(&field.kind()),
    };
    let values = if below.is_empty() { length } else { 1 };
    let value = if field.is_list() {
        Value::List(vec![value; values])
    } else {
        value
    };
    let mut with = DynamicMessage::new(message);
    with.set_field(field, value);
    Value::Message(with)
}

#[test]
fn each_list_of_the_contract_has_a_bound() {
    let pool = DescriptorPool::decode(sextant_proto::DESCRIPTORS).unwrap();
    let flow = pool.get_message_by_name("flow.Flow").unwrap();
    let paths = lists(&flow, &[]);
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        let name: Vec<_> = path.iter().map(FieldDescriptor::name).collect();
        let name = name.join(".");
        let checked = |length| {
            let Value::Message(flow) = with_list(flow.clone(), &path, length) else {
                unreachable!()
            };
            Sides::default().decode(&flow.encode_to_vec()).map(|_| ())
        };
        assert_eq!(checked(256), Ok(()), "{name}");
        assert_eq!(checked(257).unwrap_err().field, name);
    }
}

#[test]
fn unknown_enumeration_values_and_missing_fields_are_kept() {
    assert_eq!(refused(|_| {}), "kept");
    assert_eq!(refused(|f| f.verdict = 999), "kept");
    assert_eq!(refused(|f| f.drop_reason_desc = -1), "kept");
    assert_eq!(
        refused(|f| f.ip.get_or_insert_default().ip_version = 9),
        "kept"
    );
    assert_eq!(check(&pb::Flow::default()), Ok(()));
}

proptest! {
    /// No bytes that are a flow make the check panic.
    #[test]
    fn the_check_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(flow) = pb::Flow::decode(bytes.as_slice()) {
            let _ = check(&flow);
        }
    }
}
