//! `sextant.status.v1.StatusService`: the daemon's state in one message.
//!
//! Thin: the numbers are those of the store, the ledger and the overhead; they
//! are put into messages here. A stream sends the state again and again; one
//! that is not read costs a timer, and all of them together one state each
//! 100 ms.

mod messages;
mod problems;
mod spools;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use sextant_proto::sextant::status::v1 as api;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};

use super::{About, Limits, limits::shutting_down};
use crate::{
    audit,
    datapath::{Counters, Losses, Objects, Report, Volumes},
    export::Exporters,
    ledger::Sources,
    listener::Caller,
    overhead::Overhead,
    policy::policies::Policies,
    store::{Event, Read},
};

use messages::{duration, time};

/// Between two states of a stream, unless asked otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// At least.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// What the datapath adds to the state.
#[derive(Clone)]
pub struct DatapathParts {
    /// Interfaces and causes.
    pub counters: Counters,
    /// Tables.
    pub volumes: Volumes,
    /// What was lost of late.
    pub losses: Losses,
    /// Programs and maps.
    pub objects: Objects,
    /// What the kernel can do, and what was chosen.
    pub report: Report,
}

/// The service; clones share everything.
#[derive(Clone)]
pub struct DaemonStatusService(Arc<Parts>);

struct Parts {
    about: About,
    sources: Sources,
    overhead: Overhead,
    datapath: Option<DatapathParts>,
    limits: Limits,
    policies: Policies,
    exporters: Exporters,
    audit: audit::Log,
    /// The state that streams were last told, and since when it is known.
    streamed: Mutex<Option<(Instant, api::Status)>>,
}

type States = Pin<Box<dyn Stream<Item = Result<api::WatchStatusResponse, Status>> + Send>>;

impl DaemonStatusService {
    /// A service that tells of these.
    #[must_use]
    pub fn new(
        about: About,
        sources: Sources,
        overhead: Overhead,
        datapath: Option<DatapathParts>,
        limits: Limits,
        (policies, exporters, audit): (Policies, Exporters, audit::Log),
    ) -> Self {
        Self(Arc::new(Parts {
            about,
            sources,
            overhead,
            datapath,
            limits,
            policies,
            exporters,
            audit,
            streamed: Mutex::default(),
        }))
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self) -> api::status_service_server::StatusServiceServer<Self> {
        api::status_service_server::StatusServiceServer::new(self)
    }
}

impl Parts {
    fn state(&self) -> api::Status {
        let datapath = self.datapath.as_ref();
        let mut problems = datapath.map_or_else(Vec::new, problems::of);
        problems.extend(problems::of_policies(&self.policies));
        let exporters = self.exporters.states();
        problems.extend(exporters.iter().filter_map(problems::of_exporter));
        problems.extend(exporters.iter().filter_map(spools::unused));
        problems.extend(problems::of_audit(&self.audit));
        let ledger = self.sources.take();
        api::Status {
            state: problems::state(&problems).into(),
            problems,
            time: Some(std::time::SystemTime::now().into()),
            node_name: self.about.node_name.clone(),
            version: self.about.version.clone(),
            uptime: Some(duration(self.about.started.elapsed())),
            store: Some(self.store()),
            kernel: datapath.map(|parts| messages::kernel(&parts.report)),
            attachments: datapath.map_or_else(Vec::new, |parts| {
                let interfaces = parts.counters.interfaces();
                interfaces.into_iter().map(messages::attachment).collect()
            }),
            unobserved: datapath.map_or_else(Vec::new, |parts| {
                let interfaces = parts.counters.unobserved();
                interfaces.into_iter().map(messages::unobserved).collect()
            }),
            tables: datapath.map_or_else(Vec::new, |parts| messages::tables(&parts.volumes)),
            dns: datapath.map(|_| messages::dns(&ledger.payloads)),
            processes: datapath.map(|_| messages::processes(&self.sources.processes)),
            container_engines: {
                let engines = self.sources.containers.engines().into_iter();
                engines.map(messages::engine).collect()
            },
            kubernetes: {
                let kinds = self.sources.kubernetes.kinds().into_iter();
                kinds.map(messages::kubernetes).collect()
            },
            ledger: Some(messages::ledger(ledger)),
            cost: Some(messages::cost(
                self.overhead.load(),
                datapath.map(|parts| &parts.objects),
                datapath.map(|parts| Duration::from_nanos(parts.volumes.reader().sweep_ns)),
            )),
            budget: Some(messages::budget(
                self.overhead.budget(),
                self.overhead.load(),
            )),
            streams: Some(self.streams()),
            exporters: exporters.into_iter().map(messages::exporter).collect(),
        }
    }

