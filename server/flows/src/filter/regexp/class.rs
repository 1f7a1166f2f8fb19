//! Character classes: `[...]`, `\pN`, `\d` and escapes.

use super::{
    error::{ErrorCode, RegexpError},
    node::{NOTHING, write_rune},
    unicode,
};

type Parsed<'a, T> = Result<(T, &'a str), RegexpError>;

/// Flags that a pattern can set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// `i`: ignore case.
    pub(super) fold: bool,
    /// `m`: `^` and `$` match at lines.
    pub(super) multi_line: bool,
    /// `s`: `.` matches a newline.
    pub(super) dot_newline: bool,
}

/// The first character and what follows; no character at the end.
pub(super) fn next_rune(text: &str) -> (Option<char>, &str) {
    let mut chars = text.chars();
    (chars.next(), chars.as_str())
}

/// Ranges of the Perl and POSIX classes.
fn group(name: &str) -> Option<&'static str> {
    Some(match name {
        "d" | "digit" => "0-9",
        "s" => r"\t\n\x{C}\r\x{20}",
        "w" | "word" => "0-9A-Z_a-z",
        "alnum" => "0-9A-Za-z",
        "alpha" => "A-Za-z",
        "ascii" => r"\x{0}-\x{7F}",
        "blank" => r"\t\x{20}",
        "cntrl" => r"\x{0}-\x{1F}\x{7F}",
        "graph" => r"\x{21}-\x{7E}",
        "lower" => "a-z",
        "print" => r"\x{20}-\x{7E}",
        "punct" => r"\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}",
        "space" => r"\t-\r\x{20}",
        "upper" => "A-Z",
        "xdigit" => "0-9A-Fa-f",
        _ => return None,
    })
}

fn bracketed(ranges: &str, negated: bool) -> String {
    let sign = if negated { "^" } else { "" };
    format!("[{sign}{ranges}]")
}

/// A class with the flags under which it stands.
pub(super) fn finish(class: &str, flags: Flags) -> String {
    if flags.fold {
        format!("(?i:{class})")
    } else {
        class.into()
    }
}

/// `\d` and the like at the beginning of `text`.
pub(super) fn perl(text: &str) -> Option<(String, &str)> {
    let (name, negated) = match text.as_bytes() {
        [b'\\', b'd', ..] => ("d", false),
        [b'\\', b's', ..] => ("s", false),
        [b'\\', b'w', ..] => ("w", false),
        [b'\\', b'D', ..] => ("d", true),
        [b'\\', b'S', ..] => ("s", true),
        [b'\\', b'W', ..] => ("w", true),
        _ => return None,
    };
    Some((bracketed(group(name)?, negated), &text[2..]))
}

/// `\pN` or `\p{Name}` at the beginning of `text`.
pub(super) fn unicode(text: &str) -> Result<Option<(String, &str)>, RegexpError> {
    let (mut negated, after) = match text.as_bytes() {
        [b'\\', b'p', ..] => (false, &text[2..]),
        [b'\\', b'P', ..] => (true, &text[2..]),
        _ => return Ok(None),
    };
    let range_error = |part: &str| Err(RegexpError::new(ErrorCode::InvalidCharRange, part));
    let (name, len) = if after.starts_with('{') {
        match text.find('}') {
            Some(end) => (&text[3..end], end + 1),
            None => return range_error(text),
        }
    } else {
        let len = after.chars().next().map_or(0, char::len_utf8);
        (&after[..len], 2 + len)
    };
    let (sequence, rest) = text.split_at(len);
    let name = match name.strip_prefix('^') {
        Some(name) => {
            negated = !negated;
            name
        }
        None => name,
    };
    match unicode::class(name) {
        Some(class) => Ok(Some((bracketed(&class, negated), rest))),
        None => range_error(sequence),
    }
}

/// `[:alnum:]` at the beginning of `text`; nothing if it is no such thing.
fn posix(text: &str) -> Result<Option<(String, &str)>, RegexpError> {
    let Some(end) = text.strip_prefix("[:").and_then(|rest| rest.find(":]")) else {
        return Ok(None);
    };
    let (name, rest) = text.split_at(end + 4);
    let inner = &text[2..end + 2];
    let (inner, negated) = match inner.strip_prefix('^') {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let known = if inner.len() > 1 { group(inner) } else { None };
    match known {
        Some(ranges) => Ok(Some((bracketed(ranges, negated), rest))),
        None => Err(RegexpError::new(ErrorCode::InvalidCharRange, name)),
    }
}

/// A class in brackets at the beginning of `text`.
pub(super) fn parse(text: &str, flags: Flags) -> Parsed<'_, String> {
    let rest = &text[1..];
    let (negated, mut rest) = match rest.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut items = String::new();
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((item, after)) = named(rest)? {
            items.push_str(&item);
            rest = after;
            continue;
        }
        let ((low, high), after) = range(rest, text)?;
        write_range(&mut items, low, high);
        rest = after;
    }
    if items.is_empty() {
        items.push_str(NOTHING);
    }
    Ok((finish(&bracketed(&items, negated), flags), &rest[1..]))
}

