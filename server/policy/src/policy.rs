//! A policy: whom it is about, and what it allows and denies.

use std::fmt;

use ipnet::IpNet;

use crate::{endpoint::Endpoint, label::Label, ports::Layer4, selector::Selector};

/// A policy, as a document or a request gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which it is.
    pub id: PolicyId,
    /// Its parts: `spec`, or each of `specs`.
    pub specs: Vec<Spec>,
}

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for clusterwide ones.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Kinds of policies, as Hubble calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `CiliumClusterwideNetworkPolicy`.
    CiliumClusterwide,
    /// `CiliumNetworkPolicy`.
    Cilium,
    /// Kubernetes' `NetworkPolicy`.
    Kubernetes,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CiliumClusterwide => "CiliumClusterwideNetworkPolicy",
            Self::Cilium => "CiliumNetworkPolicy",
            Self::Kubernetes => "NetworkPolicy",
        })
    }
}

impl fmt::Display for PolicyId {
    /// `CiliumNetworkPolicy shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// A part of a policy with a subject of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Whom it is about.
    pub subject: Subject,
    /// What somebody wrote of it.
    pub description: String,
    /// Labels of the part.
    pub labels: Vec<Label>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Whom a part is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Endpoints; never the host.
    Endpoints(Selector),
    /// The host, if its labels are so, and what is a part of it.
    Host(Selector),
}

impl Subject {
    /// Steps to look at all that is asked of an endpoint.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let (Self::Endpoints(selector) | Self::Host(selector)) = self;
        1 + selector.steps()
    }

    /// Whether it is about an endpoint.
    #[must_use]
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Endpoints(selector) => !endpoint.is_host() && selector.matches(&endpoint.labels),
            Self::Host(selector) => {
                let host = endpoint.host_labels();
                host.is_some_and(|labels| selector.matches(labels))
            }
        }
    }
}

/// Direction of a connection, seen from the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Others connect to it.
    Ingress,
    /// It connects to others.
    Egress,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Lets the connection through.
    Allow,
    /// Does not, whatever others allow.
    Deny,
}

/// A rule. It matches a connection with a peer and of a protocol and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which connections of the subject.
    pub direction: Direction,
    /// What it does.
    pub effect: Effect,
    /// Its number in its list.
    pub number: usize,
    /// Who is at the other end.
    pub peers: Peers,
    /// What is spoken.
    pub layer4: Layer4,
    /// Whether the subject denies in this direction what no rule allows.
    pub default_deny: bool,
    /// Whether both ends must have shown who they are; `None` where that is not said.
    pub authentication: Option<bool>,
}

impl Rule {
    /// Its list and number: `egressDeny[0]`.
    #[must_use]
    pub fn place(&self) -> String {
        let list = match (self.direction, self.effect) {
            (Direction::Ingress, Effect::Allow) => "ingress",
            (Direction::Ingress, Effect::Deny) => "ingressDeny",
            (Direction::Egress, Effect::Allow) => "egress",
            (Direction::Egress, Effect::Deny) => "egressDeny",
        };
        format!("{list}[{}]", self.number)
    }

    /// Steps to look at all of its peers and ports.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let peers = match &self.peers {
            Peers::Everybody => 0,
            Peers::These(peers) => peers.iter().map(Peer::steps).sum(),
        };
        let ports = match &self.layer4 {
            Layer4::All => 0,
            Layer4::Ports(ports) => ports.len() as u64,
        };
        1 + peers + ports
    }
}

/// Who may be at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Everybody.
    Everybody,
    /// One of these; nobody if there is none.
    These(Vec<Peer>),
}

/// Somebody at the other end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Endpoints with such labels. Whatever is reserved (the host, other nodes, who is
    /// outside) is none unless the selector asks for a reserved label: what a label
    /// is not would let them in.
    Endpoints(Selector),
    /// Those outside with such an address, but for the exceptions.
    Addresses(IpNet, Vec<IpNet>),
    /// A class of peers.
    Entity(Entity),
}

impl Peer {
    fn steps(&self) -> u64 {
        1 + match self {
            Self::Endpoints(selector) => selector.steps(),
            Self::Addresses(_, except) => except.len() as u64,
            Self::Entity(_) => 0,
        }
    }

    /// Whether it is an end of a connection.
    #[must_use]
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Endpoints(selector) => {
                let is_one = !endpoint.labels.are_reserved() || selector.asks_for_reserved();
                is_one && selector.matches(&endpoint.labels)
            }
            Self::Addresses(net, except) => endpoint.outside.is_some_and(|address| {
                net.contains(&address) && !except.iter().any(|net| net.contains(&address))
            }),
            Self::Entity(entity) => entity.matches(endpoint),
        }
    }
}

/// Classes of peers, as Cilium calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// Everybody.
    All,
    /// Outside.
    World,
    /// Outside, by IPv4.
    #[serde(rename = "world-ipv4")]
    WorldIpv4,
    /// Outside, by IPv6.
    #[serde(rename = "world-ipv6")]
    WorldIpv6,
    /// Whoever is not outside.
    Cluster,
    /// The same, of all clusters.
    ClusterMesh,
    /// This host, and what is a part of it.
    Host,
    /// Other nodes.
    RemoteNode,
    /// Endpoints that nothing is known of yet.
    Init,
    /// Cilium's proxy.
    Ingress,
    /// Endpoints of which nobody takes care.
    Unmanaged,
    /// Cilium's health endpoints.
    Health,
    /// Nobody.
    None,
    /// Kubernetes' API server.
    KubeApiserver,
}

impl Entity {
    fn matches(self, endpoint: &Endpoint) -> bool {
        let key = match self {
            Self::All => return true,
            Self::World => return endpoint.is_world(),
            Self::Cluster | Self::ClusterMesh => return is_of_cluster(endpoint),
            Self::WorldIpv4 => "world-ipv4",
            Self::WorldIpv6 => "world-ipv6",
            Self::Host => return endpoint.host_labels().is_some(),
            Self::RemoteNode => "remote-node",
            Self::Init => "init",
            Self::Ingress => "ingress",
            Self::Unmanaged => "unmanaged",
            Self::Health => "health",
            Self::None => "none",
            Self::KubeApiserver => "kube-apiserver",
        };
        endpoint.labels.has_reserved(key)
    }
}

/// There is one cluster here, so it is whoever is known and not outside.
fn is_of_cluster(endpoint: &Endpoint) -> bool {
    let is_known = endpoint.labels.iter().next().is_some() || endpoint.part_of_host.is_some();
    is_known && (!endpoint.is_world() || endpoint.labels.has_reserved("kube-apiserver"))
}
