//! A file of lines, which is begun anew when it is large: Hubble's exporter to a file.
//!
//! Old files are `<base>-<time><extension>`, with `.gz` once they are compressed. Only
//! appended to, for its owner alone, never through a link (`appended`). Whoever moves the
//! file away makes us begin a new one.

mod backups;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use nix::fcntl::renameat;
use thiserror::Error;

use super::{batch::Batch, counts::Counts, setting::FileTarget, written::Written};
use crate::appended::{Appended, Refused, folder_of};
use backups::{Keeper, Names};

/// Bytes that are written at once, at most, but for a longer line.
const CHUNK: usize = 64 << 10;

/// Why lines are not written.
#[derive(Debug, Error)]
pub(super) enum SinkError {
    /// The folder of the file cannot be made or opened.
    #[error(
        "cannot use the folder {path:?} of exported flows: {source}; make it accessible, or export to another file"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file or its folder is none of ours.
    #[error("the file of exported flows {path:?} {what}; export to another")]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file cannot be opened or written.
    #[error("cannot write exported flows to {path:?}: {source}; make room and make it writable")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot make room for a new one.
    #[error("cannot begin {path:?} anew: {source}; make its folder writable")]
    Rotate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct FileSink {
    target: FileTarget,
    counts: Counts,
    open: Option<Appended>,
    keeper: Option<Keeper>,
}

impl FileSink {
    pub(super) fn new(target: &FileTarget, counts: Counts) -> Self {
        Self {
            target: target.clone(),
            counts,
            open: None,
            keeper: None,
        }
    }

    /// Writes as this says from now on.
    pub(super) fn change(&mut self, target: &FileTarget) {
        let before = std::mem::replace(&mut self.target, target.clone());
        if before.path != target.path {
            if let Some(keeper) = self.keeper.take() {
                keeper.leave();
            }
            if let Err(error) = self.close() {
                self.counts.complain(error.to_string());
            }
        } else if let Some(keeper) = &self.keeper {
            keeper.keep(target);
        }
    }

    /// Opens the file, so that what is wrong with it is known.
    pub(super) fn prepare(&mut self) -> Result<(), SinkError> {
        match self.target.is_stdout() {
            true => Ok(()),
            false => self.open().map(drop),
        }
    }

    /// Writes lines, as many as it can.
    pub(super) fn write(&mut self, batch: &Batch) -> Written<SinkError> {
        let mut written = 0;
        loop {
            let (events, lines) = batch.part(written, usize::MAX, self.room());
            if let Err(error) = self.put(lines, written == 0) {
                return Written::failed(written, error);
            }
            written += events;
            if written == batch.len() {
                return Written::all(written);
            }
        }
    }

    /// What goes into a chunk, so that no file is larger than it may be.
    fn room(&self) -> usize {
        let size = self.open.as_ref().map_or(0, Appended::size);
        let left = self.target.max_bytes.saturating_sub(size);
        // The next one goes into a new file.
        let room = if left == 0 {
            self.target.max_bytes
        } else {
            left
        };
        usize::try_from(room).map_or(CHUNK, |room| room.min(CHUNK))
    }

    /// Writes a chunk.
    fn put(&mut self, chunk: &[u8], is_first: bool) -> Result<(), SinkError> {
        match self.target.is_stdout() {
            true => to_stdout(chunk),
            false => self.append(chunk, is_first),
        }
    }

    fn append(&mut self, chunk: &[u8], is_first: bool) -> Result<(), SinkError> {
        let (max_bytes, path) = (self.target.max_bytes, self.target.path.clone());
        let mut open = match &mut self.open {
            Some(open) if !is_first => open,
            _ => self.open()?,
        };
        if open.size() > 0 && open.size() + chunk.len() as u64 > max_bytes {
            self.rotate()?;
            open = self.open()?;
        }
        let written = open.append(chunk);
        written.map_err(|source| SinkError::Write { path, source })
    }

    /// Opens the file unless it is; and again if it is no more where it was.
    fn open(&mut self) -> Result<&mut Appended, SinkError> {
        let path = &self.target.path;
        let name = path.file_name().unwrap_or_default();
        let open = match self.open.take().filter(|open| open.is_at(name)) {
            Some(open) => open,
            None => {
                let opened = folder_of(path).and_then(|folder| Appended::open(folder, name));
                opened.map_err(|refused| self.refused(refused))?
            }
        };
        if self.keeper.is_none() {
            // Also for what an earlier daemon left.
            self.keeper = Some(Keeper::start(&self.target, self.counts.clone()));
        }
        Ok(self.open.insert(open))
    }

    fn refused(&self, refused: Refused) -> SinkError {
        let path = self.target.path.clone();
        match refused {
            Refused::Folder(path, source) => SinkError::Folder { path, source },
            Refused::Odd(what) => SinkError::Odd { path, what },
            Refused::File(source) => SinkError::Write { path, source },
        }
    }

    /// Gives the file the name of an old one.
    fn rotate(&mut self) -> Result<(), SinkError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let path = &self.target.path;
        let name = path.file_name().unwrap_or_default();
        let above = path.parent().unwrap_or(Path::new("/"));
        // Its place is kept, whatever comes to be at the path of the folder.
        let renamed = Names::of(path).next(above).and_then(|to| {
            let moved = renameat(&open.folder, name, &open.folder, to.as_str());
            Ok(moved?)
        });
        if let Err(source) = renamed {
            let path = path.clone();
            self.open = Some(open);
            return Err(SinkError::Rotate { path, source });
        }
        if let Some(keeper) = &self.keeper {
            keeper.look();
        }
        Ok(())
    }

    /// Lets the file go; what is in it is on the disk then. Old files are in order when
    /// this returns.
    pub(super) fn close(&mut self) -> Result<(), SinkError> {
        let synced = self
            .open
            .take()
            .map_or(Ok(()), |open| open.file.sync_data());
        self.keeper = None;
        synced.map_err(|source| SinkError::Write {
            path: self.target.path.clone(),
            source,
        })
    }
}

/// A pipe that nobody reads holds the exporter, and nobody else.
fn to_stdout(chunk: &[u8]) -> Result<(), SinkError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(chunk).and_then(|()| out.flush());
    written.map_err(|source| SinkError::Write {
        path: "stdout".into(),
        source,
    })
}

#[cfg(test)]
mod tests;
