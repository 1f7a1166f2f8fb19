//! The programs' tables of flows, and what is needed to read them.

use aya::maps::{Array, MapData};
use sextant_ebpf_common::{Entry, Key4, Key6};

use super::{Volume, ages::Ages, clock::Moment, flow_table::FlowTable};

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

    /// How many flows of both families there are, and what they counted.
    pub(super) fn live(&self) -> [(u64, Volume); 2] {
        let mut found = [(0, Volume::default()); 2];
        self.flows4.each(|live| add(&mut found[0], &live.head().1));
        self.flows6.each(|live| add(&mut found[1], &live.head().1));
        found
    }

    /// Now, on both clocks.
    pub(super) fn now(&self) -> Moment {
        Moment::now(&self.clock_offset)
    }
}

fn add((flows, counted): &mut (u64, Volume), entry: &Entry) {
    *flows += 1;
    counted.add(entry.packets, entry.bytes);
}
