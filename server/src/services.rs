//! Services of this host: ports at its addresses behind which somebody else answers,
//! as the engines of containers published them, and as rules of the firewall lead there.
//!
//! What they are called by is known before a packet was translated, and where no
//! packet is: a proxy in user space makes two connections of one. Not here: what
//! connection tracking tells of a connection (`pipeline::nat`).
//!
//! Bound: that of `containers`; read again when a port or an address changed.

mod firewall;

use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashMap;
use sextant_proto::flow as pb;

use self::firewall::Forward;
pub use self::firewall::{Firewall, probe};
use crate::{
    containers::{Containers, Named, Published},
    kubernetes::Kubernetes,
};

/// Services by protocol and port; of one reader.
#[derive(Default)]
pub struct Services {
    containers: Containers,
    firewall: Firewall,
    kubernetes: Option<Kubernetes>,
    /// What this was made of.
    version: Option<(u64, u64, u64)>,
    by_port: FxHashMap<(u8, u16), Vec<Service>>,
    /// Where rules of the firewall lead, by what they are about.
    forwards: FxHashMap<(u8, u16), Vec<Forward>>,
    /// Services of the cluster by address, protocol and port, without one at each node's.
    of_cluster: FxHashMap<(Option<IpAddr>, u8, u16), Box<pb::Service>>,
    /// Containers by their addresses, as root's engines tell them.
    by_address: FxHashMap<IpAddr, Box<pb::Service>>,
}

/// Somebody behind a port.
#[derive(Clone, Debug)]
struct Service {
    /// `None` is all addresses of the host, unspecified all of that family.
    address: Option<IpAddr>,
    /// Whose engine says so, if not root's.
    user: Option<u32>,
    name: Box<pb::Service>,
}

impl Services {
    /// Those of these containers and rules, and of a cluster.
    #[must_use]
    pub fn new(containers: Containers, firewall: Firewall, kubernetes: Kubernetes) -> Self {
        Self {
            containers,
            firewall,
            kubernetes: Some(kubernetes),
            ..Self::default()
        }
    }

    /// Reads what changed.
    pub fn follow(&mut self) {
        let kubernetes = self.kubernetes.as_ref();
        let version = (
            self.containers.reached_version(),
            self.firewall.version(),
            kubernetes.map_or(0, Kubernetes::services_version),
        );
        if self.version == Some(version) {
            return;
        }
        self.version = Some(version);
        self.by_port.clear();
        self.by_address.clear();
        self.forwards.clear();
        self.of_cluster.clear();
        if let Some(kubernetes) = &self.kubernetes {
            kubernetes.each_service(|address, protocol, port, namespace, name| {
                let service = pb::Service {
                    name: name.to_owned(),
                    namespace: namespace.to_owned(),
                };
                self.of_cluster
                    .insert((address, protocol, port), Box::new(service));
            });
        }
        for forward in self.firewall.forwards().iter() {
            let key = (forward.protocol, forward.port);
            self.forwards.entry(key).or_default().push(forward.clone());
        }
        let (by_port, by_address) = (&mut self.by_port, &mut self.by_address);
        self.containers.each_reached(|named, user| {
            if user.is_none() {
                let (namespace, name) = named.endpoint_name(None);
                let service = Box::new(pb::Service { name, namespace });
                let at = named.addresses.iter().map(|at| (*at, service.clone()));
                by_address.extend(at);
            }
            for port in &named.published {
                let key = (port.protocol, port.port);
                let found = by_port.entry(key).or_default();
                found.push(Service::new(named, port, user));
            }
        });
        for found in self.by_port.values_mut() {
            // One address before all of a family, and that before all; root's first.
            found.sort_by_key(|service| (service.width(), service.user));
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_port.is_empty() && self.forwards.is_empty() && self.of_cluster.is_empty()
    }

    /// The service of the cluster that has this address and port, or this port at the
    /// addresses of each node, as which those of this host count.
    #[must_use]
    pub fn of_cluster(&self, protocol: u8, at: SocketAddr, is_host: bool) -> Option<&pb::Service> {
        let find = |address| self.of_cluster.get(&(address, protocol, at.port()));
        let found = find(Some(at.ip())).or_else(|| is_host.then(|| find(None))?);
        found.map(|service| &**service)
    }

    /// Where a rule of the firewall leads who calls this address, which is one of this
    /// host if `is_host`.
    #[must_use]
    pub fn forwarded(&self, protocol: u8, at: SocketAddr, is_host: bool) -> Option<IpAddr> {
        let mut rules = self.forwards.get(&(protocol, at.port()))?.iter();
        let is_of = |rule: &&Forward| rule.is_of(protocol, at, is_host);
        // What several rules lead to several addresses is of none.
        let found = rules.find(is_of)?.to;
        rules
            .filter(is_of)
            .all(|rule| rule.to == found)
            .then_some(found)
    }

    /// The container that has an address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Option<&pb::Service> {
        self.by_address.get(&address).map(|service| &**service)
    }

