//! What is counted in one series.

use std::{fmt, time::Instant};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{
        MetricType, TypedMetric as _, counter::ConstCounter, gauge::ConstGauge,
        histogram::Histogram,
    },
};

use super::setting::{CustomKind, CustomSetting, Measured};

/// What an event brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// So many more.
    Count(u64),
    /// So many seconds more, or what there is by now, or one more of this size.
    Value(f64),
}

/// What came of all of them.
#[derive(Debug)]
enum Amount {
    Count(u64),
    Seconds(f64),
    Last(f64),
    Spread(Histogram),
}

/// A series.
#[derive(Debug)]
pub(super) struct One {
    amount: Amount,
    /// When something was counted in it.
    pub(super) used: Instant,
}

impl One {
    /// With nothing counted yet.
    pub(super) fn begin(setting: &CustomSetting, now: Instant) -> Self {
        let amount = match (setting.kind, setting.measured) {
            (CustomKind::Counter, Measured::Duration) => Amount::Seconds(0.0),
            (CustomKind::Counter, _) => Amount::Count(0),
            (CustomKind::Gauge, _) => Amount::Last(0.0),
            (CustomKind::Histogram, _) => {
                Amount::Spread(Histogram::new(setting.buckets.iter().copied()))
            }
        };
        Self { amount, used: now }
    }

    pub(super) fn add(&mut self, step: Step, now: Instant) {
        self.used = now;
        match (&mut self.amount, step) {
            (Amount::Count(sum), Step::Count(more)) => *sum = sum.saturating_add(more),
            (Amount::Seconds(sum), Step::Value(more)) => *sum += more,
            (Amount::Last(last), Step::Value(value)) => *last = value,
            (Amount::Spread(spread), Step::Value(value)) => spread.observe(value),
            // A step is made for the setting that the series was made for.
            _ => debug_assert!(false, "{step:?}"),
        }
    }
}

impl EncodeMetric for One {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        match &self.amount {
            Amount::Count(sum) => ConstCounter::new(*sum).encode(encoder),
            Amount::Seconds(sum) => ConstCounter::new(*sum).encode(encoder),
            Amount::Last(last) => ConstGauge::new(*last).encode(encoder),
            Amount::Spread(spread) => spread.encode(encoder),
        }
    }

    fn metric_type(&self) -> MetricType {
        match &self.amount {
            Amount::Count(_) | Amount::Seconds(_) => MetricType::Counter,
            Amount::Last(_) => MetricType::Gauge,
            Amount::Spread(_) => Histogram::TYPE,
        }
    }
}
