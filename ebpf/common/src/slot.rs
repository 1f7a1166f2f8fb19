//! A slot of the flow table, and where the slots of a key are. How they are taken
//! and given back is in `claim`.

use crate::{Entry, Key4, Key6};

/// A place for one flow in the array that is the table of its family.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot<K> {
    /// How far it is, with the tag of its key above; see `state`.
    pub state: u32,
    /// Flows of which this is the first slot, and that are beyond its window.
    pub spilled: u32,
    /// The key of the flow.
    pub key: K,
    /// The flow.
    pub entry: Entry,
}

/// How far a slot is: the lower bits of its word.
pub mod state {
    /// Of no flow. The whole word is zero.
    pub const FREE: u32 = 0;
    /// A program is writing it.
    pub const CLAIMED: u32 = 1;
    /// Of a flow.
    pub const LIVE: u32 = 2;
    /// The daemon takes it away: it is found no more, but a program that found it
    /// before may still count there.
    pub const ENDING: u32 = 3;
    /// All of them.
    pub const MASK: u32 = 3;
}

/// Slots that are looked at one after the other.
pub const WINDOW: u32 = 8;
/// Windows that a key has.
pub const WINDOWS: u32 = 4;

/// Slots for so many flows: 100 of 139 are taken when all flows are there,
/// and each key finds its window; the slots behind the last one, too.
#[must_use]
pub const fn slots_for(flows: u32) -> u32 {
    let slots = flows as u64 + (flows as u64 * 39).div_ceil(100) + WINDOW as u64;
    if slots < u32::MAX as u64 {
        slots as u32
    } else {
        u32::MAX
    }
}

/// Words of the bits that tell which of so many slots are of flows. A program sets a
/// slot's bit once it is live; the daemon clears it before it frees the slot.
#[must_use]
pub const fn taken_words(slots: u32) -> u32 {
    slots.div_ceil(u64::BITS)
}

/// The word that has a slot's bit.
#[inline(always)]
#[must_use]
pub const fn taken_word(at: u32) -> u32 {
    at / u64::BITS
}

/// A slot's bit in it.
#[inline(always)]
#[must_use]
pub const fn taken_bit(at: u32) -> u64 {
    1 << (at % u64::BITS)
}

/// Secret numbers of the hash, of the longest key.
pub const SEEDS: usize = 11;

/// The hash of a key by secret numbers. Of two keys that somebody chooses who does
/// not know them, the upper halves are equal no more often than by chance
/// (Lemire and Kaser, Strongly universal string hashing is fast, 2013): nobody can
/// fill the windows of others.
pub trait Hashed: Copy {
    /// The hash; `seed` gives the numbers.
    fn hash(&self, seed: impl Fn(usize) -> u64) -> u64;

    /// Whether another key is the same. Without a branch for each part, which a verifier
    /// would follow.
    fn is(&self, other: &Self) -> bool;
}

impl Hashed for Key4 {
    #[inline(always)]
    fn hash(&self, seed: impl Fn(usize) -> u64) -> u64 {
        let rest = last_words(self.port_a, self.port_b, self.protocol, self.zone);
        let sum = seed(0).wrapping_add(product(&seed, 1, self.a, self.b));
        sum.wrapping_add(product(&seed, 3, rest[0], rest[1]))
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        let ports =
            self.port_a ^ other.port_a | self.port_b ^ other.port_b | self.zone ^ other.zone;
        let difference = self.a ^ other.a | self.b ^ other.b | u32::from(ports);
        difference | u32::from(self.protocol ^ other.protocol) == 0
    }
}

impl Hashed for Key6 {
    #[inline(always)]
    fn hash(&self, seed: impl Fn(usize) -> u64) -> u64 {
        let rest = last_words(self.port_a, self.port_b, self.protocol, self.zone);
        let mut sum = seed(0).wrapping_add(product(&seed, 1, rest[0], rest[1]));
        for n in 0..4 {
            sum = sum.wrapping_add(product(&seed, 3 + 2 * n, self.a[n], self.b[n]));
        }
        sum
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        let ports =
            self.port_a ^ other.port_a | self.port_b ^ other.port_b | self.zone ^ other.zone;
        let mut difference = u32::from(ports) | u32::from(self.protocol ^ other.protocol);
        for n in 0..4 {
            difference |= self.a[n] ^ other.a[n] | self.b[n] ^ other.b[n];
        }
        difference == 0
    }
}

#[inline(always)]
fn last_words(port_a: u16, port_b: u16, protocol: u8, zone: u16) -> [u32; 2] {
    let ports = u32::from(port_a) | u32::from(port_b) << 16;
    [ports, u32::from(protocol) | u32::from(zone) << 16]
}

#[inline(always)]
fn product(seed: &impl Fn(usize) -> u64, n: usize, a: u32, b: u32) -> u64 {
    let a = seed(n).wrapping_add(u64::from(a));
    let b = seed(n + 1).wrapping_add(u64::from(b));
    a.wrapping_mul(b)
}

