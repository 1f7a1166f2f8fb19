//! Random messages of any type, made from its descriptor, for property tests.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
    prost::Message as _,
};
use prost_types::{Any, ListValue, Struct, Timestamp, value};

use crate::descriptors;

const TEXTS: [&str; 8] = [
    "a",
    "10.0.0.1",
    "2001:db8::1",
    "k8s:app=x",
    "00:00:5e:00:53:01",
    "<é>&\"\\\n\u{2028}",
    "default/pod-1",
    "4a2c9f00-0000-4000-8000-00000000000a",
];

/// A random message of type `name`; the same one for the same seed.
///
/// # Panics
/// When there is no such type.
#[must_use]
pub fn message(name: &str, seed: u64) -> DynamicMessage {
    let mut dice = Dice(seed | 1);
    build(&descriptors::message(name).unwrap(), &mut dice)
}

/// Small random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

fn build(message: &MessageDescriptor, dice: &mut Dice) -> DynamicMessage {
    match message.full_name() {
        "google.protobuf.Timestamp" => return known(message, &timestamp(dice)),
        "google.protobuf.Any" => return known(message, &any(dice)),
        _ => {}
    }
    let mut out = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if dice.below(5) < 2 {
            continue;
        }
        let oneof_taken = field
            .containing_oneof()
            .is_some_and(|oneof| oneof.fields().any(|member| out.has_field(&member)));
        if !oneof_taken {
            out.set_field(&field, field_value(&field, dice));
        }
    }
    out
}

fn field_value(field: &FieldDescriptor, dice: &mut Dice) -> Value {
    if field.is_list() {
        let length = dice.below(4);
        return Value::List((0..length).map(|_| value(&field.kind(), dice)).collect());
    }
    value(&field.kind(), dice)
}

fn value(kind: &Kind, dice: &mut Dice) -> Value {
    match kind {
        Kind::Bool => Value::Bool(dice.below(2) == 0),
        Kind::Int32 => Value::I32(dice.roll() as i32),
        Kind::Int64 => Value::I64(dice.roll() as i64),
        Kind::Uint32 => Value::U32(dice.roll() as u32 >> dice.below(33).min(31)),
        Kind::Uint64 => Value::U64(dice.roll() << dice.below(17)),
        Kind::Double => Value::F64(dice.below(1 << 40) as f64 / 8.0),
        Kind::String => Value::String(TEXTS[dice.below(8) as usize].into()),
        Kind::Bytes => Value::Bytes(vec![1, 2, 3].into()),
        Kind::Message(inner) => Value::Message(build(inner, dice)),
        Kind::Enum(names) if dice.below(8) > 0 => {
            let count = names.values().len() as u64;
            let nth = names.values().nth(dice.below(count) as usize);
            Value::EnumNumber(nth.map_or(0, |value| value.number()))
        }
        Kind::Enum(_) => Value::EnumNumber(9_999),
        other => panic!("our messages have no {other:?}"),
    }
}

fn timestamp(dice: &mut Dice) -> Timestamp {
    let nanos = [0, 500_000_000, 123_456_000, 123_456_789];
    Timestamp {
        seconds: dice.below(4_000_000_000) as i64 - 1_000,
        nanos: nanos[dice.below(4) as usize],
    }
}

/// An `Any` that holds a `Struct`, as our own extensions do.
fn any(dice: &mut Dice) -> Any {
    let kinds = [
        value::Kind::NullValue(0),
        value::Kind::NumberValue(dice.below(1_000) as f64 / 4.0),
        value::Kind::StringValue("fin".into()),
        value::Kind::BoolValue(true),
        value::Kind::ListValue(ListValue::default()),
        value::Kind::StructValue(Struct::default()),
    ];
    let mut inner = Struct::default();
    for (n, kind) in kinds.into_iter().enumerate() {
        if dice.below(2) == 0 {
            let value = prost_types::Value { kind: Some(kind) };
            inner.fields.insert(format!("key{n}"), value);
        }
    }
    Any {
        type_url: "type.googleapis.com/google.protobuf.Struct".into(),
        value: inner.encode_to_vec(),
    }
}

fn known(descriptor: &MessageDescriptor, message: &impl prost::Message) -> DynamicMessage {
    let mut out = DynamicMessage::new(descriptor.clone());
    out.transcode_from(message).unwrap();
    assert_eq!(out.descriptor(), *descriptor);
    out
}
