//! Messages made of values: those that an expression constructs, and the form in which
//! messages are compared and put into others.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _};

use super::{
    dynamic, schema,
    value::{Failure, List, Message, Outcome, Value},
};

/// The same message in the form that can be compared and put into others.
pub(super) fn of(message: &Message) -> Option<DynamicMessage> {
    match message {
        Message::Flow(flow) => dynamic::of_flow(flow),
        Message::Dynamic(message) => Some(DynamicMessage::clone(message)),
        _ => copy(message),
    }
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
fn copy(view: &Message) -> Option<DynamicMessage> {
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
            Reflect::Message(of(message).ok_or(Failure)?)
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
