//! The threads that count for Hubble's and for custom metrics, and the file that says which
//! of Hubble's.

use anyhow::Context as _;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use super::worker::Worker;
use crate::{
    config::Config,
    metrics::{CustomMetrics, HubbleMetrics, custom::CustomSetting},
    store::Ring,
};

/// At work.
pub(super) struct Counting {
    /// If any metric of Hubble's is on.
    hubble: Option<On>,
    custom: CustomMetrics,
    /// Sleeps while there is no custom metric.
    counts_custom: Worker,
}

struct On {
    metrics: HubbleMetrics,
    worker: Worker,
    /// Looks at the file.
    _file: JoinSet<()>,
}

impl On {
    fn start(
        metrics: HubbleMetrics,
        ring: Ring,
        ending: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let counting = metrics.clone();
        let counts = counting.follow(ring, ending);
        Ok(Self {
            worker: start("flow-metrics", counts)?,
            _file: JoinSet::from_iter([metrics.clone().watch()]),
            metrics,
        })
    }
}

impl Counting {
    /// Counts what is in the ring, from the first event on, until `ending` changes.
    pub(super) fn start(
        config: &Config,
        ring: Ring,
        ending: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let hubble = HubbleMetrics::new(&config.hubble)?;
        let custom = CustomMetrics::new(&config.custom).context("custom metrics")?;
        let counts_custom = custom.clone().follow(ring.clone(), ending.clone());
        Ok(Self {
            hubble: hubble
                .map(|metrics| On::start(metrics, ring, ending))
                .transpose()?,
            counts_custom: start("custom-metrics", counts_custom)?,
            custom,
        })
    }

    /// What is counted of Hubble's metrics.
    pub(super) fn hubble(&self) -> Option<HubbleMetrics> {
        self.hubble.as_ref().map(|on| on.metrics.clone())
    }

    /// What is counted of custom metrics.
    pub(super) fn custom(&self) -> CustomMetrics {
        self.custom.clone()
    }

    /// Takes other custom metrics, and looks at the file again.
    pub(super) fn reload(&self, custom: &[CustomSetting]) {
        self.custom.replace(custom);
        if let Some(on) = &self.hubble {
            on.metrics.reload();
        }
    }

    /// Waits until one ends, which none does by itself.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let hubble = async {
            match &mut self.hubble {
                Some(on) => on.worker.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = hubble => error,
            error = self.counts_custom.failed() => error,
        }
    }

    /// Waits until they ended as they were told.
    pub(super) async fn join(self) {
        if let Some(on) = self.hubble {
            on.worker.join().await;
        }
        self.counts_custom.join().await;
    }
}

/// A thread that counts.
fn start(
    name: &'static str,
    counts: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<Worker> {
    let runtime = Handle::current();
    let worker = Worker::start(name, move || runtime.block_on(counts));
    worker.context("starting a thread of metrics")
}
