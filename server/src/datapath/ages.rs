//! How old what flows remember of policies may be: a flow knows the last bits of the
//! generation that judged it, so a flow that sleeps while all of them come by once would
//! take an old verdict for a new one. The sweeper makes flows forget in time, and who
//! changes policies waits for it.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::Duration,
};

use sextant_ebpf_common::policy::GENERATIONS;

/// From this age on a verdict is forgotten.
const OLD: u32 = GENERATIONS / 4;
/// So many generations may come before the sweeper has been there.
const MOST: u32 = GENERATIONS - OLD - 1;
/// Between two looks whether it was.
const NAP: Duration = Duration::from_millis(5);

/// The latest generation, and the one that the last sweep made flows forget by; clones
/// see the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Ages(Arc<[AtomicU32; 2]>);

impl Ages {
    /// Flows remember generations up to this one, of a daemon before; after the next one
    /// they are to forget all of them, since that names its reasons by other numbers. Tells
    /// the one behind which that is.
    pub(super) fn take_over(&self, generation: u32) -> u32 {
        self.came(generation);
        self.swept(generation);
        generation.wrapping_add(OLD)
    }

    /// Waits until this generation may come.
    pub(super) fn wait_for_room(&self, next: u32) {
        while next.wrapping_sub(self.0[1].load(Acquire)) > MOST {
            thread::sleep(NAP);
        }
    }

    /// It came.
    pub(super) fn came(&self, generation: u32) {
        self.0[0].store(generation, Release);
    }

    /// The generation to forget by, if it is time.
    pub(super) fn due(&self) -> Option<u32> {
        let now = self.0[0].load(Acquire);
        (now.wrapping_sub(self.0[1].load(Acquire)) >= OLD).then_some(now)
    }

    /// All that is older has been forgotten.
    pub(super) fn swept(&self, generation: u32) {
        self.0[1].store(generation, Release);
    }
}

/// Whether what a flow remembers is too old to be kept.
pub(super) const fn is_old(remembered: u32, generation: u32) -> bool {
    let of = remembered >> (32 - GENERATIONS.trailing_zeros());
    generation.wrapping_sub(of) & (GENERATIONS - 1) >= OLD
}

#[cfg(test)]
mod tests {
    use sextant_ebpf_common::policy::{decision, remembered, verdict};

    use super::*;

    #[test]
    fn what_is_young_is_kept_and_all_else_is_forgotten() {
        let allow = decision(verdict::ALLOW, 5);
        for now in [OLD, 5 * GENERATIONS + 3, u32::MAX] {
            for age in 0..GENERATIONS {
                let word = remembered(allow, now.wrapping_sub(age));
                assert_eq!(is_old(word, now), age >= OLD, "{now} {age}");
            }
        }
    }

    #[test]
    fn no_generation_comes_that_a_flow_may_take_for_an_older_one() {
        let ages = Ages::default();
        ages.came(OLD - 1);
        assert_eq!(ages.due(), None);
        ages.came(OLD);
        assert_eq!(ages.due(), Some(OLD));
        ages.wait_for_room(MOST);
        let waiting = ages.clone();
        let waits = thread::spawn(move || waiting.wait_for_room(MOST + 1));
        ages.swept(OLD);
        waits.join().unwrap();
    }
}
