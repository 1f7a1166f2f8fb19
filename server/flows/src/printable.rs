//! Text of others made fit to be read: on a terminal, in a log, in JSON, as a label.
//!
//! Whatever comes from a packet, a file, a peer, the kernel or an argument passes
//! through here before a person reads it. Control characters (C0, DEL, C1) steer a
//! terminal, marks of direction show text in another order than it has, and
//! separators of lines pass for lines of ours. Not for what programs read: values on
//! the wire stay as they are. Pure; what has nothing odd is not copied.

use std::borrow::Cow;

/// Whether a reader is shown something else than what is there.
#[must_use]
pub fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Marks of direction, embeddings, overrides and isolates (UAX #9).
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Separators of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Invisible: interlinear notes, a mark of byte order within text.
            | '\u{fff9}'..='\u{fffb}' | '\u{feff}'
        )
}

/// The text with what is odd made visible: `^[` for ESC, `\n`, `\u{202e}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, |c, shown| match c {
        '\x1b' => shown.push_str("^["),
        c => shown.extend(c.escape_default()),
    })
}

/// The same for texts that have lines of their own.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// JSON with what is odd as `\uXXXX`: the same value. To be called with texts of JSON
/// in one line, where only strings can have anything odd.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    replaced(json, |c, shown| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn replaced(text: &str, put: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_odd) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_odd(c) {
            true => put(c, &mut shown),
            false => shown.push(c),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_or_turns_round_is_made_visible() {
        for (text, shown) in [
            ("a\x1b[2Jb\rc", "a^[[2Jb\\rc"),
            ("a\nb\tc\0", "a\\nb\\tc\\u{0}"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\\n \"größe\" ✓ 👩‍💻 שלום", "\\n \"größe\" ✓ 👩‍💻 שלום"),
            (
                "a\u{202e}b\u{2066}c\u{200f}d\u{61c}",
                "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{61c}",
            ),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\n b\x1b\u{9b}\n"), "a\n b^[\\u{9b}\n");
    }

    proptest! {
        #[test]
        fn json_stays_the_same_value(text in any::<String>(), odd in "[\u{7f}-\u{9f}\u{2028}\u{202e}\u{feff}]*") {
            let value = serde_json::Value::from(text + &odd);
            let json = value.to_string();
            let shown = printable_json(&json);
            prop_assert!(!shown.contains(is_odd));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }

        #[test]
        fn nothing_odd_is_left(text in any::<String>()) {
            prop_assert!(!printable(&text).contains(is_odd));
        }
    }
}
