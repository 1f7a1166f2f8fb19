//! The Huffman code of HTTP/2 header values (RFC 7541, appendix B), as far as
//! host names and paths need it: printable ASCII, codes of 5 to 15 bits.
//!
//! Symbols are found and exchanged in place, one by another with a code as long,
//! so that neither the bytes nor the text change their length. Never panics,
//! whatever the bytes.

/// For each length of a code in bits: the symbols, whose codes count up. The
/// first code of a length is the one after the last of the length before,
/// shifted.
const SYMBOLS: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// One symbol of a coded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// What it stands for.
    pub(super) byte: u8,
    /// Where its code begins, in bits.
    at: usize,
    /// Bits of its code.
    length: u32,
}

/// The symbols of a coded text; `None` where one is not in the table, or the
/// padding is none.
pub(super) fn symbols(coded: &[u8]) -> Option<Vec<Symbol>> {
    let mut symbols = Vec::with_capacity(coded.len() * 8 / 5);
    let mut at = 0;
    while let Some(symbol) = symbol_at(coded, at) {
        at += symbol.length as usize;
        symbols.push(symbol);
    }
    // Less than a byte of ones.
    let rest = coded.len() * 8 - at;
    let is_padding = rest < 8 && (at..coded.len() * 8).all(|at| bit(coded, at) == Some(1));
    is_padding.then_some(symbols)
}

/// Puts `byte` where `old` is; whether their codes have the same length.
pub(super) fn exchange(coded: &mut [u8], old: Symbol, byte: u8) -> bool {
    let Some((code, length)) = code_of(byte) else {
        return false;
    };
    if length != old.length {
        return false;
    }
    for place in 0..length {
        let at = old.at + place as usize;
        let mask = 0x80 >> (at % 8);
        if code >> (length - 1 - place) & 1 == 1 {
            coded[at / 8] |= mask;
        } else {
            coded[at / 8] &= !mask;
        }
    }
    true
}

fn symbol_at(coded: &[u8], begin: usize) -> Option<Symbol> {
    let (mut read, mut read_bits) = (0, 0);
    for (length, symbols, first) in lengths() {
        while read_bits < length {
            read = read << 1 | bit(coded, begin + read_bits as usize)?;
            read_bits += 1;
        }
        let place = read.checked_sub(first).map(|place| place as usize);
        if let Some(byte) = place.and_then(|place| symbols.get(place)) {
            return Some(Symbol {
                byte: *byte,
                at: begin,
                length,
            });
        }
    }
    None
}

fn code_of(byte: u8) -> Option<(u32, u32)> {
    lengths().find_map(|(length, symbols, first)| {
        let place = symbols.iter().position(|symbol| *symbol == byte)?;
        Some((first + place as u32, length))
    })
}

/// Length, symbols and first code, the shortest first.
fn lengths() -> impl Iterator<Item = (u32, &'static [u8], u32)> {
    SYMBOLS
        .iter()
        .scan((5, 0), |(before, next), (length, symbols)| {
            let first = *next << (length - *before);
            (*before, *next) = (*length, first + symbols.len() as u32);
            Some((*length, *symbols, first))
        })
}

fn bit(coded: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(coded.get(at / 8)? >> (7 - at % 8) & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, appendix C.4.1: `www.example.com`.
    const EXAMPLE: [u8; 12] = [
        0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];

    fn text(coded: &[u8]) -> Option<String> {
        let symbols = symbols(coded)?;
        Some(
            symbols
                .iter()
                .map(|symbol| char::from(symbol.byte))
                .collect(),
        )
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        assert_eq!(text(&EXAMPLE).as_deref(), Some("www.example.com"));
        // C.4.2 and C.4.3.
        let no_cache = [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        assert_eq!(text(&no_cache).as_deref(), Some("no-cache"));
        let custom = [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
        assert_eq!(text(&custom).as_deref(), Some("custom-value"));
        assert_eq!(text(&[]).as_deref(), Some(""));
    }

    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let check = |byte, code, length| assert_eq!(code_of(byte), Some((code, length)));
        check(b'0', 0x0, 5);
        check(b'%', 0x15, 6);
        check(b'/', 0x18, 6);
        check(b'u', 0x2d, 6);
        check(b':', 0x5c, 7);
        check(b'z', 0x7b, 7);
        check(b'&', 0xf8, 8);
        check(b'Z', 0xfd, 8);
        check(b'!', 0x3f8, 10);
        check(b'|', 0x7fc, 11);
        check(b'#', 0xffa, 12);
        check(b'~', 0x1ffd, 13);
        check(b'^', 0x3ffc, 14);
        check(b'{', 0x7ffe, 15);
        assert_eq!(code_of(b'\\'), None);
    }

    #[test]
    fn a_symbol_is_exchanged_by_one_with_a_code_as_long() {
        let mut coded = EXAMPLE;
        let dot = symbols(&coded).unwrap()[3];
        assert!(exchange(&mut coded, dot, b'%'));
        assert_eq!(text(&coded).as_deref(), Some("www%example.com"));
        assert!(!exchange(&mut coded, dot, b'!'));
        assert!(!exchange(&mut coded, dot, b'\\'));
        assert_eq!(text(&coded).as_deref(), Some("www%example.com"));
    }

    #[test]
    fn what_is_no_padding_is_refused() {
        assert_eq!(text(&[0xff]), None);
        assert_eq!(text(&[0xf1, 0xe3, 0xc0]), None);
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None);
    }
}
