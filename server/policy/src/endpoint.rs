//! One end of a connection, as policies see it.

use std::{collections::BTreeMap, net::IpAddr};

use crate::label::{Label, Labels, RESERVED};

/// An endpoint, the host, another node, or somebody outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its labels.
    pub labels: Labels,
    /// Of somebody outside, who has no labels of his own: by it he is known.
    pub outside: Option<IpAddr>,
    /// Ports by name and protocol.
    pub named_ports: BTreeMap<(String, u8), u16>,
}

impl Endpoint {
    /// With these labels.
    #[must_use]
    pub fn new(labels: Labels) -> Self {
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
            named_ports: BTreeMap::new(),
        }
    }

    /// Whether it is this host itself, to which host policies apply, and no others.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.labels.has_reserved("host")
    }

    /// Whether it is outside.
    #[must_use]
    pub fn is_world(&self) -> bool {
        ["world", "world-ipv4", "world-ipv6"]
            .iter()
            .any(|key| self.labels.has_reserved(key))
    }

    /// The port of a name.
    #[must_use]
    pub fn port(&self, name: &str, protocol: u8) -> Option<u16> {
        // Names are few; a key that borrows would need a type of its own.
        self.named_ports.get(&(name.to_owned(), protocol)).copied()
    }
}
