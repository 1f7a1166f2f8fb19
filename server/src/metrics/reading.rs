//! Flows as they are stored, and how the reader of Hubble's metrics does.

use std::{fmt, time::Instant};

use prometheus_client::{encoding::EncodeMetric as _, metrics::gauge::ConstGauge};

use super::{
    Page,
    hubble::Counts,
    rates::{Rates, Totals},
};
use crate::{datapath::Volumes, ledger::Ledger, store::Ring};

impl Page<'_> {
    /// How full the kernel's tables are.
    pub(super) fn tables(&mut self, volumes: &Volumes) -> fmt::Result {
        let mut family = self.family(
            "table_entries",
            "Entries of the kernel's tables",
            ConstGauge::new(0_i64).metric_type(),
        )?;
        for (table, entries) in ["ipv4", "ipv6", "drops"].into_iter().zip(volumes.entries()) {
            let entries = ConstGauge::new(entries as i64);
            entries.encode(family.encode_family(&[("table", table)])?)?;
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
