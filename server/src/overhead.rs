//! What the daemon and its programs cost, and the budget for it.
//!
//! A task looks once a second. While the cost is over the budget, events become
//! coarser step by step; when the load falls, the steps are undone. It never
//! touches the counters of flows: they stay exact. Bound: one task.

mod meter;
mod steps;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::datapath::{Counters, Objects, Tuner};

pub use meter::Load;
use meter::Meter;
use steps::{LAST_STEP, Steps, interval};

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);

/// The datapath's side.
#[derive(Clone)]
pub struct Datapath {
    /// Programs and maps.
    pub objects: Objects,
    /// What passed.
    pub counters: Counters,
    /// The setting of the programs.
    pub tuner: Tuner,
    /// Interval of events as configured; zero raises one for each packet.
    pub active_interval: Duration,
}

/// State of the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Share of one CPU that may be used; 0 is no budget.
    pub limit: f64,
    /// How coarse events are; 0 is as configured.
    pub step: u32,
    /// The coarsest step.
    pub last_step: u32,
    /// Interval between events of an active flow.
    pub active_interval: Duration,
    /// One in so many events is raised, of those that may be left out.
    pub sampling: u32,
    /// Since when.
    pub since: SystemTime,
    /// Steps up since the start.
    pub raised: u64,
    /// Steps down since the start.
    pub lowered: u64,
}

/// Cost and budget, as of the last look; clones share it.
#[derive(Clone)]
pub struct Overhead {
    last: Arc<Mutex<(Load, Budget)>>,
    /// Its sender goes with the task that looks.
    alive: watch::Receiver<()>,
}

/// The task ended.
#[derive(Debug, thiserror::Error)]
#[error("the task that watches the daemon's own cost ended")]
pub struct OverheadError;

impl Overhead {
    /// Begins to look, until `stop` changes. `limit` is a share of one CPU.
    #[must_use]
    pub fn start(limit: f64, datapath: Option<Datapath>, stop: watch::Receiver<bool>) -> Self {
        let active_interval = datapath
            .as_ref()
            .map_or(Duration::ZERO, |datapath| datapath.active_interval);
        let budget = Budget {
            limit,
            step: 0,
            last_step: if limit > 0.0 { LAST_STEP } else { 0 },
            active_interval,
            sampling: 1,
            since: SystemTime::now(),
            raised: 0,
            lowered: 0,
        };
        let (looks, alive) = watch::channel(());
        let overhead = Self {
            last: Arc::new(Mutex::new((Load::default(), budget))),
            alive,
        };
        let look = look(overhead.clone(), datapath, stop);
        tokio::spawn(async move {
            let _looks = looks;
            look.await;
        });
        overhead
    }

    /// Waits until the task ends, which it does not unless it is told to.
    pub async fn failed(&self) -> OverheadError {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
        OverheadError
    }

    /// What it costs.
    #[must_use]
    pub fn load(&self) -> Load {
        self.lock().0
    }

    /// The budget.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.lock().1
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Load, Budget)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(overhead: Overhead, datapath: Option<Datapath>, mut stop: watch::Receiver<bool>) {
    let mut meter = Meter::new(datapath.clone());
    let mut steps = Steps::new(overhead.budget().limit);
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let load = meter.look().await;
        overhead.lock().0 = load;
        if let Some(datapath) = &datapath
            && let Some(step) = steps.after(load.daemon_cpu + load.datapath_cpu)
        {
            take(step, load, datapath, &overhead);
        }
    }
}

/// Takes a step and tells so.
fn take(step: u32, load: Load, datapath: &Datapath, overhead: &Overhead) {
    let (active_interval, sampling) = interval(datapath.active_interval, step);
    let set = datapath
        .tuner
        .set(active_interval.as_nanos() as u64, sampling);
    if let Err(error) = set {
        tracing::warn!(step, %error, "events not made coarser or finer");
        return;
    }
    let mut state = overhead.lock();
    let budget = &mut state.1;
    let is_up = step > budget.step;
    if is_up {
        budget.raised += 1;
    } else {
        budget.lowered += 1;
    }
    budget.step = step;
    budget.active_interval = active_interval;
    budget.sampling = sampling;
    budget.since = SystemTime::now();
    let (daemon_cpu, datapath_cpu, limit) = (load.daemon_cpu, load.datapath_cpu, budget.limit);
    if is_up {
        tracing::warn!(
            step,
            ?active_interval,
            sampling,
            daemon_cpu,
            datapath_cpu,
            limit,
            "over the overhead budget; events are coarser"
        );
    } else {
        tracing::info!(
            step,
            ?active_interval,
            sampling,
            daemon_cpu,
            datapath_cpu,
            limit,
            "within the overhead budget; events are finer"
        );
    }
}
