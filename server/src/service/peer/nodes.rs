//! The nodes that this server knows: itself and the configured peers. Their
//! state is asked when somebody wants to know it, never assumed.
//!
//! All callers share one question, and its answer for `FRESH`. Bound: `AT_ONCE`
//! connections, `ASK_ALL` in time; peers whose turn does not come by then count
//! as unavailable. Why a peer has no state is logged when it is another reason
//! than before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared},
    stream,
};
use sextant_flows::printable::printable;
use sextant_proto::{
    observer::{self as api, observer_client::ObserverClient},
    relay::NodeState,
};
use tokio::time::Instant;

use super::dial::dial;
use crate::tls::{Outgoing, cause};

/// How long a peer may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all peers together may take.
const ASK_ALL: Duration = Duration::from_secs(4);
/// How long an answer holds, from the question on.
const FRESH: Duration = Duration::from_secs(5);
/// Characters of a text that another server says.
const MAX_TEXT: usize = 256;
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

impl PeerNode {
    /// The port of its address, if that has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        if self.address.starts_with("unix:") {
            return None;
        }
        let (_, port) = self.address.rsplit_once(':')?;
        port.parse().ok()
    }
}

/// Another node, and the way there.
#[derive(Debug)]
struct Peer {
    node: PeerNode,
    way: Outgoing,
    /// Why it had no state when it was asked last.
    trouble: Mutex<Option<String>>,
}

/// This node and its peers. Clones share what the peers said.
#[derive(Clone, Debug)]
pub struct NodeDirectory {
    own: PeerNode,
    peers: Arc<[Peer]>,
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
    pub fn new(own: PeerNode, peers: impl IntoIterator<Item = (PeerNode, Outgoing)>) -> Self {
        let peers = peers.into_iter().map(|(node, way)| Peer {
            node,
            way,
            trouble: Mutex::default(),
        });
        Self {
            own,
            peers: peers.collect(),
            asked: Arc::default(),
        }
    }

    /// This node first, then the others.
    pub fn all(&self) -> impl Iterator<Item = &PeerNode> {
        let peers = self.peers.iter().map(|peer| &peer.node);
        std::iter::once(&self.own).chain(peers)
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

async fn ask_all(peers: Arc<[Peer]>) -> Arc<[api::Node]> {
    let end = Instant::now() + ASK_ALL;
    let asked = stream::iter(0..peers.len()).map(|index| {
        let peers = Arc::clone(&peers);
        async move { peers[index].ask(end).await }
    });
    asked.buffered(AT_ONCE).collect::<Vec<_>>().await.into()
}

impl Peer {
    /// Connects to it and asks for its status, until `end` at most.
    async fn ask(&self, end: Instant) -> api::Node {
        let end = end.min(Instant::now() + ASK_TIMEOUT);
        let asked = tokio::time::timeout_at(end, self.status()).await;
        let late = || {
            let seconds = ASK_TIMEOUT.as_secs();
            Err((
                NodeState::NodeUnavailable,
                format!("no answer within {seconds} s"),
            ))
        };
        match asked.unwrap_or_else(|_timeout| late()) {
            Ok(status) => {
                self.tell(None);
                node(&self.node, NodeState::NodeConnected, Some(&status))
            }
            Err((state, cause)) => {
                self.tell(Some(cause));
                node(&self.node, state, None)
            }
        }
    }

    async fn status(&self) -> Result<api::ServerStatusResponse, (NodeState, String)> {
        let channel = dial(
            &self.node.address,
            self.node.tls_server_name.as_deref(),
            &self.way.current(),
        )
        .await;
        let channel = channel.map_err(|error| (NodeState::NodeUnavailable, cause(&error)))?;
        let status = ObserverClient::new(channel)
            .server_status(api::ServerStatusRequest {})
            .await;
        let refused = |status: tonic::Status| match std::error::Error::source(&status) {
            Some(error) => cause(error),
            None => format!("{:?}: {}", status.code(), status.message()),
        };
        status
            .map(tonic::Response::into_inner)
            .map_err(|status| (NodeState::NodeError, refused(status)))
    }

    /// Logs what is new.
    fn tell(&self, trouble: Option<String>) {
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == trouble {
            return;
        }
        let (peer, address) = (&self.node.name, &self.node.address);
        match &trouble {
            Some(cause) => tracing::warn!(%peer, %address, "peer gives no status: {cause}"),
            None => tracing::info!(%peer, %address, "peer gives its status again"),
        }
        *last = trouble;
    }
}

/// What another server says of itself, which may be anything.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(MAX_TEXT).collect();
    printable(&text).into_owned()
}

fn node(
    peer: &PeerNode,
    state: NodeState,
    status: Option<&api::ServerStatusResponse>,
) -> api::Node {
    api::Node {
        name: peer.name.clone(),
        version: status
            .map(|status| shown(&status.version))
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
    use crate::config;

    fn own() -> PeerNode {
        PeerNode {
            name: "own".into(),
            address: "own".into(),
            tls_server_name: None,
        }
    }

    fn peer(address: String) -> (PeerNode, Outgoing) {
        let node = PeerNode {
            name: address.clone(),
            address,
            tls_server_name: None,
        };
        (
            node,
            Outgoing::of(&config::Outgoing::default(), false).unwrap(),
        )
    }

    #[tokio::test]
    async fn many_callers_are_one_connection_to_a_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let nodes = NodeDirectory::new(own(), [peer(address)]);
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
