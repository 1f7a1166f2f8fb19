//! The state folder: small files that outlive the daemon.
//!
//! A file is written whole or not at all, and is on the disk when `write`
//! returns. Nothing is written through a link, none of it is for other users,
//! and of several daemons with one folder only the one that holds its lock
//! writes. What the files mean is for those who keep them. Bound: files of
//! `MAX_FILE`, `MAX_ASIDE` damaged ones of each.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::stat::{Mode, fstatat},
    unistd::{UnlinkatFlags, geteuid, unlinkat},
};

/// Largest file that is read or written, in bytes.
pub const MAX_FILE: usize = 16 << 20;
/// Most damaged files that are kept of one name; then the last is replaced.
const MAX_ASIDE: u32 = 9;
/// Held by the daemon that writes.
const LOCK: &str = "lock";
/// Others may write.
const WRITABLE: u32 = 0o022;

/// The folder or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made or opened.
    #[error(
        "cannot use the state folder {path:?}: {source}; make it accessible or choose another --state-dir"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is not ours alone.
    #[error(
        "the state folder {path:?} {what}; choose a --state-dir that belongs to sextantd's user alone"
    )]
    Shared {
        /// The folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Another daemon keeps its state there.
    #[error("another sextantd keeps its state in {path:?}; give each its own --state-dir")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// Writing without the lock.
    #[error(
        "the lock of the state folder {path:?} cannot be had: {source}; make it writable or choose another --state-dir"
    )]
    Lock {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there, and is none of ours.
    #[error("{path:?} {what}")]
    Odd {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path:?}: {source}; make it readable or choose another --state-dir")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written; the one that was there is as it was.
    #[error(
        "cannot write {path:?}: {source}; make room and make it writable, or choose another --state-dir"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Device and number of a file.
pub type Inode = (u64, u64);

/// An open state folder, which stays the same whatever comes to be at its path.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    folder: File,
    lock: Option<File>,
}

