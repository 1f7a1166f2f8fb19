//! The least policy that allows what endpoints were seen to do: for their selector, and
//! by the flows that were let through.
//!
//! Bound: `MAX_PEERS` peers with their ports in each direction; what finds no room is
//! counted, and then the policy allows less than was seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde_json::{Value, json};
use sextant_flows::flow::Flow;

use crate::{
    document::is_value,
    endpoint::Endpoint,
    label::{ANY, Label, Labels, NAMESPACE, RESERVED},
    policy::Direction,
    ports::{NAMED, name_of, protocol},
    selector::Selector,
    traffic::{Fate, Party, Traffic},
};

/// Peers of a direction.
pub const MAX_PEERS: usize = 1000;
/// Ports of a list, as the format has it.
const MAX_PORTS: usize = 40;
/// Labels that tell an application, the best first.
const TELLING: [&str; 8] = [
    "app.kubernetes.io/name",
    "app",
    "k8s-app",
    "compose.service",
    "name",
    "container",
    "unit",
    "pod",
];

/// What was seen of some endpoints.
#[derive(Debug)]
pub struct Suggestion {
    selector: Selector,
    ingress: Seen,
    egress: Seen,
    counts: Counts,
}

/// How many flows there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those of the endpoints that were let through.
    pub allowed: u64,
    /// Those that are not allowed: they found no room, or their peer has nothing that
    /// tells it from others.
    pub left_out: u64,
}

/// Peers, and what was spoken with them.
#[derive(Debug, Default)]
struct Seen(BTreeMap<PeerSeen, BTreeSet<(u8, u16)>>);

/// Somebody at the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PeerSeen {
    /// An endpoint by namespace and label.
    Endpoint(String, Label),
    /// An entity of that name.
    Entity(String),
    /// Somebody outside.
    Outside(IpAddr),
}

impl Suggestion {
    /// For endpoints that a selector selects.
    #[must_use]
    pub fn new(selector: Selector) -> Self {
        Self {
            selector,
            ingress: Seen::default(),
            egress: Seen::default(),
            counts: Counts::default(),
        }
    }

    /// Looks at a flow.
    pub fn see(&mut self, flow: &Flow) {
        self.see_as(flow, |party| party);
    }

    /// Looks at a flow of whose ends more is known than it tells.
    pub fn see_as(&mut self, flow: &Flow, known: impl Fn(Party) -> Party) {
        let Ok(traffic) = Traffic::of(flow).and_then(|traffic| traffic.known_as(known)) else {
            return;
        };
        if traffic.fate != Fate::Forwarded {
            return;
        }
        let (client, server) = (&traffic.client.endpoint, &traffic.server.endpoint);
        for (direction, subject, peer) in [
            (Direction::Egress, client, server),
            (Direction::Ingress, server, client),
        ] {
            if subject.is_elsewhere() || !self.selector.matches(&subject.labels) {
                continue;
            }
            let seen = match direction {
                Direction::Ingress => &mut self.ingress,
                Direction::Egress => &mut self.egress,
            };
            match peer_seen(peer).is_some_and(|peer| seen.add(peer, traffic.protocol, traffic.port))
            {
                true => self.counts.allowed += 1,
                false => self.counts.left_out += 1,
            }
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The policy, as a document with this `endpointSelector` in this namespace. A
    /// direction in which nothing was seen denies everything.
    #[must_use]
    pub fn document(&self, name: &str, namespace: &str, endpoint_selector: &Value) -> Value {
        json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNetworkPolicy",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "endpointSelector": endpoint_selector,
                "ingress": self.ingress.rules("from"),
                "egress": self.egress.rules("to"),
            },
        })
    }
}

fn peer_seen(peer: &Endpoint) -> Option<PeerSeen> {
    if let Some(address) = peer.outside {
        return Some(PeerSeen::Outside(address));
    }
    if let Some(label) = reserved(&peer.labels) {
        return Some(PeerSeen::Entity(label));
    }
    let namespace = peer.labels.namespace()?;
    let label = TELLING.iter().find_map(|key| {
        let mut labels = peer.labels.with(ANY, key);
        labels.find(|label| !label.value.is_empty() && is_value(&label.value))
    })?;
    Some(PeerSeen::Endpoint(namespace.to_owned(), label.clone()))
}

