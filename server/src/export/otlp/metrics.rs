//! A page of metrics (OpenMetrics text) as OpenTelemetry has them.
//!
//! As its specification says of Prometheus' metrics: counters are monotonic cumulative
//! sums without `_total`, which a Prometheus behind the collector puts back; gauges stay;
//! histograms are cumulative, with bounds. So both ways tell of the same instruments.
//! Not a reader of pages of others: what this daemon does not write is passed over.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, Sum, exemplar, metric::Data, number_data_point,
    },
};

use crate::traceparent;

/// Points of a metric that are said together: more would not fit into a request.
const MAX_POINTS: usize = 1000;

/// Of which kind a family is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A sample of a page.
struct Sample<'t> {
    name: &'t str,
    labels: Vec<(&'t str, String)>,
    value: f64,
    /// Said without a fraction: what a series is does not change with its value.
    is_whole: bool,
    exemplar: Option<Exemplar>,
}

/// A family in the making.
struct Family<'t> {
    name: &'t str,
    help: String,
    unit: &'t str,
    kind: Kind,
    points: Vec<NumberDataPoint>,
    /// By their labels.
    histograms: BTreeMap<Vec<(String, String)>, HistogramDataPoint>,
}

/// The metrics of a page that was made at this time, in nanoseconds since 1970. When its
/// points began is not in it.
pub(super) fn of_page(page: &str, now: u64) -> Vec<Metric> {
    let (mut metrics, mut family): (Vec<Metric>, Option<Family<'_>>) = (Vec::new(), None);
    let mut help = ("", String::new());
    for line in page.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let mut words = about.splitn(3, ' ');
            let (what, name) = (words.next(), words.next().unwrap_or_default());
            let rest = words.next().unwrap_or_default();
            match what {
                Some("HELP") => help = (name, unescaped(rest)),
                Some("UNIT") => {
                    if let Some(family) = family.as_mut().filter(|family| family.name == name) {
                        family.unit = rest;
                    }
                }
                Some("TYPE") => {
                    metrics.extend(family.take().into_iter().flat_map(Family::finish));
                    family = Family::new(name, rest);
                }
                _ => {}
            }
            // The help comes before the type or after it.
            if let Some(family) = family.as_mut().filter(|family| family.name == help.0) {
                family.help.clone_from(&help.1);
            }
        } else if let (Some(family), Some(sample)) = (&mut family, sample(line)) {
            family.add(&sample, now);
        }
    }
    metrics.extend(family.into_iter().flat_map(Family::finish));
    metrics
}

/// Points of a metric.
pub(super) fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    };
    points as u64
}

impl<'t> Family<'t> {
    fn new(name: &'t str, kind: &str) -> Option<Self> {
        let kind = match kind {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            _ => return None,
        };
        Some(Self {
            name,
            help: String::new(),
            unit: "",
            kind,
            points: Vec::new(),
            histograms: BTreeMap::new(),
        })
    }

    fn add(&mut self, sample: &Sample<'_>, now: u64) {
        let Some(suffix) = sample.name.strip_prefix(self.name) else {
            return;
        };
        match (self.kind, suffix) {
            (Kind::Counter, "_total") | (Kind::Gauge, "") => {
                self.points.push(NumberDataPoint {
                    attributes: attributes(&sample.labels),
                    time_unix_nano: now,
                    value: Some(number(sample)),
                    exemplars: sample.exemplar.iter().cloned().collect(),
                    ..NumberDataPoint::default()
                });
            }
            (Kind::Histogram, part) => self.add_to_histogram(part, sample, now),
            _ => {}
        }
    }

    fn add_to_histogram(&mut self, part: &str, sample: &Sample<'_>, now: u64) {
        let others = sample.labels.iter().filter(|(key, _)| *key != "le");
        let key: Vec<_> = others
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        let point = self.histograms.entry(key).or_insert_with_key(|key| {
            let labels: Vec<_> = key
                .iter()
                .map(|(key, value)| (key.as_str(), value.clone()))
                .collect();
            HistogramDataPoint {
                attributes: attributes(&labels),
                time_unix_nano: now,
                ..HistogramDataPoint::default()
            }
        });
        let count = sample.value as u64;
        match part {
            "_sum" => point.sum = Some(sample.value),
            "_count" => point.count = count,
            "_bucket" => {
                let bound = sample.labels.iter().find(|(key, _)| *key == "le");
                let bound = bound.and_then(|(_, bound)| bound.parse::<f64>().ok());
                // A bucket of the page has those below it too.
                let before: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push(count.saturating_sub(before));
                point.exemplars.extend(sample.exemplar.clone());
                point
                    .explicit_bounds
                    .extend(bound.filter(|bound| bound.is_finite()));
            }
            _ => {}
        }
    }

    /// The metric, in parts of `MAX_POINTS`.
    fn finish(self) -> Vec<Metric> {
        let cumulative = AggregationTemporality::Cumulative.into();
        let histograms: Vec<_> = self.histograms.into_values().collect();
        let numbers = self.points.chunks(MAX_POINTS).map(|points| {
            let data_points = points.to_vec();
            match self.kind {
                Kind::Counter => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: cumulative,
                    is_monotonic: true,
                }),
                _ => Data::Gauge(Gauge { data_points }),
            }
        });
        let histograms = histograms.chunks(MAX_POINTS).map(|points| {
            Data::Histogram(Histogram {
                data_points: points.to_vec(),
                aggregation_temporality: cumulative,
            })
        });
        let metric = |data| Metric {
            name: self.name.to_owned(),
            description: self.help.clone(),
            unit: unit(self.unit).to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        numbers.chain(histograms).map(metric).collect()
    }
}

