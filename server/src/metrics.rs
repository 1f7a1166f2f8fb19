//! The Prometheus endpoint: what was seen, what was lost, by cause.
//!
//! Values are read when they are asked for; nothing is counted twice. Served
//! at `/metrics` in OpenMetrics text.

mod connections;
pub mod custom;
mod dynamic;
mod exporters;
mod follow;
pub mod hubble;
mod labels;
mod names;
mod plain;
mod policies;
mod rates;
mod reading;
mod series;
mod served;
mod who;

pub use custom::{CustomError, CustomMetrics};
pub use hubble::{FileError, HubbleError, HubbleMetrics};
pub use rates::Rates;
pub use served::router;

use std::{fmt, sync::Arc, time::Duration};

use policies::OfPolicies;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use sextant_flows::printable::printable;

use crate::{
    audit::Log,
    datapath::{Counters, InterfaceCount},
    export::Exporters,
    identity::NumberCounts,
    ledger::{Events, Ledger, Sources},
    overhead::Overhead,
    policy::policies::Policies,
    service::Limits,
};

/// What metrics are made of.
#[derive(Clone)]
pub struct Metrics {
    sources: Sources,
    overhead: Overhead,
    identities: NumberCounts,
    limits: Limits,
    audit: Log,
    hubble: Option<HubbleMetrics>,
    custom: Option<CustomMetrics>,
    rates: Rates,
    policies: Option<Policies>,
    exporters: Option<Exporters>,
}

impl Metrics {
    /// Metrics of the ledger, of its sources, of the daemon's own cost, of identities,
    /// of what calls take, of the audit log, and Hubble's of flows.
    #[must_use]
    pub fn new(
        sources: Sources,
        overhead: Overhead,
        identities: NumberCounts,
        limits: Limits,
        audit: Log,
        hubble: Option<HubbleMetrics>,
    ) -> Self {
        Self {
            audit,
            hubble,
            custom: None,
            rates: Rates::default(),
            policies: None,
            exporters: None,
            sources,
            overhead,
            identities,
            limits,
        }
    }

    /// The same with those of the set of policies.
    #[must_use]
    pub fn with_policies(self, policies: Policies) -> Self {
        Self {
            policies: Some(policies),
            ..self
        }
    }

    /// The same with those of exporters.
    #[must_use]
    pub fn with_exporters(self, exporters: Exporters) -> Self {
        Self {
            exporters: Some(exporters),
            ..self
        }
    }

    /// The same with those that the configuration makes up.
    #[must_use]
    pub fn with_custom(self, custom: CustomMetrics) -> Self {
        Self {
            custom: Some(custom),
            ..self
        }
    }

    /// What rates look back at; somebody has to keep it.
    #[must_use]
    pub fn rates(&self) -> Rates {
        self.rates.clone()
    }

