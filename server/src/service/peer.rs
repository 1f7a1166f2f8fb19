//! `peer.Peer`: announces this node and its peers to relays, and stays open.
//!
//! Peers of the configuration stay; nodes of a cluster come and go, and are told when
//! they do. Bound: what is not told yet of those, each once.

mod announced;
mod dial;
mod nodes;

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use sextant_proto::peer::{
    ChangeNotification, NotifyRequest,
    peer_server::{Peer, PeerServer},
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::limits::{Limits, shutting_down};

use announced::Announced;
pub use nodes::{NodeDirectory, PeerNode};

/// The service.
#[derive(Clone, Debug)]
pub struct PeerService {
    nodes: NodeDirectory,
    cluster: watch::Receiver<Vec<PeerNode>>,
    limits: Limits,
}

impl PeerService {
    /// Announces these nodes, and those of a cluster as they come and go.
    #[must_use]
    pub fn new(
        nodes: NodeDirectory,
        cluster: watch::Receiver<Vec<PeerNode>>,
        limits: Limits,
    ) -> Self {
        Self {
            nodes,
            cluster,
            limits,
        }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self) -> PeerServer<Self> {
        PeerServer::new(self)
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let announced = Announced::new(self.nodes.all().cloned(), self.cluster.clone());
        let changes = stream::unfold(announced, |mut announced| async {
            let change = announced.next().await;
            Some((Ok(change), announced))
        });
        let mut limits = self.limits.clone();
        // Relay takes the end of this stream for a failure: it ends only with
        // the server.
        let end = async move { limits.drained().await };
        let changes = changes.take_until(end);
        let end = stream::once(async { Err(shutting_down()) });
        Ok(Response::new(Box::pin(changes.chain(end))))
    }
}
