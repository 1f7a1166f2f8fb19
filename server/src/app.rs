//! Puts the parts together; the only place that knows all of them.
//!
//! Start: identities, store, replay, listeners, services, and the datapath
//! last; only then the server says that it is ready. Stop: in the other order,
//! each step within the time budget of the configuration.

mod about;
mod agent_events;
mod cgroups;
mod counting;
mod datapath;
mod exporting;
mod kubernetes;
mod peers;
mod policies;
mod replay;
mod running;
mod serving;
mod worker;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::{
    audit::Log,
    config::Config,
    containers::Containers,
    datapath::{LinkWatch, Links, NamespaceChoice},
    export::Exporters,
    identity::{Host, Identities, Inventory, Numbers, Provider},
    kubernetes::Kubernetes,
    ledger::Sources,
    listener::Bound,
    metrics::{self, HubbleMetrics, Metrics},
    names,
    overhead::Overhead,
    pipeline::{Namespaces, Pipeline},
    policy::policies::Policies,
    record::RecordCounts,
    service::{
        AuditLogService, DaemonStatusService, FlowsService, Limits, ObserverService, PeerNode,
        PeerService, ReflectionError, Rules, WriteGroup, handshakes, limited, router,
        with_reflection,
    },
    spans::Spans,
    store::{Deliveries, Ring, Room},
};

use about::{about, origin};
use counting::Counting;
use datapath::{RunningDatapath, Wanted, Who};
use exporting::Exporting;
use kubernetes::{Following, Nodes};
use peers::Peers;
use serving::{Serving, Sockets, hosts, set_serving};

/// The running daemon.
pub struct App {
    config: Config,
    draining: watch::Sender<bool>,
    health: HealthReporter,
    /// The same, for the port of metrics.
    ready: watch::Sender<bool>,
    datapath: Option<RunningDatapath>,
    serving: Serving,
    overhead: Overhead,
    audit: Log,
    inventory: Arc<Inventory>,
    peers: Peers,
    rules: Rules,
    /// Undoes what is not confirmed.
    _policies: JoinSet<()>,
    /// Looks at the files of tokens.
    _tokens: JoinSet<()>,
    counting: Counting,
    exporting: Exporting,
    kubernetes: Following,
    /// Keeps the store's writer, and so the streams, alive.
    pipeline: Arc<Mutex<Pipeline>>,
    /// Keeps the lock of the state folder too.
    identities: Arc<Identities>,
}

/// Starts everything; on return the server is ready. Requests are worked on by
/// `serving`, everything else by the runtime that this is called on; who exports spans takes
/// these.
///
/// # Errors
///
/// What could not be started, with the remedy. Nothing is left behind then.
pub async fn build(config: Config, serving: &Handle, spans: &Spans) -> anyhow::Result<App> {
    let (core, links) = Core::new(config).await?;
    let config = &core.config;
    // Before anything is stored, so that what is replayed is counted too.
    let counting = Counting::start(config, core.ring.clone(), core.draining.subscribe())?;
    let exporting = Exporting::start(config, core.ring.clone(), spans)?;
    let room = core.ring.room();
    replay::load(&config.replay, config.vlan_in_key, room, &core.pipeline).await?;
    core.ring.mark_loaded();
    let write_group = config.server.write_group.as_deref();
    let write_group = write_group.map(WriteGroup::find).transpose()?;
    let gid = write_group.as_ref().map(|group| group.gid);
    let sockets = Sockets::bind(config, gid).await?;
    let rules = Rules::of(&config.access, write_group, &sockets.addresses())?;
    let (health, health_service) = tonic_health::server::health_reporter();
    set_serving(&health, false).await;
    // Connections wait meanwhile: what is told of the datapath is then complete.
    let mut datapath = core.start_datapath(links).await?;
    let policies = policies::open(&core, datapath.as_mut()).await?;
    let own = core.peers.own(config, &sockets.addresses());
    let (routes, metrics, overhead) = core.services(
        Routes::new(health_service),
        &sockets.addresses(),
        datapath.as_ref(),
        &policies,
        &counting,
        exporting.exporters(),
    )?;
    let pages = metrics.into_pages();
    exporting.send_pages(pages.clone());
    let (hosts, ready) = (hosts(config), watch::Sender::new(false));
    let routers = [
        router(routes, rules.clone(), hosts.clone(), core.audit.clone()),
        metrics::router(pages, core.audit.clone(), hosts, ready.subscribe()),
    ];
    let refusals = handshakes(core.audit.clone());
    let serving = sockets.serve(&config.server, serving, routers, &refusals, &core.draining);
    if datapath.is_some() {
        // Without it nothing is observed: the store holds what was replayed.
        lock(&core.pipeline).tell(agent_events::started());
    }
    let kubernetes = core.follow_kubernetes(&own, serving.addresses(), counting.hubble());
    set_serving(&health, true).await;
    ready.send_replace(true);
    Ok(App {
        ready,
        config: core.config,
        health,
        datapath,
        serving,
        overhead,
        audit: core.audit,
        inventory: core.inventory,
        peers: core.peers,
        _policies: JoinSet::from_iter([policies.watch()]),
        _tokens: JoinSet::from_iter([rules.clone().watch()]),
        rules,
        counting,
        exporting,
        kubernetes,
        draining: core.draining,
        pipeline: core.pipeline,
        identities: core.identities,
    })
}