    /// The state as streams tell it: asked for once, however many there are.
    fn streamed(&self) -> api::Status {
        let mut streamed = self.streamed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*streamed {
            Some((at, state)) if at.elapsed() < SHORTEST_INTERVAL => state.clone(),
            _ => {
                let state = self.state();
                *streamed = Some((Instant::now(), state.clone()));
                state
            }
        }
    }

    fn store(&self) -> api::Store {
        let ring = &self.sources.ring;
        let oldest = match ring.cursor_at(ring.oldest_seq()).next(Event::time) {
            Read::Event(time) => time,
            Read::Lost(_) | Read::Empty => None,
        };
        api::Store {
            events: ring.len(),
            capacity: ring.capacity(),
            seen_flows: ring.seen_flows(),
            flows_per_second: ring.flows_per_second(),
            oldest: oldest.map(time),
            bytes: ring.bytes() + self.sources.stored.values().shared_bytes,
            byte_capacity: ring.byte_capacity(),
        }
    }

    fn streams(&self) -> api::Streams {
        let used = self.limits.used();
        let refused = self.limits.refused();
        api::Streams {
            open: used.streams.0 as u32,
            limit: used.streams.1 as u32,
            calls: used.calls.0 as u32,
            call_limit: used.calls.1 as u32,
            pending_bytes: used.bytes.0 as u64,
            pending_byte_limit: used.bytes.1 as u64,
            refused: refused
                .map(|(cause, calls)| api::RefusedCalls {
                    cause: cause.into(),
                    calls,
                })
                .collect(),
        }
    }
}

/// A stream of states.
struct Watch {
    parts: Arc<Parts>,
    limits: Limits,
    ticks: Interval,
}

impl Watch {
    async fn next(&mut self) -> Result<api::WatchStatusResponse, Status> {
        tokio::select! {
            _ = self.ticks.tick() => Ok(api::WatchStatusResponse {
                status: Some(self.parts.streamed()),
            }),
            () = self.limits.drained() => Err(shutting_down()),
        }
    }
}

#[tonic::async_trait]
impl api::status_service_server::StatusService for DaemonStatusService {
    type WatchStatusStream = States;

    async fn get_status(
        &self,
        request: Request<api::GetStatusRequest>,
    ) -> Result<Response<api::GetStatusResponse>, Status> {
        let _turn = self
            .0
            .limits
            .short_turn(&Caller::of(request.extensions()))
            .await;
        let status = Some(self.0.state());
        Ok(Response::new(api::GetStatusResponse { status }))
    }

    async fn watch_status(
        &self,
        request: Request<api::WatchStatusRequest>,
    ) -> Result<Response<States>, Status> {
        let wanted = request.into_inner().interval;
        let mut ticks = interval(messages::interval(
            wanted,
            DEFAULT_INTERVAL,
            SHORTEST_INTERVAL,
        )?);
        // A client that was slow gets one state, not all that it missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch {
            parts: Arc::clone(&self.0),
            limits: self.0.limits.clone(),
            ticks,
        };
        let states = stream::unfold(Some(watch), |watch| async move {
            let mut watch = watch?;
            let next = watch.next().await;
            let go_on = next.is_ok().then_some(watch);
            Some((next, go_on))
        });
        Ok(Response::new(Box::pin(states)))
    }
}
