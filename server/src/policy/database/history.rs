//! Past changes, as they are read.

use redb::{ReadOnlyTable, ReadableDatabase as _, ReadableTable as _};

use super::{Database, DatabaseError, Failure, REVISIONS, if_there};
use crate::policy::entry::Revision;

impl Database {
    /// Up to `limit` changes before a number, the newest first.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn revisions(&self, before: u64, limit: usize) -> Result<Vec<Revision>, DatabaseError> {
        self.with(|file| {
            let mut found = Vec::new();
            let transaction = file.begin_read()?;
            let Some(table) = if_there(transaction.open_table(REVISIONS))? else {
                return Ok(found);
            };
            for row in table.range(..before)?.rev().take(limit) {
                let (number, bytes) = row?;
                found.push(Revision::from_bytes(number.value(), bytes.value())?);
            }
            Ok(found)
        })
    }

    /// Up to `limit` changes before a number, the newest first, without what policies were
    /// before. Bound: the bytes of one change at a time.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn told(&self, before: u64, limit: usize) -> Result<Vec<Revision>, DatabaseError> {
        self.read_told(|table| {
            let mut found = Vec::new();
            for row in table.range(..before)?.rev().take(limit) {
                let (number, bytes) = row?;
                found.push(Revision::told_from_bytes(number.value(), bytes.value())?);
            }
            Ok(found)
        })
    }

    /// The first change after a number, likewise.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn told_after(&self, number: u64) -> Result<Option<Revision>, DatabaseError> {
        self.read_told(|table| {
            let row = table.range(number.saturating_add(1)..)?.next();
            let Some((number, bytes)) = row.transpose()? else {
                return Ok(None);
            };
            let told = Revision::told_from_bytes(number.value(), bytes.value())?;
            Ok(Some(told))
        })
    }

    fn read_told<T: Default>(
        &self,
        read: impl Fn(&ReadOnlyTable<u64, &'static [u8]>) -> Result<T, Failure>,
    ) -> Result<T, DatabaseError> {
        self.with(|file| {
            let transaction = file.begin_read()?;
            match if_there(transaction.open_table(REVISIONS))? {
                Some(table) => read(&table),
                None => Ok(T::default()),
            }
        })
    }

    /// The oldest change that is remembered.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn oldest(&self) -> Result<Option<u64>, DatabaseError> {
        self.with(|file| {
            let transaction = file.begin_read()?;
            let Some(table) = if_there(transaction.open_table(REVISIONS))? else {
                return Ok(None);
            };
            Ok(table.first()?.map(|(number, _)| number.value()))
        })
    }
}
