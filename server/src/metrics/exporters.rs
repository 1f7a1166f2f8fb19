//! What became of what exporters read, as metrics.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use sextant_flows::printable::printable;

use crate::export::{Dropped, Exporters, State};

/// Exporters as they are when they are asked for.
pub(super) struct OfExporters(pub(super) Exporters);

impl fmt::Debug for OfExporters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfExporters").finish_non_exhaustive()
    }
}

type Counter = (&'static str, &'static str, fn(&State) -> u64);
type Gauge = (&'static str, &'static str, fn(&State) -> f64);

const COUNTERS: [Counter; 4] = [
    ("exporter_sent", "Events that an exporter wrote", |state| {
        state.sent
    }),
    (
        "exporter_sent_bytes",
        "Bytes of the lines of these",
        |state| state.sent_bytes,
    ),
    (
        "exporter_filtered",
        "Events that an exporter left out for its lists",
        |state| state.filtered,
    ),
    (
        "exporter_retries",
        "Writes of an exporter that failed and were tried again",
        |state| state.retries,
    ),
];

const GAUGES: [Gauge; 3] = [
    (
        "exporter_lag_events",
        "Stored events that an exporter has not read yet",
        |state| state.lag as f64,
    ),
    (
        "exporter_up",
        "1 unless an exporter cannot write, or its end has passed",
        |state| f64::from(u8::from(state.is_up && !state.is_over)),
    ),
    (
        "exporter_last_error_timestamp_seconds",
        "When an exporter last failed; 0 is never",
        |state| {
            state
                .last_error
                .as_ref()
                .map_or(0.0, |(time, _)| seconds(*time))
        },
    ),
];

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

impl Collector for OfExporters {
    fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
        let states = self.0.states();
        let names: Vec<_> = states.iter().map(|one| printable(&one.name)).collect();
        let labels = |place: usize| {
            [
                ("exporter", names[place].as_ref()),
                ("kind", states[place].kind),
            ]
        };
        let kind = ConstCounter::new(0_u64).metric_type();
        for (name, help, value) in COUNTERS {
            let mut family = page.encode_descriptor(name, help, None, kind)?;
            for (place, state) in states.iter().enumerate() {
                let counter = ConstCounter::new(value(state));
                counter.encode(family.encode_family(&labels(place))?)?;
            }
        }
        let help = "Events that an exporter should have written and did not, by cause";
        let mut family = page.encode_descriptor("exporter_dropped", help, None, kind)?;
        for (place, state) in states.iter().enumerate() {
            let [exporter, kind] = labels(place);
            for (cause, events) in Dropped::ALL.iter().zip(state.dropped) {
                let labels = [exporter, kind, ("cause", cause.name())];
                ConstCounter::new(events).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in GAUGES {
            let mut family = page.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (place, state) in states.iter().enumerate() {
                let gauge = ConstGauge::new(value(state));
                gauge.encode(family.encode_family(&labels(place))?)?;
            }
        }
        Ok(())
    }
}
