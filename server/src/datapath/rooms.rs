//! How much the tables of policies have room for, and what does not fit. Not what is in
//! them, which is `rules`. Bound: what the maps are made with.

use sextant_ebpf_common::{
    DIRECT_SLOTS, EXTRA_SLOTS,
    policy::{BLOCKS, Entry, Group, PARTS, Range4, Range6, Span, Subject},
};

/// Slots of interfaces.
pub(super) const SLOTS: usize = (DIRECT_SLOTS + EXTRA_SLOTS) as usize;

/// Elements of one part of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Ranges of IPv4 addresses.
    pub ranges4: u32,
    /// Ranges of IPv6 addresses.
    pub ranges6: u32,
    /// Those who are judged, and nobody.
    pub subjects: u32,
    /// Places for cgroups: a power of two.
    pub groups: u32,
    /// Places for entries of rules: a power of two.
    pub entries: u32,
}

impl Rooms {
    /// Nothing is ever judged.
    pub const NONE: Self = Self {
        ranges4: 1,
        ranges6: 1,
        subjects: 1,
        groups: 1,
        entries: 1,
    };

    /// For so many ranges of IPv4 addresses, endpoints and entries of rules.
    #[must_use]
    pub fn new(ranges: u32, endpoints: u32, entries: u32) -> Self {
        Self {
            ranges4: ranges,
            ranges6: ranges.div_ceil(2),
            subjects: endpoints + 1,
            groups: (2 * endpoints).next_power_of_two(),
            // At most half of the places are taken.
            entries: (2 * entries).next_power_of_two(),
        }
    }

    /// In the order in which the programs have them.
    pub(super) fn in_order(&self) -> [u32; 5] {
        [
            self.ranges4,
            self.ranges6,
            self.subjects,
            self.groups,
            self.entries,
        ]
    }

    /// Bytes that they take in the kernel, all parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |count: u32, size: usize| u64::from(PARTS) * u64::from(count) * size as u64;
        of(self.ranges4, size_of::<Range4>())
            + of(self.ranges6, size_of::<Range6>())
            + of(self.subjects, size_of::<Subject>())
            + of(self.groups, size_of::<Group>())
            + of(self.entries, size_of::<Entry>())
            + of(BLOCKS, size_of::<Span>())
            + of(SLOTS as u32, size_of::<u64>())
    }
}

/// It does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} {what}, with room for {room}")]
pub struct NoRoom {
    /// What of.
    pub what: &'static str,
    /// How many.
    pub needed: usize,
    /// How many there may be.
    pub room: u32,
}