fn reserved(labels: &Labels) -> Option<String> {
    let mut labels = labels.iter().filter(|label| label.source == RESERVED);
    labels.next().map(|label| label.key.clone())
}

impl Seen {
    /// Whether there was room for it.
    fn add(&mut self, peer: PeerSeen, protocol: u8, port: u16) -> bool {
        if !can_be_written(protocol) {
            return false;
        }
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(&peer) {
            return false;
        }
        self.0.entry(peer).or_default().insert((protocol, port));
        true
    }

    /// A rule for each set of ports, with the peers that have them.
    fn rules(&self, side: &str) -> Vec<Value> {
        let mut by_ports: BTreeMap<&BTreeSet<(u8, u16)>, Vec<&PeerSeen>> = BTreeMap::new();
        for (peer, ports) in &self.0 {
            by_ports.entry(ports).or_default().push(peer);
        }
        let mut rules = Vec::new();
        for (ports, peers) in by_ports {
            for layer4 in layer4(ports) {
                for (field, list) in lists(side, &peers) {
                    let mut rule = layer4.clone();
                    rule[field] = list;
                    rules.push(rule);
                }
            }
        }
        if rules.is_empty() {
            // Denies everything.
            rules.push(json!({}));
        }
        rules
    }
}

/// Whether the format has a word for it.
fn can_be_written(number: u8) -> bool {
    NAMED.iter().any(|(known, _)| *known == number)
}

/// Peers of one kind in one list each: two kinds cannot stand in one rule.
fn lists(side: &str, peers: &[&PeerSeen]) -> Vec<(String, Value)> {
    let (mut endpoints, mut entities, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for peer in peers {
        match peer {
            PeerSeen::Endpoint(namespace, label) => {
                let Label { key, source, value } = label;
                let (namespace_key, key) = (format!("k8s:{NAMESPACE}"), format!("{source}:{key}"));
                endpoints.push(json!({ "matchLabels": { namespace_key: namespace, key: value } }));
            }
            PeerSeen::Entity(name) => entities.push(json!(name)),
            PeerSeen::Outside(address) => addresses.push(json!(address.to_string())),
        }
    }
    let named = [
        ("Endpoints", endpoints),
        ("Entities", entities),
        ("CIDR", addresses),
    ];
    let written = named.into_iter().filter(|(_, list)| !list.is_empty());
    written
        .map(|(name, list)| (format!("{side}{name}"), Value::Array(list)))
        .collect()
}

/// `toPorts` and `icmps` of a set of ports: two cannot stand in one rule either.
fn layer4(ports: &BTreeSet<(u8, u16)>) -> Vec<Value> {
    let is_icmp = |number| matches!(number, protocol::ICMP | protocol::ICMPV6);
    let of_ports: Vec<Value> = ports
        .iter()
        .filter(|(number, _)| !is_icmp(*number))
        .map(|(number, port)| json!({ "port": port.to_string(), "protocol": name_of(*number) }))
        .collect();
    let of_icmp: Vec<Value> = ports
        .iter()
        .filter(|(number, _)| is_icmp(*number))
        .map(|(number, kind)| {
            let family = if *number == protocol::ICMP {
                "IPv4"
            } else {
                "IPv6"
            };
            json!({ "family": family, "type": kind })
        })
        .collect();
    let to_ports = of_ports
        .chunks(MAX_PORTS)
        .map(|ports| json!({ "toPorts": [{ "ports": ports }] }));
    let icmps = of_icmp
        .chunks(MAX_PORTS)
        .map(|fields| json!({ "icmps": [{ "fields": fields }] }));
    to_ports.chain(icmps).collect()
}

#[cfg(test)]
mod tests;
