//! Losses of one stream, collected so that they are told at most once in an
//! interval.

use std::time::Duration;

use tokio::time::Instant;

use crate::flow::Time;

/// Losses not yet told.
#[derive(Clone, Copy)]
pub(in crate::service) struct Loss {
    pub(in crate::service) count: u64,
    pub(in crate::service) first: Time,
    pub(in crate::service) last: Time,
    since: Instant,
}

/// What was lost and not told.
pub(in crate::service) struct Lapped {
    interval: Duration,
    pending: Option<Loss>,
}

impl Lapped {
    pub(in crate::service) fn new(interval: Duration) -> Self {
        Self {
            interval,
            pending: None,
        }
    }

    pub(in crate::service) fn add(&mut self, count: u64) {
        let now = Time::now();
        let loss = self.pending.get_or_insert(Loss {
            count: 0,
            first: now,
            last: now,
            since: Instant::now(),
        });
        loss.count += count;
        loss.last = now;
    }

    pub(in crate::service) fn deadline(&self) -> Option<Instant> {
        self.pending.map(|loss| loss.since + self.interval)
    }

    pub(in crate::service) fn due(&mut self) -> Option<Loss> {
        let due = self.deadline().is_some_and(|at| at <= Instant::now());
        if due { self.take() } else { None }
    }

    pub(in crate::service) fn take(&mut self) -> Option<Loss> {
        self.pending.take()
    }
}
