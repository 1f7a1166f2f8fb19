//! What images bring along: labels of an image are on each container of it, and say
//! nothing of who runs it.
//!
//! Bound: `MOST` images; then all are forgotten and asked for again. One with more than
//! `MOST_LABELS` labels counts as one that cannot be looked at.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use rustc_hash::{FxHashMap, FxHashSet};

/// Images that are remembered.
const MOST: usize = 1024;
pub(super) const MOST_LABELS: usize = 1024;

/// Labels of one image, by key and value.
#[derive(Debug, Default)]
pub(super) struct Baked(FxHashSet<u64>);

impl Baked {
    /// `None` for too many.
    pub(super) fn new(labels: &BTreeMap<String, String>) -> Option<Self> {
        let marks = labels.iter().map(|(key, value)| mark(key, value));
        (labels.len() <= MOST_LABELS).then(|| Self(marks.collect()))
    }

    /// The image says just this.
    pub(super) fn has(&self, key: &str, value: &str) -> bool {
        self.0.contains(&mark(key, value))
    }
}

fn mark(key: &str, value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

/// Images by their ids; `None` is one that cannot be looked at.
#[derive(Debug, Default)]
pub(super) struct Images(FxHashMap<String, Option<Arc<Baked>>>);

impl Images {
    pub(super) fn get(&self, id: &str) -> Option<Option<Arc<Baked>>> {
        self.0.get(id).cloned()
    }

    pub(super) fn put(&mut self, id: &str, baked: Option<Arc<Baked>>) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(id.to_owned(), baked);
    }
}
