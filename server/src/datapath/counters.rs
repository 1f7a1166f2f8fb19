//! The programs' per-CPU counters, summed up.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use sextant_ebpf_common::{CAUSES, Cause, CauseCount, DIRECT_SLOTS, InterfaceTotals, Tally};

use super::Volume;

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
    /// Since when programs are on it.
    pub since: SystemTime,
    /// Packets, `[ingress, egress]`.
    pub packets: [u64; 2],
    /// Bytes, `[ingress, egress]`.
    pub bytes: [u64; 2],
    /// Packets that the kernel's own counters have and no program saw.
    pub unseen: [u64; 2],
    /// When such were last found.
    pub unseen_at: Option<SystemTime>,
    /// Programs of others that run before ours, `[ingress, egress]`.
    pub ahead: [Vec<String>; 2],
    /// Why programs that were taken off are not on it again.
    pub failure: Option<String>,
}

/// An interface that is chosen but not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unobserved {
    /// Its name, with that of its namespace.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// An interface with programs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    /// Interface number.
    pub(super) index: u32,
    /// Its name, with that of its namespace.
    pub(super) name: String,
    /// `tcx` or `clsact`.
    pub(super) hook: &'static str,
    /// Where its totals are.
    pub(super) slot: u32,
    /// Since when.
    pub(super) since: SystemTime,
    /// As in `Link`.
    pub(super) birth: u64,
    /// As in `InterfaceCount`.
    pub(super) unseen: [u64; 2],
    /// As there.
    pub(super) unseen_at: Option<SystemTime>,
    /// As there.
    pub(super) ahead: [Vec<String>; 2],
    /// As there.
    pub(super) failure: Option<String>,
}

struct Maps {
    counts: PerCpuArray<MapData, CauseCount>,
    tallies: PerCpuArray<MapData, CauseCount>,
    unjudged: PerCpuArray<MapData, CauseCount>,
    totals: PerCpuArray<MapData, InterfaceTotals>,
    attached: Vec<Attached>,
    unobserved: Vec<Unobserved>,
    missing: Vec<String>,
    /// Totals of interfaces that are gone.
    retired: Volume,
    /// Of all interfaces.
    unseen: u64,
}

/// Reads the counters; clones share the maps. The lock is held for a few
/// system calls by whoever asks (metrics, status), never by the packet path.
#[derive(Clone)]
pub struct Counters(Arc<Mutex<Maps>>);

