//! What one relay was told of nodes, and what it is to be told next.

use std::collections::{BTreeMap, VecDeque};

use sextant_proto::peer::{ChangeNotification, ChangeNotificationType, Tls};
use tokio::sync::watch;

use super::PeerNode;

/// Nodes, as one relay knows them.
pub(super) struct Announced {
    /// This node and the peers of the configuration; this node first.
    fixed: Vec<PeerNode>,
    cluster: watch::Receiver<Vec<PeerNode>>,
    told: BTreeMap<String, PeerNode>,
    next: VecDeque<ChangeNotification>,
}

impl Announced {
    /// Nothing is told yet.
    pub(super) fn new(
        fixed: impl Iterator<Item = PeerNode>,
        mut cluster: watch::Receiver<Vec<PeerNode>>,
    ) -> Self {
        cluster.mark_changed();
        Self {
            fixed: fixed.collect(),
            cluster,
            told: BTreeMap::new(),
            next: VecDeque::new(),
        }
    }

    /// The next change; waits for one.
    pub(super) async fn next(&mut self) -> ChangeNotification {
        loop {
            if let Some(change) = self.next.pop_front() {
                return change;
            }
            if self.cluster.changed().await.is_err() {
                std::future::pending().await
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let cluster = self.cluster.borrow_and_update().clone();
        let mut now = BTreeMap::new();
        let mut order = Vec::new();
        for (number, node) in self.fixed.iter().enumerate() {
            // The cluster knows better where this node is.
            let better = cluster
                .iter()
                .find(|one| number == 0 && one.name == node.name);
            order.push(better.unwrap_or(node).clone());
        }
        order.extend(cluster);
        for node in order {
            if now.contains_key(&node.name) {
                continue;
            }
            let kind = match self.told.get(&node.name) {
                None => Some(ChangeNotificationType::PeerAdded),
                Some(told) if *told != node => Some(ChangeNotificationType::PeerUpdated),
                Some(_) => None,
            };
            self.next.extend(kind.map(|kind| change(&node, kind)));
            now.insert(node.name.clone(), node);
        }
        let gone = self
            .told
            .values()
            .filter(|node| !now.contains_key(&node.name));
        let gone = gone.map(|node| change(node, ChangeNotificationType::PeerDeleted));
        self.next.extend(gone);
        self.told = now;
    }
}

fn change(node: &PeerNode, kind: ChangeNotificationType) -> ChangeNotification {
    ChangeNotification {
        name: node.name.clone(),
        address: node.address.clone(),
        r#type: kind.into(),
        tls: node
            .tls_server_name
            .clone()
            .map(|server_name| Tls { server_name }),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn node(name: &str, address: &str) -> PeerNode {
        PeerNode {
            name: name.into(),
            address: address.into(),
            tls_server_name: None,
        }
    }

    #[test]
    fn a_relay_hears_of_nodes_that_come_move_and_go_once() {
        let (sender, cluster) = watch::channel(vec![]);
        let fixed = [node("own", "0.0.0.0:1"), node("peer", "10.0.0.9:1")];
        let mut announced = Announced::new(fixed.into_iter(), cluster);
        let mut told = || {
            let mut all = Vec::new();
            while let Some(change) = announced.next().now_or_never() {
                let kind = change.r#type().as_str_name().to_owned();
                all.push(format!("{kind} {} {}", change.name, change.address));
            }
            all
        };
        assert_eq!(
            told(),
            ["PEER_ADDED own 0.0.0.0:1", "PEER_ADDED peer 10.0.0.9:1"]
        );
        let with = |others: &[PeerNode]| {
            let mut all = vec![node("own", "10.0.0.1:1"), node("peer", "10.0.0.2:1")];
            all.extend_from_slice(others);
            sender.send_replace(all);
        };
        with(&[node("two", "10.0.0.3:1")]);
        assert_eq!(
            told(),
            ["PEER_UPDATED own 10.0.0.1:1", "PEER_ADDED two 10.0.0.3:1"]
        );
        with(&[node("two", "10.0.0.4:1")]);
        assert_eq!(told(), ["PEER_UPDATED two 10.0.0.4:1"]);
        with(&[]);
        assert_eq!(told(), ["PEER_DELETED two 10.0.0.4:1"]);
        assert!(told().is_empty());
    }
}
