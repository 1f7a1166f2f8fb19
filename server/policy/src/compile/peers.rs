//! Lists of peers that rules have, and which of them an endpoint is in.

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::{rules::Placed, selectors::Selectors};
use crate::{
    endpoint::Endpoint,
    policy::{Entity, Peer, Peers},
    ports::{Layer4, Which},
    set::EVERYBODY,
};

/// Distinct lists, by number.
#[derive(Default)]
pub(super) struct Lists<'a> {
    all: Vec<List<'a>>,
    numbers: FxHashMap<&'a [Peer], u32>,
    selectors: Selectors<'a>,
    by_selector: Vec<Vec<u32>>,
    by_entity: FxHashMap<Entity, Vec<u32>>,
    names: Vec<(&'a str, u8)>,
    numbers_of_names: FxHashMap<(&'a str, u8), u32>,
}

/// A list of peers.
struct List<'a> {
    peers: &'a [Peer],
    /// Everybody is among them.
    is_everybody: bool,
    /// It matters who exactly is in it.
    is_told: bool,
}

/// Who is at the other end, of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// Each class, whatever it is.
    pub(super) is_everybody: bool,
    /// The classes of this list, by its number.
    pub(super) list: Option<u32>,
}

impl<'a> Lists<'a> {
    /// The lists and names of ports of rules.
    pub(super) fn new(rules: impl Iterator<Item = &'a Placed<'a>> + Clone) -> Self {
        let mut lists = Self::default();
        for placed in rules.clone() {
            if let Peers::These(peers) = &placed.rule.peers {
                lists.add(peers, placed.rule.authentication.is_some());
            }
            if placed.rule.direction == crate::policy::Direction::Egress {
                lists.add_names(&placed.rule.layer4);
            }
        }
        for number in 0..lists.all.len() {
            lists.index(number);
        }
        lists
    }

    fn add(&mut self, peers: &'a [Peer], is_authentication_said: bool) {
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(peers).or_insert(next);
        if number == next {
            let is_everybody = peers.contains(&EVERYBODY);
            self.all.push(List {
                peers,
                is_everybody,
                is_told: !is_everybody,
            });
        }
        self.all[number as usize].is_told |= is_authentication_said;
    }

    fn add_names(&mut self, layer4: &'a Layer4) {
        let Layer4::Ports(ports) = layer4 else { return };
        for ports in ports {
            if let Which::Named(name) = &ports.which {
                let name = (name.as_str(), ports.protocol);
                let next = self.names.len() as u32;
                if *self.numbers_of_names.entry(name).or_insert(next) == next {
                    self.names.push(name);
                }
            }
        }
    }

    fn index(&mut self, number: usize) {
        let list = &self.all[number];
        if !list.is_told {
            return;
        }
        let number = number as u32;
        for peer in list.peers {
            match peer {
                Peer::Endpoints(selector) => {
                    let selector = self.selectors.number(selector) as usize;
                    if self.by_selector.len() <= selector {
                        self.by_selector.resize(selector + 1, Vec::new());
                    }
                    self.by_selector[selector].push(number);
                }
                Peer::Entity(Entity::All) | Peer::Addresses(..) => {}
                Peer::Entity(entity) => self.by_entity.entry(*entity).or_default().push(number),
            }
        }
    }

    /// Who is at the other end of a rule's connections.
    pub(super) fn who(&self, peers: &Peers) -> Who {
        let Peers::These(peers) = peers else {
            return Who {
                is_everybody: true,
                list: None,
            };
        };
        let number = self.numbers.get(peers.as_slice()).copied();
        let list = number.map(|number| &self.all[number as usize]);
        Who {
            is_everybody: list.is_some_and(|list| list.is_everybody),
            list: number.filter(|_| list.is_some_and(|list| list.is_told)),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Names of ports, with the protocol, by number.
    pub(super) fn names(&self) -> &[(&'a str, u8)] {
        &self.names
    }

    /// The number of a port's name.
    pub(super) fn name(&self, name: &str, protocol: u8) -> Option<u32> {
        self.numbers_of_names.get(&(name, protocol)).copied()
    }

    /// Numbers of the lists that an endpoint is in, ascending.
    pub(super) fn of_endpoint(&self, endpoint: &Endpoint) -> Vec<u32> {
        let mut found = Vec::new();
        let is_reserved = endpoint.labels.are_reserved();
        for selector in self.selectors.selecting(&endpoint.labels) {
            if !is_reserved || self.selectors.get(selector).asks_for_reserved() {
                found.extend(&self.by_selector[selector as usize]);
            }
        }
        for (entity, lists) in &self.by_entity {
            if Peer::Entity(*entity).matches(endpoint) {
                found.extend(lists);
            }
        }
        if endpoint.outside.is_some() {
            for (number, list) in self.all.iter().enumerate().filter(|(_, list)| list.is_told) {
                let mut addresses = list
                    .peers
                    .iter()
                    .filter(|peer| matches!(peer, Peer::Addresses(..)));
                if addresses.any(|peer| peer.matches(endpoint)) {
                    found.push(number as u32);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The lists that tell addresses, by number, with them and their exceptions.
    pub(super) fn addresses(
        &self,
    ) -> impl Iterator<Item = (u32, impl Iterator<Item = (&'a IpNet, &'a [IpNet])> + Clone)> {
        let told = self.all.iter().enumerate().filter(|(_, list)| list.is_told);
        told.map(|(number, list)| {
            let addresses = list.peers.iter().filter_map(|peer| match peer {
                Peer::Addresses(net, except) => Some((net, except.as_slice())),
                _ => None,
            });
            (number as u32, addresses)
        })
    }
}
