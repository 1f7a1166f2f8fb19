//! Flows as they are stored, and how the readers of Hubble's and of custom metrics do.

use std::{fmt, time::Instant};

use prometheus_client::{
    encoding::EncodeMetric as _,
    metrics::{MetricType, gauge::ConstGauge},
};

use super::{
    Page, custom,
    hubble::Counts,
    rates::{Rates, Totals},
};
use crate::{
    datapath::Volumes,
    ledger::{Ledger, Sources},
    store::Ring,
};

impl Page<'_> {
    /// How full the kernel's tables are.
    pub(super) fn tables(&mut self, volumes: &Volumes) -> fmt::Result {
        let tables = ["ipv4", "ipv6", "drops"].into_iter();
        self.counts(
            "table_entries",
            "Entries of the kernel's tables",
            tables
                .zip(volumes.entries())
                .map(|(table, entries)| ([("table", table)], entries)),
        )
    }

    /// Gauges of whole numbers of one family, each with its label.
    fn counts<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); 1], u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Flows by what became of them, and rates of the last minute.
    pub(super) fn flows(&mut self, ring: &Ring, ledger: &Ledger, rates: &Rates) -> fmt::Result {
        let (verdicts, seen) = (ring.verdicts(), ledger.packets.seen);
        let totals = Totals {
            flows: ring.seen_flows(),
            dropped: verdicts.dropped,
            packets: seen.packets,
            bytes: seen.bytes,
        };
        for (name, help, value) in [
            (
                "flows_processed",
                "Flow events stored since the start",
                totals.flows,
            ),
            (
                "flows_forwarded",
                "Of these, forwarded or redirected",
                verdicts.forwarded,
            ),
            ("flows_dropped", "Of these, dropped", verdicts.dropped),
            ("flows_error", "Of these, in error", verdicts.error),
            (
                "packets_processed",
                "Packets that the programs saw, each once",
                seen.packets,
            ),
            ("bytes_processed", "Bytes of these packets", seen.bytes),
        ] {
            self.counter(name, help, value)?;
        }
        let rates = rates.per_second(Instant::now(), totals);
        for (name, help, value) in [
            (
                "flows_per_second",
                "Flow events stored in a second, over the last minute",
                rates.flows,
            ),
            (
                "packets_per_second",
                "Packets in a second, over the last minute",
                rates.packets,
            ),
            (
                "bytes_per_second",
                "Bytes of packets in a second, over the last minute",
                rates.bytes,
            ),
            (
                "drop_rate",
                "Share of the last minute's flow events that were dropped, 0 to 1",
                rates.drop_rate,
            ),
        ] {
            self.gauge(name, help, value)?;
        }
        Ok(())
    }

    /// What other sensors handed in, and how long flows lasted.
    pub(super) fn recorded(&mut self, sources: &Sources) -> fmt::Result {
        let fates = [
            ("stored", sources.recorded.recorded()),
            ("refused", sources.recorded.refused()),
        ];
        self.counters(
            "recordings",
            "Flows that other sensors handed in, by what became of them",
            fates.map(|(fate, flows)| ([("fate", fate)], flows)),
        )?;
        if sources.datapath.is_none() {
            return Ok(());
        }
        let durations = sources.stored.durations();
        let help = "From the first packet to the last, of flows that ended";
        durations.encode(self.family("flow_duration_seconds", help, durations.metric_type())?)
    }

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
        let series = counts.families.iter();
        let series = series.map(|one| ([("metric", one.name)], one.series as u64));
        self.counts(
            "hubble_metrics_series",
            "Series of Hubble's metrics",
            series,
        )
    }

    /// How the reader of custom metrics does; nothing if there are none.
    pub(super) fn custom(&mut self, counts: &custom::Counts) -> fmt::Result {
        if counts.metrics.is_empty() {
            return Ok(());
        }
        for (name, help, value) in [
            (
                "custom_metrics_flows",
                "Flow events that custom metrics looked at",
                counts.flows,
            ),
            (
                "custom_metrics_lapped_events",
                "Events that were overwritten before custom metrics looked at them",
                counts.lapped,
            ),
            (
                "custom_metrics_filter_overruns",
                "Flows that took a filter of custom metrics too long, and were left out",
                counts.overruns,
            ),
            (
                "custom_metrics_untracked_events",
                "Events of flows that found no room to be followed; their packets and bytes count when they end",
                counts.untracked,
            ),
        ] {
            self.counter(name, help, value)?;
        }
        self.count(
            "custom_metrics_tracked_flows",
            "Flows that are followed, so that packets and bytes are added up once",
            counts.tracked,
        )?;
        let each = |of: fn(&custom::MetricCounts) -> u64| {
            let metrics = counts.metrics.iter();
            metrics.map(move |one| ([("metric", one.name.as_str())], of(one)))
        };
        self.counters(
            "custom_metric_overflowed",
            "What found no room for a series of its own, by custom metric",
            each(|one| one.overflowed),
        )?;
        self.counters(
            "custom_metric_removed_series",
            "Series that were removed since nothing was counted in them, by custom metric",
            each(|one| one.removed),
        )?;
        self.counts(
            "custom_metric_series",
            "Series of a custom metric",
            each(|one| one.series as u64),
        )?;
        self.counts(
            "custom_metric_series_limit",
            "Series that a custom metric may have",
            each(|one| one.most as u64),
        )
    }
}
