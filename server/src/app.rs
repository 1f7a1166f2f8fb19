//! Puts the parts together; the only place that knows all of them.
//!
//! Start: identities, store, replay, listeners, services, and the datapath
//! last; only then the server says that it is ready. Stop: in the other order,
//! each step within the time budget of the configuration.

mod datapath;
mod replay;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use sextant_proto::flow as pb;
use tokio::{sync::watch, task::JoinHandle};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::{
    config::Config,
    datapath::{LinkWatch, NamespaceChoice},
    flow::{Origin, Time},
    identity::{Host, Identities, Inventory, Numbers, Provider},
    ledger::Sources,
    metrics::{Metrics, MetricsServer},
    overhead::Overhead,
    pipeline::{Namespaces, Pipeline},
    service::{
        About, Bound, DaemonStatusService, Limits, Listeners, NodeDirectory, ObserverService,
        PeerNode, PeerService, ServeError, with_reflection,
    },
    store::Ring,
};

use datapath::RunningDatapath;

/// Name of the program in `Flow.emitter`.
const EMITTER: &str = "Sextant";
/// The service that `hubble status` asks health for.
const HEALTH_SERVICE: &str = "hubble.server.Observer";

/// The running daemon.
pub struct App {
    bound: Vec<Bound>,
    metrics: Option<MetricsServer>,
    draining: watch::Sender<bool>,
    health: HealthReporter,
    datapath: Option<RunningDatapath>,
    server: JoinHandle<Result<(), ServeError>>,
    drain_timeout: Duration,
    /// Keeps the store's writer, and so the streams, alive.
    _pipeline: Arc<Mutex<Pipeline>>,
}

/// Starts everything; on return the server is ready.
///
/// # Errors
///
/// What could not be started, with the remedy. Nothing is left behind then.
pub async fn build(config: Config) -> anyhow::Result<App> {
    let draining = watch::Sender::new(false);
    let links = match &config.datapath {
        Some(datapath) => {
            let namespaces = NamespaceChoice::new(&datapath.namespaces)?;
            Some(LinkWatch::start(namespaces).await?)
        }
        None => None,
    };
    let identities = Arc::new(identities(&config, links.as_ref())?);
    let (ring, writer) = Ring::new(config.flow_capacity);
    let namespaces = Namespaces::new(config.cluster_name.clone());
    let known_links = Arc::new(ArcSwap::default());
    let pipeline = Arc::new(Mutex::new(Pipeline::new(
        writer,
        origin(&config),
        identities.snapshot(),
        Arc::clone(&known_links),
        namespaces.clone(),
    )));
    replay::load(&config.replay, &pipeline).await?;

    let listeners = Listeners::bind(&config.server.listen).await?;
    let bound = listeners.addresses();
    let (health, health_service) = tonic_health::server::health_reporter();
    set_serving(&health, false).await;
    let limits = Limits::new(config.server.max_streams, draining.subscribe());
    let nodes = node_directory(&config, &bound);
    let observer = ObserverService::new(
        about(&config),
        ring.clone(),
        namespaces,
        nodes.clone(),
        limits.clone(),
    );
    // Connections wait meanwhile: what is told of the datapath is then complete.
    let datapath = match (&config.datapath, links) {
        (Some(settings), Some(links)) => Some(
            RunningDatapath::start(
                settings,
                links,
                Arc::clone(&pipeline),
                identities,
                known_links,
            )
            .await?,
        ),
        _ => None,
    };
    let sources = Sources {
        ring,
        stored: lock(&pipeline).stored(),
        deliveries: observer.deliveries(),
        datapath: datapath.as_ref().map(RunningDatapath::sources),
    };
    let overhead = Overhead::start(
        f64::from(config.cpu_budget_percent) / 100.0,
        datapath.as_ref().map(RunningDatapath::overhead),
        draining.subscribe(),
    );
    let status = DaemonStatusService::new(
        about(&config),
        sources.clone(),
        overhead.clone(),
        datapath.as_ref().map(RunningDatapath::parts),
        limits.clone(),
    );
    let routes = Routes::new(health_service)
        .add_service(observer.into_server(config.server.max_request_bytes))
        .add_service(PeerService::new(nodes, limits).into_server())
        .add_service(status.into_server());
    let server = tokio::spawn(listeners.serve(
        with_reflection(routes)?,
        config.server.max_streams_per_connection,
        draining.subscribe(),
    ));
    let metrics = match &config.metrics_listen {
        Some(address) => {
            Some(MetricsServer::start(address, Metrics::new(sources, overhead)).await?)
        }
        None => None,
    };
    if datapath.is_some() {
        // Without it nothing is observed: the store holds what was replayed.
        lock(&pipeline).tell(agent_started());
    }
    set_serving(&health, true).await;
    Ok(App {
        bound,
        metrics,
        draining,
        health,
        datapath,
        server,
        drain_timeout: config.server.drain_timeout,
        _pipeline: pipeline,
    })
}

