//! The programs' per-CPU counters, summed up.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use sextant_ebpf_common::{CAUSES, Cause, CauseCount, DIRECT_SLOTS, InterfaceTotals};

/// Packets (or events) and bytes counted for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The cause.
    pub cause: Cause,
    /// Its name.
    pub name: &'static str,
    /// Packets, or events for ring causes.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// Totals of one observed interface since it was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceCount {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// `tcx` or `clsact`.
    pub hook: &'static str,
    /// Packets, `[ingress, egress]`.
    pub packets: [u64; 2],
    /// Bytes, `[ingress, egress]`.
    pub bytes: [u64; 2],
}

struct Maps {
    counts: PerCpuArray<MapData, CauseCount>,
    totals: PerCpuArray<MapData, InterfaceTotals>,
    /// Index, name, hook and slot of each attached interface.
    attached: Vec<(u32, String, &'static str, u32)>,
}

/// Reads the counters; clones share the maps. The lock is held for a few
/// system calls by whoever asks (metrics, status), never by the packet path.
#[derive(Clone)]
pub struct Counters(Arc<Mutex<Maps>>);

impl Counters {
    pub(super) fn new(
        counts: PerCpuArray<MapData, CauseCount>,
        totals: PerCpuArray<MapData, InterfaceTotals>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Maps {
            counts,
            totals,
            attached: Vec::new(),
        })))
    }

    pub(super) fn set_attached(&self, attached: Vec<(u32, String, &'static str, u32)>) {
        self.lock().attached = attached;
    }

    /// Indexes of the attached interfaces.
    pub(super) fn attached(&self) -> HashSet<u32> {
        self.lock()
            .attached
            .iter()
            .map(|attached| attached.0)
            .collect()
    }

    /// Clears a slot before an interface uses it.
    pub(super) fn clear_slot(&self, slot: u32) {
        let mut maps = self.lock();
        let zeros = aya::util::nr_cpus()
            .ok()
            .and_then(|cpus| PerCpuValues::try_from(vec![InterfaceTotals::default(); cpus]).ok());
        if let Some(zeros) = zeros
            && let Err(error) = maps.totals.set(slot, zeros, 0)
        {
            tracing::debug!(slot, %error, "interface totals not cleared");
        }
    }

    /// All causes.
    #[must_use]
    pub fn causes(&self) -> Vec<Counted> {
        let maps = self.lock();
        CAUSES
            .iter()
            .map(|(cause, name)| {
                let sum = maps.count(*cause);
                Counted {
                    cause: *cause,
                    name,
                    packets: sum.packets,
                    bytes: sum.bytes,
                }
            })
            .collect()
    }

    /// One cause.
    #[must_use]
    pub fn cause(&self, cause: Cause) -> u64 {
        self.lock().count(cause).packets
    }

    /// All attached interfaces.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceCount> {
        let maps = self.lock();
        maps.attached
            .iter()
            .map(|(index, name, hook, slot)| {
                let mut sum = InterfaceTotals::default();
                if let Ok(values) = maps.totals.get(slot, 0) {
                    for value in values.iter() {
                        for direction in 0..2 {
                            sum.packets[direction] += value.packets[direction];
                            sum.bytes[direction] += value.bytes[direction];
                        }
                    }
                }
                InterfaceCount {
                    index: *index,
                    name: name.clone(),
                    hook,
                    packets: sum.packets,
                    bytes: sum.bytes,
                }
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Maps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn count(&self, cause: Cause) -> CauseCount {
        let mut sum = CauseCount::default();
        if let Ok(values) = self.counts.get(&(cause as u32), 0) {
            for value in values.iter() {
                sum.packets += value.packets;
                sum.bytes += value.bytes;
            }
        }
        sum
    }
}

/// The slot of an interface with a small index.
#[must_use]
pub(super) fn direct_slot(index: u32) -> Option<u32> {
    (index < DIRECT_SLOTS).then_some(index)
}
