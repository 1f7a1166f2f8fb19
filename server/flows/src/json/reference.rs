//! The same JSON by reflection of the library, which is slow and simple: what the writer
//! is held against.

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use crate::{descriptors::pool, printable::printable_json};

/// Fields of each message in the order of declaration.
static FIELDS: LazyLock<HashMap<String, Vec<FieldDescriptor>>> = LazyLock::new(|| {
    let declared = |message: MessageDescriptor| {
        let fields = message.descriptor_proto().field.iter();
        let fields = fields.filter_map(|field| message.get_field_by_name(field.name()));
        (message.full_name().to_owned(), fields.collect())
    };
    pool().all_messages().map(declared).collect()
});

/// The message as a line.
pub(super) fn print(message: &DynamicMessage) -> String {
    let mut text = String::new();
    write_message(&mut text, message);
    text
}

fn write_message(text: &mut String, message: &DynamicMessage) {
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => write_timestamp(text, message),
        "google.protobuf.Duration" => write_duration(text, message),
        "google.protobuf.Any" => write_any(text, message),
        "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => {
            write_by_serde(text, message);
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
            let value = message.get_field_by_number(1).expect("wrappers have it");
            let field = descriptor.get_field(1).expect("wrappers have it");
            write_value(text, &value, &field.kind());
        }
        _ => {
            text.push('{');
            write_fields(text, message, true);
            text.push('}');
        }
    }
}

fn write_fields(text: &mut String, message: &DynamicMessage, mut first: bool) {
    let fields = FIELDS.get(message.descriptor().full_name());
    for field in fields.into_iter().flatten() {
        if !message.has_field(field) {
            continue;
        }
        if !std::mem::take(&mut first) {
            text.push(',');
        }
        write_string(text, field.name());
        text.push(':');
        write_value(text, &message.get_field(field), &field.kind());
    }
}

fn write_value(text: &mut String, value: &Value, kind: &Kind) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Bool(value) => write!(text, "{value}"),
        Value::I32(value) => write!(text, "{value}"),
        Value::U32(value) => write!(text, "{value}"),
        Value::I64(value) => write!(text, "\"{value}\""),
        Value::U64(value) => write!(text, "\"{value}\""),
        Value::F32(value) => return write_number(text, f64::from(*value)),
        Value::F64(value) => return write_number(text, *value),
        Value::String(value) => return write_string(text, value),
        Value::EnumNumber(number) => return write_enum(text, *number, kind),
        Value::Message(message) => return write_message(text, message),
        Value::List(values) => return write_list(text, values, kind),
        Value::Map(entries) => return write_map(text, entries, kind),
        // No message of the protos has bytes, but for those inside of Any.
        Value::Bytes(_) => write!(text, "null"),
    };
}

fn write_list(text: &mut String, values: &[Value], kind: &Kind) {
    text.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_value(text, value, kind);
    }
    text.push(']');
}

fn write_map(text: &mut String, entries: &HashMap<MapKey, Value>, kind: &Kind) {
    let Some(value_field) = kind
        .as_message()
        .map(MessageDescriptor::map_entry_value_field)
    else {
        return;
    };
    let mut entries: Vec<_> = entries
        .iter()
        .map(|(key, value)| (key_text(key), value))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    text.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(text, key);
        text.push(':');
        write_value(text, value, &value_field.kind());
    }
    text.push('}');
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn write_enum(text: &mut String, number: i32, kind: &Kind) {
    match kind.as_enum().and_then(|kind| kind.get_value(number)) {
        Some(value) => write_string(text, value.name()),
        None => *text += &number.to_string(),
    }
}

fn write_number(text: &mut String, number: f64) {
    match number {
        number if number.is_nan() => *text += "\"NaN\"",
        f64::INFINITY => *text += "\"Infinity\"",
        f64::NEG_INFINITY => *text += "\"-Infinity\"",
        number if number.fract() == 0.0 && number.abs() < 1e21 => *text += &format!("{number:.0}"),
        number => *text += &serde_json::Value::from(number).to_string(),
    }
}

/// As JSON for HTML, as Go's encoder does, and for terminals.
fn write_string(text: &mut String, value: &str) {
    let quoted = serde_json::Value::from(value).to_string();
    for c in printable_json(&quoted).chars() {
        match c {
            '<' | '>' | '&' => *text += &format!("\\u{:04x}", u32::from(c)),
            c => text.push(c),
        }
    }
}

fn write_timestamp(text: &mut String, message: &DynamicMessage) {
    let Ok(time) = message.transcode_to::<prost_types::Timestamp>() else {
        return;
    };
    match jiff::Timestamp::new(time.seconds, time.nanos) {
        Ok(moment) => {
            let moment = moment.to_zoned(jiff::tz::TimeZone::UTC);
            let seconds = moment.strftime("%Y-%m-%dT%H:%M:%S");
            *text += &format!("\"{seconds}{}Z\"", fraction(time.nanos));
        }
        // Not valid in JSON; the library refuses it, and so no line would come out.
        Err(_) => *text += "null",
    }
}

fn write_duration(text: &mut String, message: &DynamicMessage) {
    let Ok(duration) = message.transcode_to::<prost_types::Duration>() else {
        return;
    };
    let sign = if duration.seconds < 0 || duration.nanos < 0 {
        "-"
    } else {
        ""
    };
    let seconds = duration.seconds.unsigned_abs();
    *text += &format!("\"{sign}{seconds}{}s\"", fraction(duration.nanos.abs()));
}

/// 0, 3, 6 or 9 digits.
fn fraction(nanos: i32) -> String {
    match nanos {
        0 => String::new(),
        nanos if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => format!(".{:06}", nanos / 1_000),
        nanos => format!(".{nanos:09}"),
    }
}

/// A type that is not known has its content as Base64 in `value`.
fn write_any(text: &mut String, message: &DynamicMessage) {
    let Ok(any) = message.transcode_to::<prost_types::Any>() else {
        return;
    };
    *text += "{\"@type\":";
    write_string(text, &any.type_url);
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let inner = pool()
        .get_message_by_name(name)
        .and_then(|kind| DynamicMessage::decode(kind, any.value.as_slice()).ok());
    if let Some(inner) = inner {
        if name.starts_with("google.protobuf.") {
            *text += ",\"value\":";
            write_message(text, &inner);
        } else {
            let rest = text.len();
            text.push(',');
            write_fields(text, &inner, true);
            if text.len() == rest + 1 {
                text.truncate(rest);
            }
        }
    } else if !any.value.is_empty() {
        *text += ",\"value\":";
        write_string(text, &BASE64_STANDARD.encode(&any.value));
    }
    text.push('}');
}

/// Struct and its parts; keys in their order, as Go sorts them.
fn write_by_serde(text: &mut String, message: &DynamicMessage) {
    if let Ok(value) = serde_json::to_value(message) {
        write_json(text, &value);
    }
}

fn write_json(text: &mut String, value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(text, key);
                text.push(':');
                write_json(text, value);
            }
            text.push('}');
        }
        serde_json::Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_json(text, value);
            }
            text.push(']');
        }
        serde_json::Value::String(value) => write_string(text, value),
        serde_json::Value::Number(number) => {
            write_number(text, number.as_f64().unwrap_or_default());
        }
        other => *text += &other.to_string(),
    }
}
