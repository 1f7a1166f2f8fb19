//! What was lost for want of room, as it is told: to followers as a number, in
//! the log every few seconds, in the state for a minute.
//!
//! Nothing is counted here. Looked at each second by the reader, more often while
//! events come; read by whoever asks for the state.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use sextant_ebpf_common::Cause;

use super::{Counters, Volumes};

/// Between two warnings of one kind.
const QUIET: Duration = Duration::from_secs(10);
/// After so long without another one a loss is no part of the state any more.
const RECENT: Duration = Duration::from_secs(60);

/// A kind of loss.
struct Kind {
    /// None for ends of flows, which the daemon itself leaves out.
    cause: Option<Cause>,
    /// What is lost, behind a number.
    what: &'static str,
    /// What to do.
    remedy: &'static str,
}

const KINDS: [Kind; 9] = [
    Kind {
        cause: Some(Cause::Table4Full),
        what: "packets are in no flow: the table of IPv4 flows was full",
        remedy: "raise flows_ipv4 under [datapath]",
    },
    Kind {
        cause: Some(Cause::Table6Full),
        what: "packets are in no flow: the table of IPv6 flows was full",
        remedy: "raise flows_ipv6 under [datapath]",
    },
    Kind {
        cause: Some(Cause::InsertFailed),
        what: "packets are in no flow: the kernel refused the entry",
        remedy: "lower flows_ipv4 and flows_ipv6 under [datapath] if it is short of memory",
    },
    Kind {
        cause: Some(Cause::DropTableFull),
        what: "dropped packets are not told: the table of dropped flows was full",
        remedy: "raise flows_dropped under [datapath]",
    },
    Kind {
        cause: Some(Cause::ObservedRingFull),
        what: "events are lost: the ring of observed packets was full",
        remedy: "raise observed_ring_bytes under [datapath], or set cpu_percent under [overhead]",
    },
    Kind {
        cause: Some(Cause::DeniedRingFull),
        what: "drop events are lost: the ring of dropped packets was full",
        remedy: "raise denied_ring_bytes under [datapath]",
    },
    Kind {
        cause: Some(Cause::PayloadRingFull),
        what: "DNS messages are not told: the ring of what packets carry was full",
        remedy: "raise payload_ring_bytes under [datapath]",
    },
    Kind {
        cause: Some(Cause::DropNested),
        what: "dropped packets are not told: a CPU dropped them while it looked at others",
        remedy: "nothing needs to be done",
    },
    Kind {
        cause: None,
        what: "ends of flows are not told: more ended than could be stored",
        remedy: "raise flows_ipv4 and flows_ipv6 under [datapath], or set cpu_percent under [overhead]",
    },
];

/// Events and packets that were lost since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// In the kernel.
    pub kernel: u64,
    /// Between the sweep of the tables and the store.
    pub ends: u64,
}

/// A loss of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How much of what, and what to do.
    pub text: String,
    /// When it began.
    pub since: SystemTime,
    /// When it was last seen.
    pub last: SystemTime,
}

/// What is known of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The counter at the last look.
    count: u64,
    /// Of late; none when nothing was lost for a minute.
    late: Option<Late>,
    /// The counter when the log was told, and when that was.
    warned: Option<(u64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Late {
    lost: u64,
    since: SystemTime,
    last: SystemTime,
    seen: Instant,
}

impl Known {
    /// Takes the counter; gives how much more it is, and how much the log is to
    /// be told of.
    fn look(&mut self, count: u64, now: Instant, wall: SystemTime) -> (u64, Option<u64>) {
        let lost = count.saturating_sub(self.count);
        self.count = count;
        if self.late.is_some_and(|late| now - late.seen >= RECENT) {
            self.late = None;
        }
        if lost > 0 {
            let late = self.late.get_or_insert(Late {
                lost: 0,
                since: wall,
                last: wall,
                seen: now,
            });
            late.lost += lost;
            (late.last, late.seen) = (wall, now);
        }
        let (told, at) = self.warned.unzip();
        let untold = count - told.unwrap_or(0);
        if untold == 0 || at.is_some_and(|at| now - at < QUIET) {
            return (lost, None);
        }
        self.warned = Some((count, now));
        (lost, Some(untold))
    }
}

/// The losses; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<[Known; KINDS.len()]>>);

impl Losses {
    /// Losses of late, with the one that began first at the front.
    #[must_use]
    pub fn recent(&self) -> Vec<Loss> {
        let known = self.lock();
        let each = KINDS.iter().zip(known.iter());
        let mut recent: Vec<Loss> = each
            .filter_map(|(kind, known)| {
                let late = known.late.filter(|late| late.seen.elapsed() < RECENT)?;
                Some(Loss {
                    text: format!("{} {}; {}", late.lost, kind.what, kind.remedy),
                    since: late.since,
                    last: late.last,
                })
            })
            .collect();
        recent.sort_by_key(|loss| loss.since);
        recent
    }

    /// What was lost since the last look; the log is told.
    pub(super) fn look(&self, counters: &Counters, volumes: &Volumes) -> Lost {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut sum = Lost::default();
        for (kind, known) in KINDS.iter().zip(self.lock().iter_mut()) {
            let count = match kind.cause {
                Some(cause) => counters.cause(cause),
                None => volumes.reader().lost_ends,
            };
            let (lost, untold) = known.look(count, now, wall);
            match kind.cause {
                Some(_) => sum.kernel += lost,
                None => sum.ends += lost,
            }
            if let Some(lost) = untold {
                tracing::warn!(lost, remedy = kind.remedy, "{}", kind.what);
            }
        }
        sum
    }

    fn lock(&self) -> MutexGuard<'_, [Known; KINDS.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_in_the_log_at_most_each_few_seconds_and_no_number_is_left_out() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut known = Known::default();
        let mut look = |count, seconds| {
            let now = start + Duration::from_secs(seconds);
            known.look(count, now, wall)
        };
        assert_eq!(look(0, 0), (0, None));
        assert_eq!(look(5, 1), (5, Some(5)), "at once");
        assert_eq!(look(8, 2), (3, None));
        assert_eq!(look(9, 10), (1, None));
        assert_eq!(look(9, 11), (0, Some(4)), "also when no more is lost");
        assert_eq!(look(9, 99), (0, None));
        assert_eq!(look(10, 100), (1, Some(1)));
    }

    #[test]
    fn a_loss_is_of_late_until_a_minute_after_the_last_one() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut known = Known::default();
        let mut late = |count, seconds| {
            known.look(count, start + Duration::from_secs(seconds), wall);
            known.late.map(|late| late.lost)
        };
        assert_eq!(late(3, 0), Some(3));
        assert_eq!(late(4, 59), Some(4));
        assert_eq!(late(4, 118), Some(4));
        assert_eq!(late(4, 119), None);
        assert_eq!(late(6, 130), Some(2), "a new one begins at nothing");
    }
}
