//! The messages that a line can hold, by the names of their fields in JSON.
//!
//! Made once from the descriptors of the build; what it holds is bounded by
//! them. Types with a JSON form of their own (timestamps, wrappers, `Any`) are
//! left to prost-reflect: `Any` with all descriptors, which are kept then.

use std::{collections::HashMap, sync::Arc};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptors;

/// Package of the types with a JSON form of their own.
const WELL_KNOWN: &str = "google.protobuf.";
const ANY: &str = "google.protobuf.Any";

/// Message types, by their place.
#[derive(Default)]
pub(super) struct Schema {
    messages: Vec<Message>,
    places: HashMap<String, usize>,
}

/// One message type: its fields by proto name and by JSON name.
pub(super) type Message = HashMap<Box<str>, Field>;

/// One field.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) number: u32,
    /// A bit of its own in the message.
    pub(super) bit: u64,
    /// The bits of all fields with which it cannot be in one message: itself
    /// and the others of its oneof.
    pub(super) excludes: u64,
    pub(super) repeated: bool,
    pub(super) kind: FieldKind,
}

/// The type of a field.
#[derive(Clone)]
pub(super) enum FieldKind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    String,
    /// Numbers by name.
    Enum(Arc<HashMap<Box<str>, i32>>),
    /// The place of the message type.
    Message(usize),
    /// `Any`, of whatever type.
    Any,
    /// Left to prost-reflect.
    WellKnown(MessageDescriptor),
}

impl Schema {
    /// The types that the messages `roots` of our descriptors consist of.
    pub(super) fn new(roots: &[&str]) -> Self {
        let pool = descriptors::read();
        let mut schema = Self::default();
        for root in roots {
            let message = pool.get_message_by_name(root);
            schema.place(&message.expect("the wire contract has the messages of the exporter"));
        }
        schema
    }

    /// A message type that `new` was given.
    pub(super) fn root(&self, name: &str) -> usize {
        self.places[name]
    }

    /// The fields of the message type at `place`.
    pub(super) fn message(&self, place: usize) -> &Message {
        &self.messages[place]
    }

    /// Where a message type is; it is added when it is not there yet.
    fn place(&mut self, message: &MessageDescriptor) -> usize {
        if let Some(place) = self.places.get(message.full_name()) {
            return *place;
        }
        let place = self.messages.len();
        self.places.insert(message.full_name().to_owned(), place);
        self.messages.push(Message::new());
        for field in message.fields() {
            let kind = self.kind(&field.kind());
            let new = Field {
                number: field.number(),
                bit: bit(&field),
                excludes: match field.containing_oneof() {
                    None => bit(&field),
                    Some(oneof) => oneof.fields().fold(0, |all, member| all | bit(&member)),
                },
                repeated: field.is_list(),
                kind,
            };
            self.messages[place].insert(field.json_name().into(), new.clone());
            self.messages[place].insert(field.name().into(), new);
        }
        place
    }

    fn kind(&mut self, kind: &Kind) -> FieldKind {
        match kind {
            Kind::Bool => FieldKind::Bool,
            Kind::Int32 => FieldKind::Int32,
            Kind::Int64 => FieldKind::Int64,
            Kind::Uint32 => FieldKind::Uint32,
            Kind::Uint64 => FieldKind::Uint64,
            Kind::String => FieldKind::String,
            Kind::Enum(names) => FieldKind::Enum(Arc::new(numbers(names))),
            Kind::Message(message) if message.full_name() == ANY => FieldKind::Any,
            Kind::Message(message) if message.full_name().starts_with(WELL_KNOWN) => {
                let alone = descriptors::well_known(message.full_name());
                FieldKind::WellKnown(alone.unwrap_or_else(|| message.clone()))
            }
            Kind::Message(message) => FieldKind::Message(self.place(message)),
            other => unreachable!("Hubble's messages have no field of type {other:?}"),
        }
    }
}

/// Fields are numbered in the order of their declaration, which is below 64.
fn bit(field: &FieldDescriptor) -> u64 {
    let fields = field.parent_message().fields();
    let before = fields.take_while(|other| other != field).count();
    1_u64
        .checked_shl(before as u32)
        .expect("no message of Hubble has more than 64 fields")
}

fn numbers(names: &EnumDescriptor) -> HashMap<Box<str>, i32> {
    let values = names.values();
    values
        .map(|value| (value.name().into(), value.number()))
        .collect()
}
