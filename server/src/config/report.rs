//! Mistakes of one file, collected while it is read.

use std::{cell::RefCell, collections::HashMap, path::Path};

use super::Mistake;

/// The mistakes found so far; shared by everything that reads the file.
pub(super) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    /// Where lines end.
    newlines: Vec<usize>,
    found: RefCell<Vec<(usize, String)>>,
}

impl<'a> Report<'a> {
    /// No mistakes yet in this text of this file.
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            newlines: text.match_indices('\n').map(|(offset, _)| offset).collect(),
            found: RefCell::default(),
        }
    }

    /// Adds what is wrong at a byte of the text.
    pub(super) fn add(&self, offset: usize, message: String) {
        self.found.borrow_mut().push((offset, message));
    }

    /// The value, unless there is a mistake, which is added.
    pub(super) fn keep<T>(&self, offset: usize, key: &str, parsed: Result<T, String>) -> Option<T> {
        parsed
            .map_err(|reason| self.add(offset, format!("{key}: {reason}")))
            .ok()
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < offset)
    }

    /// The column of a byte in characters, from 1.
    pub(super) fn column(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        1 + before.chars().rev().take_while(|c| *c != '\n').count()
    }

    /// All mistakes in order of the text.
    pub(super) fn finish(self) -> Vec<Mistake> {
        let mut found = self.found.take();
        found.sort_by_key(|(offset, _)| *offset);
        found
            .into_iter()
            .map(|(offset, message)| Mistake {
                place: format!("{}:{}", self.file.display(), self.line(offset)),
                message,
            })
            .collect()
    }
}

/// Things that may be there only once in a file.
pub(super) struct Once<'a> {
    report: &'a Report<'a>,
    seen: HashMap<String, usize>,
}

impl<'a> Once<'a> {
    /// Nothing seen yet.
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self {
            report,
            seen: HashMap::new(),
        }
    }

    /// A thing is at this byte; a mistake if it was seen before.
    pub(super) fn see(&mut self, thing: String, offset: usize) {
        let line = self.report.line(offset);
        match self.seen.get(&thing) {
            Some(first) => self.report.add(
                offset,
                format!("{thing} is in line {first} already; keep one of them"),
            ),
            None => _ = self.seen.insert(thing, line),
        }
    }
}
