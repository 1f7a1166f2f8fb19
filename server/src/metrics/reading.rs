//! How the reader of Hubble's metrics does.

use std::fmt;

use prometheus_client::{encoding::EncodeMetric as _, metrics::gauge::ConstGauge};

use super::{Page, hubble::Counts};

impl Page<'_> {
    pub(super) fn hubble(&mut self, counts: &Counts) -> fmt::Result {
        self.counter(
            "hubble_metrics_flows",
            "Flows that Hubble's metrics looked at",
            counts.flows,
        )?;
        self.counter(
            "hubble_metrics_lapped_events",
            "Events that were overwritten before Hubble's metrics looked at them",
            counts.lapped,
        )?;
        self.counter(
            "hubble_metrics_filter_overruns",
            "Flows that took a filter of Hubble's metrics too long, and were left out",
            counts.overruns,
        )?;
        let names = || counts.families.iter().map(|family| family.name);
        let overflowed = counts.families.iter().map(|family| family.overflowed);
        self.counters(
            "hubble_metrics_overflowed_flows",
            "Flows that found no room for a series of their own, by metric",
            names()
                .zip(overflowed)
                .map(|(name, flows)| ([("metric", name)], flows)),
        )?;
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut family =
            self.family("hubble_metrics_series", "Series of Hubble's metrics", kind)?;
        for one in &counts.families {
            let labels = [("metric", one.name)];
            ConstGauge::new(one.series as i64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