fn named(text: &str) -> Result<Option<(String, &str)>, RegexpError> {
    if text.len() > 2
        && let Some(item) = posix(text)?
    {
        return Ok(Some(item));
    }
    if let Some(item) = unicode(text)? {
        return Ok(Some(item));
    }
    Ok(perl(text))
}

/// A character or a range of them.
fn range<'a>(text: &'a str, class: &str) -> Parsed<'a, (u32, u32)> {
    let (low, rest) = class_char(text, class)?;
    let Some(to) = rest.strip_prefix('-') else {
        return Ok(((low, low), rest));
    };
    if to.is_empty() || to.starts_with(']') {
        return Ok(((low, low), rest));
    }
    let (high, rest) = class_char(to, class)?;
    if high < low {
        let range = &text[..text.len() - rest.len()];
        return Err(RegexpError::new(ErrorCode::InvalidCharRange, range));
    }
    Ok(((low, high), rest))
}

fn class_char<'a>(text: &'a str, class: &str) -> Parsed<'a, u32> {
    match text.bytes().next() {
        None => Err(RegexpError::new(ErrorCode::MissingBracket, class)),
        Some(b'\\') => escape(text),
        Some(_) => {
            let (rune, rest) = next_rune(text);
            Ok((rune.map_or(0, u32::from), rest))
        }
    }
}

/// Writes a range without the surrogates, which texts do not hold.
fn write_range(out: &mut String, low: u32, high: u32) {
    for (low, high) in [(low, high.min(0xd7ff)), (low.max(0xe000), high)] {
        if low <= high {
            write_rune(out, low);
            out.push('-');
            write_rune(out, high);
        }
    }
}

/// An escaped character at the beginning of `text`.
pub(super) fn escape(text: &str) -> Parsed<'_, u32> {
    let (rune, rest) = next_rune(&text[1..]);
    let Some(c) = rune else {
        return Err(RegexpError::new(ErrorCode::TrailingBackslash, ""));
    };
    let invalid = |rest: &str| {
        let sequence = &text[..text.len() - rest.len()];
        Err(RegexpError::new(ErrorCode::InvalidEscape, sequence))
    };
    let code = match c {
        '1'..='7' if !rest.starts_with(|c| ('0'..='7').contains(&c)) => return invalid(rest),
        '0'..='7' => return Ok(octal(c, rest)),
        'x' => return hexadecimal(rest).map_or_else(invalid, Ok),
        'a' => 7,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return invalid(rest),
    };
    Ok((code, rest))
}

fn octal(first: char, mut rest: &str) -> (u32, &str) {
    let mut value = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let digit = rest.chars().next().and_then(|c| c.to_digit(8));
        let Some(digit) = digit else { break };
        value = value * 8 + digit;
        rest = &rest[1..];
    }
    (value, rest)
}

/// What follows `\x`: two digits or any number in braces. Fails with what is
/// left where reading stopped.
fn hexadecimal(text: &str) -> Result<(u32, &str), &str> {
    let (first, mut rest) = next_rune(text);
    if first.is_none() {
        return Err(text);
    }
    if first != Some('{') {
        let (second, rest) = next_rune(rest);
        let digits = (
            first.and_then(|c| c.to_digit(16)),
            second.and_then(|c| c.to_digit(16)),
        );
        return match digits {
            (Some(high), Some(low)) => Ok((high * 16 + low, rest)),
            _ => Err(rest),
        };
    }
    let mut value = None;
    loop {
        let (c, after) = next_rune(rest);
        rest = after;
        let digit = match c {
            Some('}') => return value.map(|value| (value, rest)).ok_or(rest),
            Some(c) => c.to_digit(16).ok_or(rest)?,
            None => return Err(rest),
        };
        let number = value.unwrap_or(0) * 16 + digit;
        if number > 0x10_ffff {
            return Err(rest);
        }
        value = Some(number);
    }
}
