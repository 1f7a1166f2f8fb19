//! Mistakes in an expression, as cel-go prints them.

use std::fmt::Write as _;

/// Mistakes that are printed at most; the others are counted.
pub(super) const MAX_ISSUES: usize = 100;

/// Bytes of a report, after which mistakes are counted alone.
const MAX_REPORT: usize = 64 << 10;

/// Lines longer than this are not printed with a mistake.
const MAX_SNIPPET: usize = 16_384;

/// A place in the expression: line from 1 on, column from 0 on. Line -1 is no
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: i64,
    pub(super) column: i64,
}

impl Place {
    /// A mistake of the expression as a whole.
    pub(super) const NONE: Self = Self {
        line: -1,
        column: -1,
    };

    /// The place of a byte.
    pub(super) fn of(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        Self {
            line: line as i64 + 1,
            column: column as i64,
        }
    }
}

/// A mistake and where it is.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub(super) place: Place,
    pub(super) text: String,
}

/// All mistakes in one text, with the lines in which they are.
pub(super) fn report(source: &str, mut issues: Vec<Issue>) -> String {
    let found = issues.len();
    issues.truncate(MAX_ISSUES);
    issues.sort_by_key(|issue| issue.place);
    let mut room = MAX_REPORT;
    let mut texts = Vec::new();
    for issue in &issues {
        let text = print(source, issue);
        let Some(left) = room.checked_sub(text.len()) else {
            break;
        };
        room = left;
        texts.push(text);
    }
    let left_out = found - texts.len();
    if left_out > 0 {
        texts.push(format!("{left_out} more errors were truncated"));
    }
    texts.join("\n")
}

fn print(source: &str, issue: &Issue) -> String {
    let Place { line, column } = issue.place;
    let mut out = format!("ERROR: <input>:{line}:{}: {}", column + 1, issue.text);
    let lines = (line > 0).then(|| source.split('\n').nth(line as usize - 1));
    let snippet = match lines.flatten() {
        Some(snippet) if !source.is_empty() && snippet.len() <= MAX_SNIPPET => snippet,
        _ => return out,
    };
    let snippet = snippet.replace('\t', " ");
    write!(out, "\n | {snippet}\n | ").expect("writing to a string cannot fail");
    let mut chars = snippet.chars();
    for c in chars.by_ref().take(column.max(0) as usize) {
        out.push(if c.is_ascii() { '.' } else { '\u{ff0e}' });
    }
    let wide = chars.next().is_some_and(|c| !c.is_ascii());
    out.push(if wide { '\u{ff3e}' } else { '^' });
    out
}
