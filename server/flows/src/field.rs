//! Fields of encoded messages, taken one after another; nothing is decoded.
//! Never panics, whatever the bytes.

use prost::encoding::{DecodeContext, WireType, decode_varint, skip_field};

/// Length-delimited, the wire type of messages.
const LENGTH_DELIMITED: u64 = 2;
const START_GROUP: u64 = 3;

/// One field of an encoded message.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Number of the field.
    pub number: u32,
    /// Tag and value.
    pub whole: &'a [u8],
    /// The value without its length, where the field can be a message.
    pub message: Option<&'a [u8]>,
}

/// Bytes that are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf")]
pub struct Malformed;

impl<'a> Field<'a> {
    /// The first field of `wire`; nothing at the end.
    ///
    /// # Errors
    ///
    /// Where the bytes are no field.
    pub fn next(wire: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if wire.is_empty() {
            return Ok(None);
        }
        Self::first(wire).map(Some).ok_or(Malformed)
    }

    fn first(wire: &'a [u8]) -> Option<Self> {
        let (tag, rest) = varint(wire)?;
        let number = Some(u32::try_from(tag).ok()? >> 3).filter(|number| *number > 0)?;
        let mut message = None;
        let rest = match tag & 7 {
            0 => varint(rest)?.1,
            1 => rest.get(8..)?,
            LENGTH_DELIMITED => {
                let (length, rest) = varint(rest)?;
                let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                message = Some(value);
                rest
            }
            START_GROUP => {
                let (mut rest, context) = (rest, DecodeContext::default());
                skip_field(WireType::StartGroup, number, &mut rest, context).ok()?;
                rest
            }
            5 => rest.get(4..)?,
            _ => return None,
        };
        Some(Self {
            number,
            whole: &wire[..wire.len() - rest.len()],
            message,
        })
    }
}

/// The fields of a message; an error is the last item.
///
/// # Errors
/// Where the bytes are no field.
pub fn fields(mut message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    std::iter::from_fn(move || {
        let found = Field::next(message).transpose()?;
        message = match found {
            Ok(field) => &message[field.whole.len()..],
            Err(Malformed) => &[],
        };
        Some(found)
    })
}

/// Takes a number off; most have one byte.
#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [short @ 0..0x80, rest @ ..] => Some((u64::from(*short), rest)),
        long => long_varint(long),
    }
}

/// Apart, so that the usual one is small enough to be put where it is asked for.
#[inline(never)]
fn long_varint(mut bytes: &[u8]) -> Option<(u64, &[u8])> {
    let number = decode_varint(&mut bytes).ok()?;
    Some((number, bytes))
}
