//! Numeric identities of label sets: from 256 on, stable over restarts.
//!
//! They are kept in `identities.json` in the state folder, as a map from the
//! label set (sorted, joined by commas) to its number. A file that cannot be
//! used is told, and never a reason not to start. Bound: `MAX_SETS` label sets
//! of `MAX_LABELS` bytes; for new ones those are forgotten that this run has not
//! used, else the quarter that was not used for longest: who makes ever new ones pushes
//! out its own. Their numbers are nobody's then, until all were given once.

mod file;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::reserved;
use crate::state::{StateError, StateFolder};

pub use file::Damage;

const FILE: &str = "identities.json";
/// Most label sets that have a number: as many as Cilium has in a cluster.
const MAX_SETS: usize = 65_536;
/// Most bytes of all label sets together.
const MAX_LABELS: usize = 8 << 20;
/// The last number for label sets; beyond are Cilium's scopes.
const LAST: u32 = (1 << 24) - 1;
/// A label set without a number.
const UNKNOWN: u32 = 0;

/// What became of label sets; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct NumberCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    kept: AtomicU64,
    forgotten: AtomicU64,
    refused: AtomicU64,
}

impl NumberCounts {
    /// Label sets that have a number now.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Relaxed)
    }

    /// Label sets whose number was given up for others.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten.load(Relaxed)
    }

    /// Times that a label set got no number.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

/// The numbers given so far.
#[derive(Debug, Default)]
pub struct Numbers {
    given: HashMap<String, Given>,
    taken: HashSet<u32>,
    /// Bytes of all label sets.
    bytes: usize,
    /// The number to try next.
    next: u32,
    keeping: Keeping,
    dirty: bool,
    /// How often one was asked for.
    uses: u64,
    /// Why they are not kept.
    is_told: bool,
    counts: NumberCounts,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    number: u32,
    /// The last use in this run; 0 for none.
    used: u64,
}

/// Where numbers are kept.
#[derive(Debug, Default)]
enum Keeping {
    /// Nowhere, as is wanted or was told.
    #[default]
    Not,
    /// Nowhere; to be told once there is something to keep.
    Cannot(StateError),
    In(StateFolder),
}

