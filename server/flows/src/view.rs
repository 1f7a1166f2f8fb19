//! A message looked at in its encoded form: its fields in the order of declaration, as
//! its type describes them. Nothing is copied, and nothing is built but a list of places.
//!
//! Not for bytes that say a thing twice, as protobuf allows: those are refused as
//! `Unreadable::Twice`, and have to be made one first. Bound: `MAX_DEPTH` messages in one
//! another.

use prost::encoding::decode_varint;

use crate::shape::{Field, Kind, Names, Shape};

/// Messages in one another, as prost allows.
const MAX_DEPTH: u32 = 100;

/// Why bytes are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They are no such message.
    #[error("malformed protobuf")]
    Malformed,
    /// One field is said twice, or two of which one is set.
    #[error("a field is set twice")]
    Twice,
}

/// A message.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Its type.
    pub shape: &'static Shape,
    /// Places of fields in `shape`, sorted, each with a value.
    found: Vec<(usize, Value<'a>)>,
    depth: u32,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `bool`.
    Bool(bool),
    /// Of 32 bits, signed.
    I32(i32),
    /// Of 32 bits.
    U32(u32),
    /// Of 64 bits, signed.
    I64(i64),
    /// Of 64 bits.
    U64(u64),
    /// `float` or `double`.
    Number(f64),
    /// `string`.
    Text(&'a str),
    /// `bytes`.
    Bytes(&'a [u8]),
    /// Of an enumeration.
    Enum(i32, &'static Names),
    /// A message that was not looked at.
    Message(Encoded<'a>),
}

/// An encoded message and its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoded<'a> {
    place: usize,
    bytes: &'a [u8],
    depth: u32,
}

impl<'a> Encoded<'a> {
    /// Looks at it.
    ///
    /// # Errors
    ///
    /// Why it cannot be.
    pub fn view(self) -> Result<View<'a>, Unreadable> {
        View::at_depth(Shape::at(self.place), self.bytes, self.depth)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Its type.
    #[must_use]
    pub fn shape(self) -> &'static Shape {
        Shape::at(self.place)
    }
}

impl<'a> View<'a> {
    /// Looks at the bytes of a message of this type.
    ///
    /// # Errors
    ///
    /// Why they cannot be.
    pub fn new(shape: &'static Shape, bytes: &'a [u8]) -> Result<Self, Unreadable> {
        Self::at_depth(shape, bytes, 0)
    }

    /// Looks at bytes of another type that are inside of this message.
    ///
    /// # Errors
    ///
    /// Why they cannot be.
    pub fn inside(&self, shape: &'static Shape, bytes: &'a [u8]) -> Result<Self, Unreadable> {
        Self::at_depth(shape, bytes, self.depth + 1)
    }

    fn at_depth(
        shape: &'static Shape,
        mut bytes: &'a [u8],
        depth: u32,
    ) -> Result<Self, Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::Malformed);
        }
        let mut found = Vec::with_capacity(shape.fields.len().min(24));
        while !bytes.is_empty() {
            let (number, wire) = take(&mut bytes)?;
            if let Some(place) = shape.place(number) {
                add(&mut found, place, &shape.fields[place], wire, depth)?;
            }
        }
        let is_sorted = found.is_sorted_by_key(|(place, _)| *place);
        if !is_sorted {
            found.sort_by_key(|(place, _)| *place);
        }
        let view = Self {
            shape,
            found,
            depth,
        };
        view.check()?;
        Ok(view)
    }

    fn check(&self) -> Result<(), Unreadable> {
        let mut groups = 0_u64;
        for (index, (place, _)) in self.found.iter().enumerate() {
            let field = &self.shape.fields[*place];
            let is_again = index > 0 && self.found[index - 1].0 == *place;
            if is_again && !field.is_repeated {
                return Err(Unreadable::Twice);
            }
            if let Some(group) = field.oneof {
                let bit = 1_u64.checked_shl(group as u32).unwrap_or(0);
                if groups & bit != 0 {
                    return Err(Unreadable::Twice);
                }
                groups |= bit;
            }
        }
        Ok(())
    }

    /// Fields that are set, in the order of declaration, each with its values: one, or
    /// any number where it is repeated.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, &[(usize, Value<'a>)])> {
        let same = |a: &(usize, Value<'_>), b: &(usize, Value<'_>)| a.0 == b.0;
        let each = self.found.chunk_by(same);
        each.filter_map(|values| {
            let field = &self.shape.fields[values[0].0];
            let is_absent = !field.is_repeated && !field.has_presence && values[0].1.is_default();
            (!is_absent).then_some((field, values))
        })
    }

    /// The value of a field that is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let found = self.found.iter();
        let mut named = found.filter(|(place, _)| self.shape.fields[*place].name == name);
        named.next().map(|(_, value)| *value)
    }

    /// Key and value of an entry of a map; absent is what is default.
    #[must_use]
    pub fn entry(&self) -> (Option<Value<'a>>, Option<Value<'a>>) {
        (self.get("key"), self.get("value"))
    }
}

