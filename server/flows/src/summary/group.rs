//! Counts by the values of some fields, and the largest of them.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
};

use sextant_proto::sextant::flow::v1::{FlowField, SummaryOrder};

use super::{
    Counts, MAX_FIELDS, MAX_GROUP_BUCKETS, MAX_GROUPS,
    field::{Field, Key, Texts},
};

use crate::flow::{Flow, Time};

/// Most groups that one flow event counts in, by its labels and names.
const MAX_PER_FLOW: usize = 1024;

/// Flows with the same values.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// One for each field; empty where the flows have none.
    pub values: Vec<String>,
    /// Their counts.
    pub counts: Counts,
    /// Time of the earliest event.
    pub first: Time,
    /// Time of the latest event.
    pub last: Time,
    /// Counts in each part of the window, up to the last with an event.
    pub buckets: Vec<Counts>,
}

/// What is known of a group.
#[derive(Debug)]
struct Seen {
    counts: Counts,
    first: Time,
    last: Time,
    buckets: Vec<Counts>,
}

impl Seen {
    /// Adds an event; whether there was room for its part of the window.
    fn add(
        &mut self,
        counts: &Counts,
        time: Time,
        bucket: Option<usize>,
        room: &mut usize,
    ) -> bool {
        self.counts.add(counts);
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        let Some(bucket) = bucket else {
            return true;
        };
        let more = (bucket + 1).saturating_sub(self.buckets.len());
        if more > *room {
            return false;
        }
        *room -= more;
        self.buckets
            .extend(std::iter::repeat_n(Counts::default(), more));
        self.buckets[bucket].add(counts);
        true
    }
}

type Keys = [Key; MAX_FIELDS];

/// The groups so far.
#[derive(Debug)]
pub(super) struct Groups {
    fields: Vec<Field>,
    texts: Texts,
    seen: HashMap<Keys, Seen>,
    /// Parts of the window that further groups may have.
    room: usize,
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
            seen: HashMap::new(),
            room: MAX_GROUP_BUCKETS,
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
    pub(super) fn add(&mut self, flow: &Flow, counts: &Counts, time: Time, bucket: Option<usize>) {
        if self.fields.is_empty() {
            return;
        }
        self.combine(flow);
        for keys in self.combined.drain(..) {
            let is_room = self.seen.len() < MAX_GROUPS && !keys.contains(&Key::Unplaced);
            let group = match self.seen.entry(keys) {
                Entry::Occupied(group) => group.into_mut(),
                Entry::Vacant(group) if is_room => group.insert(Seen {
                    counts: Counts::default(),
                    first: time,
                    last: time,
                    buckets: Vec::new(),
                }),
                Entry::Vacant(_) => {
                    self.others.add(counts);
                    self.truncated = true;
                    continue;
                }
            };
            self.truncated |= !group.add(counts, time, bucket, &mut self.room);
        }
    }

    /// Changes the counts of each group that a flow belongs to.
    pub(super) fn change(&mut self, flow: &Flow, change: impl Fn(&mut Counts)) {
        if self.fields.is_empty() {
            return;
        }
        self.combine(flow);
        for keys in self.combined.drain(..) {
            match self.seen.get_mut(&keys) {
                Some(group) => change(&mut group.counts),
                None => change(&mut self.others),
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

    /// The largest groups after the first `skip`, at most `limit` and, but for the
    /// first, no more than `bytes` of them; how many there are in all, and those
    /// after them. Of equal ones those with more of anything else come first.
    pub(super) fn finish(
        self,
        skip: usize,
        limit: usize,
        bytes: usize,
        order: SummaryOrder,
    ) -> (Vec<Group>, u64, Counts) {
        let mut others = self.others;
        // Where they are: of all of them there would be two for a moment.
        let mut all: Vec<(&Keys, &Seen)> = self.seen.iter().collect();
        let group_count = all.len() as u64;
        all.sort_unstable_by_key(|(keys, seen)| {
            let counts = &seen.counts;
            let (bytes, packets) = (counts.bytes, counts.packets);
            let rest = (bytes, packets, counts.drops, counts.flows);
            (Reverse((counts.by(order), rest)), **keys)
        });
        let (fields, texts) = (self.fields, self.texts);
        let (mut groups, mut taken) = (Vec::new(), 0_usize);
        let mut all = all.into_iter().skip(skip).peekable();
        while groups.len() < limit
            && let Some((keys, seen)) = all.peek()
        {
            let values = fields.iter().zip(*keys);
            let values: Vec<_> = values
                .map(|(field, key)| field.text(*key, &texts))
                .collect();
            taken += message_bytes(&values, seen.buckets.len());
            if taken > bytes && !groups.is_empty() {
                break;
            }
            groups.extend(all.next().map(|(_, seen)| Group {
                values,
                counts: seen.counts,
                first: seen.first,
                last: seen.last,
                buckets: seen.buckets.clone(),
            }));
        }
        all.for_each(|(_, seen)| others.add(&seen.counts));
        (groups, group_count, others)
    }
}

/// Most bytes of a `SummaryGroup` with such values and so many parts: each count
/// of a `Traffic` has nine or ten.
fn message_bytes(values: &[String], parts: usize) -> usize {
    const TRAFFIC: usize = 95;
    let values: usize = values.iter().map(|value| value.len() + 6).sum();
    values + (parts + 1) * TRAFFIC + 48
}
