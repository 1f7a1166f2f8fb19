//! Puts the parts together; the only place that knows all of them.
//!
//! Start: identities, store, replay, listeners, services, and the datapath
//! last; only then the server says that it is ready. Stop: in the other order,
//! each step within the time budget of the configuration.

mod datapath;
mod replay;
mod worker;

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
    config::{self, Config},
    datapath::{LinkWatch, Links, NamespaceChoice},
    flow::{Origin, Time},
    identity::{Host, Identities, Inventory, Numbers, Provider},
    ledger::Sources,
    listener::{Bound, Listeners, Places},
    metrics::{Metrics, MetricsServer},
    overhead::Overhead,
    pipeline::{Namespaces, Pipeline},
    record::RecordCounts,
    service::{
        About, Access, DaemonStatusService, FlowsService, Limits, NodeDirectory, ObserverService,
        PeerNode, PeerService, ServeError, WriteGroup, serve, with_reflection,
    },
    store::{Ring, Room},
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
    /// Keeps the lock of the state folder.
    _identities: Arc<Identities>,
}

/// Starts everything; on return the server is ready.
///
/// # Errors
///
/// What could not be started, with the remedy. Nothing is left behind then.
pub async fn build(config: Config) -> anyhow::Result<App> {
    let (core, links) = Core::new(config).await?;
    let config = &core.config;
    replay::load(&config.replay, config.flow_capacity, &core.pipeline).await?;
    core.ring.mark_loaded();
    let write_group = config.server.write_group.as_deref();
    let write_group = write_group.map(WriteGroup::find).transpose()?;
    let listeners = Listeners::bind(
        &config.server.listen,
        write_group.as_ref().map(|group| group.gid),
    )
    .await?;
    let bound = listeners.addresses();
    let (health, health_service) = tonic_health::server::health_reporter();
    set_serving(&health, false).await;
    // Connections wait meanwhile: what is told of the datapath is then complete.
    let datapath = core.start_datapath(links).await?;
    let (routes, metrics) = core.services(
        Routes::new(health_service),
        &bound,
        write_group,
        datapath.as_ref(),
    );
    let server = tokio::spawn(serve(
        listeners,
        places(&config.server),
        with_reflection(routes)?,
        config.server.max_streams_per_connection,
        core.draining.subscribe(),
    ));
    let metrics = match &config.metrics_listen {
        Some(address) => Some(MetricsServer::start(address, metrics).await?),
        None => None,
    };
    if datapath.is_some() {
        // Without it nothing is observed: the store holds what was replayed.
        lock(&core.pipeline).tell(agent_started());
    }
    set_serving(&health, true).await;
    Ok(App {
        bound,
        metrics,
        health,
        datapath,
        server,
        drain_timeout: config.server.drain_timeout,
        draining: core.draining,
        _pipeline: core.pipeline,
        _identities: core.identities,
    })
}

/// What all parts are made from.
struct Core {
    config: Config,
    draining: watch::Sender<bool>,
    ring: Ring,
    namespaces: Namespaces,
    pipeline: Arc<Mutex<Pipeline>>,
    identities: Arc<Identities>,
    known_links: Arc<ArcSwap<Links>>,
}

impl Core {
    async fn new(config: Config) -> anyhow::Result<(Self, Option<LinkWatch>)> {
        let links = match &config.datapath {
            Some(datapath) => {
                let namespaces = NamespaceChoice::new(&datapath.namespaces)?;
                Some(LinkWatch::start(namespaces).await?)
            }
            None => None,
        };
        let identities = Arc::new(identities(&config, links.as_ref())?);
        let (ring, writer) = Ring::new(Room {
            events: config.flow_capacity,
            bytes: config.flow_bytes(),
        });
        let namespaces = Namespaces::new(config.cluster_name.clone());
        let known_links = Arc::new(ArcSwap::default());
        let pipeline = Pipeline::new(
            writer,
            origin(&config),
            identities.snapshot(),
            Arc::clone(&known_links),
            namespaces.clone(),
        );
        let core = Self {
            config,
            draining: watch::Sender::new(false),
            ring,
            namespaces,
            pipeline: Arc::new(Mutex::new(pipeline)),
            identities,
            known_links,
        };
        Ok((core, links))
    }

