//! The tables as programs have them, and the same look-up as theirs.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use rustc_hash::FxHashMap;
use sextant_ebpf_common::policy::{
    ANY_CLASS, Decision, EVERY_PROTOCOL, Entry, Range4, Range6, Scope, Span, Subject, key,
    key_of_every_protocol, reason_of,
};

use super::{places, reasons::Reasons};
use crate::policy::{Direction, PolicyId};

/// What the kernel looks up, of one generation.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Where peers are by IPv4, the first range from 0.
    pub ranges4: Vec<Range4>,
    /// The ranges of each block of 65,536 addresses.
    pub spans4: Vec<Span>,
    /// Where peers are by IPv6.
    pub ranges6: Vec<Range6>,
    /// Who is judged, by number; the first one is nobody.
    pub subjects: Vec<Subject>,
    /// Classes of `World::peers`, in their order.
    pub peer_classes: Vec<u32>,
    /// Entries of rules, a power of two of them.
    pub entries: Vec<Entry>,
    /// How many of them are taken.
    pub taken: usize,
    /// Distinct sets of rules.
    pub scopes: usize,
}

impl Tables {
    /// Bytes of all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.ranges4[..])
            + size_of_val(&self.spans4[..])
            + size_of_val(&self.ranges6[..])
            + size_of_val(&self.subjects[..])
            + size_of_val(&self.entries[..])
    }

    /// How many entries of rules each policy decides, alone or with others.
    #[must_use]
    pub fn entries_of_policies(&self, reasons: &Reasons) -> HashMap<PolicyId, u64> {
        let mut by_reason: FxHashMap<u32, u64> = FxHashMap::default();
        for entry in self.entries.iter().filter(|entry| entry.key != 0) {
            *by_reason.entry(reason_of(entry.decision)).or_default() += 1;
        }
        let mut by_policy = HashMap::new();
        for (reason, entries) in by_reason {
            let told = reasons.get(reason).map(|because| &because.told[..]);
            let policies: HashSet<_> = told
                .iter()
                .flat_map(|told| told.iter())
                .map(|told| &told.policy)
                .collect();
            for policy in policies {
                match by_policy.get_mut(policy) {
                    Some(sum) => *sum += entries,
                    None => {
                        by_policy.insert(policy.clone(), entries);
                    }
                }
            }
        }
        by_policy
    }

    /// The class of whoever has an address.
    #[must_use]
    pub fn class_of(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => self.class_of_4(address.into()),
            IpAddr::V6(address) => {
                let address = halves(address.into());
                let after = self.ranges6.partition_point(|range| range.from <= address);
                class_before(after, |n| self.ranges6.get(n).map(|range| range.class))
            }
        }
    }

    fn class_of_4(&self, address: u32) -> u32 {
        let span = self.spans4.get((address >> 16) as usize);
        let span = span.copied().unwrap_or_default();
        let (start, end) = (span.start as usize, (span.start + span.len) as usize);
        let ranges = self.ranges4.get(start..end).unwrap_or_default();
        let after = ranges.partition_point(|range| range.from <= address);
        class_before(after, |n| ranges.get(n).map(|range| range.class))
    }

    /// The decision on a connection of a subject.
    #[must_use]
    pub fn judge(
        &self,
        subject: u32,
        direction: Direction,
        class: u32,
        protocol: u8,
        port: u16,
    ) -> Decision {
        let subject = self.subjects.get(subject as usize);
        let subject = subject.copied().unwrap_or_default();
        let scope = match direction {
            Direction::Ingress => subject.ingress,
            Direction::Egress => subject.egress,
        };
        self.look_up(&scope, class, protocol, port)
    }

    /// The decision by a scope: the first entry that is there.
    #[must_use]
    pub fn look_up(&self, scope: &Scope, class: u32, protocol: u8, port: u16) -> Decision {
        let found = |key| places::found(&self.entries, key);
        let mut lengths = scope.lengths & ((1 << EVERY_PROTOCOL) - 1);
        while lengths != 0 {
            let length = lengths.ilog2();
            lengths &= !(1 << length);
            for class in [class, ANY_CLASS] {
                if let Some(decision) = found(key(scope.rules, class, protocol, length, port)) {
                    return decision;
                }
            }
        }
        if scope.lengths & 1 << EVERY_PROTOCOL != 0 {
            for class in [class, ANY_CLASS] {
                if let Some(decision) = found(key_of_every_protocol(scope.rules, class)) {
                    return decision;
                }
            }
        }
        scope.otherwise
    }
}

fn class_before(after: usize, class: impl Fn(usize) -> Option<u32>) -> u32 {
    after.checked_sub(1).and_then(class).unwrap_or(ANY_CLASS)
}

/// An address as its upper and lower half.
pub(super) fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

/// The ranges that reach into each block of 65,536 addresses.
pub(super) fn spans(ranges: &[Range4]) -> Vec<Span> {
    let mut reaching = 0;
    (0..1_u64 << 16)
        .map(|block| {
            let (first, end) = (block << 16, (block + 1) << 16);
            let begins_until = |from: usize, at: u64| {
                let later = ranges[from..].iter();
                from + later
                    .take_while(|range| u64::from(range.from) <= at)
                    .count()
            };
            reaching = begins_until(reaching, first).max(1) - 1;
            let after = begins_until(reaching, end - 1);
            let start = reaching as u32;
            Span {
                start,
                len: after as u32 - start,
            }
        })
        .collect()
}
