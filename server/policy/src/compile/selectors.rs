//! Which of many selectors select given labels: looked up by one label that a
//! selector needs, instead of asking each.

use rustc_hash::FxHashMap;

use crate::{
    label::{Labels, NAMESPACE},
    selector::{Operator, Selector},
};

/// Distinct selectors, by number.
#[derive(Default)]
pub(super) struct Selectors<'a> {
    all: Vec<&'a Selector>,
    numbers: FxHashMap<&'a Selector, u32>,
    /// By key and value of a label that it needs.
    needing: FxHashMap<(&'a str, &'a str), Vec<u32>>,
    /// Those that need none of a known value.
    others: Vec<u32>,
}

impl<'a> Selectors<'a> {
    /// The number of a selector.
    pub(super) fn number(&mut self, selector: &'a Selector) -> u32 {
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(selector).or_insert(next);
        if number == next {
            self.all.push(selector);
            self.index(selector, number);
        }
        number
    }

    fn index(&mut self, selector: &'a Selector, number: u32) {
        let needed = selector
            .requirements()
            .iter()
            .filter_map(|one| match &one.operator {
                Operator::In(values) => Some((one.key.as_str(), values)),
                _ => None,
            });
        // Many share a namespace: what else is needed tells more.
        let telling = needed.max_by_key(|(key, values)| {
            let is_shared = key.contains(NAMESPACE) || key.contains(".namespace.");
            (!is_shared, std::cmp::Reverse(values.len()))
        });
        let Some((key, values)) = telling else {
            self.others.push(number);
            return;
        };
        for value in values {
            self.needing.entry((key, value)).or_default().push(number);
        }
    }

    /// The numbers of those that select these labels, each once.
    pub(super) fn selecting(&self, labels: &Labels) -> Vec<u32> {
        let needed = labels.iter().filter_map(|label| {
            self.needing
                .get(&(label.key.as_str(), label.value.as_str()))
        });
        let asked = needed.flatten().chain(&self.others).copied();
        let mut found: Vec<u32> = asked
            .filter(|number| self.all[*number as usize].matches(labels))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A selector by its number.
    pub(super) fn get(&self, number: u32) -> &'a Selector {
        self.all[number as usize]
    }
}
