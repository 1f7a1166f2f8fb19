//! One end of a connection, as policies see it.

use std::{collections::BTreeMap, net::IpAddr};

use crate::label::{ANY, Label, Labels, NAMESPACE, RESERVED};

/// Label that tells a namespace's name to selectors of namespaces; each has it in Kubernetes.
const NAMESPACE_NAME: &str = "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name";

/// An endpoint, the host, another node, or somebody outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its labels.
    pub labels: Labels,
    /// Of somebody outside, who has no labels of his own: by it he is known.
    pub outside: Option<IpAddr>,
    /// Labels of this host, if what this is uses the host's network and addresses, as
    /// systemd's units do: then host policies are about it too.
    pub part_of_host: Option<Labels>,
    /// Ports by name and protocol.
    pub named_ports: BTreeMap<(String, u8), u16>,
}

impl Endpoint {
    /// With these labels, and the one of its namespace's name, which follows from them.
    #[must_use]
    pub fn new(labels: Labels) -> Self {
        let name = labels.with(ANY, NAMESPACE).next();
        let name = name.map(|label| Label::new("k8s", NAMESPACE_NAME, &label.value));
        let name = name.filter(|_| labels.with(ANY, NAMESPACE_NAME).next().is_none());
        let labels = match name {
            Some(name) => labels.iter().cloned().chain([name]).collect(),
            None => labels,
        };
        Self {
            labels,
            ..Self::default()
        }
    }

    /// Somebody outside.
    #[must_use]
    pub fn outside(address: IpAddr) -> Self {
        let family = match address {
            IpAddr::V4(_) => "world-ipv4",
            IpAddr::V6(_) => "world-ipv6",
        };
        Self {
            labels: [Label::new(RESERVED, family, "")].into_iter().collect(),
            outside: Some(address),
            ..Self::default()
        }
    }

    /// As a part of the host with these labels.
    #[must_use]
    pub fn on_host(self, host: &Labels) -> Self {
        Self {
            part_of_host: Some(host.clone()),
            ..self
        }
    }

    /// Labels of the host that it is, or is a part of.
    #[must_use]
    pub fn host_labels(&self) -> Option<&Labels> {
        if self.is_host() {
            Some(&self.labels)
        } else {
            self.part_of_host.as_ref()
        }
    }

    /// Whether it is this host itself: policies of endpoints do not apply to it.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.labels.has_reserved("host")
    }

    /// Whether nothing is known of it yet: then everything is denied that no policy allows.
    #[must_use]
    pub fn is_init(&self) -> bool {
        self.labels.has_reserved("init")
    }

    /// Whether it is outside.
    #[must_use]
    pub fn is_world(&self) -> bool {
        ["world", "world-ipv4", "world-ipv6"]
            .iter()
            .any(|key| self.labels.has_reserved(key))
    }

    /// Whether its connections are judged elsewhere, or nowhere: policies that select
    /// everybody do not select those outside, nor other nodes.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.outside.is_some() || self.is_world() || self.labels.has_reserved("remote-node")
    }

    /// The port of a name.
    #[must_use]
    pub fn port(&self, name: &str, protocol: u8) -> Option<u16> {
        // Names are few; a key that borrows would need a type of its own.
        self.named_ports.get(&(name.to_owned(), protocol)).copied()
    }
}
