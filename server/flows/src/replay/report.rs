//! What became of a replayed file: how much was loaded, what was not, and why.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use crate::decode::Malformed;

/// Problems that are told in full; further ones are only counted.
pub const MAX_PROBLEMS: usize = 20;

/// Longest text of a problem, in characters.
const MAX_TEXT_CHARS: usize = 300;

/// Why a line or packet was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The line is longer than the bound.
    LineTooLong,
    /// The line is not JSON.
    NotJson,
    /// The line is JSON, but not of Hubble's messages.
    BadValue,
    /// The line holds no event that is known.
    NoEvent,
    /// The line is a status event of relay, which a node does not serve.
    NodeStatus,
    /// The frame of a capture gives no flow.
    Packet(Malformed),
    /// The link type of a capture is not known.
    LinkType,
    /// The capture ends within a packet.
    FileTruncated,
    /// The next packet of a capture cannot be found.
    FileCorrupt,
}

impl Cause {
    /// Name in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LineTooLong => "line_too_long",
            Self::NotJson => "not_json",
            Self::BadValue => "bad_value",
            Self::NoEvent => "no_event",
            Self::NodeStatus => "node_status",
            Self::Packet(malformed) => malformed.name(),
            Self::LinkType => "link_type",
            Self::FileTruncated => "file_truncated",
            Self::FileCorrupt => "file_corrupt",
        }
    }

    /// Whether there is nothing wrong with it: it is just nothing for the store.
    #[must_use]
    pub fn is_sound(self) -> bool {
        match self {
            Self::NodeStatus => true,
            Self::Packet(malformed) => malformed.is_sound(),
            _ => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line or packet that was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Number of the line or packet in the file, from 1.
    pub number: u64,
    /// Why it was rejected.
    pub cause: Cause,
    /// The same in words, with particulars.
    pub text: String,
}

/// What became of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Events that went into the store.
    pub loaded: u64,
    /// Lines or packets that are malformed.
    pub rejected: u64,
    /// Lines or packets that are sound, but nothing for the store.
    pub skipped: u64,
    /// Connections and fragments of a capture that the bounded tables forgot:
    /// their later packets may be taken for a new connection.
    pub forgotten: u64,
    /// All that was not loaded, by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// The first rejected ones.
    pub problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// What was found instead, if nothing was loaded though there was something.
    #[must_use]
    pub fn nothing(&self) -> Option<String> {
        if self.loaded > 0 || self.causes.is_empty() {
            return None;
        }
        let causes = self.causes.iter();
        let causes: Vec<_> = causes
            .map(|(cause, count)| format!("{count} {cause}"))
            .collect();
        let mut text = causes.join(", ");
        for problem in self.problems.iter().take(3) {
            text.push_str(&format!("; {}: {}", problem.number, problem.text));
        }
        Some(text)
    }

    /// Counts a line or packet that was not loaded.
    pub(super) fn note(&mut self, number: u64, cause: Cause, mut text: String) {
        *self.causes.entry(cause).or_default() += 1;
        if cause.is_sound() {
            self.skipped += 1;
            return;
        }
        self.rejected += 1;
        if self.problems.len() < MAX_PROBLEMS {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
                text.truncate(end);
                text.push_str("...");
            }
            self.problems.push(Problem {
                number,
                cause,
                text,
            });
        }
    }
}
