//! The database of policies: one file of the state folder, changed by one transaction a
//! change, so that it has the set before or after it whenever the process is killed.
//!
//! A file that is damaged is set aside, told, and never a reason not to start. Bound:
//! the set as `change` has it, `MAX_REVISIONS` past changes and `MAX_HISTORY` bytes of them.

mod history;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use redb::{
    Builder, Database as File, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use sextant_policy::policy::PolicyId;

use super::entry::{Entry, EntryError, Revision};
use crate::{
    flow::Time,
    state::{Inode, StateError, StateFolder},
};

/// Changes that are remembered.
pub const MAX_REVISIONS: u64 = 100;
/// Bytes of them; the last one is kept however large it is.
const MAX_HISTORY: usize = 64 << 20;
/// Of a set that is not the one that was kept; why stands behind it.
pub const UNKEPT: &str = "the policies are not kept";
const FILE: &str = "policies.redb";
const LOCK: &str = "policies.lock";
/// Memory for pages of the file.
const CACHE_BYTES: usize = 8 << 20;

/// Policies by kind, namespace and name.
const POLICIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("policies");
/// Changes by number.
const REVISIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("revisions");
/// What there is one of.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
/// Key of the state.
const CURRENT: &str = "current";

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Its folder, or the file.
    #[error(transparent)]
    State(#[from] StateError),
    /// It cannot be read or written; what was there is as it was.
    #[error("the database of policies {path:?}: {source}; make room and make it writable")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: redb::Error,
    },
    /// What is in it is not what was written.
    #[error("the database of policies {path:?} has what was never written: {source}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// What.
        source: EntryError,
    },
    /// What would be written nobody would find again.
    #[error(
        "the database of policies {path:?} is not what it was: it was removed, emptied, moved or replaced; put it back, or restart sextantd, which goes on with what is there"
    )]
    Gone {
        /// The file.
        path: PathBuf,
    },
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    /// None where it could not be opened again.
    file: RwLock<Option<File>>,
    /// Its lock is held as long as this is; none in memory.
    folder: Option<StateFolder>,
    /// Which file it is.
    inode: Mutex<Inode>,
    /// What became of the one before, until there are policies again.
    damage: Mutex<Option<String>>,
}

/// What a database has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The policies.
    pub entries: BTreeMap<PolicyId, Arc<Entry>>,
    /// Number of the last change.
    pub revision: u64,
    /// The change that waits to be confirmed.
    pub pending: Option<Pending>,
}

/// A change that is undone unless it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its revision, which is the last one.
    pub revision: u64,
    /// Until when.
    pub deadline: Time,
}

#[derive(Default, Serialize, Deserialize)]
struct CurrentOnDisk {
    revision: u64,
    /// When the last change is undone.
    deadline_ns: Option<i64>,
}

impl Database {
    /// Opens the database of a state folder, which need not exist yet, and reads it. One
    /// that is damaged is told and set aside.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or another daemon does.
    pub fn open(folder: &Path) -> Result<(Self, Stored), DatabaseError> {
        let path = folder.join(FILE);
        let mut folder = StateFolder::open(folder)?;
        folder.lock_by(LOCK)?;
        let damage = match try_open(&folder, &path) {
            Ok(opened) => return Ok(Self::new(path, opened, folder, None)),
            Err(damage) => damage,
        };
        let aside = folder.set_aside(FILE)?;
        tracing::error!(
            ?path,
            damage,
            ?aside,
            "the database of policies is damaged: set aside; there are no policies until they are applied again"
        );
        match try_open(&folder, &path) {
            Ok(opened) => {
                let what = format!(
                    "the database was damaged ({damage}) and is set aside as {}; apply the policies again",
                    aside.display()
                );
                Ok(Self::new(path, opened, folder, Some(what)))
            }
            Err(damage) => Err(DatabaseError::File {
                path,
                source: redb::Error::Corrupted(damage),
            }),
        }
    }