impl StateFolder {
    /// Opens the folder, and makes it where it is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be made, is a link or no folder, or others could change
    /// what is in it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let refused = |source| StateError::Folder {
            path: path.to_owned(),
            source,
        };
        let shared = |what| StateError::Shared {
            path: path.to_owned(),
            what,
        };
        make(path).map_err(refused)?;
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path)
            .map_err(|error| match fs::symlink_metadata(path) {
                Ok(there) if there.is_symlink() => shared("is a link, which is not followed"),
                _ => refused(error),
            })?;
        let metadata = folder.metadata().map_err(refused)?;
        if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
            return Err(shared("belongs to another user"));
        }
        if metadata.mode() & WRITABLE != 0 {
            return Err(shared("is writable for other users"));
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            lock: None,
        })
    }

    /// Takes the lock that writing needs. It is let go with the folder, and by
    /// the kernel with the process.
    ///
    /// # Errors
    ///
    /// `Taken` when another daemon has it.
    pub fn lock(&mut self) -> Result<(), StateError> {
        self.lock_by(LOCK)
    }

    /// The same, by a lock of another name: for a file that has a keeper of its own.
    ///
    /// # Errors
    ///
    /// `Taken` when another daemon, or another keeper of this one, has it.
    pub fn lock_by(&mut self, name: &str) -> Result<(), StateError> {
        let failed = |source| StateError::Lock {
            path: self.path.clone(),
            source,
        };
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NONBLOCK;
        let file = self.open_in(name, flags).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            let what = format!("`{name}` in it is no regular file");
            return Err(failed(io::Error::other(what)));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::Taken {
                    path: self.path.clone(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        self.lock = Some(file);
        Ok(())
    }

    /// What a file has; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `Odd` when it is a link, no regular file or too large.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(name);
        let odd = |what| StateError::Odd {
            path: path.clone(),
            what,
        };
        // One that waits for its other end, such as a FIFO, is not waited for.
        let file = match self.open_in(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                return Err(odd("is a link, which is not followed"));
            }
            // A socket.
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
                return Err(odd("is no regular file"));
            }
            Err(source) => return Err(StateError::Read { path, source }),
        };
        let read = || {
            if !file.metadata()?.is_file() {
                return Ok(Err("is no regular file"));
            }
            let mut bytes = Vec::new();
            (&file).take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
            Ok(match bytes.len() > MAX_FILE {
                true => Err("is larger than 16 MiB"),
                false => Ok(bytes),
            })
        };
        match read() {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(what)) => Err(odd(what)),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// A file to be changed in place, made where it is missing, for its owner alone.
    ///
    /// # Errors
    ///
    /// `Odd` when it is a link or no regular file; without the lock.
    pub fn open_file(&self, name: &str) -> Result<File, StateError> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NONBLOCK;
        let opened = self.check_lock().and_then(|()| {
            let file = self.open_in(name, flags)?;
            let is_file = file.metadata()?.is_file();
            // Its name is on the disk too.
            self.folder.sync_all()?;
            Ok((file, is_file))
        });
        match opened {
            Ok((file, true)) => Ok(file),
            Ok((_, false)) => {
                let what = "is no regular file";
                Err(StateError::Odd { path, what })
            }
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                let what = "is a link, which is not followed";
                Err(StateError::Odd { path, what })
            }
            // A socket, or a folder.
            Err(error)
                if [Errno::ENXIO, Errno::EISDIR]
                    .iter()
                    .any(|odd| error.raw_os_error() == Some(*odd as i32)) =>
            {
                let what = "is no regular file";
                Err(StateError::Odd { path, what })
            }
            Err(source) => Err(StateError::Write { path, source }),
        }
    }

    /// Whether the folder is still at its path, and what has this name in it is still this
    /// file, with something in it.
    #[must_use]
    pub fn has(&self, name: &str, file: Inode) -> bool {
        let there = fstatat(&self.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        is_same(&self.folder, fs::symlink_metadata(&self.path))
            && there.is_ok_and(|there| (there.st_dev, there.st_ino) == file && there.st_size > 0)
    }

    /// Puts a file in place of the one that is there, for its owner alone.
    ///
    /// # Errors
    ///
    /// Without the lock, when it is too large, and when it cannot be written;
    /// what was there is then as it was.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write_whole(name, bytes)
            .map_err(|source| StateError::Write {
                path: self.path.join(name),
                source,
            })
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.check_lock()?;
        if bytes.len() > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let new = format!("{name}.new");
        // Left by one that was killed, or put there by another.
        match unlinkat(&self.folder, new.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut file = self.open_in(&new, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(&self.folder, new.as_str(), &self.folder, name)?));
        if written.is_err() {
            let _ = unlinkat(&self.folder, new.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        written?;
        self.folder.sync_all()
    }

    /// Gives what is there under a name another one, `NAME.damaged-N`.
    ///
    /// # Errors
    ///
    /// Without the lock, and when it cannot be renamed.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateError> {
        let aside = |number| format!("{name}.damaged-{number}");
        let free = |number: &u32| {
            let there = fstatat(
                &self.folder,
                aside(*number).as_str(),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            );
            there == Err(Errno::ENOENT)
        };
        let to = aside((1..MAX_ASIDE).find(free).unwrap_or(MAX_ASIDE));
        let renamed = self.check_lock().and_then(|()| {
            renameat(&self.folder, name, &self.folder, to.as_str())?;
            self.folder.sync_all()
        });
        match renamed {
            Ok(()) => Ok(self.path.join(to)),
            Err(source) => Err(StateError::Write {
                path: self.path.join(to),
                source,
            }),
        }
    }

    fn check_lock(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(io::Error::other(
                "the folder is not locked by this sextantd",
            )),
        }
    }

    /// Opens a file of the folder, never through a link.
    fn open_in(&self, name: &str, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        Ok(openat(&self.folder, name, flags, mode)?.into())
    }
}

/// Whether what was found is this file or folder.
pub(crate) fn is_same(file: &File, found: io::Result<Metadata>) -> bool {
    let found = found.map(|found| (found.dev(), found.ino()));
    let ours = file.metadata().map(|ours| (ours.dev(), ours.ino()));
    matches!((ours, found), (Ok(ours), Ok(found)) if ours == found)
}

/// Makes a folder where it is missing. It is for its owner alone; those above it
/// are as is usual.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Another daemon was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
