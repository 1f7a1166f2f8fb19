//! What can be changed while the programs run: how many events they raise.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aya::maps::{Array, MapData, MapError};
use sextant_ebpf_common::Tuning;

/// The setting of the programs; clones share it.
#[derive(Clone)]
pub struct Tuner(Arc<Inner>);

struct Inner {
    map: Mutex<Array<MapData, Tuning>>,
    sampling: AtomicU32,
    interval_ns: AtomicU64,
}

impl Tuner {
    pub(super) fn new(map: Array<MapData, Tuning>) -> Self {
        let now = map.get(&0, 0).unwrap_or_default();
        Self(Arc::new(Inner {
            interval_ns: AtomicU64::new(now.active_interval_ns),
            map: Mutex::new(map),
            sampling: AtomicU32::new(1),
        }))
    }

    /// Changes the setting. A flow takes the new interval at its next event.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it; then all is as before.
    pub fn set(&self, active_interval_ns: u64, sampling: u32) -> Result<(), MapError> {
        let tuning = Tuning {
            active_interval_ns,
            // The programs use it as a mask.
            sampling: sampling.max(1).next_power_of_two(),
            pad: 0,
        };
        let mut map = self.0.map.lock().unwrap_or_else(PoisonError::into_inner);
        map.set(0, tuning, 0)?;
        self.0.sampling.store(tuning.sampling, Relaxed);
        self.0.interval_ns.store(active_interval_ns, Relaxed);
        Ok(())
    }

    /// Between two events of an active flow.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_nanos(self.0.interval_ns.load(Relaxed))
    }

    /// Of events that may be left out, one in so many is raised.
    pub(super) fn sampling(&self) -> u32 {
        self.0.sampling.load(Relaxed)
    }
}
