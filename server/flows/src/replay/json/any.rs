//! `Any` in JSON, of whatever type.
//!
//! An object whose type is not known, or whose content is not what its type
//! says, becomes a `Struct` that has all of it, `@type` too: it could be neither
//! stored nor printed by a client otherwise.

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use prost_types::{Any, ListValue, Struct, Value, value::Kind};
use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, Error as _};
use serde_json::{Map, Number, Value as Json};

use crate::{
    descriptors,
    flow::proto::{STRUCT, is_known, name_of, of_struct},
};

const ANY: &str = "google.protobuf.Any";
const TYPE: &str = "@type";

/// Numbers beyond this are not exact in JSON's floating point.
const MAX_EXACT: u64 = 1 << 53;

/// Reads an `Any`.
pub(super) struct AnyReader;

impl<'de> DeserializeSeed<'de> for AnyReader {
    type Value = Any;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Any, D::Error> {
        let Json::Object(mut object) = Json::deserialize(json)? else {
            return Err(D::Error::custom("expected an object with \"@type\""));
        };
        if object.is_empty() {
            return Ok(Any::default());
        }
        let type_url = object.get(TYPE).and_then(Json::as_str).unwrap_or_default();
        let type_url = type_url.to_owned();
        if name_of(&type_url) == STRUCT
            && object.len() == 2
            && object.get("value").is_some_and(Json::is_object)
            && let Some(Json::Object(fields)) = object.remove("value")
        {
            let any = of_struct(&to_struct(fields));
            return Ok(Any { type_url, ..any });
        }
        if is_known(&type_url)
            && let Some(any) = known(&object)
        {
            return Ok(any);
        }
        Ok(of_struct(&to_struct(object)))
    }
}

/// As the type says; `None` if the content is not that.
fn known(object: &Map<String, Json>) -> Option<Any> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    // Of the pool that has the types which can be inside.
    let any = descriptors::message(ANY)?;
    let message = DynamicMessage::deserialize_with_options(any, object, &options).ok()?;
    Any::decode(message.encode_to_vec().as_slice()).ok()
}

fn to_struct(object: Map<String, Json>) -> Struct {
    let entries = object.into_iter();
    Struct {
        fields: entries.map(|(key, json)| (key, to_value(json))).collect(),
    }
}

fn to_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => to_number(&number),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        Json::Object(object) => Kind::StructValue(to_struct(object)),
    };
    Value { kind: Some(kind) }
}

/// A number, as text if it would change.
fn to_number(number: &Number) -> Kind {
    let whole = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
    match (whole, number.as_f64()) {
        (Some(whole), _) if whole > MAX_EXACT => Kind::StringValue(number.to_string()),
        (_, Some(number)) => Kind::NumberValue(number),
        (_, None) => Kind::StringValue(number.to_string()),
    }
}
