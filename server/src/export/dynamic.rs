//! What became of Hubble's dynamic configuration of exporters, as Hubble's metrics tell it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::setting::Setting;
use crate::flow::Time;

/// The configuration that is in force; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Dynamic(Arc<Mutex<Option<Applied>>>);

#[derive(Debug, Default)]
struct Applied {
    settings: Vec<Setting>,
    changes: [u64; Change::ALL.len()],
    hash: u32,
    at: Option<SystemTime>,
}

/// What a new configuration does to an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Add,
    /// It is another.
    Update,
    /// It is no more.
    Remove,
    /// The file cannot be read or followed; all is as before.
    Failure,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Add, Self::Update, Self::Remove, Self::Failure];

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Failure => "failure",
        }
    }
}

/// The configuration at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicState {
    /// Exporters by name, and whether their end has not passed.
    pub exporters: Vec<(String, bool)>,
    /// Changes, as `Change::ALL`.
    pub changes: [u64; Change::ALL.len()],
    /// CRC-32 of the file that was followed last.
    pub hash: u32,
    /// When that was.
    pub at: Option<SystemTime>,
}

impl Dynamic {
    /// These exporters of a file with these contents are in force now; `None` where there
    /// is no such file.
    pub(super) fn apply(&self, file: Option<(Vec<Setting>, &[u8])>) {
        let mut applied = self.lock();
        let Some((settings, contents)) = file else {
            *applied = None;
            return;
        };
        let applied = applied.get_or_insert_default();
        let named = |settings: &[Setting], name: &str| {
            settings.iter().find(|one| one.name == name).cloned()
        };
        for setting in &settings {
            match named(&applied.settings, &setting.name) {
                None => applied.count(Change::Add),
                Some(before) if before != *setting => applied.count(Change::Update),
                Some(_) => {}
            }
        }
        let gone = applied.settings.iter();
        let gone = gone.filter(|one| named(&settings, &one.name).is_none());
        applied.changes[Change::Remove as usize] += gone.count() as u64;
        applied.settings = settings;
        applied.hash = crc32fast::hash(contents);
        applied.at = Some(SystemTime::now());
    }

    /// The file cannot be followed.
    pub(super) fn fail(&self) {
        self.lock().get_or_insert_default().count(Change::Failure);
    }

    /// What there is now; nothing where no file is named.
    #[must_use]
    pub fn state(&self) -> Option<DynamicState> {
        let applied = self.lock();
        let applied = applied.as_ref()?;
        let now = Time::now();
        let is_active = |setting: &Setting| setting.selected.end.is_none_or(|end| end > now);
        let exporters = applied.settings.iter();
        Some(DynamicState {
            exporters: exporters
                .map(|setting| (setting.name.clone(), is_active(setting)))
                .collect(),
            changes: applied.changes,
            hash: applied.hash,
            at: applied.at,
        })
    }

    /// Whoever died with the lock had counted.
    fn lock(&self) -> MutexGuard<'_, Option<Applied>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Applied {
    fn count(&mut self, change: Change) {
        self.changes[change as usize] += 1;
    }
}
