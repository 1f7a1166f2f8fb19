//! IP addresses and prefixes as Go's `net/netip` reads them, with its error
//! texts. Differs from `std` in what it accepts as an address: a zone.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::text::quote;

/// An address; with a zone it is in no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addr {
    /// IPv4.
    V4(u32),
    /// IPv6, also an IPv4-mapped one.
    V6 {
        /// The 128 bits.
        bits: u128,
        /// Whether a zone follows.
        zone: bool,
    },
}

/// A network: the bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// IPv4: network and mask.
    V4(u32, u32),
    /// IPv6: network and mask.
    V6(u128, u128),
}

impl Prefix {
    /// Whether the address is in the network. IPv4 and IPv6 never meet.
    pub(super) fn contains(self, addr: Addr) -> bool {
        match (self, addr) {
            (Self::V4(net, mask), Addr::V4(bits)) => bits & mask == net,
            (Self::V6(net, mask), Addr::V6 { bits, zone }) => !zone && bits & mask == net,
            _ => false,
        }
    }

    /// Number of bits that count.
    pub(super) fn len(self) -> u32 {
        match self {
            Self::V4(_, mask) => mask.count_ones(),
            Self::V6(_, mask) => mask.count_ones(),
        }
    }

    /// Whether all of `other` is in this network.
    pub(super) fn covers(self, other: Self) -> bool {
        let addr = match other {
            Self::V4(bits, _) => Addr::V4(bits),
            Self::V6(bits, _) => Addr::V6 { bits, zone: false },
        };
        self.len() <= other.len() && self.contains(addr)
    }
}

/// Go's `netip.ParseAddr`.
pub(super) fn parse_addr(text: &str) -> Result<Addr, String> {
    match text.bytes().find(|b| matches!(b, b'.' | b':' | b'%')) {
        Some(b'.') => parse_v4(text, text).map(|octets| Addr::V4(u32::from(octets))),
        Some(b':') => parse_v6(text),
        Some(_) => Err(addr_error(text, "missing IPv6 address", "")),
        None => Err(addr_error(text, "unable to parse IP", "")),
    }
}

/// Go's `netip.ParsePrefix`.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, String> {
    let fail = |message: &str| format!("netip.ParsePrefix({}): {message}", quote(text));
    let (addr, len) = text.rsplit_once('/').ok_or_else(|| fail("no '/'"))?;
    let addr = parse_addr(addr).map_err(|error| fail(&error))?;
    if matches!(addr, Addr::V6 { zone: true, .. }) {
        return Err(fail("IPv6 zones cannot be present in a prefix"));
    }
    let bad = || fail(&format!("bad bits after slash: {}", quote(len)));
    if len.len() > 1 && len.starts_with('0') || !len.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let len: i64 = len.parse().map_err(|_| bad())?;
    let out_of_range = || fail("prefix length out of range");
    match addr {
        Addr::V4(bits) => {
            let host = 32_i64.checked_sub(len).filter(|host| *host >= 0);
            let host = host.ok_or_else(out_of_range)?;
            let mask = u32::MAX.checked_shl(host as u32).unwrap_or(0);
            Ok(Prefix::V4(bits & mask, mask))
        }
        Addr::V6 { bits, .. } => {
            let host = 128_i64.checked_sub(len).filter(|host| *host >= 0);
            let host = host.ok_or_else(out_of_range)?;
            let mask = u128::MAX.checked_shl(host as u32).unwrap_or(0);
            Ok(Prefix::V6(bits & mask, mask))
        }
    }
}

fn addr_error(input: &str, message: &str, at: &str) -> String {
    if at.is_empty() {
        format!("ParseAddr({}): {message}", quote(input))
    } else {
        format!("ParseAddr({}): {message} (at {})", quote(input), quote(at))
    }
}

/// Four octets in `text`, which is all or the end of `input`.
fn parse_v4(input: &str, text: &str) -> Result<Ipv4Addr, String> {
    let fail = |message: &str, at: &str| Err(addr_error(input, message, at));
    let bytes = text.as_bytes();
    let mut octets = [0_u8; 4];
    let (mut value, mut position, mut digits) = (0_u16, 0, 0);
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return fail("IPv4 field has octet with leading zero", "");
                }
                value = value * 10 + u16::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return fail("IPv4 field has value >255", "");
                }
            }
            b'.' => {
                if i == 0 || i == bytes.len() - 1 || bytes[i - 1] == b'.' {
                    return fail("IPv4 field must have at least one digit", &text[i..]);
                }
                if position == 3 {
                    return fail("IPv4 address too long", "");
                }
                octets[position] = value as u8;
                position += 1;
                (value, digits) = (0, 0);
            }
            _ => return fail("unexpected character", &text[i..]),
        }
    }
    if position < 3 {
        return fail("IPv4 address too short", "");
    }
    octets[3] = value as u8;
    Ok(Ipv4Addr::from(octets))
}

