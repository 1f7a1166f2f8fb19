//! Encoded messages as JSON, without building them.

use std::{
    borrow::Cow,
    fmt::Write as _,
    ops::{Deref, DerefMut},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::tz::Offset;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use crate::{
    descriptors,
    parts::Parts,
    printable::{is_odd, printable_json},
    shape::{Kind, Shape, WellKnown},
    view::{Encoded, Unreadable, Value, View},
};

/// Whose text is remembered, if anything is: the larger part of a flow, and the same in
/// many.
const COMES_AGAIN: &str = "flow.Endpoint";

/// A text that is written, and what is remembered of those before.
pub(super) struct Text<'t> {
    pub(super) out: &'t mut String,
    pub(super) parts: Option<&'t mut Parts<str>>,
}

impl Deref for Text<'_> {
    type Target = String;

    fn deref(&self) -> &String {
        self.out
    }
}

impl DerefMut for Text<'_> {
    fn deref_mut(&mut self) -> &mut String {
        self.out
    }
}

/// Appends the message as one line; nothing, if it is none.
pub(super) fn write(
    text: &mut Text<'_>,
    shape: &'static Shape,
    encoded: &[u8],
) -> Result<(), Unreadable> {
    let begin = text.len();
    let written = message_of(text, shape, encoded);
    if written.is_err() {
        text.truncate(begin);
    }
    if written != Err(Unreadable::Twice) {
        return written;
    }
    let merged = merged(shape, encoded).ok_or(Unreadable::Malformed)?;
    let written = message_of(text, shape, &merged);
    if written.is_err() {
        text.truncate(begin);
    }
    written
}

fn message_of(text: &mut Text<'_>, shape: &'static Shape, bytes: &[u8]) -> Result<(), Unreadable> {
    message(text, &View::new(shape, bytes)?)
}

/// Bytes that say everything once.
fn merged(shape: &Shape, bytes: &[u8]) -> Option<Vec<u8>> {
    let kind = descriptors::message(&shape.name)?;
    let message = DynamicMessage::decode(kind, bytes).ok()?;
    Some(message.encode_to_vec())
}

fn message(text: &mut Text<'_>, view: &View<'_>) -> Result<(), Unreadable> {
    match view.shape.known {
        Some(WellKnown::Timestamp) => timestamp(text, view),
        Some(WellKnown::Duration) => duration(text, view),
        Some(WellKnown::Any) => return any(text, view),
        Some(WellKnown::Dynamic) => return dynamic(text, view),
        Some(WellKnown::Wrapper) => match view.get("value") {
            Some(inner) => return value(text, inner),
            None => return default(text, view.shape.fields[0].kind),
        },
        None => {
            text.push('{');
            fields(text, view)?;
            text.push('}');
        }
    }
    Ok(())
}

fn fields(text: &mut Text<'_>, view: &View<'_>) -> Result<(), Unreadable> {
    for (index, (field, values)) in view.fields().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push('"');
        text.push_str(&field.name);
        text.push_str("\":");
        if field.is_map {
            map(text, values)?;
        } else if field.is_repeated {
            list(text, values)?;
        } else {
            value(text, values[0].1)?;
        }
    }
    Ok(())
}

fn list(text: &mut Text<'_>, values: &[(usize, Value<'_>)]) -> Result<(), Unreadable> {
    text.push('[');
    for (index, (_, one)) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        value(text, *one)?;
    }
    text.push(']');
    Ok(())
}

fn value(text: &mut Text<'_>, value: Value<'_>) -> Result<(), Unreadable> {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Bool(value) => write!(text, "{value}"),
        Value::I32(value) => write!(text, "{value}"),
        Value::U32(value) => write!(text, "{value}"),
        Value::I64(value) => write!(text, "\"{value}\""),
        Value::U64(value) => write!(text, "\"{value}\""),
        Value::Enum(number, names) => match names.get(number) {
            Some(name) => write!(text, "\"{name}\""),
            None => write!(text, "{number}"),
        },
        // No message of the protos has bytes, but for those inside of Any.
        Value::Bytes(_) => write!(text, "null"),
        Value::Number(value) => {
            number(text, value);
            Ok(())
        }
        Value::Text(value) => {
            string(text, value);
            Ok(())
        }
        Value::Message(encoded) => return part(text, encoded),
    };
    Ok(())
}

