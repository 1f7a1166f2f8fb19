//! UTF-16, in which some shells of Windows write what programs print: to UTF-8, as it
//! comes in. What is no character becomes U+FFFD. Bound: a character of four bytes.

/// What such a file begins with, in either byte order.
const LITTLE: [u8; 2] = [0xff, 0xfe];
const BIG: [u8; 2] = [0xfe, 0xff];

/// Bytes to characters.
pub(super) struct Utf16 {
    read: fn([u8; 2]) -> u16,
    /// Bytes of a character that is not whole yet.
    rest: Vec<u8>,
}

impl Utf16 {
    /// Of a file that begins with these bytes, if it is one.
    pub(super) fn of(begin: &[u8]) -> Option<Self> {
        let read = match *begin.first_chunk()? {
            LITTLE => u16::from_le_bytes,
            BIG => u16::from_be_bytes,
            _ => return None,
        };
        let rest = Vec::new();
        Some(Self { read, rest })
    }

    /// Adds the characters in the bytes that follow; at the end there are none.
    pub(super) fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let is_end = bytes.is_empty();
        self.rest.extend_from_slice(bytes);
        let mut units: Vec<u16> = self
            .rest
            .as_chunks()
            .0
            .iter()
            .map(|pair| (self.read)(*pair))
            .collect();
        let waits = !is_end
            && units
                .last()
                .is_some_and(|unit| matches!(unit, 0xd800..0xdc00));
        if waits {
            units.pop();
        }
        self.rest.drain(..units.len() * 2);
        if is_end && !self.rest.is_empty() {
            units.push(char::REPLACEMENT_CHARACTER as u16);
            self.rest.clear();
        }
        let text: String = char::decode_utf16(units)
            .map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_whole_wherever_the_bytes_are_cut() {
        let text = "{\"a\": \"\u{e9}\u{1f980}\"}\r\n";
        for (mark, write) in [
            (LITTLE, u16::to_le_bytes as fn(u16) -> [u8; 2]),
            (BIG, u16::to_be_bytes),
        ] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(write).collect();
            for cut in 0..=bytes.len() {
                let mut utf16 = Utf16::of(&mark).expect("a mark");
                let mut out = Vec::new();
                for part in [&bytes[..cut], &bytes[cut..]] {
                    if !part.is_empty() {
                        utf16.decode(part, &mut out);
                    }
                }
                utf16.decode(&[], &mut out);
                assert_eq!(String::from_utf8(out).expect("text"), text);
            }
        }
    }

    #[test]
    fn what_is_no_character_is_replaced() {
        let mut utf16 = Utf16::of(&LITTLE).expect("a mark");
        let mut out = Vec::new();
        utf16.decode(&[b'a', 0, 0, 0xd8, b'b', 0, 7], &mut out);
        utf16.decode(&[], &mut out);
        assert_eq!(String::from_utf8(out).expect("text"), "a\u{fffd}b\u{fffd}");
        assert!(Utf16::of(b"{}").is_none() && Utf16::of(&[0xff]).is_none());
    }
}
