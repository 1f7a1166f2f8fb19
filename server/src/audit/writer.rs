//! The thread that writes entries, and where to.
//!
//! What cannot be written is told once, waits in the queue, and is tried again
//! every `RETRY`.

use std::{path::Path, sync::Arc, time::Duration};

use super::{AuditError, file::AuditFile, journal::Journal, queue::Queue, record::Entry};
use crate::config::{Audit, AuditTo};

/// Between two attempts.
const RETRY: Duration = Duration::from_secs(5);

/// Where entries go.
pub(super) enum Sink {
    /// Nowhere else.
    Memory,
    File(AuditFile),
    Journal(Journal),
}

impl Sink {
    /// What is configured, the latest entries of the file, and why it cannot be written.
    pub(super) fn open(config: &Audit, state_dir: &Path) -> (Self, Vec<Entry>, Option<AuditError>) {
        match &config.to {
            AuditTo::Off => (Self::Memory, Vec::new(), None),
            AuditTo::Journal => (Self::Journal(Journal::default()), Vec::new(), None),
            AuditTo::File(path) => {
                let path = state_dir.join(path);
                let mut file = AuditFile::new(path, config.max_bytes, config.keep);
                let entries = file.latest();
                let refused = file.prepare().err();
                if let Some(error) = &refused {
                    tracing::warn!(%error, "the audit log is kept in memory alone for now");
                }
                (Self::File(file), entries, refused)
            }
        }
    }

    /// Writes entries; how many were, and why no more.
    fn write(&mut self, entries: &[Arc<Entry>]) -> (usize, Result<(), AuditError>) {
        match self {
            Self::Memory => (entries.len(), Ok(())),
            Self::File(file) => file.write(entries),
            Self::Journal(journal) => journal.write(entries),
        }
    }
}

/// Writes until the queue is closed.
pub(super) fn run(queue: &Queue, mut sink: Sink) {
    let mut is_told = false;
    while let Some(batch) = queue.next() {
        let (count, written) = sink.write(&batch);
        queue.wrote(count);
        match written {
            Ok(()) if is_told => {
                is_told = false;
                queue.set_trouble(None);
                tracing::info!("the audit log is written again");
            }
            Ok(()) => queue.set_trouble(None),
            Err(error) => {
                queue.set_trouble(Some(error.to_string()));
                if !is_told {
                    is_told = true;
                    tracing::warn!(%error, "the audit log is not written; it is tried again");
                }
                if !queue.rest(RETRY) {
                    // It is over: once more, and no longer.
                    let (count, last) = sink.write(&batch[count..]);
                    queue.wrote(count);
                    if last.is_err() {
                        break;
                    }
                }
            }
        }
    }
    // Whoever waits for the end may open the file again, which is locked.
    drop(sink);
    let left = queue.end();
    if left > 0 {
        tracing::warn!(entries = left, "the end of the audit log is lost");
    }
}
