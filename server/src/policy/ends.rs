//! Who is at an address, and whom policies select of those that are known.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use sextant_policy::{
    endpoint::Endpoint,
    label::{Label, RESERVED},
    policy::Policy,
    traffic::{Party, endpoint_of, party},
};

use crate::identity::Snapshot;

/// The endpoints of this moment; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    identities: Arc<ArcSwap<Snapshot>>,
    /// What `nodeSelector` of host policies asks for.
    node_labels: Arc<[Label]>,
}

/// Endpoints as policies see them.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Endpoint>);

impl Ends {
    /// Those of `identities`; the host has these labels too, as `key=value`.
    #[must_use]
    pub fn new(identities: Arc<ArcSwap<Snapshot>>, node_labels: &[String]) -> Self {
        Self {
            identities,
            node_labels: node_labels.iter().map(|text| Label::parse(text)).collect(),
        }
    }

    /// Who is at an address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Party {
        let identities = self.identities.load();
        let party = party(Some(identities.resolve(address)), address);
        Party {
            endpoint: self.with_node_labels(party.endpoint),
            ..party
        }
    }

    /// This host.
    #[must_use]
    pub fn host(&self) -> Endpoint {
        let labels = [Label::new(RESERVED, "host", "")];
        self.with_node_labels(Endpoint::new(labels.into_iter().collect()))
    }

    /// An endpoint; of this host, with the labels of the node.
    #[must_use]
    pub fn with_node_labels(&self, endpoint: Endpoint) -> Endpoint {
        if self.node_labels.is_empty() || !endpoint.is_host() {
            return endpoint;
        }
        let labels = endpoint.labels.iter().chain(self.node_labels.iter());
        Endpoint {
            labels: labels.cloned().collect(),
            ..endpoint
        }
    }

    /// Those that are known now, each once.
    #[must_use]
    pub fn known(&self) -> Known {
        let identities = self.identities.load();
        let endpoints = identities.endpoints().into_iter();
        Known(
            endpoints
                .map(|endpoint| self.with_node_labels(endpoint_of(endpoint)))
                .filter(|endpoint| !endpoint.is_elsewhere())
                .collect(),
        )
    }
}

impl Known {
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