/// In the letters of UCUM, as the conventions want it.
fn unit(unit: &str) -> &str {
    match unit {
        "seconds" => "s",
        "bytes" => "By",
        other => other,
    }
}

fn number(sample: &Sample<'_>) -> number_data_point::Value {
    match sample.is_whole {
        true => number_data_point::Value::AsInt(sample.value as i64),
        false => number_data_point::Value::AsDouble(sample.value),
    }
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    let attribute = |(key, value): &(&str, String)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.clone())),
        }),
        ..KeyValue::default()
    };
    labels.iter().map(attribute).collect()
}

/// `name{key="value",...} number`, and what may follow: a time, ` # ` and an exemplar.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = labels(rest)?;
    let mut words = rest.trim_start().splitn(2, ' ');
    let value = words.next()?;
    let exemplar = words.next().and_then(|rest| rest.split_once("# "));
    Some(Sample {
        name,
        labels,
        value: value.parse().ok()?,
        is_whole: value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-'),
        exemplar: exemplar.and_then(|(_, exemplar)| exemplar_of(exemplar)),
    })
}

/// What is in braces, if it is, and what is behind.
fn labels(text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return Some((labels, text));
    };
    while !rest.starts_with('}') {
        let (key, after) = rest.split_once("=\"")?;
        let end = end_of_text(after)?;
        labels.push((key, unescaped(&after[..end])));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some((labels, &rest[1..]))
}

/// `{trace_id="..."} value time`; Hubble's label is `traceID`. One that names no trace of
/// OpenTelemetry has its labels.
fn exemplar_of(text: &str) -> Option<Exemplar> {
    let (labels, rest) = labels(text)?;
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    let seconds: f64 = words.next().and_then(|time| time.parse().ok())?;
    let is_trace = |key: &str| matches!(key, "trace_id" | "traceID");
    let trace = labels.iter().find(|(key, _)| is_trace(key));
    let trace = trace.and_then(|(_, trace)| traceparent::hex::<16>(trace));
    Some(Exemplar {
        time_unix_nano: (seconds * 1e9) as u64,
        filtered_attributes: match trace {
            Some(_) => Vec::new(),
            None => attributes(&labels),
        },
        trace_id: trace.map(Vec::from).unwrap_or_default(),
        value: Some(exemplar::Value::AsDouble(value)),
        ..Exemplar::default()
    })
}

/// Where a text in quotes ends.
fn end_of_text(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| match byte {
        _ if std::mem::take(&mut is_escaped) => false,
        b'\\' => {
            is_escaped = true;
            false
        }
        byte => byte == b'"',
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(
        "# HELP flows Flow \\\\ events.\n# TYPE flows counter\nflows_total{verdict=\"DROPPED\",name=\"a\\\"}b,\\\\\"} 3\nflows_total 4.5\n",
        "# HELP age_seconds Age.\n# TYPE age_seconds gauge\n# UNIT age_seconds seconds\nage_seconds -1.5\n",
        "# HELP took Time.\n# TYPE took histogram\ntook_sum{a=\"x\"} 2.5\ntook_count{a=\"x\"} 4\n",
        "took_bucket{le=\"0.1\",a=\"x\"} 1\ntook_bucket{le=\"1.0\",a=\"x\"} 3 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.5 1700000000.5\ntook_bucket{le=\"+Inf\",a=\"x\"} 4\n",
        "# TYPE none counter\n# EOF\n",
    );

    #[test]
    fn many_series_are_said_in_parts() {
        let lines = (0..2500).map(|number| format!("many{{a=\"{number}\"}} {number}.0\n"));
        let page = format!("# TYPE many gauge\n{}# EOF\n", lines.collect::<String>());
        let metrics = of_page(&page, 2);
        let points = metrics.iter().map(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(points.collect::<Vec<_>>(), [1000, 1000, 500]);
        let Some(Data::Gauge(gauge)) = &metrics[0].data else {
            panic!("it stays a gauge");
        };
        let zero = &gauge.data_points[0].value;
        assert_eq!(*zero, Some(number_data_point::Value::AsDouble(0.0)));
    }

    #[test]
    fn a_page_has_the_same_instruments_in_both_forms() {
        let metrics = of_page(PAGE, 2);
        let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["flows", "age_seconds", "took"]);
        assert_eq!(metrics[0].description, "Flow \\ events.");
        let Some(Data::Sum(sum)) = &metrics[0].data else {
            panic!("a counter is a sum");
        };
        assert!(sum.is_monotonic && sum.data_points.len() == 2);
        let first = &sum.data_points[0];
        assert_eq!(first.time_unix_nano, 2);
        assert_eq!(first.value, Some(number_data_point::Value::AsInt(3)));
        assert_eq!(
            first.attributes,
            attributes(&[("verdict", "DROPPED".into()), ("name", "a\"}b,\\".into())])
        );
        assert_eq!(
            sum.data_points[1].value,
            Some(number_data_point::Value::AsDouble(4.5))
        );
        assert_eq!(metrics[1].unit, "s");
        let Some(Data::Histogram(histogram)) = &metrics[2].data else {
            panic!("it stays a histogram");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(2.5)));
        assert_eq!(point.bucket_counts, [1, 2, 1]);
        assert_eq!(point.explicit_bounds, [0.1, 1.0]);
        assert_eq!(point.attributes, attributes(&[("a", "x".into())]));
        let [told] = &point.exemplars[..] else {
            panic!("the one of the page: {point:?}");
        };
        assert_eq!(told.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!(told.time_unix_nano, 1_700_000_000_500_000_000);
        assert_eq!(told.value, Some(exemplar::Value::AsDouble(0.5)));
    }
}
