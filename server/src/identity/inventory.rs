//! Endpoints of the static inventory in the configuration.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Draft, Provider};
use crate::{
    config,
    flow::{Endpoint, Workload},
};

/// Source of labels that are given without one; what Hubble UI expects.
const LABEL_SOURCE: &str = "k8s";

/// Contributes the endpoints of the configuration.
pub struct Inventory {
    endpoints: ArcSwap<Vec<config::Endpoint>>,
    cluster: String,
}

impl Inventory {
    /// Endpoints of this cluster.
    #[must_use]
    pub fn new(endpoints: Vec<config::Endpoint>, cluster: String) -> Self {
        Self {
            endpoints: ArcSwap::from_pointee(endpoints),
            cluster,
        }
    }

    /// Other endpoints, from the next snapshot on.
    pub fn replace(&self, endpoints: Vec<config::Endpoint>) {
        self.endpoints.store(Arc::new(endpoints));
    }
}

impl Provider for Arc<Inventory> {
    fn contribute(&self, draft: &mut Draft<'_>) {
        for (index, known) in self.endpoints.load().iter().enumerate() {
            let labels = labels(known);
            let endpoint = Endpoint {
                id: index as u32 + 1,
                identity: draft.number(&labels),
                cluster_name: self.cluster.clone(),
                namespace: known.namespace.clone(),
                labels,
                pod_name: known.name.clone(),
                workloads: known
                    .workload
                    .iter()
                    .map(|(name, kind)| Workload {
                        name: name.clone(),
                        kind: kind.clone(),
                    })
                    .collect(),
            };
            draft.ports(&known.namespace, &known.name, &known.ports);
            for address in &known.addresses {
                draft.address(*address, endpoint.clone());
            }
            for range in &known.cidrs {
                draft.range(*range, endpoint.clone());
            }
            for interface in &known.interfaces {
                draft.interface(interface, endpoint.clone());
            }
        }
    }
}

/// Labels with their source, sorted; the namespace is one of them, so that
/// equal labels in two namespaces are two identities.
fn labels(known: &config::Endpoint) -> Vec<String> {
    let mut labels: Vec<String> = known
        .labels
        .iter()
        .map(|label| {
            let key = label.split('=').next().unwrap_or_default();
            if key.contains(':') {
                label.clone()
            } else {
                format!("{LABEL_SOURCE}:{label}")
            }
        })
        .collect();
    if !known.namespace.is_empty() {
        labels.push(format!(
            "{LABEL_SOURCE}:io.kubernetes.pod.namespace={}",
            known.namespace
        ));
    }
    labels.sort_unstable();
    labels.dedup();
    labels
}
