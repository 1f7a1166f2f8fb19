//! Fields of messages in protobuf's dynamic form: those that few filters ask for, and
//! those of messages of any type (`Flow.extensions`). Of these the well-known types and
//! those of the package `flow` are known; others make the evaluation fail.

use std::sync::Arc;

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _};
use prost_types::{Any, ListValue, Struct, value::Kind as Content};
use sextant_proto::flow as pb;

use super::value::{BYTES_A_STEP, Failure, Instant, Message, Outcome, Value};
use crate::{
    descriptors,
    flow::{Flow, L4, proto},
};

/// The message of a flow.
pub(super) fn of_flow(flow: &Flow) -> Option<DynamicMessage> {
    transcode("flow.Flow", &proto::to_proto(flow))
}

fn transcode(name: &str, message: &impl prost::Message) -> Option<DynamicMessage> {
    let descriptor = descriptors::message(name)?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()
}

/// A field of a flow, from its protobuf form.
pub(super) fn flow_field(flow: &Flow, number: u32) -> Outcome<'static> {
    get(&of_flow(flow).ok_or(Failure)?, number)
}

/// Whether a field of a flow is set, from its protobuf form.
pub(super) fn flow_has(flow: &Flow, number: u32) -> bool {
    of_flow(flow).is_some_and(|message| has(&message, number))
}

fn of_layer4(l4: Option<&L4>) -> Option<DynamicMessage> {
    transcode("flow.Layer4", &l4.map(proto::l4_to).unwrap_or_default())
}

/// A field of the transport layer, from its protobuf form.
pub(super) fn layer4_field(l4: Option<&L4>, number: u32) -> Outcome<'static> {
    get(&of_layer4(l4).ok_or(Failure)?, number)
}

/// Whether a field of the transport layer is set, from its protobuf form.
pub(super) fn layer4_has(l4: Option<&L4>, number: u32) -> bool {
    of_layer4(l4).is_some_and(|message| has(&message, number))
}

fn of_layer7(l7: Option<&pb::Layer7>) -> Option<DynamicMessage> {
    transcode("flow.Layer7", &l7.cloned().unwrap_or_default())
}

/// A field of the application layer, from its protobuf form.
pub(super) fn layer7_field(l7: Option<&pb::Layer7>, number: u32) -> Outcome<'static> {
    get(&of_layer7(l7).ok_or(Failure)?, number)
}

/// Whether a field of the application layer is set, from its protobuf form.
pub(super) fn layer7_has(l7: Option<&pb::Layer7>, number: u32) -> bool {
    of_layer7(l7).is_some_and(|message| has(&message, number))
}

/// The value of a field.
pub(super) fn get(message: &DynamicMessage, number: u32) -> Outcome<'static> {
    let field = message.descriptor().get_field(number).ok_or(Failure)?;
    if !message.has_field(&field) && is_nullable(&field) {
        return Ok(Value::Null);
    }
    from_reflect(&message.get_field(&field))
}

/// Wrappers and messages of any type read as null where they are missing.
fn is_nullable(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) => {
            let name = message.full_name().strip_prefix("google.protobuf.");
            name.is_some_and(|name| name == "Any" || name.ends_with("Value"))
        }
        _ => false,
    }
}

/// Steps that a copy takes.
pub(super) fn copying(message: &DynamicMessage) -> usize {
    1 + message.encoded_len() / BYTES_A_STEP
}

/// Whether a field is set.
pub(super) fn has(message: &DynamicMessage, number: u32) -> bool {
    let field = message.descriptor().get_field(number);
    field.is_some_and(|field| message.has_field(&field))
}

