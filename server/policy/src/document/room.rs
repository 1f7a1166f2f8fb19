//! What texts of policies may take, all texts of a request together: a few bytes of an
//! alias can stand for a thousand values.
//!
//! Bound: 8 MiB of text, 10,000 documents, 250,000 values, 20,000 of them by aliases, and
//! 4 MiB of text by these. A mapping takes some 600 bytes, so that is 50 MB.

use std::{cell::Cell, rc::Rc};

use serde_json::Value;

/// Bytes of all texts.
const MAX_TEXT: usize = 8 << 20;
/// Documents.
const MAX_DOCUMENTS: usize = 10_000;
/// Values, keys too: those of 7,500 small policies.
const MAX_VALUES: usize = 250_000;
/// Values that stand there by aliases.
const MAX_ALIASED: usize = 20_000;
/// Bytes of text that stands there by aliases.
const MAX_ALIASED_TEXT: usize = 4 << 20;
/// Values that are kept while a text is read, for aliases to come; one within another is
/// kept twice.
const MAX_KEPT: usize = 100_000;
/// Bytes of these.
const MAX_KEPT_BYTES: usize = 4 << 20;

/// What is left.
#[derive(Clone, Debug)]
pub struct Room {
    text: usize,
    documents: usize,
    values: usize,
    aliased: usize,
    aliased_text: usize,
    kept: usize,
    kept_bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            text: MAX_TEXT,
            documents: MAX_DOCUMENTS,
            values: MAX_VALUES,
            aliased: MAX_ALIASED,
            aliased_text: MAX_ALIASED_TEXT,
            kept: MAX_KEPT,
            kept_bytes: MAX_KEPT_BYTES,
        }
    }
}

/// What reading a text took.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    documents: usize,
    values: usize,
    bytes: usize,
    kept: usize,
    kept_bytes: usize,
}

impl Room {
    /// A text of so many bytes is to come; what is wrong, and the remedy, otherwise.
    pub(super) fn take_text(&mut self, bytes: usize) -> Result<(), (String, &'static str)> {
        match self.text.checked_sub(bytes) {
            Some(left) => self.text = left,
            None => {
                let what = format!("there are more than {MAX_TEXT} bytes");
                return Err((what, "divide it"));
            }
        }
        if self.values == 0 || self.documents == 0 {
            let what = format!("there are more than {MAX_VALUES} values");
            return Err((what, "divide it"));
        }
        Ok(())
    }

    /// The documents of a text, as far as there is room for them.
    pub(super) fn read(&mut self, text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
        let taken = Rc::new(Cell::new(Taken::default()));
        let report = Rc::clone(&taken);
        let options = serde_saphyr::options! {
            strict_booleans: true,
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_documents: self.documents,
                max_nodes: self.values,
                max_events: 4 * MAX_VALUES,
                max_total_scalar_bytes: text.len() + self.aliased_text,
                max_recorded_anchor_events: self.kept,
                max_recorded_anchor_bytes: self.kept_bytes,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: self.aliased,
            },
        };
        let options = options.with_budget_report(move |seen| {
            report.set(Taken {
                documents: seen.documents,
                values: seen.nodes,
                bytes: seen.total_scalar_bytes,
                kept: seen.recorded_anchor_events,
                kept_bytes: seen.recorded_anchor_bytes,
            });
        });
        let read = serde_saphyr::from_multiple_with_options(text, options);
        self.take(text, taken.get());
        read
    }

    fn take(&mut self, text: &str, taken: Taken) {
        let left = |of: &mut usize, taken: usize| *of = of.saturating_sub(taken);
        left(&mut self.documents, taken.documents);
        left(&mut self.values, taken.values);
        left(&mut self.kept, taken.kept);
        left(&mut self.kept_bytes, taken.kept_bytes);
        // What is written out is no longer than the text, and a value takes two signs.
        let written = text.len() / 2 + 1;
        left(&mut self.aliased, taken.values.saturating_sub(written));
        left(
            &mut self.aliased_text,
            taken.bytes.saturating_sub(text.len()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Problems, written_within};
    use super::*;

    fn policy(name: &str, description: &str) -> String {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: {name}}}\n\
             spec: {{nodeSelector: {{}}, ingress: [{{}}], description: {description}}}\n"
        )
    }

    fn refused(texts: impl Iterator<Item = String>) -> Problems {
        let mut room = Room::default();
        let mut read = texts.map(|text| written_within(&text, &mut room));
        read.find_map(Result::err).unwrap()
    }

    #[test]
    fn texts_of_a_request_have_room_for_so_many_values_together() {
        let mut room = Room::default();
        let policies = (0..1900).map(|number| policy(&format!("p{number}"), "a"));
        let texts: String = policies.map(|text| text + "---\n").collect();
        assert_eq!(written_within(&texts, &mut room).unwrap().len(), 1900);
        let list = format!("[{}]", ["x"; 100_000].join(","));
        let count = (0..9).take_while(|_| room.read(&list).is_ok()).count();
        assert_eq!(count, 2);
        let told = written_within("a: b", &mut room).unwrap_err().to_string();
        assert!(told.contains("250000 values; divide it"), "{told}");
    }

    #[test]
    fn values_by_aliases_count_over_all_texts() {
        // 16,000 values in 500 bytes.
        let bomb = |_| {
            let list = |inner: &str| format!("[{}]", vec![inner; 25].join(","));
            let [a, b, c] = [list("x"), list("*a"), list("*b")];
            format!("{{k: [&a {a}, &b {b}, {c}], x: {{y: z}}}}")
        };
        let problems = refused((0..20).map(bomb).map(|text| text + "\n"));
        assert!(problems.to_string().contains("no policy"), "{problems}");
        let mut room = Room::default();
        let count = (0..30).take_while(|n| room.read(&bomb(*n)).is_ok());
        assert_eq!(count.count(), 1);
        // What is written out is as welcome as before.
        let list = format!("[{}]", ["x"; 20_000].join(","));
        assert!(room.read(&list).is_ok());
    }

    #[test]
    fn what_is_kept_for_aliases_counts_over_all_texts() {
        // Each is kept in all that are around it.
        let open: String = (0..60).map(|n| format!("&a{n} [")).collect();
        let nested = format!("{open}x{}", "]".repeat(60));
        let mut room = Room::default();
        let count = (0..1000).take_while(|_| room.read(&nested).is_ok());
        let count = count.count();
        assert!((1..100).contains(&count), "{count}");
        assert!(room.read("[x, y]").is_ok(), "without any it goes on");
    }

    #[test]
    fn text_by_aliases_counts_over_all_texts() {
        let long = "x".repeat(1 << 20);
        let text = format!("[&a {long}, *a]");
        let mut room = Room::default();
        let count = (0..20).take_while(|_| room.read(&text).is_ok());
        assert_eq!(count.count(), 4);
    }
}
