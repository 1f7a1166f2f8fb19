//! Ids of flow events: random UUIDs (version 4) from a fast generator. They
//! need to be unique, not secret.

use std::hash::{BuildHasher as _, RandomState};

use crate::flow::Uuid;

/// Gives ids.
pub(super) struct Uuids {
    high: u64,
    low: u64,
}

impl Uuids {
    /// Begins at a random place.
    pub(super) fn new() -> Self {
        Self {
            high: RandomState::new().hash_one(1),
            low: RandomState::new().hash_one(2),
        }
    }

    /// A new id.
    pub(super) fn next(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&split_mix(&mut self.high).to_be_bytes());
        bytes[8..].copy_from_slice(&split_mix(&mut self.low).to_be_bytes());
        // RFC 9562: version 4, variant 10.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid::Binary(bytes)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): each state gives another number.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