/// A message in another.
fn part(text: &mut Text<'_>, encoded: Encoded<'_>) -> Result<(), Unreadable> {
    if text.parts.is_none() || encoded.shape().name != COMES_AGAIN {
        return message(text, &encoded.view()?);
    }
    let Text { out, parts } = text;
    if let Some(known) = parts.as_mut().and_then(|parts| parts.get(encoded.bytes())) {
        out.push_str(known);
        return Ok(());
    }
    let begin = out.len();
    message(text, &encoded.view()?)?;
    let Text { out, parts } = text;
    if let Some(parts) = parts {
        parts.keep(encoded.bytes(), &out[begin..]);
    }
    Ok(())
}

/// What is absent where something has to be.
fn default(text: &mut Text<'_>, kind: Kind) -> Result<(), Unreadable> {
    let zero = match kind {
        Kind::Bool => Value::Bool(false),
        Kind::Text => Value::Text(""),
        Kind::Bytes => Value::Bytes(&[]),
        Kind::Enum(names) => Value::Enum(0, names),
        Kind::Float | Kind::Double => Value::Number(0.0),
        Kind::Int { is_short }
        | Kind::Uint { is_short }
        | Kind::Zigzag { is_short }
        | Kind::Fixed { is_short }
        | Kind::SignedFixed { is_short } => match is_short {
            true => Value::U32(0),
            false => Value::U64(0),
        },
        Kind::Message(place) => return message_of(text, Shape::at(place), &[]),
    };
    value(text, zero)
}

/// Entries by their keys, in their order; of two with one key the last.
fn map(text: &mut Text<'_>, entries: &[(usize, Value<'_>)]) -> Result<(), Unreadable> {
    let mut sorted: Vec<(Cow<'_, str>, Encoded<'_>)> = Vec::with_capacity(entries.len());
    for (_, entry) in entries {
        if let Value::Message(entry) = entry {
            sorted.push((key(entry.view()?.entry().0), *entry));
        }
    }
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    text.push('{');
    let mut is_first = true;
    for same in sorted.chunk_by(|a, b| a.0 == b.0) {
        let (key, entry) = &same[same.len() - 1];
        if !std::mem::take(&mut is_first) {
            text.push(',');
        }
        string(text, key);
        text.push(':');
        match entry.view()?.entry().1 {
            Some(inner) => value(text, inner)?,
            None => default(text, value_kind(entry.shape()))?,
        }
    }
    text.push('}');
    Ok(())
}

/// Of the values of a map whose entries have this type.
fn value_kind(entry: &Shape) -> Kind {
    let mut fields = entry.fields.iter();
    let value = fields.find(|field| field.name == "value");
    value.map_or(Kind::Bytes, |field| field.kind)
}