    /// Who is behind a port at an address of this host, where a process of the user
    /// `answering` answers, if that is known: what the engine of a user says counts
    /// for ports that this user has.
    #[must_use]
    pub fn find(
        &self,
        protocol: u8,
        at: SocketAddr,
        answering: Option<u32>,
    ) -> Option<&pb::Service> {
        let found = self.by_port.get(&(protocol, at.port()))?;
        let mut found = found.iter();
        let service = found.find(|service| {
            service.is_at(at.ip()) && service.user.is_none_or(|user| answering == Some(user))
        });
        service.map(|service| &*service.name)
    }
}

impl Service {
    fn new(named: &Named, port: &Published, user: Option<u32>) -> Self {
        let (namespace, name) = named.endpoint_name(user);
        Self {
            address: port.address,
            user,
            name: Box::new(pb::Service { name, namespace }),
        }
    }

    fn width(&self) -> u8 {
        match self.address {
            Some(address) if !address.is_unspecified() => 0,
            Some(_) => 1,
            None => 2,
        }
    }

    fn is_at(&self, address: IpAddr) -> bool {
        self.address.is_none_or(|own| {
            own == address || own.is_unspecified() && own.is_ipv4() == address.is_ipv4()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, published: &[(u8, u16, Option<&str>)]) -> Named {
        let published = published
            .iter()
            .map(|&(protocol, port, address)| Published {
                protocol,
                port,
                address: address.map(|address| address.parse().unwrap()),
            });
        Named {
            engine: "docker",
            pod_name: name.into(),
            container: name.into(),
            published: published.collect(),
            ..Named::default()
        }
    }

    /// No cluster.
    fn nothing() -> Kubernetes {
        Kubernetes::new("default".into(), "node".into())
    }

    fn of(containers: &Containers) -> impl Fn(u8, &str, Option<u32>) -> Option<String> + use<> {
        let mut services = Services::new(containers.clone(), Firewall::default(), nothing());
        services.follow();
        move |protocol, at, user| {
            let found = services.find(protocol, at.parse().unwrap(), user)?;
            Some(format!("{}/{}", found.namespace, found.name))
        }
    }

    const A: &str = "4f1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";
    const B: &str = "aa1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";

    #[test]
    fn a_port_leads_to_its_container_at_its_addresses() {
        let containers = Containers::of_test(
            0,
            [
                (A, named("web", &[(6, 80, Some("0.0.0.0")), (17, 53, None)])),
                (B, named("own", &[(6, 80, Some("10.0.0.1"))])),
            ],
        );
        let find = of(&containers);
        assert_eq!(find(6, "127.0.0.1:80", None).unwrap(), "docker/web");
        assert_eq!(find(6, "10.0.0.1:80", None).unwrap(), "docker/own");
        assert_eq!(find(17, "[::1]:53", None).unwrap(), "docker/web");
        for (protocol, at) in [(6, "[::1]:80"), (17, "127.0.0.1:80"), (6, "127.0.0.1:81")] {
            assert_eq!(find(protocol, at, None), None, "{at}");
        }
    }

    #[test]
    fn the_engine_of_a_user_speaks_for_ports_of_that_user() {
        let says = [(A, named("nginx", &[(6, 443, None)]))];
        let find = of(&Containers::of_test(1000, says));
        for answering in [None, Some(0), Some(33)] {
            assert_eq!(find(6, "10.0.0.1:443", answering), None);
        }
        let found = find(6, "10.0.0.1:443", Some(1000));
        assert_eq!(found.unwrap(), "user-1000/nginx");
    }

    #[test]
    fn ports_go_with_their_container() {
        let containers = Containers::of_test(0, [(A, named("web", &[(6, 80, None)]))]);
        let mut services = Services::new(containers.clone(), Firewall::default(), nothing());
        let mut is_there = || {
            services.follow();
            services
                .find(6, "10.0.0.1:80".parse().unwrap(), None)
                .is_some()
        };
        assert!(is_there());
        // It stopped; it runs; it is gone.
        for (says, is) in [
            (vec![(A, named("web", &[]))], false),
            (vec![(A, named("web", &[(6, 80, None)]))], true),
            (vec![], false),
        ] {
            containers.say(says);
            assert_eq!(is_there(), is);
        }
    }

    #[test]
    fn a_rule_leads_to_the_container_that_has_the_address() {
        let mut web = named("web", &[]);
        web.addresses = vec!["172.17.0.2".parse().unwrap()];
        let rule = |to: &str| Forward {
            protocol: 6,
            address: None,
            family: Some(4),
            port: 8080,
            to: to.parse().unwrap(),
        };
        let services = |to: [&str; 2]| {
            let containers = Containers::of_test(0, [(A, web.clone())]);
            let firewall = Firewall::of_test(to.map(rule).into());
            let mut services = Services::new(containers, firewall, nothing());
            services.follow();
            services
        };
        let found = services(["172.17.0.2"; 2]);
        let called = "10.0.0.1:8080".parse().unwrap();
        let to = found.forwarded(6, called, true).unwrap();
        assert_eq!(found.at(to).unwrap().name, "web");
        assert_eq!(found.forwarded(6, called, false), None, "another host's");
        let found = services(["172.17.0.2", "172.17.0.3"]);
        assert_eq!(found.forwarded(6, called, true), None, "of several");
    }
}
