//! `observer.Observer`: flows, events, nodes, namespaces, status.

mod event_stream;
mod flow_stream;
mod get_flows;
mod query;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use sextant_proto::observer as api;
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::{
    access::view_of,
    beside::beside,
    error::RequestError,
    generated::observer_server::Observer,
    limits::Limits,
    peer::NodeDirectory,
    stream::{runs::Runs, scan::scan},
};
use crate::{
    filter::{Filters, are_dear},
    listener::Caller,
    pipeline::Namespaces,
    selection::{Selection, View},
    store::{Deliveries, Ring},
};

use event_stream::{EventQuery, EventStream, Kind};
use flow_stream::{Common, FlowStream};
use query::Query;

pub use get_flows::ObserverRoutes;
pub use wire::put_flow;

/// Response header that names the server's version.
const VERSION_HEADER: &str = "hubble-server-version";

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// `node` or `cluster/node`.
    pub node_name: String,
    /// Semantic version.
    pub version: String,
    /// Send the version as a header.
    pub version_header: bool,
    /// When the server started.
    pub started: Instant,
    /// A lost-events message at most this often for each stream.
    pub lost_event_interval: Duration,
}

/// The service; clones share everything.
#[derive(Clone)]
pub struct ObserverService {
    about: Arc<About>,
    ring: Ring,
    namespaces: Namespaces,
    nodes: Arc<NodeDirectory>,
    limits: Limits,
    deliveries: Deliveries,
    runs: Runs,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl ObserverService {
    /// A service over the events of `ring`.
    #[must_use]
    pub fn new(
        about: About,
        ring: Ring,
        namespaces: Namespaces,
        nodes: NodeDirectory,
        limits: Limits,
    ) -> Self {
        Self {
            about: Arc::new(about),
            ring,
            namespaces,
            nodes: Arc::new(nodes),
            limits,
            deliveries: Deliveries::default(),
            runs: Runs::default(),
        }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self, max_request_bytes: usize) -> ObserverRoutes {
        ObserverRoutes::new(self, max_request_bytes)
    }

    /// What the streams of GetFlows did.
    #[must_use]
    pub fn deliveries(&self) -> Deliveries {
        self.deliveries.clone()
    }

    /// Begins a stream of GetFlows.
    async fn flows(
        &self,
        request: api::GetFlowsRequest,
        view: &View,
        caller: &Caller,
    ) -> Result<FlowStream, Status> {
        let common = Common {
            limits: self.limits.clone(),
            lost_interval: self.about.lost_event_interval,
            node_name: self.about.node_name.clone(),
            deliveries: self.deliveries.clone(),
            runs: self.runs.clone(),
        };
        let mut query = match are_dear(&request.whitelist, &request.blacklist) {
            false => Query::compile(request, view)?,
            true => {
                let (turn, view) = (self.limits.short_turn(caller).await, view.clone());
                beside(move || {
                    let query = Query::compile(request, &view);
                    drop(turn);
                    query.map_err(Status::from)
                })
                .await?
            }
        };
        query.kept = self.limits.keep(caller, query.selection.weight())?;
        FlowStream::start(query, &self.ring, common).await
    }

    /// Adds the header that names the server's version, if it is wanted.
    fn add_version(&self, headers: &mut http::HeaderMap) {
        if self.about.version_header
            && let Ok(version) = http::HeaderValue::try_from(self.about.version.as_str())
        {
            headers.insert(VERSION_HEADER, version);
        }
    }

    /// State of this server, as ServerStatus gives it.
    fn own_status(&self) -> api::ServerStatusResponse {
        api::ServerStatusResponse {
            num_flows: self.ring.len(),
            max_flows: self.ring.capacity(),
            seen_flows: self.ring.seen_flows(),
            uptime_ns: self.about.started.elapsed().as_nanos() as u64,
            num_connected_nodes: None,
            num_unavailable_nodes: None,
            unavailable_nodes: Vec::new(),
            version: format!("sextantd v{}", self.about.version),
            flows_rate: self.flows_rate(),
        }
    }

    /// Clients that are told 0 divide all flows by the uptime, which is absurd
    /// after a replay: they are told the least number above it.
    fn flows_rate(&self) -> f64 {
        let rate = self.ring.flows_per_second();
        match rate == 0.0 && self.ring.seen_flows() > 0 {
            true => f64::from_bits(1),
            false => rate,
        }
    }

    fn respond<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        if self.about.version_header
            && let Ok(version) = MetadataValue::try_from(self.about.version.as_str())
        {
            response.metadata_mut().insert(VERSION_HEADER, version);
        }
        response
    }

