//! `Any` in a form that every client prints.
//!
//! A client that prints JSON stops at a type that it does not know, and at
//! content that its type does not allow. So what is not a well-known type or a
//! message of Hubble's, and sound, becomes a `Struct` that has all of it: `@type`
//! and, as Base64, `value`. Bound: the length of what is given; nesting as deep
//! as prost decodes (100).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value as Reflected};
use prost_types::{Any, Struct, Value, value::Kind};

use super::STRUCT_URL;
use crate::descriptors;

/// The one type that is frequent.
pub(crate) const STRUCT: &str = "google.protobuf.Struct";

/// Packages whose types the `hubble` CLI has. Field masks are left out: their
/// JSON form cannot hold every path.
const KNOWN_PACKAGES: [&str; 3] = ["google.protobuf.", "flow.", "observer."];
const NO_JSON: &str = "google.protobuf.FieldMask";

/// Years 1 to 9999, and 10,000 years, as JSON has them.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const DURATIONS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;
const NANOS: i32 = 1_000_000_000;

/// The same, if clients can print it; otherwise a `Struct` that holds it.
#[must_use]
pub(super) fn printable(any: Any) -> Any {
    if is_printable(&any) {
        return any;
    }
    let text = |text: String| Value {
        kind: Some(Kind::StringValue(text)),
    };
    let value = BASE64_STANDARD.encode(&any.value);
    let fields = [
        ("@type".to_owned(), text(any.type_url)),
        ("value".to_owned(), text(value)),
    ];
    of_struct(&Struct {
        fields: fields.into(),
    })
}

/// A `Struct` in an `Any`.
#[must_use]
pub(crate) fn of_struct(fields: &Struct) -> Any {
    Any {
        type_url: STRUCT_URL.into(),
        value: fields.encode_to_vec(),
    }
}

/// Whether the `hubble` CLI has the type that a URL names.
#[must_use]
pub(crate) fn is_known(type_url: &str) -> bool {
    let name = name_of(type_url);
    name != NO_JSON
        && KNOWN_PACKAGES
            .iter()
            .any(|package| name.starts_with(package))
        && descriptors::message(name).is_some()
}

/// The name of a type is what is behind the last slash.
#[must_use]
pub(crate) fn name_of(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or_default()
}

fn is_printable(any: &Any) -> bool {
    if any.type_url.is_empty() {
        return any.value.is_empty();
    }
    // By far the most frequent one.
    if name_of(&any.type_url) == STRUCT {
        return Struct::decode(any.value.as_slice()).is_ok_and(|fields| are_sound(&fields));
    }
    if !is_known(&any.type_url) {
        return false;
    }
    descriptors::message(name_of(&any.type_url))
        .and_then(|kind| DynamicMessage::decode(kind, any.value.as_slice()).ok())
        .is_some_and(|message| is_sound(&message))
}

fn are_sound(fields: &Struct) -> bool {
    fields.fields.values().all(is_sound_value)
}

/// JSON has no value that is none, and only finite numbers.
fn is_sound_value(value: &Value) -> bool {
    match &value.kind {
        None => false,
        Some(Kind::NumberValue(number)) => number.is_finite(),
        Some(Kind::StructValue(fields)) => are_sound(fields),
        Some(Kind::ListValue(list)) => list.values.iter().all(is_sound_value),
        Some(Kind::NullValue(_) | Kind::BoolValue(_) | Kind::StringValue(_)) => true,
    }
}

/// Whether a message and all in it has a JSON form.
fn is_sound(message: &DynamicMessage) -> bool {
    let descriptor = message.descriptor();
    let number = |field| message.get_field_by_number(field);
    let seconds = || number(1).and_then(|seconds| seconds.as_i64());
    let nanos = || number(2).and_then(|nanos| nanos.as_i32());
    match descriptor.full_name() {
        NO_JSON => false,
        "google.protobuf.Any" => message.transcode_to().is_ok_and(|any| is_printable(&any)),
        STRUCT => message
            .transcode_to()
            .is_ok_and(|fields| are_sound(&fields)),
        "google.protobuf.Value" => message
            .transcode_to()
            .is_ok_and(|value| is_sound_value(&value)),
        "google.protobuf.Timestamp" => {
            seconds().is_some_and(|seconds| TIMES.contains(&seconds))
                && nanos().is_some_and(|nanos| (0..NANOS).contains(&nanos))
        }
        "google.protobuf.Duration" => match (seconds(), nanos()) {
            (Some(seconds), Some(nanos)) => {
                let same_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
                DURATIONS.contains(&seconds) && nanos.abs() < NANOS && same_sign
            }
            _ => false,
        },
        _ => message.fields().all(|(_, value)| is_sound_field(value)),
    }
}

fn is_sound_field(value: &Reflected) -> bool {
    match value {
        Reflected::Message(inner) => is_sound(inner),
        Reflected::List(values) => values.iter().all(is_sound_field),
        Reflected::Map(entries) => entries.values().all(is_sound_field),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
