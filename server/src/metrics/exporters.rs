//! What became of what exporters read, as metrics.

use std::{
    borrow::Cow,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use sextant_flows::printable::printable;

use super::Page;
use crate::export::{Damage, Dropped, State};

type Counter = (&'static str, &'static str, fn(&State) -> u64);
type Gauge = (&'static str, &'static str, fn(&State) -> f64);

const COUNTERS: [Counter; 6] = [
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
        "exporter_grouped",
        "Flows that an exporter counted in groups, each of which is an event that it wrote",
        |state| state.grouped,
    ),
    (
        "exporter_early_groups",
        "Times that an exporter wrote its groups before their interval, since there were too many",
        |state| state.overflows,
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
        "Stored events that an exporter has not read or not written yet",
        |state| state.lag as f64,
    ),
    (
        "exporter_up",
        "1 unless an exporter cannot write",
        |state| f64::from(u8::from(state.is_up)),
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

impl Page<'_> {
    pub(super) fn exporters(&mut self, states: &[State]) -> fmt::Result {
        let names: Vec<_> = states.iter().map(|one| printable(&one.name)).collect();
        let each = || {
            let labelled = states.iter().zip(&names);
            labelled
                .map(|(state, name)| (state, [("exporter", name.as_ref()), ("kind", state.kind)]))
        };
        for (name, help, value) in COUNTERS {
            self.counters(
                name,
                help,
                each().map(|(state, labels)| (labels, value(state))),
            )?;
        }
        self.counters(
            "exporter_dropped",
            "Events that an exporter should have written and did not, by cause",
            each().flat_map(|(state, [exporter, kind])| {
                let causes = Dropped::ALL.iter().zip(state.dropped);
                causes
                    .map(move |(cause, events)| ([exporter, kind, ("cause", cause.name())], events))
            }),
        )?;
        self.spools(states, &names)?;
        for (name, help, value) in GAUGES {
            self.gauges(
                name,
                help,
                each().map(|(state, labels)| (labels, value(state))),
            )?;
        }
        Ok(())
    }

    /// Of those that have one.
    fn spools(&mut self, states: &[State], names: &[Cow<'_, str>]) -> fmt::Result {
        let each = || {
            let labelled = states.iter().zip(names);
            labelled.filter_map(|(state, name)| {
                let labels = [("exporter", name.as_ref()), ("kind", state.kind)];
                Some((state.spool.as_ref()?, labels))
            })
        };
        self.gauges(
            "exporter_spool_bytes",
            "Bytes of the files of an exporter's spool",
            each().map(|(spool, labels)| (labels, spool.bytes as f64)),
        )?;
        self.counters(
            "exporter_spool_errors",
            "What went wrong with an exporter's spool, by cause",
            each().flat_map(|(spool, [exporter, kind])| {
                let causes = Damage::ALL.iter().zip(spool.damaged);
                causes.map(move |(cause, count)| ([exporter, kind, ("cause", cause.name())], count))
            }),
        )
    }
}
