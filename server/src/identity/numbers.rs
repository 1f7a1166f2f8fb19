//! Numeric identities of label sets: from 256 on, stable over restarts.
//!
//! They are kept in `identities.json` in the state folder, as a map from the
//! label set (sorted, joined by commas) to its number. Bound: one entry for
//! each label set ever seen on this host.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::reserved;

/// Cannot read or write the file.
#[derive(Debug, thiserror::Error)]
pub enum NumbersError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}: {source}; make it readable or choose another --state-dir", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what we wrote.
    #[error("{path} is damaged ({source}); move it away to number identities anew", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// The numbers given so far.
#[derive(Debug, Default)]
pub struct Numbers {
    given: BTreeMap<String, u32>,
    file: Option<PathBuf>,
    dirty: bool,
}

impl Numbers {
    /// Numbers that end with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Numbers kept in this folder, which need not exist yet.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be used.
    pub fn open(folder: &Path) -> Result<Self, NumbersError> {
        let path = folder.join("identities.json");
        let given = match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| NumbersError::Damaged {
                    path: path.clone(),
                    source,
                })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(NumbersError::Read { path, source }),
        };
        Ok(Self {
            given,
            file: Some(path),
            dirty: false,
        })
    }

    /// The number of a label set.
    pub(super) fn of(&mut self, labels: &[String]) -> u32 {
        let key = labels.join(",");
        if let Some(number) = self.given.get(&key) {
            return *number;
        }
        let last = self.given.values().max().copied();
        let number = last.map_or(reserved::FIRST_CLUSTER, |last| last + 1);
        self.given.insert(key, number);
        self.dirty = true;
        number
    }

    /// Writes new numbers. A failure is reported and tried again next time:
    /// the numbers hold for this run in any case.
    pub(super) fn save(&mut self) {
        let Some(path) = self.file.as_ref().filter(|_| self.dirty) else {
            return;
        };
        match write(path, &self.given) {
            Ok(()) => self.dirty = false,
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "identities not kept; they may change at the next start"
            ),
        }
    }
}

/// Whole or not at all: a new file, renamed over the old one.
fn write(path: &Path, given: &BTreeMap<String, u32>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("json.new");
    std::fs::write(&new, serde_json::to_vec_pretty(given)?)?;
    std::fs::rename(new, path)
}
