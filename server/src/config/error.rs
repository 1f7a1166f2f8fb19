//! Mistakes in what the daemon was told, with their places.

use std::fmt;

use sextant_flows::printable::printable;

/// Most mistakes that are shown, and most characters of each.
const MAX_TOLD: usize = 1000;
const MAX_SHOWN: usize = 2000;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `FILE:LINE`, `environment SEXTANT_X` or `flag --x`.
    pub place: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}: {}", self.place, self.message);
        let text = printable(&text);
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => write!(f, "{}...", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

/// Everything that is wrong with the configuration, one mistake a line: the
/// file's in order of its lines, then the environment's, then the flags'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.mistakes))]
pub struct ConfigError {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

fn lines(mistakes: &[Mistake]) -> String {
    let told = mistakes.iter().take(MAX_TOLD).map(Mistake::to_string);
    let more = mistakes.len().saturating_sub(MAX_TOLD);
    let more = (more > 0).then(|| format!("and {more} more mistakes"));
    told.chain(more).collect::<Vec<_>>().join("\n")
}