fn parse_v6(input: &str) -> Result<Addr, String> {
    let (text, zone) = match input.split_once('%') {
        Some((_, "")) => {
            return Err(addr_error(input, "zone must be a non-empty string", ""));
        }
        Some((text, _)) => (text, true),
        None => (input, false),
    };
    let octets = Groups::default().parse(input, text)?;
    Ok(Addr::V6 {
        bits: u128::from(Ipv6Addr::from(octets)),
        zone,
    })
}

/// The bytes of an IPv6 address as they are read from left to right.
#[derive(Default)]
struct Groups {
    octets: [u8; 16],
    /// How many of them are read.
    len: usize,
    /// Where `::` stood.
    ellipsis: Option<usize>,
}

impl Groups {
    fn parse(mut self, input: &str, mut text: &str) -> Result<[u8; 16], String> {
        if let Some(rest) = text.strip_prefix("::") {
            self.ellipsis = Some(0);
            text = rest;
            if text.is_empty() {
                return Ok([0; 16]);
            }
        }
        while self.len < 16 {
            text = self.group(input, text)?;
            if text.is_empty() {
                break;
            }
            text = self.colon(input, text)?;
            if text.is_empty() {
                break;
            }
        }
        if !text.is_empty() {
            return Err(addr_error(input, "trailing garbage after address", text));
        }
        self.expand(input)
    }

    /// Reads one hexadecimal group, or IPv4 at the end; gives what follows.
    fn group<'a>(&mut self, input: &str, text: &'a str) -> Result<&'a str, String> {
        let fail = |message: &str| Err(addr_error(input, message, text));
        let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return fail("each group must have 4 or less digits");
        }
        if digits == 0 {
            return fail("each colon-separated field must have at least one digit");
        }
        let (group, rest) = text.split_at(digits);
        if rest.starts_with('.') {
            if self.ellipsis.is_none() && self.len != 12 {
                return fail(
                    "embedded IPv4 address must replace the final 2 fields of the address",
                );
            }
            if self.len + 4 > 16 {
                return fail(
                    "too many hex fields to fit an embedded IPv4 at the end of the address",
                );
            }
            let octets = parse_v4(input, text)?.octets();
            self.octets[self.len..self.len + 4].copy_from_slice(&octets);
            self.len += 4;
            return Ok("");
        }
        let group = u16::from_str_radix(group, 16).expect("one to four hexadecimal digits");
        self.octets[self.len..self.len + 2].copy_from_slice(&group.to_be_bytes());
        self.len += 2;
        Ok(rest)
    }

    /// Reads `:` or `::` after a group; gives what follows.
    fn colon<'a>(&mut self, input: &str, text: &'a str) -> Result<&'a str, String> {
        let fail = |message: &str, at: &str| Err(addr_error(input, message, at));
        let Some(rest) = text.strip_prefix(':') else {
            return fail("unexpected character, want colon", text);
        };
        if rest.is_empty() {
            return fail("colon must be followed by more characters", text);
        }
        let Some(after) = rest.strip_prefix(':') else {
            return Ok(rest);
        };
        if self.ellipsis.is_some() {
            return fail("multiple :: in address", rest);
        }
        self.ellipsis = Some(self.len);
        Ok(after)
    }

    fn expand(self, input: &str) -> Result<[u8; 16], String> {
        let fail = |message: &str| Err(addr_error(input, message, ""));
        match self.ellipsis {
            None if self.len < 16 => fail("address string too short"),
            None => Ok(self.octets),
            Some(_) if self.len == 16 => fail("the :: must expand to at least one field of zeros"),
            Some(at) => {
                let mut octets = [0; 16];
                octets[..at].copy_from_slice(&self.octets[..at]);
                let tail = &self.octets[at..self.len];
                octets[16 - tail.len()..].copy_from_slice(tail);
                Ok(octets)
            }
        }
    }
}
