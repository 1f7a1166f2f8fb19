//! The nodes that this server knows: itself and the configured peers. Their
//! state is asked when somebody wants to know it, never assumed.
//!
//! All callers share one question, and its answer for `FRESH`. Bound: `AT_ONCE`
//! connections, `ASK_ALL` in time; peers whose turn does not come by then count
//! as unavailable.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared},
    stream,
};
use sextant_proto::{
    observer::{self as api, observer_client::ObserverClient},
    relay::NodeState,
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

/// How long a peer may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all peers together may take.
const ASK_ALL: Duration = Duration::from_secs(4);
/// How long an answer holds, from the question on.
const FRESH: Duration = Duration::from_secs(5);
/// Peers that are asked at one time.
const AT_ONCE: usize = 32;

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

/// This node and its peers. Clones share what the peers said.
#[derive(Clone, Debug)]
pub struct NodeDirectory {
    own: PeerNode,
    peers: Arc<[PeerNode]>,
    asked: Arc<Mutex<Option<Question>>>,
}

/// A question to all peers, under way or answered.
#[derive(Clone, Debug)]
struct Question {
    asked: Instant,
    answer: Shared<BoxFuture<'static, Arc<[api::Node]>>>,
}

impl NodeDirectory {
    /// This node and the others.
    #[must_use]
    pub fn new(own: PeerNode, peers: impl IntoIterator<Item = PeerNode>) -> Self {
        Self {
            own,
            peers: peers.into_iter().collect(),
            asked: Arc::default(),
        }
    }

    /// This node first, then the others.
    pub fn all(&self) -> impl Iterator<Item = &PeerNode> {
        std::iter::once(&self.own).chain(&*self.peers)
    }

    /// Every node with its state; `own` is this server's status.
    pub(in crate::service) async fn list(&self, own: &api::ServerStatusResponse) -> Vec<api::Node> {
        let mut nodes = vec![node(&self.own, NodeState::NodeConnected, Some(own))];
        nodes.extend_from_slice(&self.question().await);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }

    /// The question that is under way or was answered lately, else a new one. It
    /// goes on as long as one caller waits for it.
    fn question(&self) -> Shared<BoxFuture<'static, Arc<[api::Node]>>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |question: &&Question| question.asked.elapsed() < FRESH;
        if let Some(question) = asked.as_ref().filter(is_fresh) {
            return question.answer.clone();
        }
        let answer = ask_all(Arc::clone(&self.peers)).boxed().shared();
        *asked = Some(Question {
            asked: Instant::now(),
            answer: answer.clone(),
        });
        answer
    }
}

async fn ask_all(peers: Arc<[PeerNode]>) -> Arc<[api::Node]> {
    let end = Instant::now() + ASK_ALL;
    let asked =
        stream::iter(peers.iter().cloned()).map(|peer| async move { ask(&peer, end).await });
    asked.buffered(AT_ONCE).collect::<Vec<_>>().await.into()
}

/// Connects to a peer and asks for its status, until `end` at most.
async fn ask(peer: &PeerNode, end: Instant) -> api::Node {
    let end = end.min(Instant::now() + ASK_TIMEOUT);
    let asked = tokio::time::timeout_at(end, async {
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
    Endpoint::from_shared(uri)?.connect().await
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn peer(address: String) -> PeerNode {
        PeerNode {
            name: address.clone(),
            address,
            tls_server_name: None,
        }
    }

    #[tokio::test]
    async fn many_callers_are_one_connection_to_a_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let nodes = NodeDirectory::new(peer("own".into()), [peer(address)]);
        let accepting = tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                connections.push(listener.accept().await.unwrap().0);
                assert_eq!(connections.len(), 1);
            }
        });
        let status = api::ServerStatusResponse::default();
        // Callers that leave do not make another question of the next one.
        for _ in 0..50 {
            let left = tokio::time::timeout(Duration::from_millis(1), nodes.list(&status));
            assert!(left.await.is_err());
        }
        let calls = (0..200).map(|_| nodes.list(&status));
        let begin = Instant::now();
        for answer in futures::future::join_all(calls).await {
            let states: Vec<_> = answer.iter().map(api::Node::state).collect();
            assert_eq!(states.len(), 2);
            assert!(states.contains(&NodeState::NodeUnavailable));
        }
        assert!(begin.elapsed() < ASK_ALL);
        assert!(!accepting.is_finished());
    }
}
