//! The programs' two clocks at one moment.

use aya::maps::{Array, MapData};
use sextant_ebpf_common::tick_began;

use super::bpf::monotonic_ns;

/// A moment on the monotonic clock, and how far the coarse one is from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Nanoseconds of the monotonic clock.
    pub ns: u64,
    /// What to add to the coarse clock, modulo 2^64.
    coarse_offset: u64,
}

impl Moment {
    /// Now. Before any flow there is no offset, and nothing to compare with it.
    pub(super) fn now(coarse_offset: &Array<MapData, u64>) -> Self {
        Self {
            ns: monotonic_ns(),
            coarse_offset: coarse_offset.get(&0, 0).unwrap_or(0),
        }
    }

    /// When a tick of the coarse clock began that is not after this moment, in
    /// nanoseconds of the monotonic clock.
    pub(super) fn of_tick(self, tick: u32) -> u64 {
        let coarse = self.ns.wrapping_sub(self.coarse_offset);
        tick_began(tick, coarse).wrapping_add(self.coarse_offset)
    }
}

#[cfg(test)]
mod tests {
    use sextant_ebpf_common::tick;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_tick_is_told_in_monotonic_time_whichever_clock_is_ahead() {
        // Jiffies begin five minutes before 2^32, the monotonic clock at 0.
        let jiffies = (u64::from(u32::MAX) - 300 * 250) * 4_000_000;
        for (monotonic, coarse) in [(1000 * SECOND, jiffies), (1000 * SECOND, 7 * SECOND)] {
            let now = Moment {
                ns: monotonic,
                coarse_offset: monotonic.wrapping_sub(coarse),
            };
            for idle in [0, SECOND, 5 * SECOND] {
                let told = now.of_tick(tick(coarse - idle));
                let late = (monotonic - idle).checked_sub(told);
                assert!(late.is_some_and(|ns| ns < 2 << 20), "{idle}: {late:?}");
            }
        }
    }
}
