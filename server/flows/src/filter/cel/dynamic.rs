//! Messages in protobuf's dynamic form: for fields that few filters ask for,
//! for messages that an expression makes, and for comparing messages.

use std::sync::Arc;

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _};
use prost_types::Any;
use sextant_proto::flow as pb;

use super::{
    message::Message,
    schema,
    value::{Failure, Instant, List, Outcome, Value},
};
use crate::flow::{Flow, L4, proto};

/// The message of a flow.
pub(super) fn of_flow(flow: &Flow) -> Option<DynamicMessage> {
    transcode("flow.Flow", &proto::to_proto(flow))
}

fn transcode(name: &str, message: &impl prost::Message) -> Option<DynamicMessage> {
    let descriptor = schema::pool().get_message_by_name(name)?;
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
            super::any::unpack(&any)
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => get(message, 1),
        _ => Ok(Value::Message(Message::Dynamic(Arc::new(message.clone())))),
    }
}

/// Decodes a message of the package `flow`.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Outcome<'static> {
    let descriptor = schema::pool().get_message_by_name(name).ok_or(Failure)?;
    let message = DynamicMessage::decode(descriptor, bytes).map_err(|_| Failure)?;
    unwrap(&message)
}

/// Makes a message of fields with values; null leaves a field out.
pub(super) fn make(name: &str, fields: &[(u32, Value)]) -> Outcome<'static> {
    let descriptor = schema::message(name).ok_or(Failure)?;
    let mut message = DynamicMessage::new(descriptor);
    for (number, value) in fields {
        set(&mut message, *number, value)?;
    }
    Ok(Value::Message(Message::Dynamic(Arc::new(message))))
}

/// Copies a message field by field.
pub(super) fn copy(view: &Message) -> Option<DynamicMessage> {
    let descriptor = schema::message(&view.name())?;
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields().filter(|field| view.has(field.number())) {
        let value = view.get(field.number()).ok()?;
        set(&mut message, field.number(), &value).ok()?;
    }
    Some(message)
}

fn set(message: &mut DynamicMessage, number: u32, value: &Value) -> Result<(), Failure> {
    let field = message.descriptor().get_field(number).ok_or(Failure)?;
    let value = match value {
        Value::Null if matches!(field.kind(), Kind::Message(_)) && !field.is_list() => {
            return Ok(());
        }
        Value::List(list) if field.is_list() => to_list(&field, list)?,
        value => to_reflect(&field.kind(), value)?,
    };
    message.try_set_field(&field, value).map_err(|_| Failure)
}

fn to_list(field: &FieldDescriptor, list: &List) -> Result<prost_reflect::Value, Failure> {
    let values = list.iter().map(|value| to_reflect(&field.kind(), &value));
    values
        .collect::<Result<_, _>>()
        .map(prost_reflect::Value::List)
}

fn to_reflect(kind: &Kind, value: &Value) -> Result<prost_reflect::Value, Failure> {
    use prost_reflect::Value as Reflect;
    Ok(match (kind, value) {
        (Kind::Bool, Value::Bool(value)) => Reflect::Bool(*value),
        (Kind::Int32, Value::Int(value)) => Reflect::I32(narrow(*value)?),
        (Kind::Int64, Value::Int(value)) => Reflect::I64(*value),
        (Kind::Uint32, Value::Uint(value)) => Reflect::U32(narrow(*value)?),
        (Kind::Uint64, Value::Uint(value)) => Reflect::U64(*value),
        (Kind::Enum(_), Value::Int(value)) => Reflect::EnumNumber(narrow(*value)?),
        (Kind::String, Value::String(text)) => Reflect::String(text.clone().into_owned()),
        (Kind::Bytes, Value::Bytes(bytes)) => Reflect::Bytes(bytes.to_vec().into()),
        (Kind::Message(_), Value::Message(message)) => {
            Reflect::Message(message.to_dynamic().ok_or(Failure)?)
        }
        (Kind::Message(message), value) => well_known(message.full_name(), value)?,
        _ => return Err(Failure),
    })
}

/// A well-known type that holds the value.
fn well_known(name: &str, value: &Value) -> Result<prost_reflect::Value, Failure> {
    let descriptor = schema::pool().get_message_by_name(name).ok_or(Failure)?;
    let mut message = DynamicMessage::new(descriptor);
    match value {
        Value::Timestamp(time) if name == "google.protobuf.Timestamp" => {
            set(&mut message, 1, &Value::Int(time.seconds))?;
            set(&mut message, 2, &Value::Int(time.nanos))?;
        }
        value => set(&mut message, 1, value)?,
    }
    Ok(prost_reflect::Value::Message(message))
}

fn narrow<T: TryFrom<U>, U>(value: U) -> Result<T, Failure> {
    T::try_from(value).map_err(|_| Failure)
}
