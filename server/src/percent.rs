//! Percent-encoding (RFC 3986, 2.1), as variables of OpenTelemetry have it.

/// The text that is meant; none where a sign is cut off, or it is no UTF-8 then.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2)?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        let digits = str::from_utf8(digits).ok().filter(|_| is_hex)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_cut_off_is_none() {
        for (text, expect) in [
            ("plain", Some("plain")),
            ("two%20words%2c", Some("two words,")),
            ("%", None),
            ("%2", None),
            ("%2x", None),
            ("%+2", None),
            ("%ff", None),
        ] {
            assert_eq!(decoded(text).as_deref(), expect, "{text}");
        }
    }
}
