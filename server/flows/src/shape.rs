//! What the protos say of each message, as readers of encoded bytes need it: made once
//! from the descriptors that the build carries.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{Cardinality, FieldDescriptor, Kind as Described, MessageDescriptor};
use rustc_hash::FxHashMap;

use crate::descriptors;

static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::all);

struct Shapes {
    all: Vec<Shape>,
    by_name: FxHashMap<String, usize>,
}

/// A message type.
#[derive(Debug)]
pub struct Shape {
    /// Its full name, such as `flow.Flow`.
    pub name: String,
    /// Whether JSON has a form of its own for it.
    pub known: Option<WellKnown>,
    /// In the order of declaration.
    pub fields: Vec<Field>,
    /// Numbers of fields, sorted, each with its place in `fields`.
    by_number: Vec<(u32, usize)>,
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// As the proto has it.
    pub name: String,
    /// Its number on the wire.
    pub number: u32,
    /// Of its values.
    pub kind: Kind,
    /// Any number of values; of a map its entries.
    pub is_repeated: bool,
    /// A repeated message of `key` and `value`.
    pub is_map: bool,
    /// Absent and default are two things.
    pub has_presence: bool,
    /// The group of which one field is set, by its number in the message.
    pub oneof: Option<usize>,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int32` and `int64`.
    Int {
        /// Of 32 bits.
        is_short: bool,
    },
    /// `uint32` and `uint64`.
    Uint {
        /// Of 32 bits.
        is_short: bool,
    },
    /// `sint32` and `sint64`.
    Zigzag {
        /// Of 32 bits.
        is_short: bool,
    },
    /// `fixed32` and `fixed64`.
    Fixed {
        /// Of 32 bits.
        is_short: bool,
    },
    /// `sfixed32` and `sfixed64`.
    SignedFixed {
        /// Of 32 bits.
        is_short: bool,
    },
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// `string`.
    Text,
    /// `bytes`.
    Bytes,
    /// An enumeration.
    Enum(&'static Names),
    /// A message, by its place among all.
    Message(usize),
}

/// Names of the values of an enumeration.
#[derive(Debug, PartialEq, Eq)]
pub struct Names(FxHashMap<i32, String>);

/// Messages for which JSON has a form of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WellKnown {
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Any`.
    Any,
    /// `google.protobuf.Struct`, `Value` or `ListValue`.
    Dynamic,
    /// `google.protobuf.BoolValue` and the like.
    Wrapper,
}

impl Shapes {
    fn all() -> Self {
        // Kept are the shapes alone, which take a tenth of this.
        let pool = descriptors::read();
        let messages: Vec<_> = pool.all_messages().collect();
        let by_name = messages.iter().enumerate();
        let by_name: FxHashMap<_, _> = by_name
            .map(|(place, message)| (message.full_name().to_owned(), place))
            .collect();
        let mut names = HashMap::new();
        let shapes = messages.iter().map(|message| {
            let kind = |field: &FieldDescriptor| kind(field, &by_name, &mut names);
            Shape::of(message, kind)
        });
        let all = shapes.collect();
        Self { all, by_name }
    }
}

impl Shape {
    /// That of the type with this full name, if the protos have it.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let place = SHAPES.by_name.get(name)?;
        SHAPES.all.get(*place)
    }

    /// That of a message kind.
    #[must_use]
    pub fn at(place: usize) -> &'static Self {
        &SHAPES.all[place]
    }

    /// The field of this number and its place in the order of declaration.
    pub(crate) fn place(&self, number: u32) -> Option<usize> {
        // Most messages have their fields by number from 1 on.
        let guess = number.wrapping_sub(1) as usize;
        let found = match self.by_number.get(guess) {
            Some(found) if found.0 == number => found,
            _ => {
                let place = self.by_number.binary_search_by_key(&number, |one| one.0);
                &self.by_number[place.ok()?]
            }
        };
        Some(found.1)
    }

    /// The field of this number.
    #[must_use]
    pub fn field(&self, number: u32) -> Option<&Field> {
        self.place(number).map(|place| &self.fields[place])
    }

    /// The field of this name, as the proto has it.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn of(message: &MessageDescriptor, mut kind: impl FnMut(&FieldDescriptor) -> Kind) -> Self {
        // The descriptor's own list has the order of declaration.
        let declared = message.descriptor_proto().field.iter();
        let declared = declared.filter_map(|field| message.get_field_by_name(field.name()));
        let (mut fields, mut by_number) = (Vec::new(), Vec::new());
        for field in declared {
            by_number.push((field.number(), fields.len()));
            let oneof = field.containing_oneof();
            fields.push(Field {
                name: field.name().to_owned(),
                number: field.number(),
                kind: kind(&field),
                is_repeated: field.cardinality() == Cardinality::Repeated,
                is_map: field.is_map(),
                has_presence: field.supports_presence(),
                oneof: oneof.and_then(|oneof| message.oneofs().position(|one| one == oneof)),
            });
        }
        by_number.sort_unstable();
        let name = message.full_name().to_owned();
        Self {
            known: WellKnown::of(&name),
            name,
            fields,
            by_number,
        }
    }
}

impl WellKnown {
    fn of(name: &str) -> Option<Self> {
        let name = name.strip_prefix("google.protobuf.")?;
        match name {
            "Timestamp" => Some(Self::Timestamp),
            "Duration" => Some(Self::Duration),
            "Any" => Some(Self::Any),
            "Struct" | "Value" | "ListValue" => Some(Self::Dynamic),
            name if name.ends_with("Value") => Some(Self::Wrapper),
            _ => None,
        }
    }
}

impl Names {
    /// Name of a value, if it has one.
    #[must_use]
    pub fn get(&self, number: i32) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }
}

fn kind(
    field: &FieldDescriptor,
    messages: &FxHashMap<String, usize>,
    names: &mut HashMap<String, &'static Names>,
) -> Kind {
    let (is_short, is_long) = (true, false);
    match field.kind() {
        Described::Bool => Kind::Bool,
        Described::Int32 => Kind::Int { is_short },
        Described::Int64 => Kind::Int { is_short: is_long },
        Described::Uint32 => Kind::Uint { is_short },
        Described::Uint64 => Kind::Uint { is_short: is_long },
        Described::Sint32 => Kind::Zigzag { is_short },
        Described::Sint64 => Kind::Zigzag { is_short: is_long },
        Described::Fixed32 => Kind::Fixed { is_short },
        Described::Fixed64 => Kind::Fixed { is_short: is_long },
        Described::Sfixed32 => Kind::SignedFixed { is_short },
        Described::Sfixed64 => Kind::SignedFixed { is_short: is_long },
        Described::Float => Kind::Float,
        Described::Double => Kind::Double,
        Described::String => Kind::Text,
        Described::Bytes => Kind::Bytes,
        Described::Message(message) => Kind::Message(messages[message.full_name()]),
        Described::Enum(described) => {
            let made = names.entry(described.full_name().to_owned());
            // Once for each enumeration of the protos, and for as long as the program runs.
            Kind::Enum(made.or_insert_with(|| {
                let values = described.values();
                let values = values.map(|value| (value.number(), value.name().to_owned()));
                Box::leak(Box::new(Names(values.collect())))
            }))
        }
    }
}
