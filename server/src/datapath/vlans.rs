//! VLANs that tell flows apart: the numbers that the programs gave them, and those of
//! VLAN interfaces, whose packets have no tag any more.
//!
//! Bound: that of the kernel's maps (`sextant_ebpf_common::VLANS`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData},
};
use sextant_ebpf_common::{
    FIRST_VLAN, INTERFACE_VLANS, PACKET_VLANS, vlan_in, vlan_number, vlan_parts,
};

use super::DatapathError;

/// VLANs within VLANs that are followed: two tags, and interfaces on each other.
const DEPTH: usize = 8;
/// `BPF_NOEXIST` (linux/bpf.h).
const NO_EXIST: u64 = 1;

/// Known VLANs; none where they tell nothing apart. Clones see the same.
#[derive(Clone, Default)]
pub struct Vlans(Option<Arc<Mutex<Numbers>>>);

struct Numbers {
    spaces: HashMap<MapData, u32, u32>,
    by_number: Array<MapData, u32>,
    /// Given to interfaces.
    given: u32,
    /// Those that were asked for.
    known: BTreeMap<u16, Place>,
}

/// What an address space is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The zone.
    pub zone: u16,
    /// VLAN ids, outer first, 0 for none.
    pub ids: [u16; 2],
}

impl Vlans {
    /// Of the loaded programs, if VLANs tell flows apart.
    pub(super) fn take(ebpf: &mut Ebpf, in_key: bool) -> Result<Self, DatapathError> {
        if !in_key {
            return Ok(Self::default());
        }
        let by_number: Array<MapData, u32> = map(ebpf, "VLAN_BY_NUMBER")?;
        // Some may be of a daemon before.
        let is_free = |n: &u32| by_number.get(&(PACKET_VLANS + n), 0).unwrap_or(0) == 0;
        let given = (0..INTERFACE_VLANS).find(is_free);
        Ok(Self(Some(Arc::new(Mutex::new(Numbers {
            spaces: map(ebpf, "VLAN_SPACES")?,
            given: given.unwrap_or(INTERFACE_VLANS),
            by_number,
            known: BTreeMap::new(),
        })))))
    }

    /// Zone and VLAN ids of an address space of the programs.
    #[must_use]
    pub fn place(&self, space: u16) -> Place {
        let alone = Place {
            zone: space,
            ids: [0; 2],
        };
        match (self.lock(), vlan_number(space)) {
            (Some(mut numbers), Some(_)) => numbers.place(space),
            _ => alone,
        }
    }

    /// The address space of an interface in these VLANs, outer first.
    pub(super) fn of_interface(&self, zone: u16, ids: &[u16]) -> u16 {
        let Some(mut numbers) = self.lock() else {
            return zone;
        };
        ids.iter().fold(zone, |space, id| {
            numbers.number(vlan_in(space, *id)).unwrap_or_else(|| {
                tracing::warn!(id, "VLAN of an interface not numbered; its packets are told apart from those with the tag");
                space
            })
        })
    }

    fn lock(&self) -> Option<MutexGuard<'_, Numbers>> {
        let numbers = self.0.as_ref()?;
        Some(numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn map<T: TryFrom<Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, DatapathError> {
    let map = ebpf.take_map(name).and_then(|map| T::try_from(map).ok());
    map.ok_or(DatapathError::Missing { what: "map", name })
}

impl Numbers {
    fn place(&mut self, space: u16) -> Place {
        if let Some(known) = self.known.get(&space) {
            return *known;
        }
        let mut place = Place {
            zone: space,
            ids: [0; 2],
        };
        for _ in 0..DEPTH {
            let vlan = vlan_number(place.zone).map(|number| self.by_number.get(&number, 0));
            let Some(Ok(vlan)) = vlan else { break };
            let (within, id) = vlan_parts(vlan);
            place = Place {
                zone: within,
                ids: [id, place.ids[0]],
            };
        }
        self.known.insert(space, place);
        place
    }

    /// The space of a VLAN, perhaps a new one.
    fn number(&mut self, vlan: u32) -> Option<u16> {
        let space = |known: u32| u16::try_from(known).ok();
        if let Ok(known) = self.spaces.get(&vlan, 0) {
            return space(known);
        }
        if self.given >= INTERFACE_VLANS {
            return None;
        }
        let number = PACKET_VLANS + self.given;
        self.given += 1;
        // Before a packet can have it.
        self.by_number.set(number, vlan, 0).ok()?;
        let _ = self
            .spaces
            .insert(vlan, u32::from(FIRST_VLAN) + number, NO_EXIST);
        // A packet may have been faster.
        space(self.spaces.get(&vlan, 0).ok()?)
    }
}