impl App {
    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> &[Bound] {
        &self.bound
    }

    /// Where the metrics are, if they are on.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// Stops: not ready, detached, streams ended, sockets gone.
    ///
    /// # Errors
    ///
    /// When the server had failed, or something did not end in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        set_serving(&self.health, false).await;
        let deadline = tokio::time::Instant::now() + self.drain_timeout;
        if let Some(datapath) = self.datapath {
            tokio::time::timeout_at(deadline, datapath.stop())
                .await
                .context("the datapath did not stop in time")?;
        }
        self.draining.send_replace(true);
        match tokio::time::timeout_at(deadline, self.server).await {
            Ok(ended) => ended.context("gRPC server")??,
            Err(_) => tracing::warn!("streams were still open at the deadline; closed"),
        }
        Ok(())
    }
}

/// Another thread that died with the lock has told why already.
fn lock(pipeline: &Mutex<Pipeline>) -> std::sync::MutexGuard<'_, Pipeline> {
    pipeline
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn identities(config: &Config, links: Option<&LinkWatch>) -> anyhow::Result<Identities> {
    // The inventory first: it may say more of an address than that it is ours.
    let mut providers: Vec<Box<dyn Provider>> = vec![Box::new(Inventory::new(
        config.identity.endpoints.clone(),
        config.cluster_name.clone(),
    ))];
    if let Some(links) = links {
        providers.push(Box::new(Host::new(links.subscribe())));
    }
    Ok(Identities::new(
        providers,
        Numbers::open(&config.state_dir)?,
        config.identity.world_by_family,
    ))
}

fn origin(config: &Config) -> Origin {
    Origin {
        node_name: config.full_node_name(),
        node_labels: config.node_labels.clone(),
        emitter: Some((EMITTER.into(), env!("CARGO_PKG_VERSION").into())),
    }
}

fn about(config: &Config) -> About {
    About {
        node_name: config.full_node_name(),
        version: env!("CARGO_PKG_VERSION").into(),
        version_header: config.server.version_header,
        started: Instant::now(),
        lost_event_interval: config.server.lost_event_interval,
    }
}

/// This node at its first address, unless a peer of its name says otherwise.
fn node_directory(config: &Config, bound: &[Bound]) -> NodeDirectory {
    let name = config.full_node_name();
    let peers = config.peers.iter().map(|peer| PeerNode {
        name: peer.name.clone(),
        address: peer.address.clone(),
        tls_server_name: peer.tls_server_name.clone(),
    });
    let (own, peers): (Vec<_>, Vec<_>) = peers.partition(|peer| peer.name == name);
    let address = bound.first().map(Bound::to_string);
    NodeDirectory {
        own: own.into_iter().next().unwrap_or(PeerNode {
            name,
            address: address.unwrap_or_default(),
            tls_server_name: None,
        }),
        peers,
    }
}

async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving {
        tonic_health::ServingStatus::Serving
    } else {
        tonic_health::ServingStatus::NotServing
    };
    for service in ["", HEALTH_SERVICE] {
        health.set_service_status(service, status).await;
    }
}

fn agent_started() -> pb::AgentEvent {
    pb::AgentEvent {
        r#type: pb::AgentEventType::AgentStarted.into(),
        notification: Some(pb::agent_event::Notification::AgentStart(
            pb::TimeNotification {
                time: Some(Time::now().into()),
            },
        )),
    }
}
