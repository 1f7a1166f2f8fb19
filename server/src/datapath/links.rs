//! Network interfaces as the rest of the daemon sees them: a snapshot that is
//! swapped whole when netlink tells of a change.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use sextant_ebpf_common::interface_number;

use super::Namespace;

/// Kinds of interfaces that are above another one and take its frames as they are, but
/// for a tag; and how many are followed.
const ABOVE: [&str; 6] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"];
const MAX_ABOVE: usize = 8;

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
    /// Interface number: the index, in another network namespace with the
    /// number of that above it.
    pub index: u32,
    /// Interface name; what is not text in it is escaped.
    pub name: String,
    /// What its frames begin with.
    pub layer: Layer,
    /// What it is for.
    pub role: Role,
    /// Administratively up.
    pub up: bool,
    /// Kind as netlink names it (`veth`, `bridge`, ...); empty for devices.
    pub kind: String,
    /// The network namespace that it is in; `None` is the daemon's own.
    pub namespace: Option<Arc<Namespace>>,
    /// Another number for each interface that has this index, one after the
    /// other.
    pub birth: u64,
    /// The interface at the other end of a veth pair, or the one that this one is
    /// above (a VLAN, a macvlan): its number, where it is in a known namespace.
    pub link: Option<u32>,
    /// The number of the bridge or bond that this one is a part of.
    pub master: Option<u32>,
    /// The network namespace of the other end of a veth pair, where it is another
    /// one: what the kernel calls it in this interface's.
    pub peer_namespace: Option<u32>,
    /// The VLAN id of an interface that takes the tag off what comes by `link`.
    pub vlan: Option<u16>,
}

impl Link {
    /// The name, in another network namespace with that before it.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{}", namespace.name, self.name),
            None => self.name.clone(),
        }
    }
}

/// All interfaces, and the addresses of the daemon's own network namespace, at
/// one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// By interface number.
    pub by_index: BTreeMap<u32, Link>,
    /// Addresses of this host, loopback's included.
    pub addresses: HashSet<IpAddr>,
    /// How often the kernel had told more than could be kept until it was read.
    pub overruns: u64,
    /// Network namespaces that are chosen but cannot be watched now, and why.
    pub refused: BTreeMap<String, String>,
}

impl Links {
    /// The interface with this number.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.by_index.get(&index)
    }

    /// The ids of the VLANs that an interface is in by itself or by what it is above,
    /// outer first.
    pub(super) fn vlans(&self, link: &Link) -> Vec<u16> {
        let mut ids = Vec::new();
        let mut next = Some(link);
        for _ in 0..MAX_ABOVE {
            let Some(link) = next.filter(|link| ABOVE.contains(&link.kind.as_str())) else {
                break;
            };
            ids.extend(link.vlan);
            next = link.link.and_then(|lower| self.get(lower));
        }
        ids.reverse();
        ids
    }

    /// Puts the interfaces of one network namespace in the place of what was
    /// known of it; tells whether that is a change.
    pub(super) fn replace(&mut self, namespace: u32, now: Self) -> bool {
        let own = interface_number(namespace, 0)..interface_number(namespace + 1, 0);
        let same = self.by_index.range(own.clone()).eq(now.by_index.iter());
        if !same {
            self.by_index.retain(|index, _| !own.contains(index));
            self.by_index.extend(now.by_index);
        }
        if namespace != 0 || self.addresses == now.addresses {
            return !same;
        }
        self.addresses = now.addresses;
        true
    }
}

#[cfg(test)]
impl Link {
    /// An interface of the daemon's own network namespace, as most are.
    pub(crate) fn of_test(index: u32, kind: &str) -> Self {
        Self {
            index,
            name: format!("if{index}"),
            layer: Layer::Ethernet,
            role: Role::Network,
            up: true,
            kind: kind.into(),
            namespace: None,
            birth: 0,
            link: None,
            master: None,
            peer_namespace: None,
            vlan: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, kind: &str, lower: u32, vlan: Option<u16>) -> Link {
        Link {
            link: (lower != 0).then_some(lower),
            vlan,
            ..Link::of_test(index, kind)
        }
    }

    #[test]
    fn an_interface_is_in_the_vlans_of_those_below_it() {
        let mut links = Links::default();
        for link in [
            link(1, "", 0, None),
            link(2, "vlan", 1, Some(100)),
            link(3, "vlan", 2, Some(20)),
            link(4, "macvlan", 3, None),
            link(5, "vxlan", 2, None),
            link(6, "veth", 2, None),
            link(7, "vlan", 8, Some(7)),
            link(8, "vlan", 7, Some(8)),
        ] {
            links.by_index.insert(link.index, link);
        }
        let vlans = |index| links.vlans(links.get(index).unwrap());
        assert_eq!(vlans(1), [0; 0]);
        assert_eq!(vlans(2), [100]);
        assert_eq!(vlans(3), [100, 20]);
        assert_eq!(vlans(4), [100, 20]);
        // What comes out of a tunnel or a cable has other tags.
        assert_eq!((vlans(5).len(), vlans(6).len()), (0, 0));
        assert_eq!(vlans(7).len(), MAX_ABOVE, "circles end");
    }
}