    /// All of them, to be read.
    #[must_use]
    pub fn into_pages(self) -> Pages {
        let mut registry = Registry::default();
        if let Some(hubble) = &self.hubble {
            let hubble = Box::new(hubble.clone());
            registry
                .sub_registry_with_prefix("hubble")
                .register_collector(hubble);
        }
        if let Some(exporters) = self.exporters.clone() {
            registry
                .sub_registry_with_prefix("hubble")
                .register_collector(Box::new(dynamic::OfDynamic(exporters)));
        }
        if let Some(custom) = self.custom.clone() {
            registry.register_collector(Box::new(custom));
        }
        let own = registry.sub_registry_with_prefix("sextant");
        if let Some(policies) = self.policies.clone() {
            own.register_collector(Box::new(OfPolicies(policies)));
        }
        own.register_collector(Box::new(self));
        Pages(Arc::new(registry))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let ring = &self.sources.ring;
        page.gauge("stored_events", "Events in the store", ring.len() as f64)?;
        page.gauge(
            "stored_bytes",
            "Memory of the events in the store, with the names that they share",
            (ring.bytes() + self.sources.stored.values().shared_bytes) as f64,
        )?;
        page.counter(
            "forgotten_namespaces",
            "Namespaces that GetNamespaces had no room for",
            self.sources.namespaces.forgotten(),
        )?;
        let ledger = self.sources.take();
        page.flows(ring, &ledger, &self.rates)?;
        page.events(&ledger.events)?;
        page.delivery(&ledger)?;
        page.recorded(&self.sources)?;
        page.dns(&ledger.payloads)?;
        page.cost(&self.overhead)?;
        page.identities(&self.identities)?;
        page.calls(&self.limits)?;
        page.audit(&self.audit)?;
        if let Some(hubble) = &self.hubble {
            page.hubble(&hubble.counts())?;
        }
        if let Some(custom) = &self.custom {
            page.custom(&custom.counts())?;
        }
        if let Some(exporters) = &self.exporters {
            page.exporters(&exporters.states())?;
        }
        page.kubernetes(&self.sources.kubernetes)?;
        let Some((counters, volumes)) = &self.sources.datapath else {
            return Ok(());
        };
        let in_flows = ledger.packets.in_flows;
        page.counter("flow_packets", "Packets counted in flows", in_flows.packets)?;
        page.counter("flow_bytes", "Bytes counted in flows", in_flows.bytes)?;
        page.causes(counters)?;
        page.processes(&self.sources.processes)?;
        page.engines(&self.sources.containers)?;
        page.tcp(&self.sources.tcp)?;
        page.nat(&self.sources.nat, counters)?;
        page.denied(counters, volumes)?;
        page.vlans(counters)?;
        page.interfaces(counters)?;
        page.gauge(
            "sweep_seconds",
            "Time of the last walk over all kernel tables",
            Duration::from_nanos(volumes.reader().sweep_ns).as_secs_f64(),
        )?;
        page.tables(volumes)
    }
}

