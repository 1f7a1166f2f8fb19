//! Values and attributes of OpenTelemetry in their encoded form.

use sextant_flows::{
    flow::wire::put,
    shape::{Kind, WellKnown},
    view::{Unreadable, Value, View},
};

/// Fields of `AnyValue`.
const TEXT: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE_FIXED64: u8 = 4 << 3 | 1;
const ARRAY: u32 = 5;
const LIST: u32 = 6;
const BYTES: u32 = 7;
/// Of arrays and lists of keys and values.
const VALUES: u32 = 1;

/// Appends an attribute as this field of its message.
pub(super) fn attribute(
    field: u32,
    key: &str,
    out: &mut Vec<u8>,
    value: impl FnOnce(&mut Vec<u8>),
) {
    put::message(field, out, |out| {
        put::bytes(1, key.as_bytes(), out);
        put::message(2, out, value);
    });
}

/// Appends the content of a value that is a text.
pub(super) fn text(value: &str, out: &mut Vec<u8>) {
    put::set_bytes(TEXT, value.as_bytes(), out);
}

/// The same of a text that `write` appends.
pub(super) fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    put::message(TEXT, out, write);
}

/// The same of a whole number; one that OpenTelemetry cannot say is a text.
pub(super) fn uint(value: u64, out: &mut Vec<u8>) {
    match i64::try_from(value) {
        Ok(value) => int(value, out),
        Err(_) => text(&value.to_string(), out),
    }
}

pub(super) fn int(value: i64, out: &mut Vec<u8>) {
    put::set_number(INT, value as u64, out);
}

pub(super) fn double(value: f64, out: &mut Vec<u8>) {
    out.push(DOUBLE_FIXED64);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) fn bool(value: bool, out: &mut Vec<u8>) {
    put::set_number(BOOL, value.into(), out);
}

/// Appends the content of a value: a message is a list of keys and values.
pub(super) fn any(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    match value {
        Value::Bool(value) => bool(value, out),
        Value::I32(value) => int(value.into(), out),
        Value::U32(value) => int(value.into(), out),
        Value::I64(value) => int(value, out),
        Value::U64(value) => uint(value, out),
        Value::Number(value) => double(value, out),
        Value::Text(value) => text(value, out),
        Value::Bytes(value) => put::set_bytes(BYTES, value, out),
        Value::Enum(number, names) => match names.get(number) {
            Some(name) => text(name, out),
            None => int(number.into(), out),
        },
        Value::Message(encoded) => return message(&encoded.view()?, out),
    }
    Ok(())
}

pub(super) fn message(view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    match view.shape.known {
        Some(WellKnown::Wrapper) => match view.get("value") {
            Some(value) => any(value, out),
            None => {
                zero(view.shape.fields[0].kind, out);
                Ok(())
            }
        },
        Some(WellKnown::Dynamic) => dynamic(view, out),
        _ => nested(LIST, out, |out| fields(view, out)),
    }
}

/// What a wrapper has that says nothing more.
fn zero(kind: Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Bool => bool(false, out),
        Kind::Float | Kind::Double => double(0.0, out),
        Kind::Text => text("", out),
        Kind::Bytes => put::set_bytes(BYTES, &[], out),
        _ => int(0, out),
    }
}

/// Appends each field as a key and its value.
fn fields(view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    for (field, values) in view.fields() {
        let mut written = Ok(());
        attribute(VALUES, &field.name, out, |out| {
            written = several(field.is_map, field.is_repeated, values, out);
        });
        written?;
    }
    Ok(())
}

/// Appends the content of a value that a field has: one, an array, or a list of keys and
/// values.
pub(super) fn several(
    is_map: bool,
    is_repeated: bool,
    values: &[(usize, Value<'_>)],
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    if is_map {
        return nested(LIST, out, |out| entries(values, out));
    }
    if !is_repeated {
        return any(values[0].1, out);
    }
    nested(ARRAY, out, |out| {
        for (_, value) in values {
            let mut written = Ok(());
            put::message(VALUES, out, |out| written = any(*value, out));
            written?;
        }
        Ok(())
    })
}

/// Appends the entries of a map.
fn entries(values: &[(usize, Value<'_>)], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    for (_, entry) in values {
        let Value::Message(entry) = entry else {
            continue;
        };
        let entry = entry.view()?;
        let (key, value) = entry.entry();
        let key = match key {
            Some(Value::Text(key)) => key,
            _ => "",
        };
        let mut written = Ok(());
        attribute(VALUES, key, out, |out| {
            if let Some(value) = value {
                written = any(value, out);
            }
        });
        written?;
    }
    Ok(())
}

/// A `Struct`, `ListValue` or `Value`; nothing for null.
fn dynamic(view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    let Some((field, values)) = view.fields().next() else {
        return match view.shape.name.as_str() {
            "google.protobuf.Struct" => nested(LIST, out, |_| Ok(())),
            "google.protobuf.ListValue" => nested(ARRAY, out, |_| Ok(())),
            _ => Ok(()),
        };
    };
    match (field.name.as_str(), values[0].1) {
        ("null_value", _) => Ok(()),
        // All numbers of a Struct are doubles; whole ones are said as such.
        (_, Value::Number(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            int(number as i64, out);
            Ok(())
        }
        _ => several(field.is_map, field.is_repeated, values, out),
    }
}

fn nested(
    field: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut written = Ok(());
    put::message(field, out, |out| written = write(out));
    written
}
