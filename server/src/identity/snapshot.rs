//! The map from addresses and interfaces to endpoints, at one moment.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::{Numbers, reserved};
use crate::flow::{Endpoint, Interned};

/// Endpoints by address, address range and interface; immutable.
#[derive(Debug, Default)]
pub struct Snapshot {
    exact: FxHashMap<IpAddr, Known>,
    /// Longest prefix first.
    ranges: Vec<(IpNet, Interned<Endpoint>)>,
    by_interface: HashMap<String, Interned<Endpoint>>,
    world4: Interned<Endpoint>,
    world6: Interned<Endpoint>,
    host: Interned<Endpoint>,
    ports: HashMap<(String, String), NamedPorts>,
}

/// Ports of an endpoint by name and IP protocol number.
pub type NamedPorts = BTreeMap<(String, u8), u16>;

/// What is known of an address.
#[derive(Clone, Debug)]
struct Known {
    endpoint: Interned<Endpoint>,
    is_host: bool,
}

impl Snapshot {
    /// The endpoint behind an address; the world when nobody claims it.
    #[must_use]
    pub fn resolve(&self, address: IpAddr) -> &Interned<Endpoint> {
        self.look_up(address).0
    }

    /// The endpoint behind an address, and whether it is this host's own.
    #[must_use]
    pub fn look_up(&self, address: IpAddr) -> (&Interned<Endpoint>, bool) {
        if let Some(known) = self.exact.get(&address) {
            return (&known.endpoint, known.is_host || is_loopback(address));
        }
        if is_loopback(address) {
            return (&self.host, true);
        }
        (self.elsewhere(address), false)
    }

    fn elsewhere(&self, address: IpAddr) -> &Interned<Endpoint> {
        let range = self.ranges.iter().find(|(net, _)| net.contains(&address));
        match (range, address) {
            (Some((_, endpoint)), _) => endpoint,
            (None, IpAddr::V4(_)) => &self.world4,
            (None, IpAddr::V6(_)) => &self.world6,
        }
    }

    /// The endpoint behind an interface of this host, if one is known.
    #[must_use]
    pub fn behind(&self, interface: &str) -> Option<&Interned<Endpoint>> {
        self.by_interface.get(interface)
    }

    /// All that is known, each once: endpoints, and this host.
    #[must_use]
    pub fn endpoints(&self) -> HashSet<&Endpoint> {
        let exact = self.exact.values().map(|known| &known.endpoint);
        let ranges = self.ranges.iter().map(|(_, endpoint)| endpoint);
        exact
            .chain(ranges)
            .chain(self.by_interface.values())
            .chain([&self.host])
            .map(|endpoint| &**endpoint)
            .collect()
    }

    /// Endpoints that have an address alone, and whether it is this host's own.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &Interned<Endpoint>, bool)> {
        let exact = self.exact.iter();
        exact.map(|(address, known)| (*address, &known.endpoint, known.is_host))
    }

    /// Endpoints by range, the longest prefix first.
    pub fn ranges(&self) -> impl Iterator<Item = &(IpNet, Interned<Endpoint>)> {
        self.ranges.iter()
    }

    /// Endpoints behind interfaces of this host, by name.
    pub fn interfaces(&self) -> impl Iterator<Item = (&String, &Interned<Endpoint>)> {
        self.by_interface.iter()
    }

    /// What the endpoint of this namespace and name calls its ports.
    #[must_use]
    pub fn ports(&self, namespace: &str, name: &str) -> Option<&NamedPorts> {
        if self.ports.is_empty() {
            return None;
        }
        self.ports.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// This host.
    #[must_use]
    pub fn this_host(&self) -> &Interned<Endpoint> {
        &self.host
    }

    /// Whether the endpoint stands for the world.
    #[must_use]
    pub fn is_world(endpoint: &Endpoint) -> bool {
        matches!(
            endpoint.identity,
            reserved::WORLD | reserved::WORLD_IPV4 | reserved::WORLD_IPV6
        )
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST,
    }
}

/// A snapshot in the making.
pub struct Draft<'a> {
    numbers: &'a mut Numbers,
    shared: HashMap<Endpoint, Interned<Endpoint>>,
    made: Snapshot,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        numbers: &'a mut Numbers,
        previous: &Snapshot,
        world_by_family: bool,
    ) -> Self {
        let (four, six) = if world_by_family {
            (
                world(reserved::WORLD_IPV4, "reserved:world-ipv4"),
                world(reserved::WORLD_IPV6, "reserved:world-ipv6"),
            )
        } else {
            let world = world(reserved::WORLD, "reserved:world");
            (world.clone(), world)
        };
        let mut draft = Self {
            numbers,
            shared: HashMap::new(),
            made: Snapshot::default(),
        };
        // Endpoints that stay keep their shared value, and with it what
        // filters remember of them.
        for endpoint in previous
            .exact
            .values()
            .map(|known| &known.endpoint)
            .chain(previous.by_interface.values())
            .chain(previous.ranges.iter().map(|(_, endpoint)| endpoint))
            .chain([&previous.world4, &previous.world6, &previous.host])
        {
            draft
                .shared
                .insert(Endpoint::clone(endpoint), endpoint.clone());
        }
        draft.made.world4 = draft.share(four);
        draft.made.world6 = draft.share(six);
        draft.made.host = draft.share(world(reserved::HOST, "reserved:host"));
        draft
    }

    /// The stable number of a label set (sorted `source:key=value`).
    pub fn number(&mut self, labels: &[String]) -> u32 {
        self.numbers.of(labels)
    }

    /// An endpoint has this address.
    pub fn address(&mut self, address: IpAddr, endpoint: Endpoint) {
        let endpoint = self.share(endpoint);
        self.made.exact.entry(address).or_insert(Known {
            endpoint,
            is_host: false,
        });
    }

    /// This address is the host's.
    pub fn host(&mut self, address: IpAddr) {
        let host = self.made.host.clone();
        let known = self.made.exact.entry(address).or_insert(Known {
            endpoint: host,
            is_host: false,
        });
        known.is_host = true;
    }

    /// An endpoint has the addresses of a range that nobody has alone.
    pub fn range(&mut self, range: IpNet, endpoint: Endpoint) {
        let endpoint = self.share(endpoint);
        self.made.ranges.push((range, endpoint));
    }

    /// An endpoint is behind this interface of the host.
    pub fn interface(&mut self, interface: &str, endpoint: Endpoint) {
        let endpoint = self.share(endpoint);
        self.made
            .by_interface
            .entry(interface.to_owned())
            .or_insert(endpoint);
    }

    /// An endpoint calls ports so.
    pub fn ports(&mut self, namespace: &str, name: &str, ports: &NamedPorts) {
        if !ports.is_empty() {
            let key = (namespace.to_owned(), name.to_owned());
            self.made.ports.entry(key).or_insert_with(|| ports.clone());
        }
    }

    pub(super) fn finish(mut self) -> Snapshot {
        // Stable: of equal prefixes the earlier provider's comes first.
        self.made
            .ranges
            .sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        self.numbers.save();
        self.made
    }

    fn share(&mut self, endpoint: Endpoint) -> Interned<Endpoint> {
        self.shared
            .entry(endpoint)
            .or_insert_with_key(|endpoint| endpoint.clone().into())
            .clone()
    }
}

fn world(identity: u32, label: &str) -> Endpoint {
    Endpoint {
        identity,
        labels: vec![label.to_owned()],
        ..Endpoint::default()
    }
}
