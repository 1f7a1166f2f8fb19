//! Names that expressions may use: messages, fields and enumeration values of
//! `flow.proto`, and the well-known types.

use std::borrow::Cow;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{types::Type, value::Value};
use crate::descriptors;

/// The variable that holds the flow.
pub(super) const FLOW: &str = "_flow";

/// The container in which names are looked up first.
pub(super) const CONTAINER: &str = "flow";

/// A message of the package `flow` by its full name.
pub(super) fn message(name: &str) -> Option<MessageDescriptor> {
    if !name.starts_with("flow.") {
        return None;
    }
    descriptors::message(name)
}

/// `name` in the container, then as it is; a leading dot means as it is.
pub(super) fn candidates(name: &str) -> Vec<String> {
    match name.strip_prefix('.') {
        Some(name) => vec![name.into()],
        None => vec![format!("{CONTAINER}.{name}"), name.into()],
    }
}

/// What a global name means.
pub(super) enum Meaning {
    /// The flow.
    Flow,
    /// A type.
    Type(Type),
    /// A value of an enumeration.
    Number(i64),
}

/// Looks up a full name.
pub(super) fn global(name: &str) -> Option<Meaning> {
    if name == FLOW {
        return Some(Meaning::Flow);
    }
    if let Some(ty) = basic_type(name).or_else(|| message_type(name)) {
        return Some(Meaning::Type(ty));
    }
    enum_value(name).map(Meaning::Number)
}

fn basic_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "string" => Type::String,
        "type" => Type::Type(None),
        "uint" => Type::Uint,
        _ => return None,
    })
}

/// The type of a message, also of a well-known one.
pub(super) fn message_type(name: &str) -> Option<Type> {
    if let Some(ty) = well_known(name) {
        return Some(ty);
    }
    if name == "google.protobuf.Empty" || message(name).is_some() {
        return Some(Type::Message(name.into()));
    }
    None
}

fn well_known(name: &str) -> Option<Type> {
    let wrapper = |ty| Some(Type::Wrapper(Box::new(ty)));
    match name.strip_prefix("google.protobuf.")? {
        "BoolValue" => wrapper(Type::Bool),
        "BytesValue" => wrapper(Type::Bytes),
        "DoubleValue" | "FloatValue" => wrapper(Type::Double),
        "Int32Value" | "Int64Value" => wrapper(Type::Int),
        "UInt32Value" | "UInt64Value" => wrapper(Type::Uint),
        "StringValue" => wrapper(Type::String),
        "Any" => Some(Type::Any),
        "Duration" => Some(Type::Duration),
        "Timestamp" => Some(Type::Timestamp),
        "ListValue" => Some(Type::list(Type::Dyn)),
        "Struct" => Some(Type::map(Type::String, Type::Dyn)),
        "Value" => Some(Type::Dyn),
        _ => None,
    }
}

fn enum_value(name: &str) -> Option<i64> {
    if name == "google.protobuf.NullValue.NULL_VALUE" {
        return Some(0);
    }
    let (of, value) = name.rsplit_once('.')?;
    let of = descriptors::pool()
        .get_enum_by_name(of)
        .filter(|e| e.package_name() == CONTAINER)?;
    let value = of.get_value_by_name(value)?;
    Some(i64::from(value.number()))
}

/// The type of a field.
pub(super) fn field_type(field: &FieldDescriptor) -> Type {
    let element = match field.kind() {
        Kind::Bool => Type::Bool,
        Kind::String => Type::String,
        Kind::Bytes => Type::Bytes,
        Kind::Float | Kind::Double => Type::Double,
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Type::Uint,
        Kind::Message(message) => message_type(message.full_name())
            .unwrap_or_else(|| Type::Message(message.full_name().into())),
        _ => Type::Int,
    };
    if field.is_list() {
        Type::list(element)
    } else {
        element
    }
}

/// Type and number of a field of a well-known type that can be constructed.
pub(super) fn well_known_field(message: &str, field: &str) -> Option<(Type, u32)> {
    let name = message.strip_prefix("google.protobuf.")?;
    match (name, field) {
        ("Timestamp" | "Duration", "seconds") => Some((Type::Int, 1)),
        ("Timestamp" | "Duration", "nanos") => Some((Type::Int, 2)),
        (_, "value") => match well_known(message)? {
            Type::Wrapper(of) => Some((*of, 1)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a name of a type may be used as a value. Well-known types that are
/// something else as values may not.
pub(super) fn is_type_value(name: &str) -> bool {
    match name.strip_prefix("google.protobuf.") {
        Some(name) => matches!(name, "Duration" | "Empty" | "Timestamp"),
        None => true,
    }
}

/// The value of a wrapper without fields.
pub(super) fn default_of_wrapper(name: &str) -> Option<Value<'static>> {
    let Type::Wrapper(of) = well_known(name)? else {
        return None;
    };
    Some(match *of {
        Type::Bool => Value::Bool(false),
        Type::Int => Value::Int(0),
        Type::Uint => Value::Uint(0),
        Type::Double => Value::Double(0.0),
        Type::Bytes => Value::Bytes(Cow::Borrowed(&[])),
        _ => Value::text(""),
    })
}