    async fn events<T: Kind + Send + 'static>(
        &self,
        query: EventQuery,
    ) -> Result<Response<Responses<T>>, Status> {
        let events = EventStream::start::<T>(&query, &self.ring, self.limits.clone()).await?;
        let responses = stream::unfold(events, |mut events| async move {
            events.next::<T>().await.map(|response| (response, events))
        });
        Ok(self.respond(Box::pin(responses)))
    }
}

/// The namespaces of the stored flows that are in view.
async fn namespaces_in_view(view: &View, ring: &Ring) -> Result<HashSet<String>, RequestError> {
    let mut selection = Selection::new(view, Filters::default())?;
    let mut names = HashSet::new();
    scan(ring, &mut selection, |flow| {
        for side in flow.source.iter().chain(&flow.destination) {
            if !names.contains(&side.namespace) {
                names.insert(side.namespace.clone());
            }
        }
    })
    .await?;
    Ok(names)
}

#[tonic::async_trait]
impl Observer for ObserverService {
    type GetAgentEventsStream = Responses<api::GetAgentEventsResponse>;
    type GetDebugEventsStream = Responses<api::GetDebugEventsResponse>;

    async fn get_agent_events(
        &self,
        request: Request<api::GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        let request = request.into_inner();
        self.events(EventQuery {
            number: request.number,
            first: request.first,
            follow: request.follow,
            since: request.since,
            until: request.until,
        })
        .await
    }

    async fn get_debug_events(
        &self,
        request: Request<api::GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        let request = request.into_inner();
        self.events(EventQuery {
            number: request.number,
            first: request.first,
            follow: request.follow,
            since: request.since,
            until: request.until,
        })
        .await
    }

    async fn get_nodes(
        &self,
        _request: Request<api::GetNodesRequest>,
    ) -> Result<Response<api::GetNodesResponse>, Status> {
        // Clients divide by the uptime, in which replayed flows did not come.
        let status = api::ServerStatusResponse {
            seen_flows: self.ring.arrived_flows(),
            ..self.own_status()
        };
        let nodes = self.nodes.list(&status).await;
        Ok(self.respond(api::GetNodesResponse { nodes }))
    }

    async fn get_namespaces(
        &self,
        request: Request<api::GetNamespacesRequest>,
    ) -> Result<Response<api::GetNamespacesResponse>, Status> {
        let view = view_of(request.extensions());
        let mut namespaces = self.namespaces.list();
        if !view.is_whole() {
            let _turn = self.limits.turn(&Caller::of(request.extensions())).await;
            let in_view = namespaces_in_view(&view, &self.ring).await?;
            namespaces.retain(|(_, namespace)| in_view.contains(namespace));
        }
        let namespaces = namespaces
            .into_iter()
            .map(|(cluster, namespace)| api::Namespace { cluster, namespace })
            .collect();
        Ok(self.respond(api::GetNamespacesResponse { namespaces }))
    }

    async fn server_status(
        &self,
        _request: Request<api::ServerStatusRequest>,
    ) -> Result<Response<api::ServerStatusResponse>, Status> {
        Ok(self.respond(self.own_status()))
    }
}
