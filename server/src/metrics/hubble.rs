//! Hubble's metrics: series of flows, under the names and with the labels of Hubble
//! v1.20, so that its dashboards and alerts work as they are.
//!
//! A reader of the store with a cursor counts; the page reads. Nothing here slows who
//! writes to the store: a reader that is overtaken counts what it missed. Not Sextant's
//! own metrics. Bound: series of each metric, see `family`.

mod context;
mod engine;
mod family;
mod file;
mod gone;
mod handler;
mod kind;
mod names;
mod setting;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use sextant_flows::filter::FilterError;
use thiserror::Error;

pub(super) use engine::Counts;
pub use file::FileError;
pub use kind::Kind;
pub use setting::{Setting, SettingError, check};

use super::follow;
use crate::{identity::News, reloaded::Reloaded, store::Ring};
use engine::Engine;
use file::MetricsFile;
use tokio::sync::watch;

/// What of Hubble's metrics is on.
#[derive(Clone, Debug, PartialEq)]
pub struct Hubble {
    /// Metrics that are named in the configuration.
    pub metrics: Vec<Setting>,
    /// Hubble's dynamic configuration, read again when it changes; instead of `metrics`.
    pub file: Option<PathBuf>,
    /// Series of each metric at most.
    pub series: usize,
}

impl Default for Hubble {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            file: None,
            series: 10_000,
        }
    }
}

/// Why metrics cannot begin.
#[derive(Debug, Error)]
pub enum HubbleError {
    /// The file is of no use.
    #[error(transparent)]
    File(#[from] FileError),
    /// A filter is.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// The metrics; clones are the same.
#[derive(Clone)]
pub struct HubbleMetrics {
    engine: Arc<Mutex<Engine>>,
    file: Option<Reloaded<MetricsFile>>,
}

impl HubbleMetrics {
    /// Those that are on; none if nothing is.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has a mistake.
    pub fn new(hubble: &Hubble) -> Result<Option<Self>, HubbleError> {
        let file = hubble.file.clone().map(MetricsFile::new);
        let file = file.map(Reloaded::load).transpose()?;
        if hubble.metrics.is_empty() && file.is_none() {
            return Ok(None);
        }
        let settings = match &file {
            Some(file) => file.current().to_vec(),
            None => hubble.metrics.clone(),
        };
        let mut engine = Engine::new(hubble.series);
        engine.apply(&settings)?;
        Ok(Some(Self {
            engine: Arc::new(Mutex::new(engine)),
            file,
        }))
    }

    /// Looks at the file again, if there is one.
    pub fn reload(&self) {
        if let Some(file) = &self.file {
            file.reload_and_tell();
        }
    }

    /// Looks at the file for ever, if there is one.
    pub async fn watch(self) {
        match self.file {
            Some(file) => file.watch().await,
            None => std::future::pending().await,
        }
    }

    /// Counts all events from the first one on, until `ending` changes.
    pub async fn follow(self, ring: Ring, ending: watch::Receiver<bool>) {
        let mut settings = self.file.as_ref().map(Reloaded::subscribe);
        // Since it was begun with, the file may have been read again.
        settings.iter_mut().for_each(watch::Receiver::mark_changed);
        follow::follow(self.engine, settings, ring, ending).await;
    }

    /// An endpoint of another node came back or is gone: its series go with it.
    pub fn hear(&self, news: News) {
        self.lock().hear(news, Instant::now());
    }

    /// What became of what it read.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts()
    }

    fn lock(&self) -> MutexGuard<'_, Engine> {
        follow::lock(&self.engine)
    }
}

impl fmt::Debug for HubbleMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubbleMetrics").finish_non_exhaustive()
    }
}

impl Collector for HubbleMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.lock().encode(&mut encoder)
    }
}

#[cfg(test)]
mod tests;
