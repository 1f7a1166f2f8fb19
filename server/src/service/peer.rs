//! `peer.Peer`: announces this node and its peers to relays, and stays open.

mod dial;
mod nodes;

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use sextant_proto::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, Tls,
    peer_server::{Peer, PeerServer},
};
use tonic::{Request, Response, Status};

use super::limits::{Limits, shutting_down};

pub use nodes::{NodeDirectory, PeerNode};

/// The service.
#[derive(Clone, Debug)]
pub struct PeerService {
    nodes: NodeDirectory,
    limits: Limits,
}

impl PeerService {
    /// Announces these nodes.
    #[must_use]
    pub fn new(nodes: NodeDirectory, limits: Limits) -> Self {
        Self { nodes, limits }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self) -> PeerServer<Self> {
        PeerServer::new(self)
    }
}

fn added(node: &PeerNode) -> ChangeNotification {
    ChangeNotification {
        name: node.name.clone(),
        address: node.address.clone(),
        r#type: ChangeNotificationType::PeerAdded.into(),
        tls: node
            .tls_server_name
            .clone()
            .map(|server_name| Tls { server_name }),
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let nodes: Vec<_> = self.nodes.all().map(|node| Ok(added(node))).collect();
        let mut limits = self.limits.clone();
        // Relay takes the end of this stream for a failure: it ends only with
        // the server.
        let end = stream::once(async move {
            limits.drained().await;
            Err(shutting_down())
        });
        Ok(Response::new(Box::pin(stream::iter(nodes).chain(end))))
    }
}
