//! Fields of protobuf messages, appended to a buffer. Values that are zero or
//! empty are left out, as proto3 does; `put_set_*` write them all the same.

use std::fmt;

use crate::flow::Time;

/// Wire types (protobuf's encoding guide).
const VARINT: u32 = 0;
const DELIMITED: u32 = 2;

/// Appends a number.
#[inline]
pub fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a non-zero number.
#[inline]
pub fn number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        tag(field, VARINT, out);
        varint(number, out);
    }
}

/// Appends a number, also zero.
#[inline]
pub fn set_number(field: u32, number: u64, out: &mut Vec<u8>) {
    tag(field, VARINT, out);
    varint(number, out);
}

/// Appends a non-zero `int32` or enumeration; negative ones take ten bytes.
#[inline]
pub fn int(field: u32, number_: i32, out: &mut Vec<u8>) {
    number(field, i64::from(number_) as u64, out);
}

/// Appends a text or bytes that are not empty.
#[inline]
pub fn bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        set_bytes(field, bytes, out);
    }
}

/// Appends a text, bytes or an encoded message, also an empty one.
#[inline]
pub fn set_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    head(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends what comes before a content of this length.
#[inline]
pub fn head(field: u32, length: usize, out: &mut Vec<u8>) {
    tag(field, DELIMITED, out);
    varint(length as u64, out);
}

/// Appends the content of a `Timestamp`.
#[inline]
pub fn time(time: Time, out: &mut Vec<u8>) {
    number(1, time.seconds as u64, out);
    int(2, time.nanos, out);
}

/// Appends a message field whose content `write` appends.
#[inline]
pub fn message(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(field, DELIMITED, out);
    delimited(out, 1, write);
}

/// As `message`, for content that is expected to be longer than 127 bytes.
#[inline]
pub fn long_message(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(field, DELIMITED, out);
    delimited(out, 2, write);
}

/// Appends a text field whose text `write` appends; nothing if it is empty.
#[inline]
pub fn text(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let before = out.len();
    message(field, out, write);
    if out.last() == Some(&0) && out.len() == before + tag_length(field) + 1 {
        out.truncate(before);
    }
}

/// Appends a length and the content, after a guess of the length's own length.
#[inline]
fn delimited(out: &mut Vec<u8>, guess: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 2][..guess]);
    write(out);
    let length = out.len() - at - guess;
    match (guess, length) {
        (1, ..0x80) => out[at] = length as u8,
        (2, 0x80..0x4000) => {
            out[at] = length as u8 | 0x80;
            out[at + 1] = (length >> 7) as u8;
        }
        _ => misjudged(out, at, guess, length),
    }
}

#[cold]
fn misjudged(out: &mut Vec<u8>, at: usize, guess: usize, length: usize) {
    let mut prefix = Vec::with_capacity(10);
    varint(length as u64, &mut prefix);
    out.splice(at..at + guess, prefix);
}

#[inline]
fn tag(field: u32, kind: u32, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | kind), out);
}

fn tag_length(field: u32) -> usize {
    match field {
        ..0x10 => 1,
        0x10..0x800 => 2,
        _ => 3,
    }
}

/// Formatted text into a buffer.
pub struct Text<'a>(pub &'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
