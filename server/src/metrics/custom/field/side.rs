//! What labels tell of one side of a flow: its endpoint.

use crate::{
    flow::{Endpoint, Flow},
    metrics::labels::Labels,
};

/// Source or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

impl Side {
    pub(super) fn endpoint(self, flow: &Flow) -> Option<&Endpoint> {
        match self {
            Self::Source => flow.source.as_deref(),
            Self::Destination => flow.destination.as_deref(),
        }
    }
}

/// A field of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfEndpoint {
    Identity,
    Cluster,
    Namespace,
    Pod,
    Labels,
    WorkloadName,
    WorkloadKind,
}

pub(super) const OF_ENDPOINT: [(&str, OfEndpoint); 7] = [
    ("identity", OfEndpoint::Identity),
    ("cluster_name", OfEndpoint::Cluster),
    ("namespace", OfEndpoint::Namespace),
    ("pod_name", OfEndpoint::Pod),
    ("labels", OfEndpoint::Labels),
    ("workloads.name", OfEndpoint::WorkloadName),
    ("workloads.kind", OfEndpoint::WorkloadKind),
];

impl OfEndpoint {
    pub(super) fn put(self, endpoint: &Endpoint, labels: &mut Labels) {
        let workload = endpoint.workloads.first();
        match self {
            Self::Identity => labels.shown(endpoint.identity),
            Self::Cluster => labels.value(&endpoint.cluster_name),
            Self::Namespace => labels.value(&endpoint.namespace),
            Self::Pod => labels.value(&endpoint.pod_name),
            Self::Labels => {
                labels.joined(&endpoint.labels);
                labels.end();
            }
            Self::WorkloadName => labels.value(workload.map_or("", |workload| &workload.name)),
            Self::WorkloadKind => labels.value(workload.map_or("", |workload| &workload.kind)),
        }
    }
}

/// The value of the label with this key; of any source unless the key has one.
pub(super) fn label<'a>(endpoint: &'a Endpoint, key: &str) -> Option<&'a str> {
    endpoint.labels.iter().find_map(|label| {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        let bare = name.split_once(':').map_or(name, |(_, bare)| bare);
        (name == key || bare == key).then_some(value)
    })
}
