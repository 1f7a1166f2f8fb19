//! Sets of wanted values: small ones are searched in a row, large ones by halves.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

/// At most this many values are searched one after the other.
const FEW: usize = 8;

/// A set of wanted values.
#[derive(Clone, Debug)]
pub(super) struct OneOf<T> {
    /// Sorted, without duplicates.
    values: Box<[T]>,
}

impl<T: Ord + Copy> OneOf<T> {
    /// Whether `value` is wanted.
    pub(super) fn contains(&self, value: T) -> bool {
        if self.values.len() <= FEW {
            self.values.contains(&value)
        } else {
            self.values.binary_search(&value).is_ok()
        }
    }
}

impl<T> OneOf<T> {
    /// The wanted values.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.values.iter()
    }
}

impl<T: Ord> FromIterator<T> for OneOf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self {
            values: values.into(),
        }
    }
}

/// A set of wanted pairs of texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs(HashMap<String, HashSet<String, RandomState>, RandomState>);

impl Pairs {
    /// Whether this pair is wanted.
    pub(super) fn contains(&self, first: &str, second: &str) -> bool {
        let seconds = self.0.get(first);
        seconds.is_some_and(|seconds| seconds.contains(second))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut all = Self::default();
        for (first, second) in pairs {
            all.0.entry(first.into()).or_default().insert(second.into());
        }
        all
    }
}

/// Which of the two truth values are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bools {
    yes: bool,
    no: bool,
}

impl Bools {
    /// Whether `value` is wanted.
    pub(super) fn contains(self, value: bool) -> bool {
        if value { self.yes } else { self.no }
    }
}

impl From<&[bool]> for Bools {
    fn from(values: &[bool]) -> Self {
        Self {
            yes: values.contains(&true),
            no: values.contains(&false),
        }
    }
}
