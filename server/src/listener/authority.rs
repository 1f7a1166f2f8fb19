//! What a client of a unix socket calls the server, made a name that HTTP allows.
//!
//! A unix socket has no host name. gRPC's C core (Python, C++, Ruby, PHP, C#)
//! sends the percent-encoded path as `:authority`, older Java and Go clients the
//! bare path; `h2` ends such a request with PROTOCOL_ERROR before anybody sees
//! it. Nothing here depends on that name, so what `http` refuses in it is put as
//! `-` and the like: only there, on unix sockets alone.
//!
//! The header block is changed in place, and the text keeps its length: so the
//! tables of header compression stay the same on both sides, and no frame
//! changes its length. Everything else passes untouched, HTTP/1 too. Not done:
//! a name whose characters have no counterpart in their code, one that is split
//! over two frames, or one named by an entry that the client added itself; those
//! are refused as before.

use http::uri::Authority;

use super::huffman::{exchange, symbols};

/// What a client of HTTP/2 says first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The longest frame that our side allows; a longer one ends the connection.
const MAX_FRAME: usize = 16_384;
/// Place of `:authority` in the static table.
const AUTHORITY: usize = 1;
/// For codes of each length one character that a host name may have.
const STAND_INS: &[u8] = b"-q!+~";

/// Where a connection's bytes stand.
#[derive(Debug)]
pub(super) enum Scan {
    /// In the preface, or before it.
    Begin,
    /// In frames; so much of a payload passes first.
    Frames { pass: usize },
    /// No HTTP/2.
    Other,
}

impl Scan {
    /// Rewrites names in what is complete of `bytes`, which follow on those
    /// passed before; how many bytes may pass. The others are to be given again,
    /// with more behind them.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let rest = &mut bytes[at..];
            match self {
                Self::Other => return bytes.len(),
                Self::Begin => {
                    let seen = rest.len().min(PREFACE.len());
                    if rest[..seen] != PREFACE[..seen] {
                        *self = Self::Other;
                    } else if seen < PREFACE.len() {
                        return at;
                    } else {
                        at += seen;
                        *self = Self::Frames { pass: 0 };
                    }
                }
                Self::Frames { pass } if *pass > 0 => {
                    let passed = rest.len().min(*pass);
                    *pass -= passed;
                    at += passed;
                    if *pass > 0 {
                        return at;
                    }
                }
                Self::Frames { pass } => {
                    let Some((head, payload)) = rest.split_at_mut_checked(HEAD) else {
                        return at;
                    };
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    if head[3] == HEADERS && length <= MAX_FRAME {
                        let Some(payload) = payload.get_mut(..length) else {
                            return at;
                        };
                        // A frame that is malformed is for `h2` to refuse.
                        let _ = headers(head[4], payload);
                        at += HEAD + length;
                    } else {
                        *pass = HEAD + length;
                    }
                }
            }
        }
    }
}

/// The name in a HEADERS frame.
fn headers(flags: u8, mut payload: &mut [u8]) -> Option<()> {
    if flags & PADDED != 0 {
        let padding = usize::from(*payload.first()?);
        let end = payload.len().checked_sub(padding)?;
        payload = payload.get_mut(1..end)?;
    }
    if flags & PRIORITY != 0 {
        payload = payload.get_mut(5..)?;
    }
    // Until the name is found or the block is over.
    while !payload.is_empty() {
        payload = field(payload)?;
    }
    Some(())
}

/// One field of a header block; what is behind it, or nothing after the name.
fn field(block: &mut [u8]) -> Option<&mut [u8]> {
    let first = *block.first()?;
    let prefix = match first {
        // All in the table.
        0x80.. => return integer(block, 7).map(|(_, rest)| rest),
        0x40.. => 6,
        // A new size of the table.
        0x20.. => return integer(block, 5).map(|(_, rest)| rest),
        _ => 4,
    };
    let (index, mut rest) = integer(block, prefix)?;
    let mut is_authority = index == AUTHORITY;
    if index == 0 {
        let (name, is_coded, after) = string(rest)?;
        is_authority = is_authority_name(name, is_coded);
        rest = after;
    }
    let (value, is_coded, rest) = string(rest)?;
    if is_authority {
        allow(value, is_coded);
        return Some(&mut []);
    }
    Some(rest)
}

fn is_authority_name(name: &[u8], is_coded: bool) -> bool {
    const NAME: &[u8] = b":authority";
    if !is_coded {
        return name == NAME;
    }
    symbols(name).is_some_and(|symbols| symbols.iter().map(|symbol| &symbol.byte).eq(NAME))
}

/// Makes a value one that is allowed, if it is not and can be.
fn allow(value: &mut [u8], is_coded: bool) -> Option<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !is_coded {
        if Authority::try_from(&*value).is_err() {
            for byte in value.iter_mut().filter(|byte| !is_plain(**byte)) {
                *byte = b'-';
            }
        }
        return Some(());
    }
    let symbols = symbols(value)?;
    let text: Vec<u8> = symbols.iter().map(|symbol| symbol.byte).collect();
    if Authority::try_from(&*text).is_err() {
        for symbol in symbols.into_iter().filter(|symbol| !is_plain(symbol.byte)) {
            let mut stand_ins = STAND_INS.iter();
            stand_ins.any(|stand_in| exchange(value, symbol, *stand_in));
        }
    }
    Some(())
}

/// A number whose first byte has `prefix` bits of it (RFC 7541, 5.1), and what
/// is behind it.
fn integer(bytes: &mut [u8], prefix: u32) -> Option<(usize, &mut [u8])> {
    let most = (1 << prefix) - 1;
    let (first, mut rest) = bytes.split_first_mut()?;
    let mut number = usize::from(*first) & most;
    if number < most {
        return Some((number, rest));
    }
    for shift in (0..28).step_by(7) {
        let (byte, behind) = rest.split_first_mut()?;
        number = number.checked_add(usize::from(*byte & 0x7f) << shift)?;
        rest = behind;
        if *byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}

/// A string (RFC 7541, 5.2), whether it is Huffman coded, and what is behind it.
fn string(bytes: &mut [u8]) -> Option<(&mut [u8], bool, &mut [u8])> {
    let is_coded = bytes.first()? & 0x80 != 0;
    let (length, rest) = integer(bytes, 7)?;
    let (value, rest) = rest.split_at_mut_checked(length)?;
    Some((value, is_coded, rest))
}

#[cfg(test)]
mod tests;
