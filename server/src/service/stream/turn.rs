//! How long a scan of the store goes on before other tasks get a turn.
//!
//! A scan that is not done with its first turn stands in a row with the others
//! like it, so that what is no scan waits for a few turns at most, however many
//! scans there are. Bound: `SCANS` at once.

use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Long beside the cost of a change of tasks, short beside what users notice.
const LENGTH: Duration = Duration::from_micros(200);

/// Scans that have a turn at once, beside those in their first.
const SCANS: usize = 2;

static ROW: Semaphore = Semaphore::const_new(SCANS);

/// The turn of one scan.
#[derive(Debug)]
pub(in crate::service) struct Turn {
    end: Instant,
    /// Its place among those that have a turn.
    place: Option<SemaphorePermit<'static>>,
}

impl Turn {
    pub(in crate::service) fn begin() -> Self {
        Self {
            end: Instant::now() + LENGTH,
            place: None,
        }
    }

    /// Whether others wait for their turn. To be asked after each flow where one
    /// flow may take long.
    pub(in crate::service) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Lets others run, if the turn is over, and begins another.
    pub(in crate::service) async fn pass_on(&mut self) {
        if self.is_over() {
            self.rest();
            tokio::task::yield_now().await;
            // The row is never closed.
            self.place = ROW.acquire().await.ok();
            self.end = Instant::now() + LENGTH;
        }
    }

    /// Gives the place away; to be called before anything else is waited for.
    pub(in crate::service) fn rest(&mut self) {
        self.place = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed_on(turn: &mut Turn) {
        turn.end = Instant::now();
        turn.pass_on().await;
    }

    #[tokio::test]
    async fn scans_beyond_a_few_wait_in_a_row() {
        let mut first = Turn::begin();
        let mut second = Turn::begin();
        let mut third = Turn::begin();
        // Tests beside this one have turns too, which end.
        passed_on(&mut first).await;
        passed_on(&mut second).await;
        let mut waiting = Box::pin(passed_on(&mut third));
        let wait = Duration::from_millis(50);
        assert!(tokio::time::timeout(wait, &mut waiting).await.is_err());
        first.rest();
        waiting.await;
        drop(second);
        assert!(third.place.is_some());
    }
}
