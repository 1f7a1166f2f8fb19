//! The datapath's part of the daemon's life: start, follow, stop.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use sextant_ebpf_common::policy::deny_error;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    cgroups, lock,
    worker::{Worker, unexpected},
};
use crate::{
    config::{self, DenyError, EngineSocket, OnDeny, OnExit, Unknown},
    containers::{self, Containers},
    datapath::{
        Batch, Counters, Datapath, DatapathError, Holders, InterfaceChoice, LinkWatch, Links,
        Loaded, Losses, Objects, Predecessors, Report, RuleTables, Settings, Slots, Stopper,
        Timeouts, Tuner, Volumes,
    },
    identity::Identities,
    kubernetes::Kubernetes,
    memory, overhead,
    pipeline::Pipeline,
    process::{Groups, Processes, command_line::CommandLines},
    service::DatapathParts,
    services::{Firewall, Services},
};

/// What is told of processes and services.
pub(super) struct Who {
    /// Where engines are asked.
    pub(super) sockets: Vec<EngineSocket>,
    /// What they say.
    pub(super) containers: Containers,
    /// What the API server says of services.
    pub(super) kubernetes: Kubernetes,
    /// Whether command lines are told, and what is hidden in them.
    pub(super) command_lines: config::CommandLines,
}

/// What is to be observed, and what policies have room for.
pub(super) struct Wanted<'a> {
    pub(super) config: &'a config::Datapath,
    pub(super) policy: &'a config::Policy,
}

/// What policies are enforced by.
pub(super) struct Enforceable {
    pub(super) tables: RuleTables,
    pub(super) slots: Slots,
}

/// The datapath, attached and read.
pub(super) struct RunningDatapath {
    counters: Counters,
    volumes: Volumes,
    objects: Objects,
    report: Report,
    tuner: Tuner,
    active_interval: Duration,
    losses: Losses,
    /// Of the reader and the sweeper.
    stoppers: [Stopper; 2],
    reader: Worker,
    sweeper: Worker,
    enforceable: Option<Enforceable>,
    groups: Groups,
    predecessors: Predecessors,
    /// Who holds sockets, where that can be told.
    holders: Option<(Stopper, Worker)>,
    stop: watch::Sender<bool>,
    follow: JoinHandle<Result<(), DatapathError>>,
    identify: JoinHandle<()>,
    /// Asks engines for names of containers.
    engines: JoinHandle<()>,
    /// Reads the firewall's rules.
    firewall: JoinHandle<()>,
    /// Looks which units and containers are there.
    cgroups: JoinHandle<()>,
}