    async fn start_datapath(
        &self,
        links: Option<LinkWatch>,
    ) -> anyhow::Result<Option<RunningDatapath>> {
        let (Some(settings), Some(links)) = (&self.config.datapath, links) else {
            return Ok(None);
        };
        let datapath = RunningDatapath::start(
            settings,
            links,
            Arc::clone(&self.pipeline),
            Arc::clone(&self.identities),
            Arc::clone(&self.known_links),
        );
        datapath.await.map(Some)
    }

    /// All services, and what metrics are made of.
    fn services(
        &self,
        routes: Routes,
        bound: &[Bound],
        write_group: Option<WriteGroup>,
        datapath: Option<&RunningDatapath>,
    ) -> (Routes, Metrics) {
        let config = &self.config;
        let limits = Limits::new(config.server.max_streams, self.draining.subscribe());
        let nodes = node_directory(config, bound);
        let observer = ObserverService::new(
            about(config),
            self.ring.clone(),
            self.namespaces.clone(),
            nodes.clone(),
            limits.clone(),
        );
        let flows = FlowsService::new(
            Arc::clone(&self.pipeline),
            self.ring.clone(),
            Arc::new(RecordCounts::default()),
            Access::new(write_group, bound),
            limits.clone(),
            lookback(config),
        );
        let sources = Sources {
            ring: self.ring.clone(),
            stored: lock(&self.pipeline).stored(),
            namespaces: self.namespaces.clone(),
            deliveries: observer.deliveries(),
            datapath: datapath.map(RunningDatapath::sources),
        };
        let overhead = Overhead::start(
            f64::from(config.cpu_budget_percent) / 100.0,
            datapath.map(RunningDatapath::overhead),
            self.draining.subscribe(),
        );
        let status = DaemonStatusService::new(
            about(config),
            sources.clone(),
            overhead.clone(),
            datapath.map(RunningDatapath::parts),
            limits.clone(),
        );
        let routes = routes
            .add_service(observer.into_server(config.server.max_request_bytes))
            .add_service(flows.into_server(config.server.max_request_bytes))
            .add_service(PeerService::new(nodes, limits).into_server())
            .add_service(status.into_server());
        let identities = self.identities.counts();
        (routes, Metrics::new(sources, overhead, identities))
    }
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

    /// Waits until a part ends that should go on, and tells which.
    pub async fn failed(&mut self) -> anyhow::Error {
        match &mut self.datapath {
            Some(datapath) => datapath.failed().await,
            None => std::future::pending().await,
        }
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
            let stopped = tokio::time::timeout_at(deadline, datapath.stop());
            if stopped.await.is_err() {
                // Where grace periods are long and interfaces many.
                tracing::warn!(
                    "programs are still being detached at the deadline; the kernel goes on with it as the process ends"
                );
            }
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
        Numbers::open(&config.state_dir),
        config.identity.world_by_family,
    ))
}

/// No more connections than there are descriptors, of which the datapath and
/// files need some too.
fn places(server: &config::Server) -> Places {
    let (files, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .unwrap_or((1024, 1024));
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let most = server.max_connections.min(files / 4 * 3).max(1);
    let most_of_one = server.max_connections_per_peer.min(most / 2).max(1);
    Places::new(most, most_of_one)
}

/// How far before its window a summary looks for what a flow had counted: an
/// active flow tells its totals each interval.
fn lookback(config: &Config) -> Duration {
    let datapath = config.datapath.clone().unwrap_or_default();
    2 * datapath.active_interval
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
    let (own, peers): (Vec<_>, Vec<_>) = peers.partition(|peer| peer.name.to_lowercase() == name);
    let address = bound.first().map(Bound::to_string);
    let own = own.into_iter().next().unwrap_or(PeerNode {
        name,
        address: address.unwrap_or_default(),
        tls_server_name: None,
    });
    NodeDirectory::new(own, peers)
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
