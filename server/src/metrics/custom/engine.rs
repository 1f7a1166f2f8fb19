//! All custom metrics, and what counts in them.

use std::{
    fmt,
    time::{Duration, Instant},
};

use prometheus_client::encoding::DescriptorEncoder;
use sextant_flows::{
    filter::FilterError,
    summary::{Measure, measure},
};

use super::{
    deltas::{Added, Deltas},
    metric::{Metric, MetricCounts, Seen},
    setting::CustomSetting,
};
use crate::{
    flow::{Flow, Time},
    metrics::{follow, labels::Labels},
    store::Event,
};

/// Between two looks for idle series, at least and at most.
const LOOK: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(60)];

/// What became of what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Flow events that were looked at.
    pub(crate) flows: u64,
    /// Events that were overwritten before they were looked at.
    pub(crate) lapped: u64,
    /// Flows that took too long to judge by a filter.
    pub(crate) overruns: u64,
    /// Flows whose totals are followed.
    pub(crate) tracked: usize,
    /// Events of flows that found no room to be followed.
    pub(crate) untracked: u64,
    /// By metric.
    pub(crate) metrics: Vec<MetricCounts>,
}

/// The metrics.
#[derive(Debug, Default)]
pub(super) struct Engine {
    metrics: Vec<Metric>,
    labels: Labels,
    /// If a metric adds up packets or bytes.
    deltas: Option<Deltas>,
    /// Whether a metric looks at more than that there is a flow.
    measures: bool,
    looked: Option<Instant>,
    flows: u64,
    lapped: u64,
    /// Of metrics and flows that are not followed any more.
    overruns: u64,
    untracked: u64,
}

impl Engine {
    /// From now on these metrics. One that is on and goes on has its series still, also under
    /// another filter; one that is new, or has other labels, begins with none.
    ///
    /// # Errors
    ///
    /// A filter that cannot be compiled; all stays as it was.
    pub(super) fn apply(&mut self, settings: &[CustomSetting]) -> Result<(), FilterError> {
        self.change(settings, Deltas::default)
    }

    fn change(
        &mut self,
        settings: &[CustomSetting],
        begin: impl FnOnce() -> Deltas,
    ) -> Result<(), FilterError> {
        let now = Instant::now();
        let fresh = settings.iter().cloned();
        let fresh = fresh
            .map(|setting| Metric::new(setting, now))
            .collect::<Result<Vec<_>, _>>()?;
        let mut before = std::mem::take(&mut self.metrics);
        for mut metric in fresh {
            let setting = metric.setting();
            let same = before
                .iter()
                .position(|known| known.setting().counts_as(setting));
            if let Some(at) = same {
                metric = before.swap_remove(at).become_like(metric);
            }
            self.metrics.push(metric);
        }
        self.overruns += before.iter().map(Metric::overruns).sum::<u64>();
        self.measures = settings.iter().any(CustomSetting::measures);
        let adds_up = settings.iter().any(CustomSetting::adds_up);
        self.deltas = match self.deltas.take() {
            known @ Some(_) if adds_up => known,
            None if adds_up => Some(begin()),
            given_up => {
                self.untracked += given_up.map_or(0, |deltas| deltas.untracked());
                None
            }
        };
        Ok(())
    }

    fn see_flow(&mut self, flow: &Flow, now: Instant) {
        self.flows += 1;
        let measure = match self.measures {
            true => measure(flow),
            false => Measure::Nothing,
        };
        let added = match (&mut self.deltas, &measure) {
            (Some(deltas), Measure::Totals(totals)) => deltas.advance(flow, totals),
            _ => Added::default(),
        };
        let mut seen = Seen::new(flow, measure, added);
        for metric in &mut self.metrics {
            metric.see(&mut seen, &mut self.labels, now);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let deltas = self.deltas.as_ref();
        let overruns = self.metrics.iter().map(Metric::overruns);
        Counts {
            flows: self.flows,
            lapped: self.lapped,
            overruns: self.overruns + overruns.sum::<u64>(),
            tracked: deltas.map_or(0, Deltas::len),
            untracked: self.untracked + deltas.map_or(0, Deltas::untracked),
            metrics: self.metrics.iter().map(Metric::counts).collect(),
        }
    }

    /// Puts all metrics on the page.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.metrics
            .iter()
            .try_for_each(|metric| metric.encode(page))
    }
}

impl follow::Engine for Engine {
    type Settings = Vec<CustomSetting>;

    fn take_up(&mut self, settings: &Vec<CustomSetting>) {
        let now = Time::now().as_nanos();
        if let Err(error) = self.change(settings, || Deltas::since(now)) {
            tracing::warn!("custom metrics as before: {error}");
        }
    }

    fn is_idle(&self) -> bool {
        self.metrics.is_empty()
    }

    fn see(&mut self, event: &Event, now: Instant) {
        if let Event::Flow(flow) = event {
            self.see_flow(flow, now);
        }
    }

    fn miss(&mut self, events: u64) {
        self.lapped += events;
    }

    /// Those that are idle.
    fn forget(&mut self, now: Instant) -> Option<Instant> {
        let patience = self.metrics.iter().filter_map(Metric::patience).min()?;
        let every = (patience / 4).clamp(LOOK[0], LOOK[1]);
        let due = self.looked.map_or(now, |looked| looked + every);
        if due > now {
            return Some(due);
        }
        self.metrics
            .iter_mut()
            .for_each(|metric| metric.forget(now));
        self.looked = Some(now);
        Some(now + every)
    }
}
