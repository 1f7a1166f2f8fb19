//! Fields of encoded messages: taken one after another, and written with the
//! length in front. Never panics, whatever the bytes.

use prost::encoding::{decode_varint, encode_varint};

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

/// Appends a message field whose content `write` appends.
pub(super) fn write_message(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    encode_varint(u64::from(number) << 3 | LENGTH_DELIMITED, out);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    encode_varint(length as u64, &mut prefix);
    out.splice(at..=at, prefix);
}
