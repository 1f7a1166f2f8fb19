//! What serves: gRPC on a runtime of its own, so that no request can hold what
//! observes; metrics on the runtime of the rest.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinError, JoinHandle},
    time::Instant,
};
use tonic::transport;
use tonic_health::server::HealthReporter;

use super::worker::unexpected;
use crate::{
    config::{self, Config, Listen, Listener},
    listener::{Bound, Hosts, Listeners, Places, Refusals, SocketFile, serve_http},
    tls::Tls,
};

/// The service that `hubble status` asks health for.
const HEALTH_SERVICE: &str = "hubble.server.Observer";

/// Places that there are in any case; half of them root's.
const LEAST_PLACES: usize = 32;
/// Open files that are left to interfaces and files that come while it runs.
const SPARE_FILES: usize = 24;
/// Connections of the metrics' port: some scrapers and a look by hand.
const METRICS_PLACES: usize = 64;
/// Streams of one connection there.
const METRICS_STREAMS: u32 = 16;

type Task = JoinHandle<Result<(), transport::Error>>;

/// Bound addresses, nothing served yet.
pub(super) struct Sockets {
    grpc: Listeners,
    metrics: Option<Listeners>,
}

/// The servers at work.
pub(super) struct Serving {
    grpc: Task,
    metrics: Option<Task>,
    addresses: Vec<Bound>,
    metrics_address: Option<SocketAddr>,
    /// They go with this, also where the servers end with the process.
    _files: Vec<SocketFile>,
    tls: Vec<Tls>,
}

impl Sockets {
    /// Binds all addresses, or none.
    pub(super) async fn bind(config: &Config, gid: Option<u32>) -> anyhow::Result<Self> {
        let metrics = match &config.metrics_listen {
            Some(address) => {
                let listener = Listener {
                    address: Listen::Tcp(address.clone()),
                    tls: config.metrics_tls.clone(),
                    roles: None,
                    plaintext: true,
                };
                let bound = Listeners::bind(&[listener], None).await;
                Some(bound.context("metrics (another address by --metrics-listen, or `off`)")?)
            }
            None => None,
        };
        Ok(Self {
            grpc: Listeners::bind(&config.server.all_listeners(), gid).await?,
            metrics,
        })
    }

    /// Where gRPC will be served.
    pub(super) fn addresses(&self) -> Vec<Bound> {
        self.grpc.addresses()
    }

    /// Serves until `draining`.
    pub(super) fn serve(
        self,
        server: &config::Server,
        runtime: &Handle,
        [grpc, metrics]: [axum::Router; 2],
        refusals: &Refusals,
        draining: &watch::Sender<bool>,
    ) -> Serving {
        let (addresses, files) = (self.addresses(), self.grpc.files());
        let listeners = self.metrics.iter().chain([&self.grpc]);
        let tls = listeners.flat_map(Listeners::tls).collect();
        let metrics_listeners = self.metrics;
        let metrics_address = metrics_listeners.as_ref().and_then(|metrics| {
            metrics
                .addresses()
                .into_iter()
                .find_map(|bound| match bound {
                    Bound::Tcp(address) => Some(address),
                    Bound::Unix(_) => None,
                })
        });
        let places = places(server);
        let served = serve_http(
            self.grpc.connections(&places, refusals),
            grpc,
            server.max_streams_per_connection,
            draining.subscribe(),
        );
        let metrics = metrics_listeners.map(|listeners| {
            let most = metrics_places();
            let places = Places::new(most, most / 2);
            let connections = listeners.connections(&places, refusals);
            let draining = draining.subscribe();
            tokio::spawn(serve_http(connections, metrics, METRICS_STREAMS, draining))
        });
        Serving {
            grpc: runtime.spawn(served),
            metrics,
            addresses,
            metrics_address,
            _files: files,
            tls,
        }
    }
}

impl Serving {
    pub(super) fn addresses(&self) -> &[Bound] {
        &self.addresses
    }

    pub(super) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Reads certificates again, if their files have changed.
    pub(super) fn reload(&self) {
        for tls in &self.tls {
            tls.reload_and_tell();
        }
    }

    /// Waits until a server ends, which it does not unless it is told to.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match &mut self.metrics {
            Some(metrics) => tokio::select! {
                ended = &mut self.grpc => failure("the gRPC server", ended),
                ended = metrics => failure("the server of metrics", ended),
            },
            None => failure("the gRPC server", (&mut self.grpc).await),
        }
    }

    /// Waits for streams to end after they were told to.
    pub(super) async fn drained(self, deadline: Instant) -> anyhow::Result<()> {
        // Scrapers wait for nothing.
        if let Some(metrics) = self.metrics {
            metrics.abort();
        }
        if self.grpc.is_finished() {
            return Ok(());
        }
        let abort = self.grpc.abort_handle();
        match tokio::time::timeout_at(deadline, self.grpc).await {
            Ok(ended) => ended.context("gRPC server")?.context("gRPC server"),
            Err(_) => {
                tracing::warn!("streams were still open at the deadline; closed");
                abort.abort();
                Ok(())
            }
        }
    }
}

fn failure(part: &str, ended: Result<Result<(), transport::Error>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Err(error)) => anyhow::Error::new(error).context(format!("{part} failed")),
        ended => unexpected(part, ended.err()),
    }
}

/// The names that only this host has, and those that were given to it.
pub(super) fn hosts(config: &Config) -> Hosts {
    let own = [config.node_name.clone(), config::host_name()];
    Hosts::new(own.into_iter().chain(config.server.hosts.clone()))
}

/// No more connections than there are descriptors, of which what runs has some already,
/// and interfaces and files that come need some too.
fn places(server: &config::Server) -> Places {
    let files = open_files_limit();
    let used = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let left = files.saturating_sub(used + metrics_places() + SPARE_FILES);
    if left < LEAST_PLACES {
        tracing::warn!(
            files,
            used,
            "few descriptors are left for connections and interfaces; raise the limit of open files (LimitNOFILE=)"
        );
    }
    let left = left.max(LEAST_PLACES);
    let most = server.max_connections.min(files / 4 * 3).min(left).max(1);
    let most_of_one = server.max_connections_per_peer.min(most / 2).max(1);
    Places::new(most, most_of_one)
}

fn metrics_places() -> usize {
    METRICS_PLACES.min(open_files_limit() / 16)
}

fn open_files_limit() -> usize {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let (files, _) = limit.unwrap_or((1024, 1024));
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// Tells who asks for the server's health.
pub(super) async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving {
        tonic_health::ServingStatus::Serving
    } else {
        tonic_health::ServingStatus::NotServing
    };
    for service in ["", HEALTH_SERVICE] {
        health.set_service_status(service, status).await;
    }
}
