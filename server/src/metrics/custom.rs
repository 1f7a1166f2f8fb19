//! Metrics that the configuration makes up: which flows count, by which labels, and what
//! of them.
//!
//! A reader of the store with a cursor counts, as for Hubble's metrics; the page reads.
//! Not Hubble's metrics, whose names and labels are given. Bound: `MAX_METRICS`; series of
//! each (`series`), of which those that nothing was counted in for a while are removed;
//! flows that are followed (`deltas`).

mod amount;
mod deltas;
mod engine;
mod field;
mod metric;
mod setting;
mod turned;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use sextant_flows::filter::FilterError;
use tokio::sync::watch;

pub(super) use engine::Counts;
pub use field::{Field, FieldError};
pub(super) use metric::MetricCounts;
pub use setting::{
    CustomError, CustomKind, CustomSetting, Measured, check_custom, label_name, metric_name,
};

use super::follow;
use crate::store::{Event, Ring};
use engine::Engine;

/// The metrics; clones are the same.
#[derive(Clone)]
pub struct CustomMetrics {
    engine: Arc<Mutex<Engine>>,
    settings: watch::Sender<Arc<Vec<CustomSetting>>>,
}

impl CustomMetrics {
    /// Those of the configuration, which may be none.
    ///
    /// # Errors
    ///
    /// A filter that cannot be compiled.
    pub fn new(settings: &[CustomSetting]) -> Result<Self, FilterError> {
        let mut engine = Engine::default();
        engine.apply(settings)?;
        Ok(Self {
            engine: Arc::new(Mutex::new(engine)),
            settings: watch::Sender::new(Arc::new(settings.to_vec())),
        })
    }

    /// From now on these: those that stay go on with their series, those that are new count
    /// what comes after.
    pub fn replace(&self, settings: &[CustomSetting]) {
        self.settings.send_if_modified(|current| {
            let differ = current.as_slice() != settings;
            if differ {
                *current = Arc::new(settings.to_vec());
            }
            differ
        });
    }

    /// Counts all events from the first one on, until `ending` changes.
    pub async fn follow(self, ring: Ring, ending: watch::Receiver<bool>) {
        let mut settings = self.settings.subscribe();
        // Since it was begun with, there may be others.
        settings.mark_changed();
        // The sender stays, so that whoever waits for settings goes on waiting.
        let Self {
            engine,
            settings: _sender,
        } = self;
        follow::follow(engine, Some(settings), ring, ending).await;
    }

    /// Counts an event that is in no store.
    pub fn see(&self, event: &Event) {
        follow::Engine::see(&mut *self.lock(), event, Instant::now());
    }

    /// What became of what it read.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts()
    }

    fn lock(&self) -> MutexGuard<'_, Engine> {
        follow::lock(&self.engine)
    }
}

impl fmt::Debug for CustomMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomMetrics").finish_non_exhaustive()
    }
}

impl Collector for CustomMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.lock().encode(&mut encoder)
    }
}

#[cfg(test)]
mod tests;
