//! The file of the log, and the old ones beside it: `NAME`, `NAME.1` (the
//! latest), `NAME.2` and so on.
//!
//! Only appended to, for its owner alone, never through a link, and locked
//! against a second daemon; entries are on the disk when `write` returns. A line
//! that was cut off, by a kill or a full disk, does not spoil the next. Whoever
//! moves the file away (logrotate) makes us begin a new one.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, renameat},
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{
    AuditError, KEPT,
    line::{parse, to_line},
    record::Entry,
};
use crate::appended::{Appended, Refused, folder_of, open_in};

/// Most bytes that are read at the start, from the end of the files.
const MAX_READ: u64 = 4 << 20;

/// The file, open or to be opened.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    open: Option<Appended>,
}

impl AuditFile {
    /// At most `max_bytes` in a file, and `keep` old ones.
    pub(super) fn new(path: PathBuf, max_bytes: u64, keep: u32) -> Self {
        Self {
            path,
            max_bytes,
            keep,
            open: None,
        }
    }

    /// The latest entries of all files, the oldest first: at most `KEPT`.
    pub(super) fn latest(&self) -> Vec<Entry> {
        let Ok(folder) = self.folder() else {
            return Vec::new();
        };
        let (mut parts, mut entries, mut room) = (Vec::new(), 0, MAX_READ);
        for number in 0..=self.keep {
            let read = match self.tail(&folder, &self.name(number), room) {
                Ok(Some(bytes)) => bytes,
                Ok(None) if number == 0 => continue,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, path = ?self.path, number, "the audit log cannot be read");
                    break;
                }
            };
            room -= room.min(read.len() as u64);
            let part = self.parse(&read, number, KEPT - entries);
            entries += part.len();
            parts.push(part);
            if entries == KEPT || room == 0 {
                break;
            }
        }
        parts.into_iter().rev().flatten().collect()
    }

    /// The last `most` entries of what was read of a file.
    fn parse(&self, bytes: &[u8], number: u32, most: usize) -> Vec<Entry> {
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty()).rev().take(most);
        let mut damaged = 0_u64;
        let mut entries: Vec<_> = lines
            .filter_map(|line| {
                let entry = parse(line);
                damaged += u64::from(entry.is_none());
                entry
            })
            .collect();
        if damaged > 0 {
            tracing::warn!(path = ?self.path, number, lines = damaged, "lines of the audit log that are none are passed over");
        }
        entries.reverse();
        entries
    }

    /// At most `room` bytes from the end of a file, whole lines; `None` where
    /// there is none.
    fn tail(&self, folder: &File, name: &OsString, room: u64) -> io::Result<Option<Vec<u8>>> {
        let mut file = match open_in(folder, name, OFlag::O_RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let skipped = metadata.len().saturating_sub(room);
        // One byte before: whether a line begins there.
        file.seek(SeekFrom::Start(skipped.saturating_sub(1)))?;
        let mut bytes = Vec::new();
        file.take(room + 1).read_to_end(&mut bytes)?;
        if skipped > 0 {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            bytes.drain(..end.map_or(bytes.len(), |end| end + 1));
        }
        Ok(Some(bytes))
    }

    /// Opens the file, so that what is wrong with it is known.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(super) fn prepare(&mut self) -> Result<(), AuditError> {
        self.open().map(drop)
    }

    /// Opens the file unless it is; and again if it is no more where it was.
    fn open(&mut self) -> Result<&mut Appended, AuditError> {
        let name = self.name(0);
        let kept = self.open.take().filter(|open| open.is_at(&name));
        let open = match kept {
            Some(open) => open,
            None => self.open_new(self.folder()?)?,
        };
        Ok(self.open.insert(open))
    }

    fn folder(&self) -> Result<File, AuditError> {
        folder_of(&self.path).map_err(|refused| self.refused(refused))
    }

    fn open_new(&self, folder: File) -> Result<Appended, AuditError> {
        Appended::open(folder, &self.name(0)).map_err(|refused| self.refused(refused))
    }

    fn refused(&self, refused: Refused) -> AuditError {
        match refused {
            Refused::Folder(path, source) => AuditError::Folder { path, source },
            Refused::Odd(what) => AuditError::Odd {
                path: self.path.clone(),
                what,
            },
            Refused::File(source) => self.failed(source),
        }
    }

    /// Writes entries; how many were, and why no more.
    pub(super) fn write(&mut self, entries: &[Arc<Entry>]) -> (usize, Result<(), AuditError>) {
        for (index, entry) in entries.iter().enumerate() {
            let line = to_line(entry);
            if let Err(error) = self.append(line.as_bytes(), index == 0) {
                self.sync().ok();
                return (index, Err(error));
            }
        }
        (entries.len(), self.sync())
    }

    fn append(&mut self, line: &[u8], is_first: bool) -> Result<(), AuditError> {
        let (max_bytes, path) = (self.max_bytes, self.path.clone());
        let mut open = match &mut self.open {
            Some(open) if !is_first => open,
            _ => self.open()?,
        };
        if open.size() > 0 && open.size() + line.len() as u64 > max_bytes {
            self.sync()?;
            self.rotate()?;
            open = self.open()?;
        }
        let written = open.append(line);
        written.map_err(|source| AuditError::Write { path, source })
    }

    /// Gives each file the name of the next older one.
    fn rotate(&mut self) -> Result<(), AuditError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let rotated = self.rename_all(&open.folder);
        rotated.map_err(|source| AuditError::Rotate {
            path: self.path.clone(),
            source,
        })
    }

    fn rename_all(&self, folder: &File) -> io::Result<()> {
        let oldest = self.name(self.keep);
        match unlinkat(folder, oldest.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        for number in (0..self.keep).rev() {
            let (from, to) = (self.name(number), self.name(number + 1));
            match renameat(folder, from.as_os_str(), folder, to.as_os_str()) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        folder.sync_all()
    }

    fn sync(&self) -> Result<(), AuditError> {
        let synced = self
            .open
            .as_ref()
            .map_or(Ok(()), |open| open.file.sync_data());
        synced.map_err(|error| self.failed(error))
    }

    /// The name of the file, or of an old one.
    fn name(&self, number: u32) -> OsString {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name
    }

    fn failed(&self, source: io::Error) -> AuditError {
        AuditError::Write {
            path: self.path.clone(),
            source,
        }
    }
}
