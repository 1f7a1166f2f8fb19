//! JSON of a protobuf message straight to its wire form, without a tree in
//! between (which would cost five times as much).
//!
//! The mapping is protobuf's, as lenient as upstream's with `DiscardUnknown`:
//! unknown fields and names of enumerations are passed over, null is no value, a
//! field that comes twice is an error. Bound: as deep as the message types, and
//! below `Any` and unknown fields as deep as serde_json goes (128).

use std::fmt;

use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{DeserializeOptions, DynamicMessage};
use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::{
    any::AnyReader,
    number::{EnumNumber, Number},
    schema::{Field, FieldKind, Message, Schema},
};

/// Appends the message of the type at `place` that `json` holds to `out`.
pub(super) fn transcode(
    schema: &Schema,
    place: usize,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(json);
    json.deserialize_map(Fields { schema, place, out })?;
    json.end()
}

/// Reads an object as the fields of a message.
struct Fields<'a> {
    schema: &'a Schema,
    place: usize,
    out: &'a mut Vec<u8>,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0;
        while let Some(field) = map.next_key_seed(Name(self.schema.message(self.place)))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = Value {
                schema: self.schema,
                field,
                out: &mut *self.out,
            };
            if !map.next_value_seed(Nullable(value))? {
                continue;
            }
            if seen & field.excludes != 0 {
                let text = "a field that comes twice, or beside another of its oneof";
                return Err(A::Error::custom(text));
            }
            seen |= field.bit;
        }
        Ok(())
    }
}

/// Finds the field of a name.
struct Name<'a>(&'a Message);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name))
    }
}

/// Reads a field that may be null or a list; tells whether there is a value.
struct Nullable<'a>(Value<'a>);

impl<'de> DeserializeSeed<'de> for Nullable<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Nullable<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        if self.0.field.repeated {
            json.deserialize_seq(List(self.0)).map(|()| true)
        } else {
            self.0.deserialize(json)
        }
    }
}

/// Reads a list as the values of a repeated field.
struct List<'a>(Value<'a>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            let value = Value {
                schema: self.0.schema,
                field: self.0.field,
                out: &mut *self.0.out,
            };
            if list.next_element_seed(value)?.is_none() {
                return Ok(());
            }
        }
    }
}

/// Reads one value of a field; tells whether it is one that is known.
struct Value<'a> {
    schema: &'a Schema,
    field: &'a Field,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        let number = match &self.field.kind {
            FieldKind::Bool => u64::from(bool::deserialize(json)?),
            // Negative numbers are extended to 64 bits on the wire.
            FieldKind::Int32 => i64::from(json.deserialize_any(Number::<i32>::new())?) as u64,
            FieldKind::Int64 => json.deserialize_any(Number::<i64>::new())? as u64,
            FieldKind::Uint32 => json.deserialize_any(Number::<u32>::new())?.into(),
            FieldKind::Uint64 => json.deserialize_any(Number::<u64>::new())?,
            FieldKind::Enum(numbers) => match json.deserialize_any(EnumNumber(numbers))? {
                Some(number) => i64::from(number) as u64,
                None => return Ok(false),
            },
            FieldKind::String => return json.deserialize_str(self).map(|()| true),
            &FieldKind::Message(place) => {
                encode_key(self.field.number, WireType::LengthDelimited, self.out);
                let at = self.out.len();
                json.deserialize_map(Fields {
                    schema: self.schema,
                    place,
                    out: &mut *self.out,
                })?;
                insert_length(self.out, at);
                return Ok(true);
            }
            FieldKind::Any => {
                let any = AnyReader.deserialize(json)?;
                self.bytes(&any.encode_to_vec());
                return Ok(true);
            }
            FieldKind::WellKnown(descriptor) => {
                let options = DeserializeOptions::new().deny_unknown_fields(false);
                let descriptor = descriptor.clone();
                let message = DynamicMessage::deserialize_with_options(descriptor, json, &options)?;
                self.bytes(&message.encode_to_vec());
                return Ok(true);
            }
        };
        encode_key(self.field.number, WireType::Varint, self.out);
        encode_varint(number, self.out);
        Ok(true)
    }
}

impl Value<'_> {
    fn bytes(self, bytes: &[u8]) {
        encode_key(self.field.number, WireType::LengthDelimited, self.out);
        encode_varint(bytes.len() as u64, self.out);
        self.out.extend_from_slice(bytes);
    }
}

/// A string.
impl Visitor<'_> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// Puts the length of what stands at `at` and behind in front of it.
fn insert_length(out: &mut Vec<u8>, at: usize) {
    let mut length = Vec::with_capacity(5);
    encode_varint((out.len() - at) as u64, &mut length);
    out.splice(at..at, length);
}
