//! Who is at an address, and whom policies select of those that are known.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use sextant_policy::{
    endpoint::Endpoint,
    label::{Label, Labels, RESERVED},
    policy::Policy,
    traffic::{Party, endpoint_of, party},
};

use crate::{flow, identity::Snapshot, process::Groups};

/// The endpoints of this moment; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    identities: Arc<ArcSwap<Snapshot>>,
    /// What `nodeSelector` of host policies asks for.
    node_labels: Arc<[Label]>,
    /// Units and containers, which may use the network of this host.
    groups: Groups,
}

/// Endpoints as policies see them.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Endpoint>);

impl Ends {
    /// Those of `identities`; the host has these labels too, as `key=value`.
    #[must_use]
    pub fn new(identities: Arc<ArcSwap<Snapshot>>, node_labels: &[String], groups: Groups) -> Self {
        Self {
            identities,
            node_labels: node_labels.iter().map(|text| Label::parse(text)).collect(),
            groups,
        }
    }

    /// Who is at an address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Party {
        let identities = self.identities.load();
        let party = party(Some(identities.resolve(address)), address);
        self.complete(party)
    }

    /// What else is known of an end of a connection by its name: what it calls its ports,
    /// whether it is a container with the network of this host.
    #[must_use]
    pub fn complete(&self, party: Party) -> Party {
        let Party { name, mut endpoint } = party;
        if let Some((namespace, of)) = name.split_once('/') {
            let is_on_host = || self.groups.on_host().contains(&name);
            if endpoint.host_labels().is_none() && !endpoint.is_elsewhere() && is_on_host() {
                endpoint = endpoint.on_host(&self.host().labels);
            }
            endpoint = self.with_ports(endpoint, namespace, of);
        }
        let endpoint = self.with_node_labels(endpoint);
        Party { name, endpoint }
    }

    /// An endpoint of this host or of others, with what is known of it here.
    #[must_use]
    pub fn endpoint(&self, endpoint: &flow::Endpoint) -> Endpoint {
        let (namespace, name) = (&endpoint.namespace, &endpoint.pod_name);
        let known = self.with_ports(endpoint_of(endpoint), namespace, name);
        self.with_node_labels(known)
    }

    fn with_ports(&self, endpoint: Endpoint, namespace: &str, name: &str) -> Endpoint {
        match self.identities.load().ports(namespace, name) {
            Some(ports) => Endpoint {
                named_ports: ports.clone(),
                ..endpoint
            },
            None => endpoint,
        }
    }

    /// This host.
    #[must_use]
    pub fn host(&self) -> Endpoint {
        let labels = [Label::new(RESERVED, "host", "")];
        self.with_node_labels(Endpoint::new(labels.into_iter().collect()))
    }

    /// An endpoint; of this host, and of what is a part of it, with the labels of the
    /// node.
    #[must_use]
    pub fn with_node_labels(&self, endpoint: Endpoint) -> Endpoint {
        if self.node_labels.is_empty() {
            return endpoint;
        }
        let with = |labels: &Labels| {
            let labels = labels.iter().chain(self.node_labels.iter());
            labels.cloned().collect()
        };
        match &endpoint.part_of_host {
            Some(host) => Endpoint {
                part_of_host: Some(with(host)),
                ..endpoint
            },
            None if endpoint.is_host() => Endpoint {
                labels: with(&endpoint.labels),
                ..endpoint
            },
            None => endpoint,
        }
    }

    /// Those that are known now, each once.
    #[must_use]
    pub fn known(&self) -> Known {
        let identities = self.identities.load();
        let endpoints = identities.endpoints().into_iter();
        Known(
            endpoints
                .map(|endpoint| self.endpoint(endpoint))
                .filter(|endpoint| !endpoint.is_elsewhere())
                .collect(),
        )
    }
}

impl Known {
    /// These.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self(endpoints)
    }

    /// How many of them a policy selects.
    #[must_use]
    pub fn selected(&self, policy: &Policy) -> u32 {
        let is_selected = |endpoint: &&Endpoint| {
            let mut specs = policy.specs.iter();
            specs.any(|spec| spec.subject.matches(endpoint))
        };
        self.0.iter().filter(is_selected).count() as u32
    }

    /// They.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use sextant_flows::flow::Workload;
    use sextant_policy::document::parse;

    use super::*;

    #[test]
    fn a_host_policy_by_labels_of_the_node_is_about_the_host_and_its_units() {
        let ends = Ends::new(Arc::default(), &["role=edge".to_owned()], Groups::default());
        let unit = |kind: &str| {
            ends.with_node_labels(endpoint_of(&flow::Endpoint {
                labels: vec!["sextant:unit=sshd.service".into()],
                namespace: "system".into(),
                workloads: vec![Workload {
                    name: "sshd.service".into(),
                    kind: kind.into(),
                }],
                ..flow::Endpoint::default()
            }))
        };
        let policy = |role: &str| {
            let text = format!(
                "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: a}}\n\
                 spec: {{nodeSelector: {{matchLabels: {{role: {role}}}}}, ingress: [{{}}]}}\n"
            );
            parse(&text).unwrap().remove(0)
        };
        let known = Known(vec![ends.host(), unit("Unit"), unit("Container")]);
        assert_eq!(known.selected(&policy("edge")), 2);
        assert_eq!(known.selected(&policy("core")), 0);
    }
}
