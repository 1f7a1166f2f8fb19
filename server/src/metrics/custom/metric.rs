//! One metric at work: which events count, and where.

use std::{
    fmt,
    time::{Duration, Instant},
};

use prometheus_client::encoding::DescriptorEncoder;
use sextant_flows::{
    filter::FilterError,
    summary::{Measure, Totals},
};

use super::{
    amount::{One, Step},
    deltas::Added,
    setting::{CustomKind, CustomSetting, Measured},
    turned::turned,
};
use crate::{
    flow::Flow,
    judge::Judge,
    metrics::{
        labels::Labels,
        series::{Described, Series},
    },
};

/// An event, and what was found out about it for all metrics.
pub(super) struct Seen<'a> {
    flow: &'a Flow,
    measure: Measure,
    added: Added,
    /// The flow from its other side, once somebody asked.
    turned: Option<Flow>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(flow: &'a Flow, measure: Measure, added: Added) -> Self {
        Self {
            flow,
            measure,
            added,
            turned: None,
        }
    }

    fn totals(&self) -> Option<&Totals> {
        match &self.measure {
            Measure::Totals(totals) => Some(totals),
            _ => None,
        }
    }

    /// The totals of a flow that ended with this.
    fn ended(&self) -> Option<&Totals> {
        self.totals().filter(|totals| totals.ended)
    }
}

/// The metric.
#[derive(Debug)]
pub(super) struct Metric {
    setting: CustomSetting,
    judge: Judge,
    series: Series<One>,
    /// Series that were removed since nothing was counted in them.
    removed: u64,
}

impl Metric {
    /// Begins with no series, or with its only one.
    ///
    /// # Errors
    ///
    /// A filter that cannot be compiled.
    pub(super) fn new(setting: CustomSetting, now: Instant) -> Result<Self, FilterError> {
        let mut series = Series::new(described(&setting));
        if setting.labels.is_empty() && setting.kind != CustomKind::Gauge {
            series.add(&Labels::default(), || One::begin(&setting, now), |_| {});
        }
        Ok(Self {
            judge: Judge::new(&setting.allow, &setting.deny)?,
            series,
            setting,
            removed: 0,
        })
    }

    pub(super) fn setting(&self) -> &CustomSetting {
        &self.setting
    }

    /// Goes on as another says, with its own series.
    pub(super) fn become_like(self, other: Self) -> Self {
        let mut series = self.series;
        series.describe(described(&other.setting));
        Self {
            judge: other.judge.instead_of(&self.judge),
            setting: other.setting,
            series,
            removed: self.removed,
        }
    }

    /// Counts the event, if it is one that it counts.
    pub(super) fn see(&mut self, seen: &mut Seen<'_>, labels: &mut Labels, now: Instant) {
        let (kind, measured) = (self.setting.kind, self.setting.measured);
        let is_counter = kind == CustomKind::Counter;
        let step = match measured {
            Measured::Packets if is_counter => {
                let added = seen.added.packets;
                return self.see_both(seen, added, labels, now);
            }
            Measured::Bytes if is_counter => {
                let added = seen.added.bytes;
                return self.see_both(seen, added, labels, now);
            }
            Measured::Flows => Some(Step::Count(1)),
            Measured::DroppedPackets => match seen.measure {
                Measure::Drops(packets) => Some(Step::Count(packets)),
                _ => None,
            },
            _ => {
                let totals = match kind {
                    CustomKind::Gauge => seen.totals(),
                    CustomKind::Counter | CustomKind::Histogram => seen.ended(),
                };
                totals
                    .and_then(|totals| value(measured, totals))
                    .map(Step::Value)
            }
        };
        if let Some(step) = step {
            self.count(seen.flow, step, labels, now);
        }
    }

    /// What went either way, each from its own source to its own destination.
    fn see_both(
        &mut self,
        seen: &mut Seen<'_>,
        added: [u64; 2],
        labels: &mut Labels,
        now: Instant,
    ) {
        let there = usize::from(seen.flow.is_reply == Some(true));
        if added[there] > 0 {
            self.count(seen.flow, Step::Count(added[there]), labels, now);
        }
        let back = added[1 - there];
        if back > 0 {
            let flow = seen.turned.get_or_insert_with(|| turned(seen.flow));
            self.count(flow, Step::Count(back), labels, now);
        }
    }

    fn count(&mut self, flow: &Flow, step: Step, labels: &mut Labels, now: Instant) {
        if !self.judge.passes(flow) {
            return;
        }
        labels.clear();
        for (_, field) in &self.setting.labels {
            field.put(flow, labels);
        }
        let begin = || One::begin(&self.setting, now);
        self.series.add(labels, begin, |one| one.add(step, now));
    }

    /// How long a series may be idle; none if there is none to remove.
    pub(super) fn patience(&self) -> Option<Duration> {
        let may_go = self.series.len() > 0 && !self.setting.labels.is_empty();
        may_go.then_some(self.setting.idle)
    }

    /// Removes the series that are idle for too long.
    pub(super) fn forget(&mut self, now: Instant) {
        let Some(patience) = self.patience() else {
            return;
        };
        let before = self.series.len();
        self.series
            .remove(|_, one| now.saturating_duration_since(one.used) >= patience);
        self.removed += (before - self.series.len()) as u64;
    }

    /// Puts it on the page.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.series.encode(page)
    }

    pub(super) fn counts(&self) -> MetricCounts {
        MetricCounts {
            name: self.setting.full_name(),
            series: self.series.len(),
            most: self.series.described().most,
            overflowed: self.series.overflowed(),
            removed: self.removed,
        }
    }

    pub(super) fn overruns(&self) -> u64 {
        self.judge.overruns()
    }
}

/// The series of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricCounts {
    /// As queries have it.
    pub(crate) name: String,
    /// Series that it has.
    pub(crate) series: usize,
    /// Series that it may have.
    pub(crate) most: usize,
    /// What found no room for a series of its own.
    pub(crate) overflowed: u64,
    /// Series that were removed since they were idle.
    pub(crate) removed: u64,
}

fn described(setting: &CustomSetting) -> Described {
    let names = setting.labels.iter();
    Described {
        name: setting.name.clone().into(),
        help: setting.help.clone().into(),
        labels: names.map(|(name, _)| name.clone().into()).collect(),
        most: setting.max_series,
        setting: "max_series",
    }
}

/// A flow by its totals, if they tell that.
fn value(measured: Measured, totals: &Totals) -> Option<f64> {
    let micros = |us: Option<u32>| us.map(|us| f64::from(us) / 1e6);
    match measured {
        Measured::Packets => Some(totals.all_packets() as f64),
        Measured::Bytes => Some(totals.all_bytes() as f64),
        Measured::Duration => totals.duration_ns.map(|ns| ns as f64 / 1e9),
        Measured::Handshake => micros(totals.handshake_us),
        Measured::RoundTrip => micros(totals.round_trip_us),
        Measured::Flows | Measured::DroppedPackets => None,
    }
}
