//! Hubble's metrics of its dynamic configuration of exporters, under Hubble's names.

use std::{fmt, time::UNIX_EPOCH};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use sextant_flows::printable::printable;

use super::Page;
use crate::export::{Change, Exporters};

/// What tells of them.
#[derive(Debug)]
pub(super) struct OfDynamic(pub(super) Exporters);

impl Collector for OfDynamic {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(state) = self.0.dynamic().state() else {
            return Ok(());
        };
        let mut page = Page(encoder);
        let active = state.exporters.iter().filter(|(_, active)| *active).count();
        let inactive = state.exporters.len() - active;
        page.gauges(
            "dynamic_exporter_exporters_total",
            "Number of configured exporters",
            [("active", active), ("inactive", inactive)]
                .map(|(status, count)| ([("status", status)], count as f64)),
        )?;
        let names = state
            .exporters
            .iter()
            .map(|(name, active)| (printable(name), *active));
        let names: Vec<_> = names.collect();
        page.gauges(
            "dynamic_exporter_up",
            "Status of individual exporters",
            names
                .iter()
                .map(|(name, active)| ([("name", name.as_ref())], f64::from(u8::from(*active)))),
        )?;
        page.counters(
            "dynamic_exporter_reconfigurations",
            "Number of dynamic exporters reconfigurations",
            Change::ALL
                .iter()
                .zip(state.changes)
                .map(|(change, count)| ([("op", change.name())], count)),
        )?;
        page.gauge(
            "dynamic_exporter_config_hash",
            "Hash of last applied config",
            state.hash.into(),
        )?;
        let since = state.at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        page.gauge(
            "dynamic_exporter_config_last_applied",
            "Timestamp of last applied config",
            since.unwrap_or_default().as_secs_f64(),
        )
    }
}
