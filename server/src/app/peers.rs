//! The other servers, and the files that it takes to reach them.

use std::collections::HashMap;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::{
    config::{self, Config},
    listener::Bound,
    service::{NodeDirectory, PeerNode},
    tls::Outgoing,
};

/// Peers with the same files share them.
pub(super) struct Peers {
    ways: HashMap<(config::Outgoing, bool), Outgoing>,
    /// Look at the files, as long as this is there.
    watched: JoinSet<()>,
}

impl Peers {
    /// Reads the files of all peers.
    pub(super) fn load(peers: &[config::Peer]) -> anyhow::Result<Self> {
        let mut all = Self {
            ways: HashMap::new(),
            watched: JoinSet::new(),
        };
        for peer in peers {
            let key = key(peer);
            if all.ways.contains_key(&key) {
                continue;
            }
            let way = Outgoing::of(&peer.outgoing, key.1);
            let way = way.with_context(|| format!("peer `{}`", peer.name))?;
            all.watched.spawn(way.clone().watch());
            all.ways.insert(key, way);
        }
        Ok(all)
    }

    /// Looks at the files now.
    pub(super) fn reload(&self) {
        self.ways.values().for_each(Outgoing::reload_and_tell);
    }

    /// This node at its first address, one with TLS before others, unless a peer of
    /// its name says otherwise; and the peers.
    pub(super) fn directory(&self, config: &Config, bound: &[Bound]) -> NodeDirectory {
        let name = config.full_node_name();
        let others = config.peers.iter();
        let others = others.filter(|peer| peer.name.to_lowercase() != name);
        let others = others.filter_map(|peer| {
            let way = self.ways.get(&key(peer))?;
            Some((node(peer), way.clone()))
        });
        NodeDirectory::new(self.own(config, bound), others)
    }

    /// This node.
    pub(super) fn own(&self, config: &Config, bound: &[Bound]) -> PeerNode {
        let name = config.full_node_name();
        let mut own = config.peers.iter();
        let own = own.find(|peer| peer.name.to_lowercase() == name);
        let listeners = config.server.all_listeners();
        let mut open = bound.iter().zip(&listeners);
        let secure = open.find(|(_, listener)| listener.tls.is_some());
        let address = secure.map(|(bound, _)| bound).or(bound.first());
        own.map_or_else(
            || PeerNode {
                name: name.clone(),
                address: address.map(Bound::to_string).unwrap_or_default(),
                tls_server_name: secure.map(|_| config.tls_server_name()),
            },
            node,
        )
    }
}

fn key(peer: &config::Peer) -> (config::Outgoing, bool) {
    (peer.outgoing.clone(), peer.tls_server_name.is_some())
}

fn node(peer: &config::Peer) -> PeerNode {
    PeerNode {
        name: peer.name.clone(),
        address: peer.address.clone(),
        tls_server_name: peer.tls_server_name.clone(),
    }
}
