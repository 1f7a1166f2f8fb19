//! What is kept of objects: pods as endpoints, services by what they are called by,
//! nodes by their addresses, namespaces by their labels.

use std::net::IpAddr;

use crate::{
    flow::{Endpoint, Workload},
    identity::NamedPorts,
};

use super::{
    labels,
    objects::{Namespace, Node, Pod, Service},
    table::{Key, Record},
    workload,
};

/// Phases in which a pod has its address no more.
const OVER: [&str; 2] = ["Succeeded", "Failed"];
/// Kinds of addresses of nodes that packets have.
const NODE_ADDRESSES: [&str; 2] = ["InternalIP", "ExternalIP"];
/// Ports of a service, and addresses of it, that are kept.
const MOST_PORTS: usize = 256;
const MOST_ADDRESSES: usize = 64;
/// The service account of a pod that says none.
const DEFAULT_ACCOUNT: &str = "default";

/// A pod that has addresses of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownPod {
    pub(super) addresses: Vec<IpAddr>,
    /// Where it runs.
    pub(super) node: String,
    /// When it was made, in seconds: of two with one address the later one has it.
    pub(super) created: i64,
    uid: String,
    labels: Vec<String>,
    service_account: String,
    workload: Option<Workload>,
    /// What its containers call their ports.
    pub(super) ports: NamedPorts,
}

impl KnownPod {
    /// `None` if it has no address that is its own: not yet, no more, or that of its
    /// node.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let is_over = pod
            .status
            .phase
            .as_deref()
            .is_some_and(|it| OVER.contains(&it));
        if pod.spec.host_network || is_over {
            return None;
        }
        let several = pod.status.pod_ips.iter().flatten().map(|one| &one.ip);
        let all = several.chain(&pod.status.pod_ip);
        let addresses = addresses(all.map(String::as_str));
        let created = pod.metadata.creation_timestamp.as_ref();
        let account = pod.spec.service_account_name.as_deref();
        (!addresses.is_empty()).then(|| Self {
            addresses,
            node: pod.spec.node_name.clone().unwrap_or_default(),
            created: created.map_or(0, |time| time.0.as_second()),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            labels: pod
                .metadata
                .labels
                .as_ref()
                .map(labels::of_pod)
                .unwrap_or_default(),
            service_account: account.unwrap_or(DEFAULT_ACCOUNT).to_owned(),
            workload: workload::of(&pod.metadata),
            ports: named_ports(pod),
        })
    }

    /// Whether both are the same pod, and not one of the same name after it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.uid == other.uid
    }

    /// It as an endpoint, without numbers. `namespace`: labels that its namespace gives.
    pub(super) fn endpoint(&self, key: &Key, namespace: &[String], cluster: &str) -> Endpoint {
        let mut labels = self.labels.clone();
        labels.extend_from_slice(namespace);
        labels.extend(labels::of_place(&key.0, &self.service_account, cluster));
        labels.sort_unstable();
        Endpoint {
            id: 0,
            identity: 0,
            cluster_name: cluster.to_owned(),
            namespace: key.0.clone(),
            labels,
            pod_name: key.1.clone(),
            workloads: self.workload.iter().cloned().collect(),
        }
    }
}

impl Record for KnownPod {
    fn bytes(&self) -> usize {
        let workload = self.workload.as_ref();
        let workload = workload.map_or(0, |one| one.name.len() + one.kind.len());
        size_of::<Self>()
            + self.addresses.len() * size_of::<IpAddr>()
            + self
                .labels
                .iter()
                .map(|label| label.len() + size_of::<String>())
                .sum::<usize>()
            + self.node.len()
            + self.uid.len()
            + self.service_account.len()
            + workload
            + self
                .ports
                .keys()
                .map(|(name, _)| name.len() + size_of::<((String, u8), u16)>())
                .sum::<usize>()
    }
}

fn named_ports(pod: &Pod) -> NamedPorts {
    let containers = pod.spec.containers.iter();
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.filter_map(|port| {
        let name = port.name.as_ref()?.to_ascii_lowercase();
        let protocol = protocol(port.protocol.as_deref());
        Some(((name, protocol), port.container_port))
    });
    named.take(MOST_PORTS).collect()
}

/// Its number.
fn protocol(name: Option<&str>) -> u8 {
    match name {
        Some("UDP") => 17,
        Some("SCTP") => 132,
        _ => 6,
    }
}

/// What a service is called by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownService {
    pub(super) addresses: Vec<IpAddr>,
    /// Protocol and port at these addresses.
    pub(super) ports: Vec<(u8, u16)>,
    /// The same at the addresses of each node.
    pub(super) node_ports: Vec<(u8, u16)>,
}

impl KnownService {
    /// `None` if nobody calls it by an address of its own.
    pub(super) fn of(service: &Service) -> Option<Self> {
        let Service { spec, status, .. } = service;
        let ingress = status.load_balancer.ingress.iter().flatten();
        let all = spec
            .cluster_ip
            .iter()
            .chain(spec.cluster_ips.iter().flatten())
            .chain(spec.external_ips.iter().flatten())
            .chain(ingress.filter_map(|one| one.ip.as_ref()));
        let addresses = addresses(all.map(String::as_str));
        let ports = || spec.ports.iter().flatten().take(MOST_PORTS);
        let at_node = ports().filter_map(|one| {
            let port = one.node_port.filter(|port| *port > 0)?;
            Some((protocol(one.protocol.as_deref()), port))
        });
        let known = Self {
            addresses,
            ports: ports()
                .map(|one| (protocol(one.protocol.as_deref()), one.port))
                .collect(),
            node_ports: at_node.collect(),
        };
        (!known.addresses.is_empty()).then_some(known)
    }
}

impl Record for KnownService {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.addresses.len() * size_of::<IpAddr>()
            + (self.ports.len() + self.node_ports.len()) * size_of::<(u8, u16)>()
    }
}

/// The addresses of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownNode {
    pub(super) addresses: Vec<IpAddr>,
}

impl KnownNode {
    /// `None` if it has none yet.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let all = || node.status.addresses.iter().flatten();
        // The internal ones first: by those nodes reach each other.
        let kinds = NODE_ADDRESSES.into_iter();
        let all = kinds.flat_map(|kind| all().filter(move |one| one.kind == kind));
        let addresses = addresses(all.map(|one| one.address.as_str()));
        (!addresses.is_empty()).then_some(Self { addresses })
    }
}

impl Record for KnownNode {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.addresses.len() * size_of::<IpAddr>()
    }
}

/// The labels that a namespace gives its pods.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownNamespace {
    pub(super) labels: Vec<String>,
}

impl KnownNamespace {
    pub(super) fn of(namespace: &Namespace) -> Self {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let none = Default::default();
        let labels = namespace.metadata.labels.as_ref().unwrap_or(&none);
        Self {
            labels: labels::of_namespace(name, labels),
        }
    }
}

impl Record for KnownNamespace {
    fn bytes(&self) -> usize {
        let labels = self.labels.iter();
        size_of::<Self>()
            + labels
                .map(|label| label.len() + size_of::<String>())
                .sum::<usize>()
    }
}

/// Those that packets of others have, each once.
fn addresses<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for text in texts {
        // `None` is the address of a headless service.
        if let Ok(address) = text.parse::<IpAddr>()
            && !address.is_unspecified()
            && !address.is_loopback()
            && !address.is_multicast()
            && all.len() < MOST_ADDRESSES
            && !all.contains(&address)
        {
            all.push(address);
        }
    }
    all
}
