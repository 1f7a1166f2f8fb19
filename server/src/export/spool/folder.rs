//! The folder of a spool: its files by name, and the lock that one daemon has.
//!
//! Files are for their owner alone and are never reached through a link (`appended`).
//! What they mean is for those who keep them. Bound: `MAX_ASIDE` files set aside.

use std::{
    ffi::OsStr,
    fs::{File, TryLockError, metadata, read_dir},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, renameat},
    unistd::{UnlinkatFlags, geteuid, unlinkat},
};

use super::error::SpoolError;
use crate::{
    appended::{Refused, folder_of, open_in},
    state::is_same,
};

/// Held by the daemon that writes.
const LOCK: &str = "lock";
/// What comes before the number in the name of a segment; so they sort by age.
const SEGMENT: &str = "events-";
/// Most files that are kept for people to look at; then the last is replaced.
const MAX_ASIDE: u32 = 4;

/// The folder, open and locked.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    folder: File,
    /// Let go with this, and by the kernel with the process.
    _lock: File,
}

/// The name of the segment that begins with this event.
pub(super) fn segment_name(first: u64) -> String {
    format!("{SEGMENT}{first:020}")
}

impl Folder {
    /// Opens it, and makes it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, SpoolError> {
        let refused = |refused| match refused {
            Refused::Folder(path, source) => SpoolError::Folder { path, source },
            Refused::Odd(what) => SpoolError::Odd {
                path: path.to_owned(),
                what,
            },
            Refused::File(source) => SpoolError::Write {
                path: path.to_owned(),
                source,
            },
        };
        let folder = folder_of(&path.join(LOCK)).map_err(refused)?;
        let lock = open(&folder, LOCK, OFlag::O_RDWR | OFlag::O_CREAT);
        let lock = lock.map_err(|source| refused(Refused::File(source)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(refused(Refused::Odd(
                    "is used by another exporter, or another sextantd",
                )));
            }
            Err(TryLockError::Error(source)) => return Err(refused(Refused::File(source))),
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            _lock: lock,
        })
    }

    /// Whether it is still at its path, which may be a link.
    pub(super) fn is_there(&self) -> bool {
        is_same(&self.folder, metadata(&self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The segments that are there by their names, the oldest first: the number of the
    /// first event of each.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut segments = Vec::new();
        for entry in read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(SEGMENT));
            segments.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
        }
        segments.retain(|first| self.open_file(&segment_name(*first), OFlag::O_PATH).is_ok());
        segments.sort_unstable();
        Ok(segments)
    }

    /// Opens a regular file of ours.
    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        open(&self.folder, name, flags)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Gives a file that cannot be used another name.
    pub(super) fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let aside = |number| self.path.join(format!("damaged-{number}"));
        let free = (1..MAX_ASIDE).find(|number| aside(*number).symlink_metadata().is_err());
        let to = aside(free.unwrap_or(MAX_ASIDE));
        let to_name = to.file_name().unwrap_or_default();
        renameat(&self.folder, name, &self.folder, to_name)?;
        Ok(to)
    }

    /// Names of new files are on the disk when this returns.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

fn open(folder: &File, name: &str, flags: OFlag) -> io::Result<File> {
    let file = open_in(folder, OsStr::new(name), flags)?;
    let metadata = file.metadata()?;
    match metadata.is_file() && metadata.uid() == geteuid().as_raw() {
        true => Ok(file),
        false => Err(io::Error::other(format!(
            "`{name}` is no regular file of the user of sextantd"
        ))),
    }
}
