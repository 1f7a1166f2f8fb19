//! What keeps events from the disk.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why the disk does not take events.
#[derive(Debug, Error)]
pub(in crate::export) enum SpoolError {
    /// Its folder cannot be made or opened.
    #[error("cannot use the folder {path:?} of a spool: {source}; make it accessible")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its folder is none of ours.
    #[error("the spool {path:?} {what}; give each exporter a `directory` of its own")]
    Odd {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read the spool {path:?}: {source}; make its files readable")]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write to the spool {path:?}: {source}; make room and make it writable")]
    Write {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
