//! Counts by the values of some fields, and the largest of them.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
};

use sextant_proto::sextant::flow::v1::{FlowField, SummaryOrder};

use super::{
    Counts, MAX_FIELDS, MAX_GROUPS,
    field::{Field, Key, Texts},
};

use crate::flow::Flow;

/// Most groups that one flow event counts in, by its labels and names.
const MAX_PER_FLOW: usize = 1024;

/// Flows with the same values.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// One for each field; empty where the flows have none.
    pub values: Vec<String>,
    /// Their counts.
    pub counts: Counts,
}

type Keys = [Key; MAX_FIELDS];

/// The groups so far.
#[derive(Debug)]
pub(super) struct Groups {
    fields: Vec<Field>,
    texts: Texts,
    counts: HashMap<Keys, Counts>,
    /// Of groups that found no place.
    others: Counts,
    truncated: bool,
    /// Kept for their capacity.
    values: Vec<Key>,
    combined: Vec<Keys>,
}

impl Groups {
    pub(super) fn new(fields: &[FlowField]) -> Self {
        let fields = fields.iter().take(MAX_FIELDS);
        Self {
            fields: fields.copied().map(Field::new).collect(),
            texts: Texts::default(),
            counts: HashMap::new(),
            others: Counts::default(),
            truncated: false,
            values: Vec::new(),
            combined: Vec::new(),
        }
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Counts a flow in each group that it belongs to.
    pub(super) fn add(&mut self, flow: &Flow, counts: &Counts) {
        if self.fields.is_empty() {
            return;
        }
        self.combine(flow);
        for keys in self.combined.drain(..) {
            let room = self.counts.len() < MAX_GROUPS;
            match self.counts.entry(keys) {
                Entry::Occupied(mut group) => group.get_mut().add(counts),
                Entry::Vacant(group) if room => {
                    group.insert(*counts);
                }
                Entry::Vacant(_) => {
                    self.others.add(counts);
                    self.truncated = true;
                }
            }
        }
    }

    /// Takes packets and bytes out of each group that a flow belongs to.
    pub(super) fn take(&mut self, flow: &Flow, counts: &Counts) {
        if self.fields.is_empty() {
            return;
        }
        self.combine(flow);
        for keys in self.combined.drain(..) {
            match self.counts.get_mut(&keys) {
                Some(group) => group.take(counts),
                None => self.others.take(counts),
            }
        }
    }

    /// All combinations of the values of the fields.
    fn combine(&mut self, flow: &Flow) {
        self.combined.clear();
        self.combined.push([Key::None; MAX_FIELDS]);
        for (place, field) in self.fields.iter_mut().enumerate() {
            self.values.clear();
            field.read(flow, &mut self.texts, &mut self.values);
            let room = MAX_PER_FLOW / self.combined.len();
            if self.values.len() > room {
                self.values.truncate(room);
                self.truncated = true;
            }
            let before = self.combined.len();
            for value in &self.values[1..] {
                for at in 0..before {
                    let mut keys = self.combined[at];
                    keys[place] = *value;
                    self.combined.push(keys);
                }
            }
            for keys in &mut self.combined[..before] {
                keys[place] = self.values[0];
            }
        }
    }

    /// The largest groups, how many there are, and the rest. Of equal ones
    /// those with more of anything else come first.
    pub(super) fn finish(self, limit: usize, order: SummaryOrder) -> (Vec<Group>, u64, Counts) {
        let mut others = self.others;
        let mut all: Vec<(Keys, Counts)> = self.counts.into_iter().collect();
        let group_count = all.len() as u64;
        all.sort_unstable_by_key(|(keys, counts)| {
            let (bytes, packets) = (counts.bytes, counts.packets);
            let rest = (bytes, packets, counts.drops, counts.flows);
            (Reverse((counts.by(order), rest)), *keys)
        });
        for (_, counts) in all.iter().skip(limit) {
            others.add(counts);
        }
        all.truncate(limit);
        let (fields, texts) = (self.fields, self.texts);
        let groups = all
            .into_iter()
            .map(|(keys, counts)| Group {
                values: fields
                    .iter()
                    .zip(keys)
                    .map(|(field, key)| field.text(key, &texts))
                    .collect(),
                counts,
            })
            .collect();
        (groups, group_count, others)
    }
}
