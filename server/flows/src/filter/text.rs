//! Text as Go treats it: `%q` quoting, lower case and simple case folding.
//!
//! Error texts reach clients that compare them, so quoting follows Go's
//! `strconv` to the letter.

use std::{fmt::Write as _, sync::LazyLock};

use regex_automata::meta::Regex;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// `text` in double quotes, as `%q` prints a string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| escape(&mut out, c, '"'));
    out.push('"');
    out
}

/// `c` in single quotes, as `%q` prints a rune.
pub(super) fn quote_char(c: char) -> String {
    let mut out = String::from('\'');
    escape(&mut out, c, '\'');
    out.push('\'');
    out
}

fn escape(out: &mut String, c: char, quote: char) {
    if c == quote || c == '\\' {
        out.push('\\');
        out.push(c);
        return;
    }
    if is_print(c) {
        out.push(c);
        return;
    }
    let written = match c {
        '\x07' => out.write_str("\\a"),
        '\x08' => out.write_str("\\b"),
        '\x0c' => out.write_str("\\f"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\x0b' => out.write_str("\\v"),
        c if c < ' ' || c == '\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
        c if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)),
        c => write!(out, "\\U{:08x}", u32::from(c)),
    };
    written.expect("writing to a string cannot fail");
}

static PRINTABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]").expect("classes that the crate knows")
});

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, space.
fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    PRINTABLE.is_match(&*c.encode_utf8(&mut [0; 4]))
}

/// Lower case as Go's `strings.ToLower`: one character for one character.
pub(super) fn to_lower(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut lower = c.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(one), None) => one,
                // The only character whose full mapping has two; its simple one is `i`.
                _ if c == '\u{130}' => 'i',
                _ => c,
            }
        })
        .collect()
}

/// The smallest character that differs from `c` in case only.
fn fold_char(c: char) -> char {
    if c.is_ascii() {
        // The smallest of an ASCII letter's forms is its upper case.
        return c.to_ascii_uppercase();
    }
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    match class.try_case_fold_simple() {
        Ok(()) => class.ranges().first().map_or(c, |range| range.start()),
        Err(_) => c,
    }
}

/// A text to which others are equal under simple case folding, as Go's
/// `strings.EqualFold`.
#[derive(Debug)]
pub(super) struct Folded {
    text: String,
    folded: Vec<char>,
}

impl Folded {
    /// To compare others with.
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            folded: text.chars().map(fold_char).collect(),
        }
    }

    /// Whether `other` differs in case at most.
    pub(super) fn equals(&self, other: &str) -> bool {
        if self.text.is_ascii() && other.is_ascii() {
            return self.text.eq_ignore_ascii_case(other);
        }
        other.chars().map(fold_char).eq(self.folded.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_that_of_go() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\", r#""a\"b\\""#),
            (
                "\x07\x08\x0c\n\r\t\x0b\0\x7f",
                r#""\a\b\f\n\r\t\v\x00\x7f""#,
            ),
            ("é\u{200b}\u{ad}\u{e0001}", r#""é\u200b\u00ad\U000e0001""#),
            ("'", r#""'""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(quote_char('!'), "'!'");
    }

    #[test]
    fn case_is_that_of_go() {
        assert_eq!(to_lower("\u{130}CMP \u{212a} É"), "icmp k é");
        assert!(Folded::new("GET").equals("get"));
        assert!(Folded::new("k").equals("\u{212a}"));
        assert!(Folded::new("\u{17f}").equals("S"));
        assert!(!Folded::new("ß").equals("ss"));
    }
}
