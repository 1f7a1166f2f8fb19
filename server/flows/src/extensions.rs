//! `Flow.extensions` as a `google.protobuf.Struct`, read on the wire without making a
//! message of it. Never panics, whatever the bytes. For keys see `flow::proto`.

use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::Any;

const STRUCT: &str = "google.protobuf.Struct";

/// Fields of a `Value`.
const NUMBER: u32 = 2;
const TEXT: u32 = 3;
const FIELDS: u32 = 5;

/// An encoded `google.protobuf.Value`.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// If it is a number.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        let mut rest = self.0;
        loop {
            let (number, (wire, content)) = take(&mut rest)?;
            if number == NUMBER && wire == WireType::SixtyFourBit {
                return Some(f64::from_le_bytes(content.try_into().ok()?));
            }
        }
    }

    /// If it is a text.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        str::from_utf8(messages(self.0, TEXT).next()?).ok()
    }

    /// Keys and values, if it is a struct.
    pub fn entries(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        messages(self.0, FIELDS).flat_map(pairs)
    }
}

/// Keys and values of the extensions; none if they are no struct.
#[must_use]
pub fn entries(any: &Any) -> Option<impl Iterator<Item = (&[u8], Value<'_>)>> {
    let is_struct = any.type_url.rsplit('/').next() == Some(STRUCT);
    is_struct.then(|| pairs(&any.value))
}

/// What is at this path of keys.
#[must_use]
pub fn find<'a>(any: &'a Any, path: &[&str]) -> Option<Value<'a>> {
    let (first, rest) = path.split_first()?;
    let is = |wanted: &str| {
        let wanted = wanted.as_bytes().to_owned();
        move |(key, value): (&'a [u8], Value<'a>)| (key == wanted).then_some(value)
    };
    let first = entries(any)?.find_map(is(first))?;
    rest.iter()
        .try_fold(first, |value, key| value.entries().find_map(is(key)))
}

/// The entries of a struct.
fn pairs(wire: &[u8]) -> impl Iterator<Item = (&[u8], Value<'_>)> {
    messages(wire, 1).filter_map(|entry| {
        Some((
            messages(entry, 1).next()?,
            Value(messages(entry, 2).next()?),
        ))
    })
}

/// The contents of the length-delimited fields of this number.
fn messages(mut wire: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (number, content) = take(&mut wire)?;
            if number == wanted && content.0 == WireType::LengthDelimited {
                return Some(content.1);
            }
        }
    })
}

/// Takes a field off.
fn take<'a>(wire: &mut &'a [u8]) -> Option<(u32, (WireType, &'a [u8]))> {
    if wire.is_empty() {
        return None;
    }
    let (number, kind) = decode_key(wire).ok()?;
    let length = match kind {
        WireType::Varint => {
            decode_varint(wire).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(wire).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (content, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    Some((number, (kind, content)))
}
