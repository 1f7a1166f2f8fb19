//! Ended spans that wait for an exporter.
//!
//! Nobody waits for room: what finds none is counted, and told with what is taken next.
//! Bound: `QUEUED` spans.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// Most spans that wait, as for OpenTelemetry's batch processor.
pub const QUEUED: usize = 2048;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<Bytes>,
    /// Spans that found no room and are not told yet.
    lost: u64,
    is_closed: bool,
}

impl Queue {
    /// Adds a span, if there is room; whether more are wanted.
    pub(super) fn push(&self, span: Bytes) -> bool {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return false;
        }
        match waiting.spans.len() < QUEUED {
            true => waiting.spans.push_back(span),
            false => waiting.lost += 1,
        }
        drop(waiting);
        self.news.notify_one();
        true
    }

    /// Whoever died with the lock had added or removed one.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a queue where spans are taken; dropped, no more come.
#[derive(Debug)]
pub struct Taken(Arc<Queue>);

impl Taken {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// The oldest, an encoded `Span` of OTLP.
    #[must_use]
    pub fn next(&self) -> Option<Bytes> {
        self.0.lock().spans.pop_front()
    }

    /// How many found no room since this was asked last.
    #[must_use]
    pub fn lost(&self) -> u64 {
        std::mem::take(&mut self.0.lock().lost)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().spans.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No more come; those that wait can be taken.
    pub fn close(&self) {
        self.0.lock().is_closed = true;
    }

    /// Whether no more come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// Waits until one waits.
    pub async fn news(&self) {
        while self.is_empty() {
            self.0.news.notified().await;
        }
    }
}
