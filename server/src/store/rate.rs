//! Flows per second over the last minute, by the flows' own times.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::flow::Time;

/// Seconds that are looked at.
const WINDOW: i64 = 60;
/// More than the window, so that a second is not used again while it counts.
const SLOTS: usize = 64;

/// Counts by second; each slot has its second in the high half.
#[derive(Debug)]
pub(super) struct Rate {
    slots: [AtomicU64; SLOTS],
}

impl Rate {
    pub(super) fn new() -> Self {
        Self {
            slots: [const { AtomicU64::new(0) }; SLOTS],
        }
    }

    /// Counts a flow; called by the one writer.
    pub(super) fn count(&self, time: Time) {
        let slot = &self.slots[time.seconds.rem_euclid(SLOTS as i64) as usize];
        // Not before 1970 or after 2106, where nothing counts.
        let Ok(second) = u32::try_from(time.seconds) else {
            return;
        };
        let held = slot.load(Relaxed);
        let (held_second, held_count) = ((held >> 32) as u32, held as u32);
        if held_second == second {
            slot.store(
                held & !0xffff_ffff | u64::from(held_count.saturating_add(1)),
                Relaxed,
            );
        } else if second > held_second && time.seconds <= Time::now().seconds + WINDOW {
            // A later one would hold the slot until its time comes.

            slot.store(u64::from(second) << 32 | 1, Relaxed);
        }
    }

    /// Flows per second. While the oldest of the `stored` events is younger than
    /// the window, the span is its age, and what is no longer stored is not counted.
    pub(super) fn per_second(&self, now: Time, oldest: Option<Time>, stored: u64) -> f64 {
        let from = now.seconds - WINDOW;
        let flows: u64 = self
            .slots
            .iter()
            .map(|slot| slot.load(Relaxed))
            .filter(|held| {
                let second = (held >> 32) as i64;
                second > from && second <= now.seconds
            })
            .map(|held| held & 0xffff_ffff)
            .sum();
        let Some(oldest) = oldest.filter(|_| flows > 0) else {
            return 0.0;
        };
        let age = now.as_nanos().saturating_sub(oldest.as_nanos()) as f64 / 1e9;
        if age >= WINDOW as f64 {
            flows as f64 / WINDOW as f64
        } else {
            flows.min(stored) as f64 / age.max(1e-3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time { seconds, nanos: 0 }
    }

    #[test]
    fn times_of_another_age_take_nothing_from_the_rate() {
        let now = Time::now();
        let rate = Rate::new();
        // The year 1, before 1970, 2106 and the year 9999.
        for seconds in [-62_135_596_800, -1, 4_294_967_296, 253_402_300_799] {
            (0..64).for_each(|second| rate.count(at(seconds - second)));
        }
        (0..64).for_each(|second| rate.count(at(now.seconds + 3600 + second)));
        (0..60).for_each(|_| rate.count(now));
        let per_second = rate.per_second(now, Some(at(-62_135_596_800)), 60);
        assert!((per_second - 1.0).abs() < 1e-9, "{per_second}");
    }
}
