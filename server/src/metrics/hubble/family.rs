//! The series of one metric: counters or histograms by the values of their labels.
//!
//! Bound: a number of series and their bytes. What would be one more is counted in
//! one series whose labels all are `overflow`, and told once.

use std::{collections::HashMap, fmt, sync::atomic::Ordering::Relaxed, time::SystemTime};

use foldhash::fast::RandomState;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        exemplar::{CounterWithExemplar, HistogramWithExemplars},
        histogram::Histogram,
    },
};

use super::labels::{Labels, values};

/// Value of all labels of what found no room.
pub(super) const OVERFLOW: &str = "overflow";
/// Bytes of a series' labels that the bound counts with.
const SERIES_BYTES: usize = 1024;
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
    help: &'static str,
    labels: Vec<&'static str>,
    series: HashMap<Box<[u8]>, V, RandomState>,
    /// Of the keys.
    bytes: usize,
    most: usize,
    overflow: Option<V>,
    /// Flows that found no room for a series.
    pub(super) overflowed: u64,
}

impl<V: Value> Family<V> {
    /// One of at most so many series.
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        labels: Vec<&'static str>,
        most: usize,
    ) -> Self {
        Self {
            name,
            help,
            labels,
            series: HashMap::default(),
            bytes: 0,
            most,
            overflow: None,
            overflowed: 0,
        }
    }

    /// Counts in the series with these labels.
    pub(super) fn count(&mut self, labels: &Labels, add: impl FnOnce(&V)) {
        let key = labels.key();
        if let Some(series) = self.series.get(key) {
            return add(series);
        }
        let bytes = self.bytes + key.len();
        if self.series.len() >= self.most || bytes > self.most * SERIES_BYTES {
            return self.count_overflow(add);
        }
        self.bytes = bytes;
        let series = V::begin();
        add(&series);
        self.series.insert(key.into(), series);
    }

    fn count_overflow(&mut self, add: impl FnOnce(&V)) {
        if self.overflowed == 0 {
            tracing::warn!(
                metric = format!("hubble_{}", self.name),
                series = self.series.len(),
                "no room for more series; further ones are counted in one whose labels are `{OVERFLOW}`: \
                 choose labels with fewer values, or raise `hubble_series`"
            );
        }
        self.overflowed += 1;
        add(self.overflow.get_or_insert_with(V::begin));
    }

    /// How many series there are, without the one for what found no room.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Removes the series of which `is_gone` says so, by names and values of labels.
    pub(super) fn remove(&mut self, mut is_gone: impl FnMut(&[&'static str], &[&str]) -> bool) {
        let names = &self.labels;
        let mut bytes = 0;
        self.series.retain(|key, _| {
            let texts: Vec<&str> = values(key).collect();
            let stays = !is_gone(names, &texts);
            bytes += if stays { key.len() } else { 0 };
            stays
        });
        self.bytes = bytes;
    }

    /// Puts all series on the page; nothing if there are none, as Prometheus' clients do.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let first = self.series.values().chain(&self.overflow).next();
        let Some(first) = first else {
            return Ok(());
        };
        let mut family = page.encode_descriptor(self.name, self.help, None, first.metric_type())?;
        let mut labels = Vec::with_capacity(self.labels.len());
        for (key, series) in &self.series {
            labels.clear();
            labels.extend(self.labels.iter().copied().zip(values(key)));
            series.encode(family.encode_family(&labels.as_slice())?)?;
        }
        if let Some(series) = &self.overflow {
            let labels: Vec<_> = self.labels.iter().map(|name| (*name, OVERFLOW)).collect();
            series.encode(family.encode_family(&labels.as_slice())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[&str]) -> Labels {
        let mut labels = Labels::default();
        for value in values {
            labels.value(value);
        }
        labels
    }

    fn value(counter: Option<&Counter>) -> u64 {
        counter.map_or(0, |counter| counter.0.get().0)
    }

    #[test]
    fn what_finds_no_room_is_counted_in_one_series() {
        let mut family = Family::<Counter>::new("x", "X", vec!["a"], 2);
        for name in ["one", "two", "three", "one", "four", "three"] {
            family.count(&labels(&[name]), |counter| counter.add(""));
        }
        assert_eq!((family.len(), family.overflowed), (2, 3));
        assert_eq!(value(family.overflow.as_ref()), 3);
        assert_eq!(value(family.series.get(labels(&["one"]).key())), 2);
    }

    #[test]
    fn long_labels_find_no_room_either_and_removed_ones_give_it_back() {
        let mut family = Family::<Counter>::new("x", "X", vec!["a"], 2);
        let long = "l".repeat(2 * SERIES_BYTES - 1);
        family.count(&labels(&[&long]), |counter| counter.add(""));
        family.count(&labels(&["s"]), |counter| counter.add(""));
        assert_eq!((family.len(), family.overflowed), (1, 1));
        family.remove(|names, values| names == ["a"] && values == [long.as_str()]);
        assert_eq!((family.len(), family.bytes), (0, 0));
        family.count(&labels(&["s"]), |counter| counter.add(""));
        assert_eq!((family.len(), family.overflowed), (1, 1));
    }

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