fn key(key: Option<Value<'_>>) -> Cow<'_, str> {
    match key {
        Some(Value::Text(key)) => key.into(),
        Some(Value::Bool(key)) => key.to_string().into(),
        Some(Value::I32(key)) => key.to_string().into(),
        Some(Value::U32(key)) => key.to_string().into(),
        Some(Value::I64(key)) => key.to_string().into(),
        Some(Value::U64(key)) => key.to_string().into(),
        _ => "".into(),
    }
}

fn number(text: &mut Text<'_>, number: f64) {
    match number {
        number if number.is_nan() => text.push_str("\"NaN\""),
        f64::INFINITY => text.push_str("\"Infinity\""),
        f64::NEG_INFINITY => text.push_str("\"-Infinity\""),
        number if number.fract() == 0.0 && number.abs() < 9e15 => {
            let _ = write!(text, "{}", number as i64);
        }
        number if number.fract() == 0.0 && number.abs() < 1e21 => {
            let _ = write!(text, "{number:.0}");
        }
        number => text.push_str(&serde_json::Value::from(number).to_string()),
    }
}

/// As JSON for HTML, as Go's encoder does, and for terminals.
fn string(text: &mut Text<'_>, value: &str) {
    let is_plain = |byte: u8| {
        matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
    };
    if value.bytes().all(is_plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
        return;
    }
    let quoted = serde_json::Value::from(value).to_string();
    let shown = match quoted.contains(is_odd) {
        true => printable_json(&quoted),
        false => Cow::Borrowed(quoted.as_str()),
    };
    for c in shown.chars() {
        match c {
            '<' | '>' | '&' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
}

fn seconds_and_nanos(view: &View<'_>) -> (i64, i32) {
    let seconds = match view.get("seconds") {
        Some(Value::I64(seconds)) => seconds,
        _ => 0,
    };
    match view.get("nanos") {
        Some(Value::I32(nanos)) => (seconds, nanos),
        _ => (seconds, 0),
    }
}

fn timestamp(text: &mut Text<'_>, view: &View<'_>) {
    let (seconds, nanos) = seconds_and_nanos(view);
    let Ok(moment) = jiff::Timestamp::new(seconds, nanos) else {
        // Not valid in JSON; the library refuses it, and so no line would come out.
        text.push_str("null");
        return;
    };
    let civil = Offset::UTC.to_datetime(moment);
    text.push('"');
    match u16::try_from(civil.year()) {
        Ok(year) => digits::<4>(text, year),
        Err(_) => _ = write!(text, "{:04}", civil.year()),
    }
    let parts = [
        ('-', civil.month()),
        ('-', civil.day()),
        ('T', civil.hour()),
        (':', civil.minute()),
        (':', civil.second()),
    ];
    for (before, number) in parts {
        text.push(before);
        digits::<2>(text, number.unsigned_abs().into());
    }
    fraction(text, nanos);
    text.push_str("Z\"");
}

/// A number of so many digits.
fn digits<const N: usize>(text: &mut String, mut number: u16) {
    let mut digits = [0; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    for digit in digits {
        text.push(digit.into());
    }
}

fn duration(text: &mut Text<'_>, view: &View<'_>) {
    let (seconds, nanos) = seconds_and_nanos(view);
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let _ = write!(text, "\"{sign}{}", seconds.unsigned_abs());
    fraction(text, nanos.saturating_abs());
    text.push_str("s\"");
}

/// 0, 3, 6 or 9 digits.
fn fraction(text: &mut Text<'_>, nanos: i32) {
    let _ = match nanos {
        0 => Ok(()),
        nanos if nanos % 1_000_000 == 0 => write!(text, ".{:03}", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => write!(text, ".{:06}", nanos / 1_000),
        nanos => write!(text, ".{nanos:09}"),
    };
}

/// A type that is not known has its content as Base64 in `value`.
fn any(text: &mut Text<'_>, view: &View<'_>) -> Result<(), Unreadable> {
    let url = match view.get("type_url") {
        Some(Value::Text(url)) => url,
        _ => "",
    };
    let content = match view.get("value") {
        Some(Value::Bytes(content)) => content,
        _ => &[],
    };
    text.push_str("{\"@type\":");
    string(text, url);
    let begin = text.len();
    let shape = Shape::named(url.rsplit('/').next().unwrap_or_default());
    let written = shape.map(|shape| match known_any(text, view, shape, content) {
        Err(Unreadable::Twice) => {
            text.truncate(begin);
            let merged = merged(shape, content).ok_or(Unreadable::Malformed)?;
            known_any(text, &View::new(view.shape, &[])?, shape, &merged)
        }
        written => written,
    });
    if !matches!(written, Some(Ok(()))) {
        text.truncate(begin);
        if !content.is_empty() {
            text.push_str(",\"value\":");
            string(text, &BASE64_STANDARD.encode(content));
        }
    }
    text.push('}');
    Ok(())
}

fn known_any<'a>(
    text: &mut Text<'_>,
    outer: &View<'a>,
    shape: &'static Shape,
    content: &'a [u8],
) -> Result<(), Unreadable> {
    let inner = outer.inside(shape, content)?;
    if shape.name.starts_with("google.protobuf.") {
        text.push_str(",\"value\":");
        return message(text, &inner);
    }
    let rest = text.len();
    text.push(',');
    fields(text, &inner)?;
    if text.len() == rest + 1 {
        text.truncate(rest);
    }
    Ok(())
}

/// Struct and its parts; keys in their order, as Go sorts them.
fn dynamic(text: &mut Text<'_>, view: &View<'_>) -> Result<(), Unreadable> {
    let Some((field, values)) = view.fields().next() else {
        text.push_str(match view.shape.name.as_str() {
            "google.protobuf.Struct" => "{}",
            "google.protobuf.ListValue" => "[]",
            _ => "null",
        });
        return Ok(());
    };
    match (field.name.as_str(), values[0].1) {
        ("fields", _) => map(text, values),
        ("values", _) => list(text, values),
        ("null_value", _) => {
            text.push_str("null");
            Ok(())
        }
        (_, one) => value(text, one),
    }
}
