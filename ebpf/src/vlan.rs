//! The address space of a packet by its VLAN tags, where they tell flows apart.
//!
//! A VLAN gets its number with its first packet. Where all are given, its flows are
//! those of the space that it is in, and its packets are counted.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap},
};
use sextant_ebpf_common::{FIRST_VLAN, PACKET_VLANS, Tally, VLANS, vlan_in};

use crate::{atomic, maps};

/// The address spaces of VLANs.
#[map]
static VLAN_SPACES: HashMap<u32, u32> = HashMap::with_max_entries(VLANS, 0);

/// The VLANs by number.
#[map]
static VLAN_BY_NUMBER: Array<u32> = Array::with_max_entries(VLANS, 0);

/// How many were given.
#[map]
static VLANS_GIVEN: Array<u32> = Array::with_max_entries(1, 0);

/// Whether VLANs tell flows apart; where they do not the kernel removes all of this
/// when it loads the programs.
#[unsafe(no_mangle)]
static VLAN_IN_KEY: u32 = 0;

/// The address space within `zone` that the outer two tags lead to. An id of 0 is no
/// VLAN but a priority (IEEE 802.1Q).
#[inline(always)]
pub fn space(zone: u16, tags: [u16; 2]) -> u16 {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    if unsafe { core::ptr::read_volatile(&raw const VLAN_IN_KEY) } == 0 {
        return zone;
    }
    inner(inner(zone, tags[0]), tags[1])
}

#[inline(always)]
fn inner(space: u16, id: u16) -> u16 {
    match id {
        0 => space,
        _ => sextant_vlan(u32::from(space), u32::from(id)) as u16,
    }
}

/// The address space of a VLAN. Verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sextant_vlan(space: u32, id: u32) -> u32 {
    let vlan = vlan_in(space as u16, id as u16);
    // SAFETY: copied at once.
    if let Some(known) = unsafe { VLAN_SPACES.get(&vlan) } {
        return *known;
    }
    let given = number(vlan).unwrap_or(space);
    if given == space {
        maps::tally(Tally::VlanUnnumbered, 1, 0);
    }
    given
}

/// Gives a VLAN the next number, unless another CPU does.
#[inline(always)]
fn number(vlan: u32) -> Option<u32> {
    let next = VLANS_GIVEN.get_ptr_mut(0)?;
    // SAFETY: whole words, which other CPUs write too.
    let number = unsafe {
        if next.read_volatile() >= PACKET_VLANS {
            return None;
        }
        atomic::fetch_add32(next, 1)
    };
    if number >= PACKET_VLANS {
        return None;
    }
    // SAFETY: as above; nobody else has this number.
    unsafe { VLAN_BY_NUMBER.get_ptr_mut(number)?.write_volatile(vlan) };
    let space = u32::from(FIRST_VLAN) + number;
    let _ = VLAN_SPACES.insert(vlan, space, u64::from(BPF_NOEXIST));
    // SAFETY: copied at once.
    unsafe { VLAN_SPACES.get(&vlan) }.copied()
}
