//! Network interfaces as the rest of the daemon sees them: a snapshot that is
//! swapped whole when netlink tells of a change.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

/// What frames on a link begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header (loopback has one too).
    Ethernet,
    /// Bare IP packets (tun, WireGuard, IPIP).
    Ip,
    /// Anything else: not observed.
    Other,
}

/// What a link is for this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The loopback interface.
    Loopback,
    /// The host's end of a veth pair whose other end is in another namespace.
    Endpoint,
    /// A bridge.
    Bridge,
    /// A VXLAN or Geneve interface.
    Overlay,
    /// The way to the network.
    Network,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// What its frames begin with.
    pub layer: Layer,
    /// What it is for.
    pub role: Role,
    /// Administratively up.
    pub up: bool,
    /// Kind as netlink names it (`veth`, `bridge`, ...); empty for devices.
    pub kind: String,
}

/// All interfaces and the host's addresses at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// By index.
    pub by_index: BTreeMap<u32, Link>,
    /// Addresses of this host, loopback's included.
    pub addresses: HashSet<IpAddr>,
}

impl Links {
    /// The interface with this index.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.by_index.get(&index)
    }
}
