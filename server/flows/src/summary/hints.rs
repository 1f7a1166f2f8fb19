//! Values that a field has, with how many flow events have each.

use std::{cmp::Reverse, collections::HashMap};

use sextant_proto::sextant::flow::v1::FlowField;

use super::{
    MAX_GROUPS, PAGE_BYTES,
    field::{Field, Key, Texts},
};
use crate::flow::Flow;

/// The values so far.
#[derive(Debug)]
pub struct Hints {
    field: Field,
    texts: Texts,
    counts: HashMap<Key, u64>,
    /// Kept for its capacity.
    values: Vec<Key>,
}

impl Hints {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(field: FlowField) -> Self {
        Self {
            field: Field::new(field),
            texts: Texts::default(),
            counts: HashMap::new(),
            values: Vec::new(),
        }
    }

    /// Counts a flow event that the filters let pass.
    pub fn see(&mut self, flow: &Flow) {
        self.values.clear();
        self.field.read(flow, &mut self.texts, &mut self.values);
        for key in &self.values {
            if let Some(count) = self.counts.get_mut(key) {
                *count += 1;
            } else if !matches!(key, Key::None | Key::Unplaced) && self.counts.len() < MAX_GROUPS {
                self.counts.insert(*key, 1);
            }
        }
    }

    /// The most frequent values that begin with `prefix`, equally frequent ones
    /// by their texts, no more than a message takes; and how many such values there are.
    #[must_use]
    pub fn finish(self, prefix: &str, limit: usize) -> (Vec<(String, u64)>, u64) {
        let (field, texts) = (self.field, self.texts);
        let values = self.counts.into_iter();
        let mut values: Vec<(String, u64)> = values
            .map(|(key, count)| (field.text(key, &texts), count))
            .filter(|(value, _)| value.starts_with(prefix))
            .collect();
        let count = values.len() as u64;
        values.sort_unstable_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
        let mut bytes = 0_usize;
        let fits = |(value, _): &&(String, u64)| {
            bytes += value.len() + 16;
            bytes <= PAGE_BYTES
        };
        let fitting = values.iter().take(limit).take_while(fits).count();
        values.truncate(fitting);
        (values, count)
    }
}
