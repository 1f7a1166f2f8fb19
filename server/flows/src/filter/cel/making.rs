//! Messages made of values: those that an expression constructs, and the form in which
//! messages are compared and put into others.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _};

use super::{
    super::meter::Meter,
    dynamic, schema,
    value::{Failure, List, Message, Outcome, Value},
};
use crate::descriptors;

/// What a flow in protobuf's form takes.
pub(super) const DYNAMIC_STEPS: usize = 500;

/// The same message in the form that can be compared and put into others.
pub(super) fn of(message: &Message, meter: &Meter) -> Option<DynamicMessage> {
    match message {
        Message::Flow(flow) => {
            meter.spend(DYNAMIC_STEPS).ok()?;
            dynamic::of_flow(flow)
        }
        Message::Dynamic(message) => {
            meter.spend(dynamic::copying(message)).ok()?;
            Some(DynamicMessage::clone(message))
        }
        _ => copy(message, meter),
    }
}

/// Makes a message of fields with values; null leaves a field out.
pub(super) fn make(name: &str, fields: &[(u32, Value)], meter: &Meter) -> Outcome<'static> {
    let descriptor = schema::message(name).ok_or(Failure)?;
    let mut message = DynamicMessage::new(descriptor);
    for (number, value) in fields {
        set(&mut message, *number, value, meter)?;
    }
    Ok(Value::Message(Message::Dynamic(Arc::new(message))))
}

/// Copies a message field by field.
fn copy(view: &Message, meter: &Meter) -> Option<DynamicMessage> {
    let descriptor = schema::message(&view.name())?;
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if view.has(field.number(), meter) {
            let value = view.get(field.number(), meter).ok()?;
            set(&mut message, field.number(), &value, meter).ok()?;
        }
    }
    Some(message)
}

fn set(
    message: &mut DynamicMessage,
    number: u32,
    value: &Value,
    meter: &Meter,
) -> Result<(), Failure> {
    let field = message.descriptor().get_field(number).ok_or(Failure)?;
    let value = match value {
        Value::Null if matches!(field.kind(), Kind::Message(_)) && !field.is_list() => {
            return Ok(());
        }
        Value::List(list) if field.is_list() => to_list(&field, list, meter)?,
        value => to_reflect(&field.kind(), value, meter)?,
    };
    message.try_set_field(&field, value).map_err(|_| Failure)
}

fn to_list(
    field: &FieldDescriptor,
    list: &List,
    meter: &Meter,
) -> Result<prost_reflect::Value, Failure> {
    let values = list.iter().map(|value| {
        meter.spend(value.copying())?;
        to_reflect(&field.kind(), &value, meter)
    });
    values
        .collect::<Result<_, _>>()
        .map(prost_reflect::Value::List)
}

fn to_reflect(kind: &Kind, value: &Value, meter: &Meter) -> Result<prost_reflect::Value, Failure> {
    use prost_reflect::Value as Reflect;
    meter.spend(1 + value.looking())?;
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
            Reflect::Message(of(message, meter).ok_or(Failure)?)
        }
        (Kind::Message(message), value) => well_known(message.full_name(), value, meter)?,
        _ => return Err(Failure),
    })
}

/// A well-known type that holds the value.
fn well_known(name: &str, value: &Value, meter: &Meter) -> Result<prost_reflect::Value, Failure> {
    let descriptor = descriptors::message(name).ok_or(Failure)?;
    let mut message = DynamicMessage::new(descriptor);
    match value {
        Value::Timestamp(time) if name == "google.protobuf.Timestamp" => {
            set(&mut message, 1, &Value::Int(time.seconds), meter)?;
            set(&mut message, 2, &Value::Int(time.nanos), meter)?;
        }
        value => set(&mut message, 1, value, meter)?,
    }
    Ok(prost_reflect::Value::Message(message))
}

fn narrow<T: TryFrom<U>, U>(value: U) -> Result<T, Failure> {
    T::try_from(value).map_err(|_| Failure)
}