impl Counters {
    /// Of counts by cause, of tallies, and of counts by cause of what could not be judged.
    pub(super) fn new(
        [counts, tallies, unjudged]: [PerCpuArray<MapData, CauseCount>; 3],
        totals: PerCpuArray<MapData, InterfaceTotals>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Maps {
            counts,
            tallies,
            unjudged,
            totals,
            attached: Vec::new(),
            unobserved: Vec::new(),
            missing: Vec::new(),
            retired: Volume::default(),
            unseen: 0,
        })))
    }

    /// What is attached from now on, and what is not. Those that stay keep their
    /// `since` and what was unseen; the totals of those that are gone are kept.
    pub(super) fn set_attached(&self, mut attached: Vec<Attached>, unobserved: Vec<Unobserved>) {
        let mut maps = self.lock();
        maps.unobserved = unobserved;
        let before = std::mem::take(&mut maps.attached);
        let slots: HashSet<u32> = attached.iter().map(|new| new.slot).collect();
        let mut places: HashMap<u32, &mut Attached> =
            attached.iter_mut().map(|new| (new.index, new)).collect();
        for old in before {
            match places.get_mut(&old.index) {
                Some(new) if new.birth == old.birth => {
                    new.since = old.since;
                    (new.unseen, new.unseen_at) = (old.unseen, old.unseen_at);
                }
                _ if !slots.contains(&old.slot) => maps.retire(old.slot),
                _ => {}
            }
        }
        maps.attached = attached;
    }

    /// Adds packets that no program saw; tells the names of the interfaces where
    /// they are the first.
    pub(super) fn add_unseen(&self, found: &[(u32, [u64; 2])]) -> Vec<String> {
        let mut maps = self.lock();
        let mut first = Vec::new();
        for (index, packets) in found {
            maps.unseen += packets.iter().sum::<u64>();
            let mut attached = maps.attached.iter_mut();
            let Some(attached) = attached.find(|attached| attached.index == *index) else {
                continue;
            };
            if attached.unseen == [0; 2] {
                first.push(attached.name.clone());
            }
            attached.unseen_at = Some(SystemTime::now());
            for (sum, packets) in attached.unseen.iter_mut().zip(packets) {
                *sum += packets;
            }
        }
        first
    }

    /// Packets that the kernel's own counters of interfaces have and no program
    /// saw, since the start.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.lock().unseen
    }

    /// Interfaces that are chosen but not observed.
    #[must_use]
    pub fn unobserved(&self) -> Vec<Unobserved> {
        self.lock().unobserved.clone()
    }

    /// What is not known since programs were taken off that are on no interface.
    pub(super) fn set_missing(&self, missing: Vec<String>) {
        self.lock().missing = missing;
    }

    /// The same, a text for each program.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.lock().missing.clone()
    }

    /// Indexes of the attached interfaces.
    pub(super) fn attached(&self) -> HashSet<u32> {
        self.lock()
            .attached
            .iter()
            .map(|attached| attached.index)
            .collect()
    }

    /// Clears a slot before an interface uses it; what was in it is kept.
    pub(super) fn clear_slot(&self, slot: u32) {
        self.lock().retire(slot);
    }

    /// Packets and bytes of all interfaces since the start.
    #[must_use]
    pub fn seen(&self) -> Volume {
        let maps = self.lock();
        let mut seen = maps.retired;
        for attached in &maps.attached {
            let sum = maps.totals(attached.slot);
            seen.add(sum.packets, sum.bytes);
        }
        seen
    }

    /// One tally.
    #[must_use]
    pub fn tally(&self, tally: Tally) -> Volume {
        let maps = self.lock();
        let sum = sum(&maps.tallies, tally as u32);
        Volume {
            packets: sum.packets,
            bytes: sum.bytes,
        }
    }

    /// All causes.
    #[must_use]
    pub fn causes(&self) -> Vec<Counted> {
        counted(&self.lock().counts)
    }

    /// Packets that could not be judged and did not go on, by why they are in no flow.
    #[must_use]
    pub fn unjudged(&self) -> Vec<Counted> {
        counted(&self.lock().unjudged)
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
            .map(|attached| {
                let sum = maps.totals(attached.slot);
                InterfaceCount {
                    index: attached.index,
                    name: attached.name.clone(),
                    hook: attached.hook,
                    since: attached.since,
                    packets: sum.packets,
                    bytes: sum.bytes,
                    unseen: attached.unseen,
                    unseen_at: attached.unseen_at,
                    ahead: attached.ahead.clone(),
                    failure: attached.failure.clone(),
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
        sum(&self.counts, cause as u32)
    }

    fn totals(&self, slot: u32) -> InterfaceTotals {
        let mut sum = InterfaceTotals::default();
        if let Ok(values) = self.totals.get(&slot, 0) {
            for value in values.iter() {
                for direction in 0..2 {
                    sum.packets[direction] += value.packets[direction];
                    sum.bytes[direction] += value.bytes[direction];
                }
            }
        }
        sum
    }

    /// Moves what is in a slot to the totals of interfaces that are gone.
    fn retire(&mut self, slot: u32) {
        let old = self.totals(slot);
        if old == InterfaceTotals::default() {
            return;
        }
        let zeros = aya::util::nr_cpus()
            .ok()
            .and_then(|cpus| PerCpuValues::try_from(vec![InterfaceTotals::default(); cpus]).ok());
        match zeros.map(|zeros| self.totals.set(slot, zeros, 0)) {
            Some(Ok(())) => self.retired.add(old.packets, old.bytes),
            failed => tracing::debug!(slot, ?failed, "interface totals not cleared"),
        }
    }
}

/// By cause.
fn counted(map: &PerCpuArray<MapData, CauseCount>) -> Vec<Counted> {
    let each = CAUSES.iter().map(|(cause, name)| {
        let sum = sum(map, *cause as u32);
        Counted {
            cause: *cause,
            name,
            packets: sum.packets,
            bytes: sum.bytes,
        }
    });
    each.collect()
}

fn sum(map: &PerCpuArray<MapData, CauseCount>, index: u32) -> CauseCount {
    let mut sum = CauseCount::default();
    if let Ok(values) = map.get(&index, 0) {
        for value in values.iter() {
            sum.packets += value.packets;
            sum.bytes += value.bytes;
        }
    }
    sum
}

/// The slot of an interface with a small index.
#[must_use]
pub(super) fn direct_slot(index: u32) -> Option<u32> {
    (index < DIRECT_SLOTS).then_some(index)
}
