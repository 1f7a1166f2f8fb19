//! The Prometheus endpoint: what was seen, what was lost, by cause.
//!
//! Values are read when they are asked for; nothing is counted twice. Served
//! at `/metrics` in OpenMetrics text.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::net::TcpListener;

use crate::{datapath::Counters, store::Ring};

/// Cannot serve metrics.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics: {source}; choose another address by --metrics-listen, or `off`"
)]
pub struct MetricsError {
    address: String,
    source: io::Error,
}

/// What metrics are made of.
#[derive(Clone)]
pub struct Metrics {
    ring: Ring,
    counters: Option<Counters>,
}

impl Metrics {
    /// Metrics of the store and, if there is one, of the datapath.
    #[must_use]
    pub fn new(ring: Ring, counters: Option<Counters>) -> Self {
        Self { ring, counters }
    }

    /// The registry with all of them.
    #[must_use]
    pub fn into_registry(self) -> Registry {
        let mut registry = Registry::with_prefix("sextant");
        registry.register_collector(Box::new(self));
        registry
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = ConstCounter::new(self.ring.seen_flows());
        let metric = encoder.encode_descriptor(
            "flows",
            "Flow events stored since the start",
            None,
            seen.metric_type(),
        )?;
        seen.encode(metric)?;
        let stored = ConstGauge::new(self.ring.len() as i64);
        let metric = encoder.encode_descriptor(
            "stored_events",
            "Events in the store",
            None,
            stored.metric_type(),
        )?;
        stored.encode(metric)?;
        match &self.counters {
            Some(counters) => datapath(&mut encoder, counters),
            None => Ok(()),
        }
    }
}

fn datapath(encoder: &mut DescriptorEncoder<'_>, counters: &Counters) -> fmt::Result {
    let causes = counters.causes();
    let mut family = |name, help, value: fn(&crate::datapath::Counted) -> u64| {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for cause in &causes {
            let labels = [("cause", cause.name)];
            ConstCounter::new(value(cause)).encode(family.encode_family(&labels)?)?;
        }
        Ok::<_, fmt::Error>(())
    };
    family(
        "unaccounted_packets",
        "Packets without a flow of their own, or events not raised, by cause",
        |cause| cause.packets,
    )?;
    family(
        "unaccounted_bytes",
        "Bytes of those packets, by cause",
        |cause| cause.bytes,
    )?;
    let interfaces = counters.interfaces();
    for (name, help, bytes) in [
        (
            "interface_packets",
            "Packets observed, by interface and direction",
            false,
        ),
        (
            "interface_bytes",
            "Bytes observed, by interface and direction",
            true,
        ),
    ] {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for interface in &interfaces {
            for (index, direction) in ["ingress", "egress"].into_iter().enumerate() {
                let values = if bytes {
                    interface.bytes
                } else {
                    interface.packets
                };
                let labels = [
                    ("interface", interface.name.as_str()),
                    ("direction", direction),
                ];
                ConstCounter::new(values[index]).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

/// The endpoint; it ends when dropped.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl MetricsServer {
    /// Listens and serves.
    ///
    /// # Errors
    ///
    /// When the address cannot be used.
    pub async fn start(address: &str, metrics: Metrics) -> Result<Self, MetricsError> {
        let failed = |source| MetricsError {
            address: address.to_owned(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let registry = Arc::new(metrics.into_registry());
        let router = axum::Router::new().route(
            "/metrics",
            axum::routing::get(move || async move { page(&registry) }),
        );
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "metrics are no longer served");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn page(registry: &Registry) -> ([(http::HeaderName, &'static str); 1], String) {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, registry) {
        tracing::error!(%error, "metrics could not be encoded");
    }
    ([(http::header::CONTENT_TYPE, OPEN_METRICS)], text)
}