impl Numbers {
    /// Numbers that end with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Numbers kept in this folder, which need not exist yet. What cannot be
    /// used is told: a damaged file is set aside, and then, or without a usable
    /// folder, numbers begin anew.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let mut folder = match StateFolder::open(folder) {
            Ok(folder) => folder,
            Err(error @ StateError::Folder { .. }) => {
                // Who has no right to it may have nothing to keep.
                return Self {
                    keeping: Keeping::Cannot(error),
                    ..Self::default()
                };
            }
            Err(error) => {
                not_kept(&error);
                return Self::default();
            }
        };
        let is_kept = match folder.lock() {
            Ok(()) => true,
            Err(error) => {
                not_kept(&error);
                false
            }
        };
        let (mut numbers, is_replaceable) = Self::load(&folder, is_kept);
        if is_kept && is_replaceable {
            numbers.keeping = Keeping::In(folder);
        }
        numbers
    }

    /// The numbers in the folder, and whether the file may be replaced.
    fn load(folder: &StateFolder, is_kept: bool) -> (Self, bool) {
        let damage = match folder.read(FILE) {
            Ok(None) => return (Self::default(), true),
            Ok(Some(bytes)) => match Self::parse(&bytes) {
                Ok(numbers) => return (numbers, true),
                Err(damage) => damage.to_string(),
            },
            Err(error @ StateError::Odd { .. }) => error.to_string(),
            Err(error) => {
                not_kept(&error);
                return (Self::default(), false);
            }
        };
        if !is_kept {
            tracing::warn!(file = FILE, %damage, "the file of identities is damaged; they are numbered anew");
            return (Self::default(), false);
        }
        match folder.set_aside(FILE) {
            Ok(aside) => tracing::warn!(
                file = FILE, %damage, ?aside,
                "the file of identities is damaged: set aside; they are numbered anew"
            ),
            Err(error) => {
                tracing::warn!(file = FILE, %damage, "the file of identities is damaged");
                not_kept(&error);
                return (Self::default(), false);
            }
        }
        (Self::default(), true)
    }

    /// The numbers that a file tells.
    ///
    /// # Errors
    ///
    /// When it is not as `save` writes it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let mut numbers = Self::default();
        for (labels, number) in file::parse(bytes)? {
            numbers.add(labels, number, 0);
        }
        numbers.next = numbers.taken.iter().max().map_or(0, |last| last + 1);
        Ok(numbers)
    }

    /// The bytes that `parse` takes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let given = self.given.iter();
        file::to_bytes(given.map(|(labels, given)| (labels.as_str(), given.number)))
    }

    /// What became of label sets.
    #[must_use]
    pub fn counts(&self) -> NumberCounts {
        self.counts.clone()
    }

    /// The number of a label set.
    pub(super) fn of(&mut self, labels: &[String]) -> u32 {
        let key = labels.join(",");
        self.uses += 1;
        if let Some(given) = self.given.get_mut(&key) {
            given.used = self.uses;
            return given.number;
        }
        if key.len() <= MAX_LABELS / 8 {
            self.make_room(key.len());
        }
        let Some(number) = self.free().filter(|_| self.has_room(key.len())) else {
            if self.counts.0.refused.fetch_add(1, Relaxed) == 0 {
                tracing::warn!(
                    sets = self.given.len(),
                    bytes = self.bytes,
                    "too many sets of labels: new ones have no identity of their own (0)"
                );
            }
            return UNKNOWN;
        };
        self.add(key, number, self.uses);
        self.next = number + 1;
        self.dirty = true;
        number
    }

    fn add(&mut self, labels: String, number: u32, used: u64) {
        self.bytes += labels.len();
        self.taken.insert(number);
        self.given.insert(labels, Given { number, used });
        self.counts.0.kept.store(self.given.len() as u64, Relaxed);
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.given.len() < MAX_SETS && self.bytes + bytes <= MAX_LABELS
    }

    /// A number that nobody has: beyond the last, and only then one between.
    fn free(&self) -> Option<u32> {
        let next = self.next.max(reserved::FIRST_CLUSTER);
        let mut candidates = (next..=LAST).chain(reserved::FIRST_CLUSTER..next.min(LAST));
        candidates.find(|number| !self.taken.contains(number))
    }

    fn make_room(&mut self, bytes: usize) {
        if !self.has_room(bytes) {
            self.forget(0);
        }
        if !self.has_room(bytes) {
            self.forget(self.first_quarter());
        }
    }

    /// The last use of those that were not used for longest.
    fn first_quarter(&self) -> u64 {
        let mut uses: Vec<u64> = self.given.values().map(|given| given.used).collect();
        match uses.len() {
            0 => 0,
            count => *uses.select_nth_unstable(count / 4).1,
        }
    }

    /// Forgets those that were not used later.
    fn forget(&mut self, used: u64) {
        let before = self.given.len();
        self.given.retain(|labels, given| {
            let stays = given.used > used;
            if !stays {
                self.taken.remove(&given.number);
                self.bytes -= labels.len();
            }
            stays
        });
        let forgotten = before - self.given.len();
        if forgotten > 0 {
            tracing::info!(forgotten, "numbers of label sets that nobody has any more");
            self.counts.0.forgotten.fetch_add(forgotten as u64, Relaxed);
        }
        self.counts.0.kept.store(self.given.len() as u64, Relaxed);
    }

    /// Writes new numbers. A failure is told once and tried again next time: the
    /// numbers hold for this run in any case.
    pub(super) fn save(&mut self) {
        if !self.dirty {
            return;
        }
        match &self.keeping {
            Keeping::Not => self.dirty = false,
            Keeping::Cannot(error) => {
                not_kept(error);
                self.keeping = Keeping::Not;
            }
            Keeping::In(folder) => match folder.write(FILE, &self.to_bytes()) {
                Ok(()) => (self.dirty, self.is_told) = (false, false),
                Err(_) if self.is_told => {}
                Err(error) => {
                    not_kept(&error);
                    self.is_told = true;
                }
            },
        }
    }
}

fn not_kept(error: &StateError) {
    tracing::warn!(%error, "identities are not kept; they may change at the next start");
}
