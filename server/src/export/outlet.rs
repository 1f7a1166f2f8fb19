//! Where an exporter writes, and how often it tries.
//!
//! Attempts that fail come less and less often, not all at the same moment where several
//! exporters lost the same server. Not what is written, nor what becomes of what is not.

use std::time::Duration;

use super::{
    batch::Batch,
    counts::Counts,
    order::Orders,
    setting::Target,
    sink::{Sink, SinkError},
};
use crate::tls::TlsError;

/// Between two attempts to write: at first, and at most.
const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// So long other orders wait for the answer to what is sent by the ones before.
const GRACE: Duration = Duration::from_secs(1);

/// A sink, and how it went there.
pub(super) struct Outlet {
    sink: Sink,
    counts: Counts,
    /// Until the next attempt, at most, as long as none succeeds.
    backoff: Option<Duration>,
    /// The same by chance, or longer where the other side asks for it.
    pause: Option<Duration>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Events that are done with, the first of the batch.
    pub(super) events: usize,
    /// The next may follow at once.
    pub(super) is_good: bool,
}

impl Outlet {
    pub(super) fn new(target: &Target, counts: Counts) -> Result<Self, TlsError> {
        Ok(Self {
            sink: Sink::new(target, &counts)?,
            counts,
            backoff: None,
            pause: None,
        })
    }

    /// Writes to this, which is of the same kind, from now on.
    pub(super) fn change(&mut self, target: &Target) -> Result<(), TlsError> {
        self.sink.change(target, &self.counts)
    }

    /// A file that cannot be opened is told before there is something to write.
    pub(super) fn prepare(&mut self) {
        let opened = self.sink.prepare();
        self.tell(opened);
    }

    /// Bytes from which on a batch is written, however young it is.
    pub(super) fn most_bytes(&self) -> usize {
        self.sink.most_bytes()
    }

    /// How long events wait for others to go with them.
    pub(super) fn pace(&self) -> Duration {
        self.sink.pace()
    }

    /// How long to wait, where the last attempt failed.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// Writes events off the front of a batch. Whoever gets other orders meanwhile is not
    /// held for long by a server that does not answer.
    pub(super) async fn write(&mut self, batch: &mut Batch, orders: &mut Orders) -> Attempt {
        let written = tokio::select! {
            biased;
            written = self.sink.write(batch) => written,
            () = overdue(orders) => {
                tracing::info!("what is sent when the configuration changes is sent again");
                let (events, is_good) = (0, true);
                return Attempt { events, is_good };
            }
        };
        let bytes = batch.advance(written.events);
        let (events, refused) = (written.events as u64, written.refused as u64);
        self.counts.finish(events, refused, bytes);
        Attempt {
            events: written.events,
            is_good: self.tell(written.result),
        }
    }

    /// Tells of an attempt, if it went otherwise than the one before; how it went.
    fn tell(&mut self, result: Result<(), SinkError>) -> bool {
        let name = self.counts.name();
        match result {
            Ok(()) => {
                (self.backoff, self.pause) = (None, None);
                if self.counts.recover() {
                    tracing::info!(name, "an exporter writes again");
                }
                true
            }
            Err(error) => {
                let [first, most] = RETRY;
                let backoff = self.backoff.map_or(first, |before| 2 * before).min(most);
                self.backoff = Some(backoff);
                let asked = error.retry_after().unwrap_or_default();
                self.pause = Some(jittered(backoff).max(asked + jittered(first)));
                if self.counts.fail(error.to_string()) {
                    tracing::warn!(name, "{error}; it is tried again");
                }
                false
            }
        }
    }

    /// Lets it go; what was written lasts then.
    pub(super) fn close(&mut self) {
        if let Err(error) = self.sink.close() {
            tracing::warn!(name = self.counts.name(), "{error}");
        }
    }
}

/// The half of it at least, and all of it at most.
pub(super) fn jittered(pause: Duration) -> Duration {
    // Without chance all wait as long.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    pause.mul_f64(0.5 + f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

/// Waits for other orders, and then a while; never for the one to end, which has its own
/// deadline.
async fn overdue(orders: &mut Orders) {
    orders.changed().await;
    match orders.are_over() {
        false => tokio::time::sleep(GRACE).await,
        true => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_are_no_longer_than_they_may_be() {
        let pause = Duration::from_secs(4);
        let pauses: Vec<_> = (0..100).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|one| *one >= pause / 2 && *one <= pause));
        assert!(pauses.iter().any(|one| *one != pauses[0]));
    }
}