/// What all parts are made from.
struct Core {
    config: Config,
    audit: Log,
    draining: watch::Sender<bool>,
    ring: Ring,
    namespaces: Namespaces,
    pipeline: Arc<Mutex<Pipeline>>,
    identities: Arc<Identities>,
    inventory: Arc<Inventory>,
    known_links: Arc<ArcSwap<Links>>,
    containers: Containers,
    kubernetes: Kubernetes,
    /// Those of the cluster that relays hear of.
    cluster_nodes: watch::Sender<Vec<PeerNode>>,
    peers: Peers,
}

impl Core {
    async fn new(config: Config) -> anyhow::Result<(Self, Option<LinkWatch>)> {
        let peers = Peers::load(&config.peers)?;
        let links = match &config.datapath {
            Some(datapath) => {
                let namespaces = NamespaceChoice::new(&datapath.namespaces)?;
                Some(LinkWatch::start(namespaces).await?)
            }
            None => None,
        };
        let inventory = Arc::new(Inventory::new(
            config.identity.endpoints.clone(),
            config.cluster_name.clone(),
        ));
        let node = config.node_name.clone();
        let kubernetes = Kubernetes::new(config.cluster_name.clone(), node);
        let inventory_of = Arc::clone(&inventory);
        let identities = identities(&config, inventory_of, links.as_ref(), kubernetes.clone());
        let identities = Arc::new(identities);
        let (ring, writer) = Ring::new(Room {
            events: config.flow_capacity,
            bytes: config.flow_bytes(),
        });
        let namespaces = Namespaces::new(config.cluster_name.clone());
        let known_links = Arc::new(ArcSwap::default());
        let mut pipeline = Pipeline::new(
            writer,
            origin(&config),
            identities.snapshot(),
            Arc::clone(&known_links),
            namespaces.clone(),
        );
        let settings = names::Settings {
            capacity: config.names.capacity,
            shortest_ns: config.names.ttl_floor.as_nanos() as u64,
        };
        pipeline.set_names(settings, config.names.hosts_file.clone());
        let audit = Log::open(&config.audit, &config.state_dir)?;
        let core = Self {
            config,
            audit,
            draining: watch::Sender::new(false),
            ring,
            namespaces,
            pipeline: Arc::new(Mutex::new(pipeline)),
            identities,
            inventory,
            known_links,
            containers: Containers::default(),
            kubernetes,
            cluster_nodes: watch::Sender::default(),
            peers,
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
        let wanted = Wanted {
            config: settings,
            policy: &self.config.policy,
        };
        let datapath = RunningDatapath::start(
            wanted,
            links,
            Arc::clone(&self.pipeline),
            Arc::clone(&self.identities),
            self.config.cluster_name.clone(),
            Arc::clone(&self.known_links),
            Who {
                sockets: self.config.containers.clone(),
                containers: self.containers.clone(),
                kubernetes: self.kubernetes.clone(),
                command_lines: self.config.command_lines.clone(),
            },
        );
        datapath.await.map(Some)
    }

    fn follow_kubernetes(
        &self,
        own: &PeerNode,
        bound: &[Bound],
        metrics: Option<HubbleMetrics>,
    ) -> Following {
        Following::start(
            &self.config.kubernetes,
            self.kubernetes.clone(),
            Arc::clone(&self.identities),
            Arc::clone(&self.pipeline),
            Nodes {
                to: self.cluster_nodes.clone(),
                port: own.port().or_else(|| bound.iter().find_map(Bound::port)),
                cluster: self.config.cluster_name.clone(),
                is_tls: own.tls_server_name.is_some(),
            },
            metrics,
        )
    }

    /// What is counted, for the ledger and what tells it.
    fn sources(
        &self,
        recorded: Arc<RecordCounts>,
        deliveries: Deliveries,
        datapath: Option<&RunningDatapath>,
    ) -> Sources {
        let (stored, dns, nat, tcp, processes) = {
            let pipeline = lock(&self.pipeline);
            (
                pipeline.stored(),
                pipeline.dns(),
                pipeline.nat(),
                pipeline.tcp(),
                pipeline.processes(),
            )
        };
        Sources {
            ring: self.ring.clone(),
            stored,
            recorded,
            dns,
            nat,
            tcp,
            processes,
            containers: self.containers.clone(),
            kubernetes: self.kubernetes.clone(),
            namespaces: self.namespaces.clone(),
            deliveries,
            datapath: datapath.map(RunningDatapath::sources),
        }
    }

    /// All services, and what metrics are made of.
    fn services(
        &self,
        routes: Routes,
        bound: &[Bound],
        datapath: Option<&RunningDatapath>,
        policies: &Policies,
        counting: &Counting,
        exporters: Exporters,
    ) -> Result<(Routes, Metrics, Overhead), ReflectionError> {
        let config = &self.config;
        let limits = Limits::new(&config.server, self.draining.subscribe());
        let groups = datapath.map(RunningDatapath::groups).unwrap_or_default();
        let nodes = self.peers.directory(config, bound);
        let observer = ObserverService::new(
            about(config),
            self.ring.clone(),
            self.namespaces.clone(),
            nodes.clone(),
            limits.clone(),
        );
        let recorded = Arc::new(RecordCounts::default());
        let flows = FlowsService::new(
            Arc::clone(&self.pipeline),
            self.ring.clone(),
            Arc::clone(&recorded),
            limits.clone(),
            lookback(config),
        );
        let deliveries = observer.deliveries();
        let sources = self.sources(recorded, deliveries, datapath);
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
            (policies.clone(), exporters.clone(), self.audit.clone()),
        );
        let routes = routes
            .add_service(observer.into_server(config.server.max_request_bytes))
            .add_service(flows.into_server(config.server.max_request_bytes))
            .add_service(
                PeerService::new(nodes, self.cluster_nodes.subscribe(), limits.clone())
                    .into_server(),
            )
            .add_service(status.into_server())
            .add_service(policies::service(self, policies, groups, limits.clone()))
            .add_service(AuditLogService::new(self.audit.clone()).into_server());
        let identities = self.identities.counts();
        let audit = self.audit.clone();
        let metrics = Metrics::new(
            sources.clone(),
            overhead.clone(),
            identities,
            limits.clone(),
            audit,
            counting.hubble(),
        )
        .with_custom(counting.custom())
        .with_policies(policies.clone())
        .with_exporters(exporters);
        let rates = metrics.rates();
        tokio::spawn(rates.watch(sources, self.draining.subscribe()));
        let routes = limited(with_reflection(routes)?, limits);
        Ok((routes, metrics, overhead))
    }
}

/// Another thread that died with the lock has told why already.
fn lock(pipeline: &Mutex<Pipeline>) -> std::sync::MutexGuard<'_, Pipeline> {
    pipeline
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn identities(
    config: &Config,
    inventory: Arc<Inventory>,
    links: Option<&LinkWatch>,
    kubernetes: Kubernetes,
) -> Identities {
    // The inventory first: it may say more of an address than that it is ours.
    let mut providers: Vec<Box<dyn Provider>> = vec![Box::new(inventory)];
    if let Some(links) = links {
        providers.push(Box::new(Host::new(links.subscribe())));
    }
    // Behind the host: nobody in the cluster claims its addresses.
    providers.push(Box::new(kubernetes));
    Identities::new(
        providers,
        Numbers::open(&config.state_dir),
        config.identity.world_by_family,
    )
}

/// How far before its window a summary looks for what a flow had counted: an
/// active flow tells its totals each interval.
fn lookback(config: &Config) -> Duration {
    let datapath = config.datapath.clone().unwrap_or_default();
    2 * datapath.active_interval
}
