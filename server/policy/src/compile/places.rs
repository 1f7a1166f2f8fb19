//! Entries in a table with open addressing, as programs look them up.
//!
//! Bound: the places that there may be.

use sextant_ebpf_common::policy::{Decision, Entry, PLACES, first_place};

use super::TooLarge;

/// Places of the smallest table: a key's own ones are apart.
const FEWEST: usize = 64;

/// The table: a power of two of places, at most half of them taken, and each entry
/// within `PLACES` from where it is looked for.
pub(super) fn placed(entries: &[(u64, Decision)], room: usize) -> Result<Vec<Entry>, TooLarge> {
    let mut places = (entries.len() * 2).next_power_of_two().max(FEWEST);
    loop {
        if places > room {
            return Err(TooLarge::of("places of entries", places, room));
        }
        if let Some(table) = try_with(entries, places) {
            return Ok(table);
        }
        places *= 2;
    }
}

fn try_with(entries: &[(u64, Decision)], places: usize) -> Option<Vec<Entry>> {
    let mut table = vec![Entry::default(); places];
    let mask = places as u32 - 1;
    for (key, decision) in entries {
        let free = probed(*key, mask).find(|place| table[*place].key == 0)?;
        table[free] = Entry {
            key: *key,
            decision: *decision,
            pad: 0,
        };
    }
    Some(table)
}

/// The decision of a key, if it is there.
pub(super) fn found(table: &[Entry], key: u64) -> Option<Decision> {
    let mask = (table.len() as u32).wrapping_sub(1);
    for place in probed(key, mask) {
        let entry = table.get(place)?;
        if entry.key == key {
            return Some(entry.decision);
        }
        if entry.key == 0 {
            break;
        }
    }
    None
}

fn probed(key: u64, mask: u32) -> impl Iterator<Item = usize> {
    let first = first_place(key, mask);
    (0..PLACES).map(move |n| (first.wrapping_add(n) & mask) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_found_within_its_places_and_nothing_else_is() {
        let entries: Vec<_> = (1..=20_000_u64)
            .map(|n| (n * 0x0001_0001_0001, n as u32))
            .collect();
        let table = placed(&entries, 1 << 20).unwrap();
        for (key, decision) in &entries {
            assert_eq!(found(&table, *key), Some(*decision));
            assert_eq!(found(&table, key + 1), None);
        }
    }

    #[test]
    fn a_table_that_finds_no_room_says_what_it_needs() {
        let entries: Vec<_> = (1..=100).map(|n| (n, 1)).collect();
        let refused = placed(&entries, 128).unwrap_err();
        assert_eq!((refused.needed, refused.room), (256, 128));
    }
}
