//! The programs' tables of flows, and what is needed to read them.

use aya::maps::{Array, MapData};

use super::clock::Moment;

/// What a sweep goes through.
pub(super) struct Tables {
    /// IPv4 flows.
    pub flows4: MapData,
    /// IPv6 flows.
    pub flows6: MapData,
    /// Dropped flows by reason.
    pub drops: MapData,
    /// How many entries each of them has room for.
    pub capacities: [u32; 3],
    /// How far the coarse clock, which entries are stamped with, is from the
    /// monotonic one.
    pub clock_offset: Array<MapData, u64>,
}

impl Tables {
    /// Now, on both clocks.
    pub(super) fn now(&self) -> Moment {
        Moment::now(&self.clock_offset)
    }
}
