//! Messages of any type: `Flow.extensions`. Known are the well-known types and
//! those of the package `flow`; others make the evaluation fail.

use std::sync::Arc;

use prost_types::{Any, ListValue, Struct, value::Kind};

use super::{
    dynamic,
    value::{Failure, Instant, Outcome, Value},
};

/// The value that a message of any type holds.
pub(super) fn unpack(any: &Any) -> Outcome<'static> {
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
        name => dynamic::decode(name, bytes),
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
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => Value::Double(number),
        Some(Kind::StringValue(text)) => Value::owned(text),
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::StructValue(inner)) => map(inner),
        Some(Kind::ListValue(inner)) => list(inner),
    }
}