impl RunningDatapath {
    /// Loads, attaches and begins to read.
    pub(super) async fn start(
        Wanted { config, policy }: Wanted<'_>,
        watch: LinkWatch,
        pipeline: Arc<Mutex<Pipeline>>,
        identities: Arc<Identities>,
        cluster: String,
        known_links: Arc<ArcSwap<Links>>,
        who: Who,
    ) -> anyhow::Result<Self> {
        let Who {
            sockets,
            containers,
            kubernetes,
            command_lines,
        } = who;
        let mut processes = Processes::new(Arc::clone(&identities), cluster, containers.clone());
        tell_command_lines(&mut processes, &command_lines)?;
        let identify = identify(&watch, identities, known_links);
        let choice = InterfaceChoice::new(&config.interfaces, &config.exclude)?;
        let loaded = Loaded::new(&settings(config, &command_lines, policy))?;
        let zones = config
            .zones
            .iter()
            .map(|(glob, zone)| Ok((globset::Glob::new(glob)?.compile_matcher(), *zone)))
            .collect::<Result<_, globset::Error>>()
            .context("datapath.zone")?;
        let (timeouts, force_clsact) = (timeouts(config), config.force_clsact);
        let groups = processes.groups();
        let (mut datapath, reader, sweeper, holders) =
            Datapath::start(loaded, choice, zones, timeouts, force_clsact, watch).await?;
        let counters = datapath.counters();
        let (volumes, objects) = (datapath.volumes(), datapath.objects());
        let (tuner, report) = (datapath.tuner(), datapath.report());
        let losses = datapath.losses();
        let (slots, predecessors) = (datapath.slots(), datapath.predecessors());
        let enforceable = datapath.take_rules();
        let enforceable = enforceable.map(|tables| Enforceable { tables, slots });
        let firewall = Firewall::default();
        let cgroups = cgroups::follow(groups.clone(), kubernetes.clone(), Arc::clone(&pipeline));
        let services = Services::new(containers.clone(), firewall.clone(), kubernetes);
        let (reasons, vlans) = (datapath.drop_reasons(), datapath.vlans());
        lock(&pipeline).know(reasons, vlans, processes, services);
        // Names are of processes alone.
        let sockets = if config.processes {
            sockets
        } else {
            Vec::new()
        };
        let engines = tokio::spawn(containers::follow(sockets, containers));
        let firewall = tokio::spawn(firewall.follow());
        let cgroups = tokio::spawn(cgroups);
        let stop = watch::Sender::new(false);
        let follow = tokio::spawn(datapath.follow(stop.subscribe()));
        let stoppers = [reader.stopper(), sweeper.stopper()];
        let reader = Worker::start("datapath-reader", move || {
            reader.run(|batch: &Batch| lock(&pipeline).observe(batch));
        })
        .context("starting the reader's thread")?;
        let sweeper = Worker::start("datapath-sweep", move || sweeper.run())
            .context("starting the sweeper's thread")?;
        Ok(Self {
            holders: holders.map(look_at).transpose()?,
            enforceable,
            groups,
            predecessors,
            counters,
            volumes,
            objects,
            report,
            tuner,
            active_interval: active_interval(config),
            losses,
            stoppers,
            reader,
            sweeper,
            stop,
            follow,
            identify,
            engines,
            firewall,
            cgroups,
        })
    }

    /// What policies are enforced by; once.
    pub(super) fn take_enforceable(&mut self) -> Option<Enforceable> {
        self.enforceable.take()
    }

    /// Units and containers by their cgroups.
    pub(super) fn groups(&self) -> Groups {
        self.groups.clone()
    }

    /// What daemons before may still have in force.
    pub(super) fn predecessors(&self) -> Predecessors {
        self.predecessors.clone()
    }

    /// For the ledger.
    pub(super) fn sources(&self) -> (Counters, Volumes) {
        (self.counters.clone(), self.volumes.clone())
    }

    /// For the status.
    pub(super) fn parts(&self) -> DatapathParts {
        DatapathParts {
            counters: self.counters.clone(),
            volumes: self.volumes.clone(),
            losses: self.losses.clone(),
            objects: self.objects.clone(),
            report: self.report.clone(),
        }
    }

    /// For the overhead budget.
    pub(super) fn overhead(&self) -> overhead::Datapath {
        overhead::Datapath {
            objects: self.objects.clone(),
            counters: self.counters.clone(),
            tuner: self.tuner.clone(),
            active_interval: self.active_interval,
        }
    }

    /// Waits until a part ends that was not told to, or panics; then packets are
    /// no longer seen, read or counted.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.reader.failed() => error,
            error = self.sweeper.failed() => error,
            error = failed(self.holders.as_mut()) => error,
            ended = &mut self.follow => match ended {
                Ok(Err(error)) => anyhow::Error::new(error),
                ended => unexpected("the task that follows interfaces", ended.err()),
            },
            ended = &mut self.identify => {
                unexpected("the task that tells addresses of this host", ended.err())
            }
            ended = &mut self.engines => {
                unexpected("the task that asks engines of containers", ended.err())
            }
            ended = &mut self.firewall => {
                unexpected("the task that reads the firewall's rules", ended.err())
            }
            ended = &mut self.cgroups => {
                unexpected("the task that looks which units are there", ended.err())
            }
        }
    }

    /// Detaches, reads what is left, ends.
    pub(super) async fn stop(self) {
        self.identify.abort();
        self.engines.abort();
        self.firewall.abort();
        self.cgroups.abort();
        self.stop.send_replace(true);
        // One that failed is not to be asked again.
        if !self.follow.is_finished() {
            let _ = self.follow.await;
        }
        // The reader last: it hands on what the last sweep finds.
        let [reader, sweeper] = self.stoppers;
        if let Some((stopper, worker)) = self.holders {
            stopper.stop();
            worker.join().await;
        }
        sweeper.stop();
        self.sweeper.join().await;
        reader.stop();
        self.reader.join().await;
    }
}

