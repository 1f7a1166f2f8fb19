//! The values of a series' labels as one key: made without memory of its own for
//! each flow, compared as bytes, taken apart when somebody reads.

use std::fmt;

/// Ends a value. No byte of a text in UTF-8 has this value.
const END: u8 = 0xff;

/// Values in the making, in the order of the labels' names.
#[derive(Debug, Default)]
pub(super) struct Labels(Vec<u8>);

impl Labels {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A place to which `back_to` goes.
    pub(super) fn place(&self) -> usize {
        self.0.len()
    }

    /// Forgets all that came after the place.
    pub(super) fn back_to(&mut self, place: usize) {
        self.0.truncate(place);
    }

    /// A part of a value.
    pub(super) fn part(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Parts with commas between them.
    pub(super) fn joined(&mut self, texts: &[String]) {
        for (index, text) in texts.iter().enumerate() {
            self.part(if index == 0 { "" } else { "," });
            self.part(text);
        }
    }

    /// Ends the value.
    pub(super) fn end(&mut self) {
        self.0.push(END);
    }

    /// A whole value.
    pub(super) fn value(&mut self, text: &str) {
        self.part(text);
        self.end();
    }

    /// A whole value, in lower case.
    pub(super) fn lower(&mut self, text: &str) {
        let begin = self.0.len();
        self.part(text);
        self.0[begin..].make_ascii_lowercase();
        self.end();
    }

    /// A whole value of what prints itself.
    pub(super) fn shown(&mut self, value: impl fmt::Display) {
        // Writing to memory does not fail.
        let _ = fmt::Write::write_fmt(self, format_args!("{value}"));
        self.end();
    }

    /// A whole value of an enumeration: its name, or the number where it has none.
    pub(super) fn named(&mut self, name: Option<&'static str>, number: i32) {
        match name {
            Some(name) => self.value(name),
            None => self.shown(number),
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Write for Labels {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.part(text);
        Ok(())
    }
}

/// The values of a key.
pub(super) fn values(key: &[u8]) -> impl Iterator<Item = &str> {
    // All came from texts.
    key.split_inclusive(|byte| *byte == END)
        .map(|value| str::from_utf8(&value[..value.len() - 1]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_as_they_went_in() {
        let mut labels = Labels::default();
        labels.value("");
        labels.joined(&["a".into(), String::new(), "ü\"\n".into()]);
        labels.end();
        let place = labels.place();
        labels.value("other");
        labels.back_to(place);
        labels.lower("Proto-ONLY");
        labels.shown(80);
        let values: Vec<_> = values(labels.key()).collect();
        assert_eq!(values, ["", "a,,ü\"\n", "proto-only", "80"]);
    }
}
