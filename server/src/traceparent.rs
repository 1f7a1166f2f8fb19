//! `traceparent`, the header of W3C Trace Context (https://www.w3.org/TR/trace-context/):
//! of calls to the daemon, and of calls that flows tell of. What is malformed is none.

/// Bytes of one of version 00.
const LENGTH: usize = 55;

/// Trace and span that it names; none where it is malformed, or names none.
#[must_use]
pub fn ids(text: &str) -> Option<([u8; 16], [u8; 8])> {
    if !is_well_formed(text.as_bytes()) || text.starts_with("ff") {
        return None;
    }
    let (trace, span) = (hex(text.get(3..35)?)?, hex(text.get(36..52)?)?);
    (trace != [0; 16] && span != [0; 8]).then_some((trace, span))
}

/// `00-<32 digits>-<16 digits>-<2 digits>`; later versions may have more behind a dash.
/// What the digits say is not judged.
#[must_use]
pub fn is_well_formed(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_right = |(index, byte): (usize, &u8)| match index {
        2 | 35 | 52 | LENGTH => *byte == b'-',
        _ if index < LENGTH => is_digit(byte),
        _ => true,
    };
    let is_version_0 = text.starts_with(b"00");
    text.len() >= LENGTH
        && (text.len() == LENGTH || !is_version_0)
        && text.iter().enumerate().all(is_right)
}

/// The bytes of so many pairs of hexadecimal digits, large or small.
#[must_use]
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let is_hex = digits.len() == 2 * N && digits.iter().all(u8::is_ascii_hexdigit);
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    is_hex.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_well_formed_names_trace_and_span() {
        let expect = (
            0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes(),
            0xb7ad_6b71_6920_3331_u64.to_be_bytes(),
        );
        let later = GOOD.replacen("00", "cc", 1);
        let longer = format!("{later}-what.comes.later");
        for text in [GOOD, &later, &longer] {
            assert_eq!(ids(text), Some(expect), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_names_none() {
        for text in [
            "",
            "00---",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(ids(text), None, "{text:?}");
        }
    }
}
