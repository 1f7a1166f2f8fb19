//! Address spaces of a capture: each VLAN is one where VLANs tell flows apart, as in the
//! datapath; else there is one for all.
//!
//! Bound: as many as there are numbers; packets of VLANs beyond are in the common
//! space and counted.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Outer and inner id, 0 where there is none.
type Ids = [u16; 2];

/// The numbers of VLANs.
#[derive(Debug, Default)]
pub(super) struct Vlans {
    in_key: bool,
    numbers: HashMap<Ids, u16, RandomState>,
    unnumbered: u64,
}

impl Vlans {
    pub(super) fn new(in_key: bool) -> Self {
        Self {
            in_key,
            ..Self::default()
        }
    }

    /// Packets whose VLAN found no number.
    pub(super) fn forgotten(&self) -> u64 {
        self.unnumbered
    }

    /// The address space of a packet with these tags.
    pub(super) fn space(&mut self, tags: Ids) -> u16 {
        let ids = ids(tags);
        if !self.in_key || ids == [0; 2] {
            return 0;
        }
        if let Some(known) = self.numbers.get(&ids) {
            return *known;
        }
        let Ok(number) = u16::try_from(self.numbers.len() + 1) else {
            self.unnumbered += 1;
            return 0;
        };
        self.numbers.insert(ids, number);
        number
    }
}

/// An id of 0 is no VLAN but a priority (IEEE 802.1Q).
fn ids([outer, inner]: Ids) -> Ids {
    match outer {
        0 => [inner, 0],
        _ => [outer, inner],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vlan_is_a_space_where_they_are_to_be_told_apart() {
        let tags = [[0, 0], [7, 0], [0, 7], [7, 8], [8, 7], [7, 0]];
        let mut apart = Vlans::new(true);
        assert_eq!(tags.map(|tags| apart.space(tags)), [0, 1, 1, 2, 3, 1]);
        let mut together = Vlans::new(false);
        assert_eq!(tags.map(|tags| together.space(tags)), [0; 6]);
    }

    #[test]
    fn what_finds_no_number_is_in_the_common_space_and_counted() {
        let mut vlans = Vlans::new(true);
        for number in 0..70_000_u32 {
            let tags = [(number >> 8) as u16 + 1, number as u16 & 0xff];
            let space = vlans.space(tags);
            assert_eq!(space == 0, number >= 65_535, "{number}");
        }
        assert_eq!(vlans.forgotten(), 70_000 - 65_535);
    }
}