/// The word of a slot of a key with this hash.
#[inline(always)]
#[must_use]
pub const fn word(hash: u64, state: u32) -> u32 {
    (hash as u32) << 2 | state
}

/// Where the window with this number begins, of a table of so many slots.
#[inline(always)]
#[must_use]
pub const fn window(hash: u64, number: u32, slots: u32) -> u32 {
    // The golden ratio's odd number: what is alike in many keys leaves no pattern.
    let mixed = hash.wrapping_add((number as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let begins = slots - (WINDOW - 1);
    (((mixed >> 32) * begins as u64) >> 32) as u32
}

/// Where the slot of a key with this number is: those of a window follow each other.
#[inline(always)]
#[must_use]
pub const fn at(hash: u64, number: u32, slots: u32) -> u32 {
    window(hash, number / WINDOW, slots) + number % WINDOW
}

/// Whether a slot is beyond the window of this length that begins with the first one.
#[inline(always)]
#[must_use]
pub const fn is_beyond(at: u32, first: u32, window: u32) -> bool {
    at.wrapping_sub(first) >= window
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(n: usize) -> u64 {
        (n as u64 + 1)
            .wrapping_mul(0xd134_2543_de82_ef95)
            .rotate_left(17)
    }

    #[test]
    fn each_window_lies_within_the_table() {
        for flows in [1, 2, 7, 100, 131_072, 16 << 20] {
            let slots = slots_for(flows);
            for hash in [
                0,
                1,
                u64::MAX,
                0xffff_ffff,
                0xffff_ffff_0000_0000,
                0x1234_5678_9abc_def0,
            ] {
                for number in 0..WINDOWS {
                    let first = window(hash, number, slots);
                    assert!(first + WINDOW <= slots, "{flows} {hash:x} {number}");
                }
            }
        }
    }

    #[test]
    fn every_part_of_a_key_is_in_its_hash() {
        let key = Key6 {
            a: [1, 2, 3, 4],
            b: [5, 6, 7, 8],
            port_a: 9,
            port_b: 10,
            protocol: 6,
            pad: 0,
            zone: 11,
        };
        let mut others = vec![key; 13];
        for n in 0..4 {
            others[n].a[n] += 1;
            others[4 + n].b[n] += 1;
        }
        others[8].port_a += 1;
        others[9].port_b += 1;
        others[10].protocol += 1;
        others[11].zone += 1;
        let mut hashes: Vec<u64> = others.iter().map(|key| key.hash(seed) >> 32).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 13);
        let same = others.iter().filter(|other| key.is(other));
        assert_eq!(same.count(), 1);
        let key = Key4 {
            a: 1,
            b: 2,
            port_a: 3,
            port_b: 4,
            protocol: 6,
            pad: 0,
            zone: 0,
        };
        for other in [
            Key4 { a: 2, ..key },
            Key4 { b: 3, ..key },
            Key4 { port_a: 4, ..key },
            Key4 { port_b: 3, ..key },
            Key4 {
                protocol: 17,
                ..key
            },
            Key4 { zone: 1, ..key },
        ] {
            assert_ne!(key.hash(seed) >> 32, other.hash(seed) >> 32, "{other:?}");
            assert!(!key.is(&other) && other.is(&other), "{other:?}");
        }
    }

    /// Fills a table as the programs do and takes flows out and puts others in; tells how
    /// many of a million found no slot.
    fn refused(flows: u32, share: f64) -> f64 {
        let slots = slots_for(flows);
        let mut taken = vec![false; slots as usize];
        let live = (f64::from(flows) * share) as usize;
        let mut places = std::collections::VecDeque::new();
        let (mut asked, mut refused) = (0_u64, 0_u64);
        for n in 0..live as u32 * 6 {
            if places.len() >= live
                && let Some(place) = places.pop_front()
            {
                taken[place as usize] = false;
            }
            // Of one server, as in a flood from few addresses.
            let key = Key4 {
                a: 7,
                b: 100 + n / 60_000,
                port_a: 443,
                port_b: (n % 60_000) as u16,
                protocol: 6,
                pad: 0,
                zone: 0,
            };
            let hash = key.hash(seed);
            let mut windows = (0..WINDOWS)
                .flat_map(|number| (0..WINDOW).map(move |n| window(hash, number, slots) + n));
            asked += 1;
            match windows.find(|place| !taken[*place as usize]) {
                Some(place) => {
                    taken[place as usize] = true;
                    places.push_back(place);
                }
                None => refused += 1,
            }
        }
        refused as f64 / asked as f64 * 1e6
    }

    #[test]
    fn a_flow_finds_a_slot_at_the_fill_level_that_is_kept_and_nearly_always_above() {
        assert!(refused(100_000, 0.75) < 10.0, "{}", refused(100_000, 0.75));
        assert!(refused(100_000, 1.0) < 600.0, "{}", refused(100_000, 1.0));
        assert!(refused(1000, 0.75) <= 100.0);
    }
}