fn tell_command_lines(
    processes: &mut Processes,
    config: &config::CommandLines,
) -> anyhow::Result<()> {
    if !config.enabled {
        return Ok(());
    }
    let lines = CommandLines::new(&config.redact).context("command_lines.redact")?;
    processes
        .tell_command_lines(lines)
        .context("starting the thread for command lines")
}

fn timeouts(config: &config::Datapath) -> Timeouts {
    Timeouts {
        tcp: config.tcp_idle,
        tcp_opening: config.tcp_opening,
        tcp_closed: config.tcp_closed,
        other: config.other_idle,
    }
}

/// Begins to look who holds sockets.
fn look_at(holders: Holders) -> anyhow::Result<(Stopper, Worker)> {
    let stopper = holders.stopper();
    let worker = Worker::start("datapath-who", move || holders.run())
        .context("starting the thread that looks who holds sockets")?;
    Ok((stopper, worker))
}

/// Of a worker that there need not be.
async fn failed(worker: Option<&mut (Stopper, Worker)>) -> anyhow::Error {
    match worker {
        Some((_, worker)) => worker.failed().await,
        None => std::future::pending().await,
    }
}

/// Keeps interfaces and host addresses current for who makes flows, from before
/// the first packet on.
fn identify(
    watch: &LinkWatch,
    identities: Arc<Identities>,
    known_links: Arc<ArcSwap<Links>>,
) -> JoinHandle<()> {
    let mut links = watch.subscribe();
    let kept = Arc::clone(&identities);
    let refresh = move |links: &mut watch::Receiver<Links>| {
        known_links.store(Arc::new(links.borrow_and_update().clone()));
        identities.refresh();
    };
    refresh(&mut links);
    tokio::spawn(async move {
        let mut saves = tokio::time::interval(SAVE);
        loop {
            tokio::select! {
                changed = links.changed() => match changed {
                    Ok(()) => refresh(&mut links),
                    Err(_) => return,
                },
                // To disk: the runtime goes on meanwhile.
                _ = saves.tick() => tokio::task::block_in_place(|| kept.save()),
            }
        }
    })
}

/// Between two times that identities of what was found are kept.
const SAVE: Duration = Duration::from_secs(5);

/// Zero raises an event for each packet.
fn active_interval(config: &config::Datapath) -> Duration {
    if config.aggregation {
        config.active_interval
    } else {
        Duration::ZERO
    }
}

fn settings(
    config: &config::Datapath,
    lines: &config::CommandLines,
    policy: &config::Policy,
) -> Settings {
    Settings {
        flows4: config.flows_ipv4,
        flows6: config.flows_ipv6,
        flows_dropped: config.flows_dropped,
        observed_ring_bytes: config.observed_ring_bytes,
        denied_ring_bytes: config.denied_ring_bytes,
        payload_ring_bytes: config.payload_ring_bytes,
        payload_rate: config.payload_bytes_per_second,
        active_interval_ns: active_interval(config).as_nanos() as u64,
        drops: config.drops,
        several_namespaces: !config.namespaces.is_empty(),
        // The loopback of each namespace is in a zone of its own, and so are VLAN interfaces.
        several_zones: !config.zones.is_empty()
            || !config.namespaces.is_empty()
            || config.vlan_in_key,
        vlan_in_key: config.vlan_in_key,
        who: config.processes,
        command_lines: lines.enabled,
        rooms: memory::rooms(policy),
        pins: policy.pins.clone(),
        keeps: policy.on_exit == OnExit::Keep,
        ends_denied: policy.on_deny == OnDeny::Destroy,
        verifies_at_once: memory::is_plenty(config, policy, memory::limit()),
        denies_unknown: policy.unknown == Unknown::Deny,
        deny_error: match policy.deny_error {
            DenyError::Silent => deny_error::SILENT,
            DenyError::Eperm => deny_error::EPERM,
            DenyError::Refused => deny_error::REFUSED,
        },
    }
}