    /// A database that ends with the process, for tests.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn in_memory() -> Result<Self, DatabaseError> {
        let path = PathBuf::from("memory");
        let backend = redb::backends::InMemoryBackend::new();
        match Builder::new().create_with_backend(backend) {
            Ok(file) => Ok(Self {
                path,
                file: RwLock::new(Some(file)),
                folder: None,
                inode: Mutex::default(),
                damage: Mutex::default(),
            }),
            Err(error) => Err(DatabaseError::File {
                path,
                source: error.into(),
            }),
        }
    }

    fn new(
        path: PathBuf,
        (file, stored, inode): (File, Stored, Inode),
        folder: StateFolder,
        damage: Option<String>,
    ) -> (Self, Stored) {
        let database = Self {
            path,
            file: RwLock::new(Some(file)),
            folder: Some(folder),
            inode: Mutex::new(inode),
            damage: Mutex::new(damage),
        };
        (database, stored)
    }

    /// Why what it has is not what was kept, or will not be there after a restart.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if let Err(gone) = self.look() {
            return Some(gone.to_string());
        }
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.clone()
    }

    /// Looks whether the file is still at its place.
    fn look(&self) -> Result<(), DatabaseError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let inode = *self.inode.lock().unwrap_or_else(PoisonError::into_inner);
        match folder.has(FILE, inode) {
            true => Ok(()),
            false => Err(DatabaseError::Gone {
                path: self.path.clone(),
            }),
        }
    }

    /// As `with`, for what is to be there after a restart.
    fn write(&self, work: impl Fn(&File) -> Result<(), Failure>) -> Result<(), DatabaseError> {
        self.look()?;
        self.with(work)?;
        self.look()?;
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Works on the file. After an error of the disk it has to be opened again, and is, once.
    fn with<T>(&self, work: impl Fn(&File) -> Result<T, Failure>) -> Result<T, DatabaseError> {
        let once = || {
            let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
            match &*file {
                Some(file) => work(file),
                None => Err(redb::Error::PreviousIo.into()),
            }
        };
        let done = match once() {
            Err(Failure::File(error)) if is_of_disk(&error) && self.folder.is_some() => {
                // Not where another would be begun.
                self.look()?;
                tracing::warn!(%error, path = ?self.path, "the database of policies is opened again");
                let again = self.open_again();
                let again = again.map_err(|damage| redb::Error::Corrupted(damage).into());
                again.and_then(|()| once())
            }
            done => done,
        };
        done.map_err(|error| self.failed(error))
    }

    fn open_again(&self) -> Result<(), String> {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        // Its own lock on the file goes first.
        drop(file.take());
        let (opened, _, inode) = try_open(folder, &self.path)?;
        *self.inode.lock().unwrap_or_else(PoisonError::into_inner) = inode;
        *file = Some(opened);
        Ok(())
    }

    /// What it has.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn load(&self) -> Result<Stored, DatabaseError> {
        self.with(load)
    }

    /// Writes a change: all of it is on the disk on return, or nothing.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn commit(&self, revision: &Revision) -> Result<(), DatabaseError> {
        self.write(|file| {
            let transaction = file.begin_write()?;
            put_entries(&transaction, revision, |step| step.after.as_deref())?;
            put_revision(&transaction, revision)?;
            put_state(&transaction, revision.number, revision.confirm_by)?;
            Ok(transaction.commit()?)
        })
    }

    /// Takes back the last change, as if it had never been.
    ///
    /// # Errors
    ///
    /// It cannot be written; then the change stands.
    pub fn revert(&self, revision: &Revision, was: Option<Pending>) -> Result<(), DatabaseError> {
        self.write(|file| {
            let transaction = file.begin_write()?;
            put_entries(&transaction, revision, |step| step.before.as_deref())?;
            transaction.open_table(REVISIONS)?.remove(revision.number)?;
            let deadline = was.map(|pending| pending.deadline);
            put_state(&transaction, revision.number - 1, deadline)?;
            Ok(transaction.commit()?)
        })
    }

    /// The last change needs no confirmation any more.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn confirm(&self, revision: u64) -> Result<(), DatabaseError> {
        self.write(|file| {
            let transaction = file.begin_write()?;
            put_state(&transaction, revision, None)?;
            Ok(transaction.commit()?)
        })
    }

    fn failed(&self, error: Failure) -> DatabaseError {
        let path = self.path.clone();
        match error {
            Failure::File(source) => DatabaseError::File {
                path,
                source: *source,
            },
            Failure::Entry(source) => DatabaseError::Entry { path, source },
        }
    }
}

