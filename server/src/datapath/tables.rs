//! The programs' tables of flows, and what is needed to read them.

use aya::maps::{Array, MapData};
use sextant_ebpf_common::{Key4, Key6};

use super::{ages::Ages, clock::Moment, flow_table::FlowTable};

/// Names of the maps of flows.
pub(super) const FLOW_TABLES: [&str; 2] = ["FLOWS4", "FLOWS6"];

/// Of the bits that tell which of their slots are of flows.
pub(super) const TAKEN: [&str; 2] = ["TAKEN4", "TAKEN6"];

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
    /// How old what flows remember of policies may be.
    pub ages: Ages,
}

impl Tables {
    /// Makes flows forget what policies said of them long ago.
    pub(super) fn forget_judged(&self) {
        if let Some(generation) = self.ages.due() {
            self.flows4.forget_judged(generation);
            self.flows6.forget_judged(generation);
            self.ages.swept(generation);
        }
    }

    /// Now, on both clocks.
    pub(super) fn now(&self) -> Moment {
        Moment::now(&self.clock_offset)
    }
}