impl Value<'_> {
    fn is_default(&self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::I32(value) => *value == 0,
            Self::U32(value) => *value == 0,
            Self::I64(value) => *value == 0,
            Self::U64(value) => *value == 0,
            // Minus zero is said.
            Self::Number(value) => value.to_bits() == 0,
            Self::Text(value) => value.is_empty(),
            Self::Bytes(value) => value.is_empty(),
            Self::Enum(value, _) => *value == 0,
            Self::Message(_) => false,
        }
    }
}

/// A value as it is on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Takes a field off.
fn take<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Wire<'a>), Unreadable> {
    let tag = u32::try_from(varint(bytes)?).map_err(|_| Unreadable::Malformed)?;
    let number = tag >> 3;
    if number == 0 {
        return Err(Unreadable::Malformed);
    }
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => Wire::Fixed64(u64::from_le_bytes(array(bytes)?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|_| Unreadable::Malformed)?;
            Wire::Bytes(split(bytes, length)?)
        }
        5 => Wire::Fixed32(u32::from_le_bytes(array(bytes)?)),
        // Groups, which no proto of ours has, are left to those who can read them.
        3 => return Err(Unreadable::Twice),
        _ => return Err(Unreadable::Malformed),
    };
    Ok((number, wire))
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u64, Unreadable> {
    match **bytes {
        [short @ 0..0x80, ..] => {
            *bytes = &bytes[1..];
            Ok(u64::from(short))
        }
        _ => decode_varint(bytes).map_err(|_| Unreadable::Malformed),
    }
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or(Unreadable::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let taken = split(bytes, N)?;
    taken.try_into().map_err(|_| Unreadable::Malformed)
}

fn add<'a>(
    found: &mut Vec<(usize, Value<'a>)>,
    place: usize,
    field: &Field,
    wire: Wire<'a>,
    depth: u32,
) -> Result<(), Unreadable> {
    let is_one = matches!(field.kind, Kind::Text | Kind::Bytes | Kind::Message(_));
    let Wire::Bytes(mut packed) = wire else {
        found.push((place, value(field.kind, wire, depth)?));
        return Ok(());
    };
    if is_one || !field.is_repeated {
        found.push((place, value(field.kind, wire, depth)?));
        return Ok(());
    }
    while !packed.is_empty() {
        let wire = match field.kind {
            Kind::Double => Wire::Fixed64(u64::from_le_bytes(array(&mut packed)?)),
            Kind::Float => Wire::Fixed32(u32::from_le_bytes(array(&mut packed)?)),
            Kind::Fixed { is_short } | Kind::SignedFixed { is_short } => match is_short {
                true => Wire::Fixed32(u32::from_le_bytes(array(&mut packed)?)),
                false => Wire::Fixed64(u64::from_le_bytes(array(&mut packed)?)),
            },
            _ => Wire::Varint(varint(&mut packed)?),
        };
        found.push((place, value(field.kind, wire, depth)?));
    }
    Ok(())
}

fn value(kind: Kind, wire: Wire<'_>, depth: u32) -> Result<Value<'_>, Unreadable> {
    Ok(match (kind, wire) {
        (Kind::Bool, Wire::Varint(raw)) => Value::Bool(raw != 0),
        (Kind::Int { is_short: true }, Wire::Varint(raw)) => Value::I32(raw as i32),
        (Kind::Int { is_short: false }, Wire::Varint(raw)) => Value::I64(raw as i64),
        (Kind::Uint { is_short: true }, Wire::Varint(raw)) => Value::U32(raw as u32),
        (Kind::Uint { is_short: false }, Wire::Varint(raw)) => Value::U64(raw),
        (Kind::Zigzag { is_short: true }, Wire::Varint(raw)) => {
            Value::I32(zigzag(u64::from(raw as u32)) as i32)
        }
        (Kind::Zigzag { is_short: false }, Wire::Varint(raw)) => Value::I64(zigzag(raw)),
        (Kind::Enum(names), Wire::Varint(raw)) => Value::Enum(raw as i32, names),
        (Kind::Fixed { is_short: true }, Wire::Fixed32(raw)) => Value::U32(raw),
        (Kind::Fixed { is_short: false }, Wire::Fixed64(raw)) => Value::U64(raw),
        (Kind::SignedFixed { is_short: true }, Wire::Fixed32(raw)) => Value::I32(raw as i32),
        (Kind::SignedFixed { is_short: false }, Wire::Fixed64(raw)) => Value::I64(raw as i64),
        (Kind::Float, Wire::Fixed32(raw)) => Value::Number(f32::from_bits(raw).into()),
        (Kind::Double, Wire::Fixed64(raw)) => Value::Number(f64::from_bits(raw)),
        (Kind::Text, Wire::Bytes(raw)) => {
            Value::Text(str::from_utf8(raw).map_err(|_| Unreadable::Malformed)?)
        }
        (Kind::Bytes, Wire::Bytes(raw)) => Value::Bytes(raw),
        (Kind::Message(place), Wire::Bytes(bytes)) => Value::Message(Encoded {
            place,
            bytes,
            depth: depth + 1,
        }),
        _ => return Err(Unreadable::Malformed),
    })
}

fn zigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}