/// After which the file is of no use until it is opened again.
fn is_of_disk(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

/// What went wrong, without its place.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    File(Box<redb::Error>),
    #[error("{0}")]
    Entry(#[from] EntryError),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::File(Box::new(error.into()))
    }
}

/// Opens, verifies and reads the file; in words what is wrong with it.
fn try_open(folder: &StateFolder, path: &Path) -> Result<(File, Stored, Inode), String> {
    // A new one would be begun in it, as if there had been no policies.
    if path.symlink_metadata().is_ok_and(|is| is.len() == 0) {
        return Err("it is empty".into());
    }
    let file = folder.open_file(FILE).map_err(|error| error.to_string())?;
    let is = file.metadata().map_err(|error| error.to_string())?;
    let inode = (is.dev(), is.ino());
    // Bytes that nobody wrote may be worth a panic to the reader.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut file = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_file(file)
            .map_err(|error| error.to_string())?;
        // Sums of pages are verified here alone.
        match file.check_integrity() {
            Ok(true) => {}
            Ok(false) => tracing::warn!(?path, "the database of policies was repaired"),
            Err(error) => return Err(error.to_string()),
        }
        let stored = load(&file).map_err(|error| error.to_string())?;
        Ok((file, stored, inode))
    }));
    opened.unwrap_or_else(|_| Err("its reader panicked".into()))
}

fn load(file: &File) -> Result<Stored, Failure> {
    let transaction = file.begin_read()?;
    let mut stored = Stored::default();
    if let Some(table) = if_there(transaction.open_table(POLICIES))? {
        for row in table.iter()? {
            let (_, bytes) = row?;
            let entry = Entry::from_bytes(bytes.value())?;
            stored
                .entries
                .insert(entry.policy.id.clone(), Arc::new(entry));
        }
    }
    if let Some(table) = if_there(transaction.open_table(STATE))?
        && let Some(bytes) = table.get(CURRENT)?
    {
        let current: CurrentOnDisk =
            serde_json::from_slice(bytes.value()).map_err(EntryError::from)?;
        stored.revision = current.revision;
        stored.pending = current.deadline_ns.map(|deadline| Pending {
            revision: current.revision,
            deadline: Time::from_nanos(deadline),
        });
    }
    Ok(stored)
}

/// A database that was never written has no tables.
fn if_there<T>(table: Result<T, TableError>) -> Result<Option<T>, Failure> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn put_entries<'a>(
    transaction: &WriteTransaction,
    revision: &'a Revision,
    now: impl Fn(&'a super::entry::Step) -> Option<&'a Entry>,
) -> Result<(), Failure> {
    let mut table = transaction.open_table(POLICIES)?;
    for step in &revision.steps {
        let key = step.id.to_string();
        match now(step) {
            Some(entry) => table.insert(key.as_str(), entry.to_bytes()?.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    Ok(())
}

/// Remembers a change, and forgets those that are too old.
fn put_revision(transaction: &WriteTransaction, revision: &Revision) -> Result<(), Failure> {
    let mut table = transaction.open_table(REVISIONS)?;
    table.insert(revision.number, revision.to_bytes()?.as_slice())?;
    let (mut kept, mut bytes, mut gone) = (0, 0, Vec::new());
    for row in table.iter()?.rev() {
        let (number, value) = row?;
        kept += 1;
        bytes += value.value().len();
        let is_last = number.value() == revision.number;
        if !is_last && (kept > MAX_REVISIONS || bytes > MAX_HISTORY) {
            gone.push(number.value());
        }
    }
    for number in gone {
        table.remove(number)?;
    }
    Ok(())
}

fn put_state(
    transaction: &WriteTransaction,
    revision: u64,
    deadline: Option<Time>,
) -> Result<(), Failure> {
    let current = CurrentOnDisk {
        revision,
        deadline_ns: deadline.map(Time::as_nanos),
    };
    let bytes = serde_json::to_vec(&current).map_err(EntryError::from)?;
    transaction
        .open_table(STATE)?
        .insert(CURRENT, bytes.as_slice())?;
    Ok(())
}
