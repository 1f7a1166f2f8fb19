//! Rates over the last minute: totals are kept each few seconds, and held against those of
//! the moment somebody looks. Bound: the samples of a minute.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::ledger::Sources;

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(5);
/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(60);

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) flows: u64,
    pub(super) dropped: u64,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// What changed, by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PerSecond {
    pub(super) flows: f64,
    pub(super) packets: f64,
    pub(super) bytes: f64,
    /// Share of the flows that were dropped, 0 to 1.
    pub(super) drop_rate: f64,
}

/// Samples of the last minute; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Rates(Arc<Mutex<VecDeque<(Instant, Totals)>>>);

impl Rates {
    /// Keeps samples until `ending` changes.
    pub async fn watch(self, sources: Sources, mut ending: watch::Receiver<bool>) {
        loop {
            self.keep(Instant::now(), totals(&sources));
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = ending.changed() => return,
            }
        }
    }

    fn keep(&self, now: Instant, totals: Totals) {
        let mut samples = self.lock();
        while samples
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            samples.pop_front();
        }
        samples.push_back((now, totals));
    }

    /// Since the oldest sample, at most a minute ago.
    pub(super) fn per_second(&self, now: Instant, totals: Totals) -> PerSecond {
        let samples = self.lock();
        let recent = |(at, _): &&(Instant, Totals)| now.duration_since(*at) <= WINDOW;
        let Some((at, before)) = samples.iter().find(recent) else {
            return PerSecond::default();
        };
        let seconds = now.duration_since(*at).as_secs_f64();
        let more = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let by_second = |more: f64| if seconds > 0.0 { more / seconds } else { 0.0 };
        let flows = more(totals.flows, before.flows);
        PerSecond {
            flows: by_second(flows),
            packets: by_second(more(totals.packets, before.packets)),
            bytes: by_second(more(totals.bytes, before.bytes)),
            drop_rate: match flows > 0.0 {
                true => more(totals.dropped, before.dropped) / flows,
                false => 0.0,
            },
        }
    }

    /// Whoever died with the lock had changed nothing by half.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Totals)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The totals of this moment.
pub(super) fn totals(sources: &Sources) -> Totals {
    let seen = sources.take().packets.seen;
    Totals {
        flows: sources.ring.seen_flows(),
        dropped: sources.ring.verdicts().dropped,
        packets: seen.packets,
        bytes: seen.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(flows: u64, dropped: u64) -> Totals {
        Totals {
            flows,
            dropped,
            packets: 10 * flows,
            bytes: 100 * flows,
        }
    }

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let (rates, begin) = (Rates::default(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        assert_eq!(rates.per_second(begin, totals(5, 1)), PerSecond::default());
        for second in (0..=100).step_by(5) {
            rates.keep(at(second), totals(1000 + second, second / 10));
        }
        assert!(rates.lock().len() <= 13, "{}", rates.lock().len());
        // What was before the minute does not count.
        let now = rates.per_second(at(100), totals(1100, 10));
        let is = PerSecond {
            flows: 1.0,
            packets: 10.0,
            bytes: 100.0,
            drop_rate: 0.1,
        };
        assert_eq!(now, is);
        // Nobody looked for long: there is nothing to hold it against.
        assert_eq!(
            rates.per_second(at(500), totals(9, 9)),
            PerSecond::default()
        );
        // A moment without flows.
        let idle = rates.per_second(at(100), totals(1040, 4));
        assert_eq!(idle.drop_rate, 0.0);
    }
}
