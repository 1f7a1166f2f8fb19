//! When series began. One that went away and came back, or that is less than it was, began
//! anew: else a sum would fall within what is said to be one ("Resets and Gaps" of
//! OpenTelemetry's metrics data model).
//!
//! Bound: some 40 bytes for each series of a page.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
};

/// A series, by its name and labels.
type Series = u64;

/// Of the series of the page before.
#[derive(Debug)]
pub(in crate::export) struct Starts {
    /// When those of the first page began; nanoseconds since 1970.
    first: u64,
    /// When the page before was made, if there was one.
    before: Option<u64>,
    known: HashMap<Series, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    start: u64,
    total: f64,
}

impl Starts {
    /// Before the first page, whose series began then.
    pub(in crate::export) fn new(first: u64) -> Self {
        Self {
            first,
            before: None,
            known: HashMap::new(),
        }
    }

    /// Sets when the points of a page that is made now began.
    pub(super) fn set(&mut self, metrics: &mut [Metric], now: u64) {
        if metrics.is_empty() {
            return;
        }
        let new = self.before.unwrap_or(self.first);
        let mut known = HashMap::with_capacity(self.known.len());
        let mut begin = |name: &str, attributes: &[KeyValue], total: f64, start: &mut u64| {
            let series = series(name, attributes);
            let is_same = |before: &&Known| before.total <= total;
            let before = self.known.get(&series).filter(is_same);
            *start = before.map_or(new, |before| before.start);
            let start = *start;
            known.insert(series, Known { start, total });
        };
        for metric in metrics {
            let name = &metric.name;
            match &mut metric.data {
                Some(Data::Sum(sum)) => sum.data_points.iter_mut().for_each(|point| {
                    let total = total(point.value);
                    let start = &mut point.start_time_unix_nano;
                    begin(name, &point.attributes, total, start);
                }),
                Some(Data::Histogram(histogram)) => {
                    histogram.data_points.iter_mut().for_each(|point| {
                        let start = &mut point.start_time_unix_nano;
                        begin(name, &point.attributes, point.count as f64, start);
                    });
                }
                _ => {}
            }
        }
        self.known = known;
        self.before = Some(now);
    }
}

fn series(name: &str, attributes: &[KeyValue]) -> Series {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    for attribute in attributes {
        attribute.key.hash(&mut hasher);
        let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        if let Some(Value::StringValue(text)) = value {
            text.hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn total(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsInt(total)) => total as f64,
        Some(number_data_point::Value::AsDouble(total)) => total,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::metrics::of_page, *};

    /// When each point of a page that is made now began, by its value.
    fn starts(starts: &mut Starts, samples: &[(&str, u64)], now: u64) -> Vec<u64> {
        let lines = samples
            .iter()
            .map(|(name, value)| format!("a_total{{b=\"{name}\"}} {value}\n"));
        let page = format!(
            "# TYPE a counter\n{}# TYPE t histogram\nt_sum 1\nt_count {now}\nt_bucket{{le=\"+Inf\"}} {now}\n",
            lines.collect::<String>()
        );
        let mut metrics = of_page(&page, now);
        starts.set(&mut metrics, now);
        let of = |metric: &Metric| match &metric.data {
            Some(Data::Sum(sum)) => sum
                .data_points
                .iter()
                .map(|point| point.start_time_unix_nano)
                .collect(),
            Some(Data::Histogram(histogram)) => {
                vec![histogram.data_points[0].start_time_unix_nano]
            }
            other => panic!("{other:?}"),
        };
        metrics.iter().flat_map(of).collect::<Vec<u64>>()
    }

    #[test]
    fn a_series_that_comes_back_or_falls_begins_after_the_page_before() {
        let mut of = Starts::new(1);
        assert_eq!(starts(&mut of, &[("x", 5), ("y", 7)], 10), [1, 1, 1]);
        // One more, and all as before.
        let all = [("x", 5), ("y", 9), ("z", 1)];
        assert_eq!(starts(&mut of, &all, 20), [1, 1, 10, 1]);
        // Less than it was.
        let all = [("x", 6), ("y", 2), ("z", 1)];
        assert_eq!(starts(&mut of, &all, 30), [1, 20, 10, 1]);
        // Away, and back.
        assert_eq!(starts(&mut of, &[("y", 2)], 40), [20, 1]);
        let all = [("x", 60), ("y", 2), ("z", 1)];
        assert_eq!(starts(&mut of, &all, 50), [40, 20, 40, 1]);
    }

    #[test]
    fn an_empty_page_is_none() {
        let mut of = Starts::new(1);
        of.set(&mut [], 10);
        assert_eq!(starts(&mut of, &[("x", 5)], 20), [1, 1]);
    }
}
