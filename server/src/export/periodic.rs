//! Metrics sent to a collector again and again: all that the page of metrics has.
//!
//! Not a reader of the store. Metrics are totals, so what could not be sent is in what is
//! sent next, and nothing waits. Bound: a page at a time.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    batch::Batch,
    counts::Counts,
    order::{Order, Orders},
    otlp::{OtlpSink, Starts, nanos, put_metrics},
    outlet::jittered,
    setting::{OtlpTarget, Setting, Target},
    start::{Page, StartError},
};
use crate::{flow::Time, store::Ring};

/// Between attempts, as long as none succeeds; at most the interval.
const RETRY: Duration = Duration::from_secs(5);
/// After a page that is empty.
const SOON: Duration = Duration::from_secs(1);

/// An exporter of metrics.
pub(super) struct Periodic {
    orders: Orders,
    page: Page,
    sink: OtlpSink,
    counts: Counts,
    starts: Starts,
    pause: Duration,
}

impl Periodic {
    pub(super) fn new(
        setting: &Setting,
        target: &OtlpTarget,
        orders: Orders,
        ring: Ring,
        (page, start): (Page, u64),
    ) -> Result<Self, StartError> {
        // It reads nothing of the store, and is behind nothing.
        let counts = Counts::new(setting, ring, u64::MAX);
        Ok(Self {
            orders,
            page,
            sink: OtlpSink::new(target, counts.clone())?,
            counts,
            starts: Starts::new(start),
            pause: Duration::ZERO,
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Sends at once, after each interval, and once more when it is told to end.
    pub(super) async fn run(mut self) {
        loop {
            let is_end = self.take_orders();
            self.send().await;
            if is_end {
                return;
            }
            let next = Instant::now() + self.pause;
            tokio::select! {
                () = self.orders.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Takes other orders; whether it is to end.
    fn take_orders(&mut self) -> bool {
        let setting = match self.orders.take().pop() {
            None => return false,
            Some(Order::End(_)) => return true,
            Some(Order::Export(setting, _)) => setting,
        };
        if let Target::Otlp(target) = &setting.target {
            match OtlpSink::new(target, self.counts.clone()) {
                Ok(sink) => self.sink = sink,
                // It was tried once already.
                Err(error) => {
                    tracing::warn!(name = setting.name, "an exporter as before: {error}");
                }
            }
            self.counts.aim(&setting);
        }
        false
    }

    async fn send(&mut self) {
        let page = Arc::clone(&self.page);
        let mut batch = Batch::default();
        let mut points = put_metrics(&page(), &mut self.starts, nanos(Time::now()), &mut batch);
        // At the start it has nothing for a moment.
        self.pause = match batch.len() {
            0 => SOON.min(self.sink.pace()),
            _ => self.sink.pace(),
        };
        while batch.len() > 0 {
            let written = self.sink.write(&batch).await;
            let bytes = batch.advance(written.events);
            let done: u64 = points.drain(..written.events).sum();
            let refused = match written.refused {
                0 => written.refused_parts.min(done),
                _ => done,
            };
            self.counts.finish(done, refused, bytes);
            if let Err(error) = written.result {
                let asked = error.retry_after().unwrap_or_default();
                self.pause = jittered(self.pause.min(RETRY)).max(asked);
                if self.counts.fail(error.to_string()) {
                    tracing::warn!("{error}; metrics are sent again");
                }
                return;
            }
        }
        if self.counts.recover() {
            tracing::info!("an exporter of metrics writes again");
        }
    }
}
