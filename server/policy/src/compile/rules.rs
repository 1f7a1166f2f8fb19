//! The rules of both sets, and which of them are about a subject.

use std::{cmp::Ordering, sync::Arc};

use rustc_hash::FxHashMap;

use super::{Sets, selectors::Selectors};
use crate::{
    endpoint::Endpoint,
    label::Labels,
    policy::{Direction, Policy, Rule, Spec, Subject},
    set::{Enforcement, PolicySet},
};

/// The set that is enforced, as a position.
pub(super) const ENFORCED: usize = 0;
/// The set that would be enforced if nothing were in audit.
pub(super) const AUDITED: usize = 1;

/// A rule where it stands.
pub(super) struct Placed<'a> {
    pub(super) policy: &'a Policy,
    pub(super) revision: u64,
    pub(super) spec: &'a Spec,
    pub(super) rule: &'a Rule,
    /// In which sets it is.
    pub(super) sets: [bool; 2],
}

/// A part of a policy: its rules by direction, as numbers from the first on.
struct Part {
    is_of_host: bool,
    rules: [std::ops::Range<u32>; 2],
}

/// All rules, by number.
pub(super) struct Rules<'a> {
    pub(super) all: Vec<Placed<'a>>,
    pub(super) enforcement: [Enforcement; 2],
    parts: Vec<Part>,
    selectors: Selectors<'a>,
    /// By the number of the selector.
    parts_of: Vec<Vec<u32>>,
    /// By the labels of a subject, and those of the host that it is a part of.
    selected: FxHashMap<(&'a Labels, Option<&'a Labels>), Vec<u32>>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(sets: &Sets<'a>) -> Self {
        let mut rules = Self {
            all: Vec::new(),
            enforcement: [sets.enforced.enforcement(), sets.with_audit.enforcement()],
            parts: Vec::new(),
            selectors: Selectors::default(),
            parts_of: Vec::new(),
            selected: FxHashMap::default(),
        };
        for (policy, mut is_in) in members(sets.enforced, sets.with_audit) {
            for (is_in, enforcement) in is_in.iter_mut().zip(rules.enforcement) {
                *is_in &= enforcement != Enforcement::Never;
            }
            let revision = sets.revisions.get(&policy.id).copied();
            let revision = revision.unwrap_or_default();
            for spec in &policy.specs {
                rules.add((policy, revision), spec, is_in);
            }
        }
        rules
    }

    fn add(&mut self, policy: (&'a Policy, u64), spec: &'a Spec, sets: [bool; 2]) {
        let (policy, revision) = policy;
        let part = self.parts.len() as u32;
        let rules = [Direction::Ingress, Direction::Egress].map(|direction| {
            let first = self.all.len() as u32;
            let placed = spec.rules.iter().filter(|rule| rule.direction == direction);
            self.all.extend(placed.map(|rule| Placed {
                policy,
                revision,
                spec,
                rule,
                sets,
            }));
            first..self.all.len() as u32
        });
        let (Subject::Endpoints(selector) | Subject::Host(selector)) = &spec.subject;
        let selector = self.selectors.number(selector) as usize;
        if self.parts_of.len() <= selector {
            self.parts_of.resize(selector + 1, Vec::new());
        }
        self.parts_of[selector].push(part);
        self.parts.push(Part {
            is_of_host: matches!(spec.subject, Subject::Host(_)),
            rules,
        });
    }

    /// Numbers of the parts that are about a subject, ascending.
    pub(super) fn parts(&mut self, subject: &'a Endpoint) -> Vec<u32> {
        let told_by = (&subject.labels, subject.part_of_host.as_ref());
        if let Some(parts) = self.selected.get(&told_by) {
            return parts.clone();
        }
        let mut parts = Vec::new();
        if !subject.is_host() {
            self.add_parts(&mut parts, &subject.labels, false);
        }
        if let Some(host) = subject.host_labels() {
            self.add_parts(&mut parts, host, true);
        }
        parts.sort_unstable();
        self.selected.insert(told_by, parts.clone());
        parts
    }

    fn add_parts(&self, parts: &mut Vec<u32>, labels: &Labels, is_host: bool) {
        let selecting = self.selectors.selecting(labels);
        let all = selecting
            .iter()
            .flat_map(|selector| &self.parts_of[*selector as usize]);
        let of_kind = all.filter(|part| self.parts[**part as usize].is_of_host == is_host);
        parts.extend(of_kind);
    }

    /// The rules of parts that are about a subject, each once.
    pub(super) fn used<'b>(
        &'b self,
        selected: &[Vec<u32>],
    ) -> impl Iterator<Item = &'b Placed<'a>> + Clone {
        let mut is_used = vec![false; self.parts.len()];
        for part in selected.iter().flatten() {
            is_used[*part as usize] = true;
        }
        let parts = self.parts.iter().enumerate();
        let used: Vec<_> = parts
            .filter(|(number, _)| is_used[*number])
            .flat_map(|(_, part)| part.rules.iter().cloned().flatten())
            .collect();
        used.into_iter().map(|rule| &self.all[rule as usize])
    }

    /// Numbers of the rules of these parts in a direction.
    pub(super) fn of_parts(
        &self,
        parts: &[u32],
        direction: Direction,
    ) -> impl Iterator<Item = u32> {
        parts
            .iter()
            .flat_map(move |part| self.parts[*part as usize].rules[direction as usize].clone())
    }
}

/// The policies of both sets, by their names, each with the sets that it is in. One
/// that is not the same in both is two.
fn members<'a>(enforced: &'a PolicySet, with_audit: &'a PolicySet) -> Vec<(&'a Policy, [bool; 2])> {
    let mut left = enforced.policies().iter().peekable();
    let mut right = with_audit.policies().iter().peekable();
    let mut members = Vec::new();
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return members,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.id.cmp(&other.id),
        };
        let one = left.next_if(|_| order.is_le());
        let other = right.next_if(|_| order.is_ge());
        match (one, other) {
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) || one == other => {
                members.push((one.as_ref(), [true; 2]));
            }
            (one, other) => {
                members.extend(one.map(|policy| (policy.as_ref(), [true, false])));
                members.extend(other.map(|policy| (policy.as_ref(), [false, true])));
            }
        }
    }
}
