//! The audit log: who called what writes or was refused, from where, and what
//! came of it.
//!
//! `Log::record` neither waits nor fails. What is recorded is at once in memory,
//! the last `KEPT` entries, and then in a file or systemd's journal, which a
//! thread of its own writes: a disk that is slow or full holds nobody. Who calls
//! decides what is worth a record. Bound: `KEPT` entries in memory and `QUEUED`
//! that wait for the disk, their texts cut to `MAX_TEXT`; what finds no room is
//! counted and told; floods are folded (`folding`).

mod code;
mod file;
mod folding;
mod journal;
mod line;
mod queue;
mod record;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::config;

use queue::Queue;
use writer::Sink;

pub use code::code_name;
pub use record::{Entry, OF_USER, Record};

/// Most entries in memory.
pub const KEPT: usize = 4096;
/// Most entries that wait to be written.
const QUEUED: usize = 1024;
/// Most bytes of each text of a record.
const MAX_TEXT: usize = 512;
/// How long an end waits for what is not written yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// The audit log cannot be written, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The folder of the file cannot be made or opened.
    #[error(
        "cannot use the folder {path:?} of the audit log: {source}; make it accessible, or name another file in `[audit] file`"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file or its folder is none of ours.
    #[error("the audit log {path:?} {what}; name another in `[audit] file`")]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file cannot be opened or written.
    #[error(
        "cannot write the audit log {path:?}: {source}; make room and make it writable, or name another file in `[audit] file`"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The old file cannot make room for a new one.
    #[error("cannot rotate the audit log {path:?}: {source}; make its folder writable")]
    Rotate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal does not take it.
    #[error(
        "cannot send the audit log to {path:?}: {source}; start systemd-journald, or name a file in `[audit] file`"
    )]
    Journal {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start the thread that writes the audit log: {0}; raise the limit of processes")]
    Thread(io::Error),
}

/// The log; clones are the same one.
#[derive(Clone, Debug)]
pub struct Log(Arc<End>);

/// Ends the writer with the last clone.
#[derive(Debug)]
struct End(Arc<Queue>);

/// What became of records, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    calls: AtomicU64,
    refusals: AtomicU64,
    folded: AtomicU64,
    lost: AtomicU64,
}

impl Log {
    /// Opens the log as it is configured; a name without a folder is in
    /// `state_dir`. The latest entries of the file are read, and a thread is
    /// started. A file that cannot be read or written is told, tried again, and
    /// no reason not to start.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn open(config: &config::Audit, state_dir: &Path) -> Result<Self, AuditError> {
        let (sink, entries, refused) = Sink::open(config, state_dir);
        let queue = Arc::new(Queue::new(entries, !matches!(sink, Sink::Memory)));
        queue.set_trouble(refused.map(|error| error.to_string()));
        let worker = Arc::clone(&queue);
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer::run(&worker, sink))
            .map_err(AuditError::Thread)?;
        Ok(Self(Arc::new(End(queue))))
    }

    /// A log in memory alone, for tests.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn in_memory() -> Result<Self, AuditError> {
        let config = config::Audit {
            to: config::AuditTo::Off,
            ..config::Audit::default()
        };
        Self::open(&config, Path::new("/"))
    }

    /// Records a call. Refusals that are alike, and calls in great number, are
    /// folded into one entry with their count.
    pub fn record(&self, record: Record) {
        self.0.0.record(record, Instant::now());
    }

    /// The entries in memory, the oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.0.0.entries()
    }

    /// What became of records.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        self.0.0.counts()
    }

    /// Why entries are not written just now, if they are not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.0.trouble()
    }

    /// Entries that are not written yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.0.waiting()
    }

    /// Ends the log and waits a little until all is written; blocks. Later
    /// records are kept in memory alone.
    pub fn close(&self) {
        self.0.0.close();
        self.0.0.wait_for_end(PATIENCE);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Counts {
    /// Calls that were let through.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Calls that were refused or failed.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// Of both, those that have no entry of their own but are counted in one.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded.load(Relaxed)
    }

    /// Entries that were not written: no room, or an end before the disk took
    /// them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}
