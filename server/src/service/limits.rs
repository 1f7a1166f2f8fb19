//! How many streams may be open, and the signal that ends them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::Status;

/// Limits and drain signal that all streams share.
#[derive(Clone, Debug)]
pub struct Limits {
    streams: Arc<Semaphore>,
    max_streams: usize,
    draining: watch::Receiver<bool>,
}

impl Limits {
    /// At most `max_streams` streams; they end when `draining` becomes true.
    #[must_use]
    pub fn new(max_streams: usize, draining: watch::Receiver<bool>) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(max_streams)),
            max_streams,
            draining,
        }
    }

    /// A place for one more stream, given back when dropped.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        if *self.draining.borrow() {
            return Err(shutting_down());
        }
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "all {} streams of this server are in use; close some, or raise server.max_streams",
                self.max_streams
            ))
        })
    }

    /// How many streams are open, and how many may be.
    pub(super) fn open(&self) -> (usize, usize) {
        let free = self.streams.available_permits();
        (self.max_streams - free, self.max_streams)
    }

    /// Completes when streams are to end.
    pub(super) async fn drained(&mut self) {
        // A sender that is gone is as good as a signal.
        let _ = self.draining.wait_for(|draining| *draining).await;
    }
}

/// What a stream ends with at shutdown: clients reconnect on this code alone.
pub(super) fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}
