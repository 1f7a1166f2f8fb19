//! The path of a request URI as Go's `url.ParseRequestURI` finds it.

use std::borrow::Cow;

use super::netip::{self, Addr};

/// Where a percent-encoded text stands: decides what it may hold.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Path,
    User,
    Host,
    Zone,
}

/// The decoded path, or nothing where Go reports an error. Bytes that are no
/// UTF-8 become U+FFFD each, as Go's regular expressions see them.
pub(super) fn request_path(uri: &str) -> Option<Cow<'_, str>> {
    if uri.is_empty() || uri.bytes().any(|b| b < b' ' || b == 0x7f) {
        return None;
    }
    if uri == "*" {
        return Some(Cow::Borrowed("*"));
    }
    let (scheme, rest) = split_scheme(uri)?;
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        // With a scheme the rest is opaque, and the path empty.
        return (!scheme.is_empty()).then_some(Cow::Borrowed(""));
    }
    let path = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            check_authority(scheme, authority)?;
            path
        }
        _ => rest,
    };
    unescape(path, Part::Path)
}

/// Scheme and rest; an empty scheme where there is none.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    for (i, byte) in uri.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some((&uri[..i], &uri[i + 1..])),
            _ => break,
        }
    }
    Some(("", uri))
}

fn check_authority(scheme: &str, authority: &str) -> Option<()> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return check_host(scheme, authority);
    };
    check_host(scheme, host)?;
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(valid) {
        return None;
    }
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    unescape(name, Part::User)?;
    unescape(password, Part::User)?;
    Some(())
}

fn check_host(scheme: &str, host: &str) -> Option<()> {
    match host.rfind('[') {
        Some(0) => return check_literal(host),
        Some(_) => return None,
        None => {}
    }
    if let (Some(first), Some(last)) = (host.find(':'), host.rfind(':')) {
        let strict = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        check_port(&host[if strict { first } else { last }..])?;
    }
    unescape(host, Part::Host).map(|_| ())
}

/// `[address]` with an optional zone and port.
fn check_literal(host: &str) -> Option<()> {
    let (literal, port) = host.strip_prefix('[')?.rsplit_once(']')?;
    check_port(port)?;
    unescape(port, Part::Host)?;
    let address = match literal.find("%25") {
        Some(zone) => {
            let (address, zone) = literal.split_at(zone);
            unescape(address, Part::Host)? + unescape(zone, Part::Zone)?
        }
        None => unescape(literal, Part::Host)?,
    };
    match netip::parse_addr(&address) {
        Ok(Addr::V6 { .. }) => Some(()),
        _ => None,
    }
}

/// Nothing, or a colon and digits.
fn check_port(port: &str) -> Option<()> {
    let valid = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    valid.then_some(())
}

/// Decodes percent-encoding, or nothing where the part may not hold it.
fn unescape(text: &str, part: Part) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let mut decoded: Vec<u8> = Vec::new();
    let mut escaped = false;
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        if byte != b'%' {
            if matches!(part, Part::Host | Part::Zone) && byte < 0x80 && !is_host_byte(byte) {
                return None;
            }
            decoded.push(byte);
            i += 1;
            continue;
        }
        let value = hex(*bytes.get(i + 1)?)? << 4 | hex(*bytes.get(i + 2)?)?;
        let allowed = match part {
            Part::Path | Part::User => true,
            Part::Host => value >= 0x80 || value == b'%',
            Part::Zone => value == b'%' || value == b' ' || is_host_byte(value),
        };
        if !allowed {
            return None;
        }
        escaped = true;
        decoded.push(value);
        i += 3;
    }
    if !escaped {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(decode_utf8(&decoded)))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Bytes that need no escape in a host, by Go's reading of RFC 3986.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Each byte that is not part of a valid sequence becomes U+FFFD.
fn decode_utf8(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| out.push('\u{fffd}'));
    }
    out
}