/// A page of metrics in the making.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn calls(&mut self, limits: &Limits) -> fmt::Result {
        let used = limits.used();
        self.gauge(
            "open_streams",
            "Streams that are open",
            used.streams.0 as f64,
        )?;
        self.gauge(
            "open_calls",
            "Other calls that are open",
            used.calls.0 as f64,
        )?;
        self.gauge(
            "pending_bytes",
            "Bytes of messages that are not complete or not read",
            used.bytes.0 as f64,
        )?;
        let refused = limits.refused();
        self.counters(
            "refused_calls",
            "Calls that were refused or ended for a limit",
            refused.map(|(cause, calls)| ([("cause", cause)], calls)),
        )
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.family(name, help, counter.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.family(name, help, gauge.metric_type())?)
    }

    /// Counters of one family, each with its labels.
    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.family(name, help, kind)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Gauges of one family, each with its labels.
    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], f64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn events(&mut self, events: &Events) -> fmt::Result {
        let made = [
            ("kernel", events.raised),
            ("sweep", events.ended),
            ("recorded", events.recorded),
            ("own", events.own),
            ("layer7", events.layer7),
        ];
        self.counters(
            "events",
            "Events that were made, by source",
            made.map(|(source, count)| ([("source", source)], count)),
        )?;
        let lost = events.lost.iter();
        self.counters(
            "lost_events",
            "Events lost or left out before the store, by place and cause",
            lost.map(|lost| ([("place", lost.place), ("cause", lost.cause)], lost.events)),
        )
    }

    fn delivery(&mut self, ledger: &Ledger) -> fmt::Result {
        let delivered = ledger.delivered;
        let fates = [
            ("delivered", delivered.delivered),
            ("filtered", delivered.read - delivered.delivered),
            ("lapped", delivered.lapped),
        ];
        self.counters(
            "stream_events",
            "Stored events as the streams of GetFlows met them, by what became of them",
            fates.map(|(fate, count)| ([("fate", fate)], count)),
        )?;
        self.counter(
            "overwritten_events",
            "Events overwritten in the store, read or not",
            ledger.overwritten,
        )
    }

    fn cost(&mut self, overhead: &Overhead) -> fmt::Result {
        let (load, budget) = (overhead.load(), overhead.budget());
        let shares = [("daemon", load.daemon_cpu), ("datapath", load.datapath_cpu)];
        self.gauges(
            "cpu_share",
            "Share of one CPU that is taken",
            shares.map(|(part, share)| ([("part", part)], share)),
        )?;
        self.gauge(
            "resident_bytes",
            "Resident memory of the daemon, without the flow tables that are mapped into it",
            load.resident_bytes as f64,
        )?;
        self.gauge(
            "budget_step",
            "How coarse events are to keep the overhead budget; 0 is as configured",
            f64::from(budget.step),
        )
    }

    fn audit(&mut self, log: &Log) -> fmt::Result {
        let counts = log.counts();
        let outcomes = [("ok", counts.calls()), ("refused", counts.refusals())];
        self.counters(
            "audit_records",
            "Calls that write or were refused, by outcome",
            outcomes.map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        self.counter(
            "audit_folded_records",
            "Of these, calls that are counted in the entry of another",
            counts.folded(),
        )?;
        self.counter(
            "audit_lost_entries",
            "Entries of the audit log that were not written",
            counts.lost(),
        )?;
        self.count(
            "audit_waiting_entries",
            "Entries of the audit log that wait to be written",
            log.waiting(),
        )
    }

    fn causes(&mut self, counters: &Counters) -> fmt::Result {
        let causes = counters.causes();
        self.counters(
            "unaccounted_packets",
            "Packets without a flow of their own, or events not raised, by cause",
            causes
                .iter()
                .map(|cause| ([("cause", cause.name)], cause.packets)),
        )?;
        self.counters(
            "unaccounted_bytes",
            "Bytes of those packets, by cause",
            causes
                .iter()
                .map(|cause| ([("cause", cause.name)], cause.bytes)),
        )
    }

    fn interfaces(&mut self, counters: &Counters) -> fmt::Result {
        let interfaces = counters.interfaces();
        let names: Vec<_> = interfaces.iter().map(|one| printable(&one.name)).collect();
        let values = |of: fn(&InterfaceCount) -> [u64; 2]| {
            interfaces
                .iter()
                .zip(&names)
                .flat_map(move |(interface, name)| {
                    let [ingress, egress] = of(interface);
                    [("ingress", ingress), ("egress", egress)].map(|(direction, value)| {
                        let labels = [("interface", name.as_ref()), ("direction", direction)];
                        (labels, value)
                    })
                })
        };
        self.counters(
            "interface_packets",
            "Packets observed, by interface and direction",
            values(|interface| interface.packets),
        )?;
        self.counters(
            "interface_bytes",
            "Bytes observed, by interface and direction",
            values(|interface| interface.bytes),
        )?;
        self.counters(
            "interface_unseen_packets",
            "Packets of the interface's own counters that no program saw, by interface and direction",
            values(|interface| interface.unseen),
        )?;
        let ahead = interfaces.iter().flat_map(|interface| &interface.ahead);
        self.count(
            "programs_ahead",
            "Programs of others that run before Sextant's and may hide packets from it, on all interfaces",
            ahead.map(Vec::len).sum(),
        )?;
        self.count(
            "unobserved_interfaces",
            "Interfaces that are chosen but not observed",
            counters.unobserved().len(),
        )
    }

    /// A gauge of a whole number.
    fn count(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        let gauge = ConstGauge::new(value as i64);
        gauge.encode(self.family(name, help, gauge.metric_type())?)
    }
}

/// All metrics, to be read; clones are the same.
#[derive(Clone)]
pub struct Pages(Arc<Registry>);

impl Pages {
    /// All of them now, OpenMetrics text. Takes milliseconds where series are many.
    #[must_use]
    pub fn page(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.0) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }
}
