//! The nodes that this server knows: itself and the configured peers. Their
//! state is asked when somebody wants to know it, never assumed.

use std::time::Duration;

use futures::future::join_all;
use sextant_proto::{
    observer::{self as api, observer_client::ObserverClient},
    relay::NodeState,
};
use tonic::transport::{Channel, Endpoint};

/// How long a peer may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// A node and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNode {
    /// `node` or `cluster/node`.
    pub name: String,
    /// `host:port` or `unix:///path`.
    pub address: String,
    /// Name to verify its certificate against; `None` is plaintext.
    pub tls_server_name: Option<String>,
}

/// This node and its peers.
#[derive(Clone, Debug)]
pub struct NodeDirectory {
    /// This node.
    pub own: PeerNode,
    /// The others.
    pub peers: Vec<PeerNode>,
}

impl NodeDirectory {
    /// This node first, then the others.
    pub fn all(&self) -> impl Iterator<Item = &PeerNode> {
        std::iter::once(&self.own).chain(&self.peers)
    }

    /// Every node with its state; `own` is this server's status.
    pub(in crate::service) async fn list(&self, own: &api::ServerStatusResponse) -> Vec<api::Node> {
        let mut nodes = vec![node(&self.own, NodeState::NodeConnected, Some(own))];
        nodes.extend(join_all(self.peers.iter().map(ask)).await);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }
}

/// Connects to a peer and asks for its status.
async fn ask(peer: &PeerNode) -> api::Node {
    let asked = tokio::time::timeout(ASK_TIMEOUT, async {
        let channel = connect(peer).await.map_err(|error| {
            tracing::debug!(peer = %peer.name, %error, "peer not reached");
            NodeState::NodeUnavailable
        })?;
        ObserverClient::new(channel)
            .server_status(api::ServerStatusRequest {})
            .await
            .map_err(|error| {
                tracing::debug!(peer = %peer.name, %error, "peer gave no status");
                NodeState::NodeError
            })
    });
    match asked.await {
        Ok(Ok(status)) => node(peer, NodeState::NodeConnected, Some(status.get_ref())),
        Ok(Err(state)) => node(peer, state, None),
        Err(_timeout) => node(peer, NodeState::NodeUnavailable, None),
    }
}

async fn connect(peer: &PeerNode) -> Result<Channel, tonic::transport::Error> {
    let uri = if peer.address.starts_with("unix:") {
        peer.address.clone()
    } else {
        format!("http://{}", peer.address)
    };
    Endpoint::from_shared(uri)?
        .connect_timeout(ASK_TIMEOUT)
        .timeout(ASK_TIMEOUT)
        .connect()
        .await
}

fn node(
    peer: &PeerNode,
    state: NodeState,
    status: Option<&api::ServerStatusResponse>,
) -> api::Node {
    api::Node {
        name: peer.name.clone(),
        version: status
            .map(|status| status.version.clone())
            .unwrap_or_default(),
        address: peer.address.clone(),
        state: state.into(),
        tls: Some(api::Tls {
            enabled: peer.tls_server_name.is_some(),
            server_name: peer.tls_server_name.clone().unwrap_or_default(),
        }),
        uptime_ns: status.map_or(0, |status| status.uptime_ns),
        num_flows: status.map_or(0, |status| status.num_flows),
        max_flows: status.map_or(0, |status| status.max_flows),
        seen_flows: status.map_or(0, |status| status.seen_flows),
    }
}
