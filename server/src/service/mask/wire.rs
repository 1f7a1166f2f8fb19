//! Fields of encoded messages, taken one after another. Never panics, whatever
//! the bytes.

use prost::encoding::decode_varint;

/// Length-delimited, the wire type of messages.
const LENGTH_DELIMITED: u64 = 2;

/// One field of an encoded message.
pub(super) struct WireField<'a> {
    pub(super) number: u32,
    /// Bytes of tag and value.
    pub(super) length: usize,
    /// The value without its length, where the field can be a message.
    pub(super) message: Option<&'a [u8]>,
}

impl<'a> WireField<'a> {
    /// The first field of `wire`; `None` at the end and at anything that is not
    /// a field (groups included, which proto3 has not).
    pub(super) fn next(wire: &'a [u8]) -> Option<Self> {
        let (tag, rest) = varint(wire)?;
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
            5 => rest.get(4..)?,
            _ => return None,
        };
        Some(Self {
            number: u32::try_from(tag >> 3).ok()?,
            length: wire.len() - rest.len(),
            message,
        })
    }
}

/// Takes a number off; most have one byte.
#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [short @ 0..0x80, rest @ ..] => Some((u64::from(*short), rest)),
        mut long => decode_varint(&mut long).ok().map(|number| (number, long)),
    }
}