fn from_reflect(value: &prost_reflect::Value) -> Outcome<'static> {
    use prost_reflect::Value as Reflect;
    Ok(match value {
        Reflect::Bool(value) => Value::Bool(*value),
        Reflect::I32(value) | Reflect::EnumNumber(value) => Value::Int((*value).into()),
        Reflect::I64(value) => Value::Int(*value),
        Reflect::U32(value) => Value::Uint((*value).into()),
        Reflect::U64(value) => Value::Uint(*value),
        Reflect::F32(value) => Value::Double((*value).into()),
        Reflect::F64(value) => Value::Double(*value),
        Reflect::String(text) => Value::owned(text.clone()),
        Reflect::Bytes(bytes) => Value::Bytes(bytes.to_vec().into()),
        Reflect::List(values) => {
            let values: Result<Vec<_>, _> = values.iter().map(from_reflect).collect();
            Value::list(values?)
        }
        Reflect::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| match key {
                MapKey::String(key) => Ok((Value::owned(key.clone()), from_reflect(value)?)),
                _ => Err(Failure),
            });
            Value::Map(Arc::new(entries.collect::<Result<_, _>>()?))
        }
        Reflect::Message(message) => return unwrap(message),
    })
}

/// Well-known types become the values that they stand for.
fn unwrap(message: &DynamicMessage) -> Outcome<'static> {
    let integer = |number| match get(message, number) {
        Ok(Value::Int(value)) => value,
        _ => 0,
    };
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => Ok(Value::Timestamp(Instant::new(integer(1), integer(2)))),
        "google.protobuf.Any" => {
            let any = Any::decode(message.encode_to_vec().as_slice()).map_err(|_| Failure)?;
            unpack(&any)
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => get(message, 1),
        _ => Ok(Value::Message(Message::Dynamic(Arc::new(message.clone())))),
    }
}

/// Decodes a message of the package `flow`.
fn of_package(name: &str, bytes: &[u8]) -> Outcome<'static> {
    let descriptor = descriptors::message(name).ok_or(Failure)?;
    let message = DynamicMessage::decode(descriptor, bytes).map_err(|_| Failure)?;
    unwrap(&message)
}

/// The value that a message of any type holds.
fn unpack(any: &Any) -> Outcome<'static> {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let bytes = any.value.as_slice();
    match name {
        "google.protobuf.Struct" => Ok(map(decode::<Struct>(bytes)?)),
        "google.protobuf.ListValue" => Ok(list(decode::<ListValue>(bytes)?)),
        "google.protobuf.Value" => Ok(value(decode::<prost_types::Value>(bytes)?)),
        "google.protobuf.Duration" => {
            let duration = decode::<prost_types::Duration>(bytes)?;
            let nanos = duration.seconds.checked_mul(1_000_000_000);
            let nanos = nanos.and_then(|n| n.checked_add(duration.nanos.into()));
            nanos.map(Value::Duration).ok_or(Failure)
        }
        "google.protobuf.Timestamp" => {
            let time = decode::<prost_types::Timestamp>(bytes)?;
            Ok(Value::Timestamp(Instant::new(
                time.seconds,
                time.nanos.into(),
            )))
        }
        name => of_package(name, bytes),
    }
}

fn decode<T: prost::Message + Default>(bytes: &[u8]) -> Result<T, Failure> {
    T::decode(bytes).map_err(|_| Failure)
}

fn map(of: Struct) -> Value<'static> {
    let entries = of.fields.into_iter();
    let entries = entries.map(|(key, inner)| (Value::owned(key), value(inner)));
    Value::Map(Arc::new(entries.collect()))
}

fn list(of: ListValue) -> Value<'static> {
    Value::list(of.values.into_iter().map(value).collect())
}

fn value(of: prost_types::Value) -> Value<'static> {
    match of.kind {
        None | Some(Content::NullValue(_)) => Value::Null,
        Some(Content::NumberValue(number)) => Value::Double(number),
        Some(Content::StringValue(text)) => Value::owned(text),
        Some(Content::BoolValue(truth)) => Value::Bool(truth),
        Some(Content::StructValue(inner)) => map(inner),
        Some(Content::ListValue(inner)) => list(inner),
    }
}
