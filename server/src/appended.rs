//! A file that is only appended to, line by line.
//!
//! For its owner alone, never through a link, and locked against a second writer. A line
//! that was cut off, by a kill or a full disk, does not spoil the next. Who moves the
//! file away (logrotate) is seen. When it is begun anew, and what is in it, is for those
//! who keep it: the audit log and exporters.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{Mode, fstatat},
    unistd::geteuid,
};

use crate::state;

/// Everybody may write.
const WORLD_WRITABLE: u32 = 0o002;

/// The file cannot be used.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Its folder cannot be made or opened.
    Folder(PathBuf, io::Error),
    /// It or its folder is none of ours.
    Odd(&'static str),
    /// It cannot be opened.
    File(io::Error),
}

/// The file, open, with its folder.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) folder: File,
    pub(crate) file: File,
    size: u64,
    /// Ends in the middle of a line.
    is_torn: bool,
}

/// The folder of a file, made where it is missing.
pub(crate) fn folder_of(path: &Path) -> Result<File, Refused> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let failed = |error| Refused::Folder(above.to_owned(), error);
    state::make(above).map_err(failed)?;
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NONBLOCK).bits())
        .open(above)
        .map_err(failed)?;
    if folder.metadata().map_err(failed)?.mode() & WORLD_WRITABLE != 0 {
        return Err(Refused::Odd("is in a folder that everybody may write to"));
    }
    Ok(folder)
}

impl Appended {
    /// Opens the file, and makes it where it is missing.
    pub(crate) fn open(folder: File, name: &OsStr) -> Result<Self, Refused> {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT;
        let mut file = match open_in(&folder, name, flags) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                return Err(Refused::Odd("is a link, which is not followed"));
            }
            Err(error) => return Err(Refused::File(error)),
        };
        let metadata = file.metadata().map_err(Refused::File)?;
        if !metadata.is_file() {
            return Err(Refused::Odd("is no regular file"));
        }
        if metadata.uid() != geteuid().as_raw() {
            return Err(Refused::Odd("belongs to another user"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Refused::Odd("is written by another sextantd"));
            }
            Err(TryLockError::Error(error)) => return Err(Refused::File(error)),
        }
        let is_torn = is_torn(&mut file).map_err(Refused::File)?;
        // A new file is there after a crash only when its folder is on the disk.
        folder.sync_all().map_err(Refused::File)?;
        Ok(Self {
            folder,
            file,
            size: metadata.len(),
            is_torn,
        })
    }

    /// Bytes in it.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file still has this name.
    pub(crate) fn is_at(&self, name: &OsStr) -> bool {
        let there = fstatat(&self.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        match (there, self.file.metadata()) {
            (Ok(there), Ok(ours)) => (there.st_dev, there.st_ino) == (ours.dev(), ours.ino()),
            _ => false,
        }
    }

    /// Appends lines: all of them or, with an error, none.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // Somebody may have emptied it (copytruncate).
        let size = self.file.metadata()?.len();
        if size < self.size {
            self.is_torn = false;
        }
        self.size = size;
        if self.is_torn {
            self.file.write_all(b"\n")?;
            (self.is_torn, self.size) = (false, self.size + 1);
        }
        match self.file.write_all(lines) {
            Ok(()) => self.size += lines.len() as u64,
            Err(error) => {
                // A part of it may be there.
                self.is_torn = self.file.set_len(self.size).is_err();
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether a file has something after its last line.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Opens a file of the folder, for its owner alone if it is new, never through a link.
/// One that waits for its other end, such as a FIFO, is not waited for.
pub(crate) fn open_in(folder: &File, name: &OsStr, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    Ok(openat(folder, name.as_bytes(), flags, mode)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_somebody_empties_goes_on_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let open = || Appended::open(folder_of(&path).unwrap(), OsStr::new("lines")).unwrap();
        let mut file = open();
        file.append(b"one\ntwo\n").unwrap();
        std::fs::write(&path, "").unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(file.size(), 6);
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
    }
}
