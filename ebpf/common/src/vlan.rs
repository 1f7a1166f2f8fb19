//! VLANs that tell flows apart (`vlan_in_key`): each is an address space with a
//! number among those of the zones, given when its first packet comes, or when its
//! interface does. A tag within a tag is a VLAN within that space.
//!
//! Bound: `VLANS` at one time, given until the programs are gone.

use crate::LOOPBACK_ZONES;

/// The first of these numbers; zones that people give are below it then.
pub const FIRST_VLAN: u16 = 1 << 15;
/// How many there are.
pub const VLANS: u32 = (LOOPBACK_ZONES - FIRST_VLAN) as u32;
/// The last ones are for the daemon, which gives them to VLAN interfaces.
pub const INTERFACE_VLANS: u32 = 4096;
/// The others are given by the programs.
pub const PACKET_VLANS: u32 = VLANS - INTERFACE_VLANS;

/// A VLAN: an id other than 0 in an address space.
#[inline(always)]
#[must_use]
pub const fn vlan_in(space: u16, id: u16) -> u32 {
    (space as u32) << 16 | id as u32
}

/// Space and id of a VLAN.
#[must_use]
pub const fn vlan_parts(vlan: u32) -> (u16, u16) {
    ((vlan >> 16) as u16, vlan as u16)
}

/// Whether an address space is a VLAN, and which number of them.
#[must_use]
pub const fn vlan_number(space: u16) -> Option<u32> {
    if space < FIRST_VLAN || space >= LOOPBACK_ZONES {
        return None;
    }
    Some((space - FIRST_VLAN) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_apart_from_zones_and_loopbacks() {
        assert_eq!(vlan_number(0), None);
        assert_eq!(vlan_number(FIRST_VLAN - 1), None);
        assert_eq!(vlan_number(FIRST_VLAN), Some(0));
        assert_eq!(vlan_number(LOOPBACK_ZONES - 1), Some(VLANS - 1));
        assert_eq!(vlan_number(LOOPBACK_ZONES), None);
        assert_eq!(vlan_parts(vlan_in(FIRST_VLAN, 4095)), (FIRST_VLAN, 4095));
    }
}
