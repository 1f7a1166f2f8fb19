//! One metric of Hubble's: counters or histograms by the values of their labels.

use std::{fmt, sync::atomic::Ordering::Relaxed, time::SystemTime};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        exemplar::{CounterWithExemplar, HistogramWithExemplars},
        histogram::Histogram,
    },
};

use crate::metrics::{
    labels::Labels,
    series::{Described, Series},
};

/// The upper bounds that Prometheus' clients begin with, in seconds.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// OpenMetrics allows so many characters in the labels of an exemplar.
const EXEMPLAR: usize = 128;

/// Label of an exemplar, and its value.
type Trace = [(&'static str, String); 1];

/// What is counted in a series.
pub(super) trait Value: EncodeMetric {
    fn begin() -> Self;
}

/// Counts flows.
#[derive(Debug)]
pub(super) struct Counter(CounterWithExemplar<Trace>);

/// Seconds in buckets.
#[derive(Debug)]
pub(super) struct Durations(HistogramWithExemplars<Trace>);

impl Value for Counter {
    fn begin() -> Self {
        Self(CounterWithExemplar::default())
    }
}

impl Value for Durations {
    fn begin() -> Self {
        Self(HistogramWithExemplars::new(BUCKETS.into_iter()))
    }
}

impl Counter {
    /// One more. An exemplar stays until there is another one.
    pub(super) fn add(&self, trace: &str) {
        match exemplar(trace) {
            None => {
                self.0.inner().fetch_add(1, Relaxed);
            }
            trace => {
                self.0.inc_by(1, trace, Some(SystemTime::now()));
            }
        }
    }
}

impl Durations {
    /// One more of so many seconds.
    pub(super) fn add(&self, seconds: f64, trace: &str) {
        let trace = exemplar(trace);
        let time = trace.is_some().then(SystemTime::now);
        self.0.observe(seconds, trace, time);
    }
}

fn exemplar(trace: &str) -> Option<Trace> {
    let name = "traceID";
    let fits = !trace.is_empty() && name.len() + trace.chars().count() <= EXEMPLAR;
    fits.then(|| [(name, trace.to_owned())])
}

impl EncodeMetric for Counter {
    fn encode(&self, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> prometheus_client::metrics::MetricType {
        prometheus_client::metrics::MetricType::Counter
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> prometheus_client::metrics::MetricType {
        <Histogram as prometheus_client::metrics::TypedMetric>::TYPE
    }
}

/// One metric.
#[derive(Debug)]
pub(super) struct Family<V> {
    /// Without the prefix, and without `_total`.
    pub(super) name: &'static str,
    labels: Vec<&'static str>,
    series: Series<V>,
}

impl<V: Value> Family<V> {
    /// One of at most so many series.
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        labels: Vec<&'static str>,
        most: usize,
    ) -> Self {
        let series = Series::new(Described {
            name: name.into(),
            help: help.into(),
            labels: labels.iter().map(|label| (*label).into()).collect(),
            most,
            setting: "hubble_series",
        });
        Self {
            name,
            labels,
            series,
        }
    }

    /// Counts in the series with these labels.
    pub(super) fn count(&mut self, labels: &Labels, add: impl FnOnce(&V)) {
        self.series.add(labels, V::begin, |value| add(value));
    }

    /// How many series there are, without the one for what found no room.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Flows that found no room for a series.
    pub(super) fn overflowed(&self) -> u64 {
        self.series.overflowed()
    }

    /// Removes the series of which `is_gone` says so, by names and values of labels.
    pub(super) fn remove(&mut self, mut is_gone: impl FnMut(&[&'static str], &[&str]) -> bool) {
        let names = &self.labels;
        self.series.remove(|values, _| is_gone(names, values));
    }

    /// Puts all series on the page.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.series.encode(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemplar_stays_until_the_next_one() {
        let counter = Counter::begin();
        counter.add("abc");
        counter.add("");
        let (count, exemplar) = counter.0.get();
        assert_eq!((count, exemplar.is_some()), (2, true));
        drop(exemplar);
        // Longer than OpenMetrics has room for.
        assert!(super::exemplar(&"t".repeat(122)).is_none());
        assert!(super::exemplar(&"t".repeat(121)).is_some());
    }
}
