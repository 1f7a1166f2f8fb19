//! The thread that counts for Hubble's metrics, and the file that says which.

use anyhow::Context as _;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use super::worker::Worker;
use crate::{
    metrics::{Hubble, HubbleMetrics},
    store::Ring,
};

/// At work, if any metric is on.
pub(super) struct Counting(Option<On>);

struct On {
    metrics: HubbleMetrics,
    worker: Worker,
    /// Looks at the file.
    _file: JoinSet<()>,
}

impl Counting {
    /// Counts what is in the ring, from the first event on, until `ending` changes.
    pub(super) fn start(
        hubble: &Hubble,
        ring: Ring,
        ending: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let Some(metrics) = HubbleMetrics::new(hubble)? else {
            return Ok(Self(None));
        };
        let (runtime, counting) = (Handle::current(), metrics.clone());
        let worker = Worker::start("flow-metrics", move || {
            runtime.block_on(counting.follow(ring, ending));
        });
        Ok(Self(Some(On {
            worker: worker.context("starting the thread of metrics")?,
            _file: JoinSet::from_iter([metrics.clone().watch()]),
            metrics,
        })))
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> Option<HubbleMetrics> {
        self.0.as_ref().map(|on| on.metrics.clone())
    }

    /// Looks at the file again.
    pub(super) fn reload(&self) {
        if let Some(on) = &self.0 {
            on.metrics.reload();
        }
    }

    /// Waits until it ends, which it does not by itself.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match &mut self.0 {
            Some(on) => on.worker.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until it ended as it was told.
    pub(super) async fn join(self) {
        if let Some(on) = self.0 {
            on.worker.join().await;
        }
    }
}
