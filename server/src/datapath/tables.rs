//! The programs' tables of flows, and what is needed to read them.

use aya::maps::{Array, MapData};
use sextant_ebpf_common::{Key4, Key6};

use super::{clock::Moment, flow_table::FlowTable};

/// Names of the maps of flows.
pub(super) const FLOW_TABLES: [&str; 2] = ["FLOWS4", "FLOWS6"];

/// What a sweep goes through.
pub(super) struct Tables {
    /// IPv4 flows.
    pub flows4: FlowTable<Key4>,
    /// IPv6 flows.
    pub flows6: FlowTable<Key6>,
    /// Dropped flows by reason.
    pub drops: MapData,
    /// How many entries each of them is for.
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
