//! Protobuf's JSON as Hubble prints it: proto names in the order of declaration,
//! 64-bit integers as text, `<`, `>` and `&` escaped; and back. Of what comes from
//! other versions, names that are not known are passed over; what a user types may have
//! none.
//!
//! The library writes fields by number, hence a writer of our own.

mod keys;

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey,
    MessageDescriptor, ReflectMessage as _, Value,
};

use crate::printable::printable_json;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(sextant_proto::DESCRIPTORS).expect("the build made them")
});

/// Fields of each message in the order of declaration.
static FIELDS: LazyLock<HashMap<String, Vec<FieldDescriptor>>> = LazyLock::new(|| {
    let declared = |message: MessageDescriptor| {
        let fields = message.descriptor_proto().field.iter();
        let fields = fields.filter_map(|field| message.get_field_by_name(field.name()));
        (message.full_name().to_owned(), fields.collect())
    };
    POOL.all_messages().map(declared).collect()
});

/// Why a text is no message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// The message, of the type with this full name, as one line of JSON.
///
/// # Panics
///
/// Where the protos have no such type.
#[must_use]
pub fn print(message: &impl Message, name: &str) -> String {
    let mut text = String::with_capacity(1024);
    write(&mut text, &message.encode_to_vec(), name)
        .expect("both are made of the same descriptors");
    text
}

/// Appends the encoded message, of the type with this full name, as one line of JSON.
///
/// # Errors
///
/// What is no such message; nothing is appended then.
///
/// # Panics
///
/// Where the protos have no such type.
pub fn write(text: &mut String, encoded: &[u8], name: &str) -> Result<(), JsonError> {
    let message = DynamicMessage::decode(descriptor(name), encoded);
    let message = message.map_err(|error| JsonError(error.to_string()))?;
    write_message(text, &message);
    Ok(())
}

/// The message, of the type with this full name, that the JSON text is.
///
/// # Errors
///
/// What of the text is no such message.
pub fn parse<M: Message + Default>(text: &str, name: &str) -> Result<M, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let message = read(&mut reader, name, false)?;
    let end = reader.end();
    end.map_err(|error| JsonError(error.to_string()))?;
    Ok(message)
}

/// All the messages of this type that the text has, one after another. A name that is not
/// known is a mistake: passed over, it would leave a message that says something else.
///
/// # Errors
///
/// What of the text is no such message.
pub fn parse_strict<M: Message + Default>(text: &str, name: &str) -> Result<Vec<M>, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut messages = Vec::new();
    for once in serde_json::Deserializer::from_str(text).into_iter::<keys::Once>() {
        once.map_err(|error| JsonError(error.to_string()))?;
    }
    while reader.end().is_err() {
        messages.push(read(&mut reader, name, true)?);
    }
    Ok(messages)
}

/// The message of this type that a value is, in the same strict way.
///
/// # Errors
///
/// What of the value is no such message.
pub fn from_value<M: Message + Default>(
    value: &serde_json::Value,
    name: &str,
) -> Result<M, JsonError> {
    DynamicMessage::deserialize(descriptor(name), value)
        .map_err(|error| JsonError(error.to_string()))?
        .transcode_to()
        .map_err(|error| JsonError(error.to_string()))
}

fn read<'a, M: Message + Default>(
    reader: &mut serde_json::Deserializer<serde_json::de::StrRead<'a>>,
    name: &str,
    is_strict: bool,
) -> Result<M, JsonError> {
    let options = DeserializeOptions::new().deny_unknown_fields(is_strict);
    DynamicMessage::deserialize_with_options(descriptor(name), reader, &options)
        .map_err(|error| JsonError(error.to_string()))?
        .transcode_to()
        .map_err(|error| JsonError(error.to_string()))
}

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name)
        .expect("callers name messages of the protos")
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
    let inner = POOL
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

#[cfg(test)]
mod tests {
    use sextant_proto::{flow as pb, observer::GetFlowsResponse};

    use super::*;

    const LINE: &str = concat!(
        r#"{"flow":{"time":"2026-01-02T03:04:05.120Z","uuid":"u","verdict":"DROPPED","IP":{"source":"1.2.3.4","#,
        r#""ipVersion":"IPv4"},"l4":{"TCP":{"flags":{}}},"l7":{"latency_ns":"7","http":{"url":"/?a=1\u0026b=\u003c\u003e"}},"#,
        r#""is_reply":false,"Summary":"s","extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","#,
        r#""value":{"bytes":120,"list":["a","b"],"ratio":0.5}}},"node_name":"n","time":"2026-01-02T03:04:05Z"}"#,
    );

    #[test]
    fn a_line_of_hubble_comes_out_as_it_went_in() {
        let response: GetFlowsResponse = parse(LINE, "observer.GetFlowsResponse").unwrap();
        assert_eq!(print(&response, "observer.GetFlowsResponse"), LINE);
    }

    #[test]
    fn unknown_names_are_passed_over_and_unknown_numbers_kept() {
        let flow: pb::Flow = parse(r#"{"verdict":77,"new_field":{"a":1}}"#, "flow.Flow").unwrap();
        assert_eq!(print(&flow, "flow.Flow"), r#"{"verdict":77}"#);
    }

    #[test]
    fn a_type_that_is_not_known_keeps_name_and_content() {
        let flow = pb::Flow {
            extensions: Some(prost_types::Any {
                type_url: "type.googleapis.com/utils.RetinaMetadata".into(),
                value: vec![8, 1],
            }),
            ..pb::Flow::default()
        };
        assert_eq!(
            print(&flow, "flow.Flow"),
            r#"{"extensions":{"@type":"type.googleapis.com/utils.RetinaMetadata","value":"CAE="}}"#
        );
    }

    #[test]
    fn several_messages_may_follow_one_another() {
        let filters: Vec<pb::FlowFilter> = parse_strict(
            r#" {"protocol":["tcp"]} {"reply":[true]}"#,
            "flow.FlowFilter",
        )
        .unwrap();
        assert_eq!(filters.len(), 2);
        assert!(parse_strict::<pb::FlowFilter>("{", "flow.FlowFilter").is_err());
        assert!(parse::<pb::FlowFilter>("{} {}", "flow.FlowFilter").is_err());
    }
}
