//! Who can be judged on this host, and where: this host, its units and containers by
//! their cgroups, and who is behind an interface, by the inventory or since it is a
//! container with a network of its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sextant_ebpf_common::policy::{Group, NO_SUBJECT, guard};
use sextant_policy::{
    compile::{Tables, World},
    endpoint::Endpoint,
};
use tokio::sync::watch;

use crate::{
    datapath::{Links, Placement, Role, Rooms, Slots, namespaces_of},
    flow::{self, Interned},
    identity::{Identities, Snapshot},
    policy::ends::Ends,
    process::{self, Groups},
};

/// What the host is read from.
pub struct Sources {
    /// Endpoints by address and interface.
    pub identities: Arc<Identities>,
    /// Interfaces.
    pub links: Arc<ArcSwap<Links>>,
    /// Units and containers.
    pub groups: Groups,
    /// Where what is kept by interface is.
    pub slots: Slots,
    /// The labels of this host.
    pub ends: Ends,
}

/// Tells that something of it changed.
pub(super) struct Changes {
    identities: watch::Receiver<u64>,
    groups: watch::Receiver<u64>,
}

impl Changes {
    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let changed = tokio::select! {
            changed = self.identities.changed() => changed,
            changed = self.groups.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending().await
        }
    }

    /// What changed until now is taken note of.
    pub(super) fn seen(&mut self) {
        self.identities.mark_unchanged();
        self.groups.mark_unchanged();
    }
}

impl Sources {
    pub(super) fn watch(&self) -> Changes {
        Changes {
            // Refreshed when interfaces change, too.
            identities: self.identities.watch(),
            groups: self.groups.watch(),
        }
    }

    /// The host as it is now. Cgroups that are gone, which may have sockets yet, as far as
    /// there is room for them.
    pub(super) fn scene(&self, rooms: Rooms) -> Scene {
        let snapshot = self.identities.snapshot().load_full();
        let mut scene = Scene::new(self.endpoint(snapshot.this_host()));
        self.add_addresses(&mut scene, &snapshot);
        let (gone, there): (Vec<_>, Vec<_>) = {
            let groups = self.groups.list().into_iter();
            groups.partition(|(_, group)| group.is_gone)
        };
        let behind = self.add_groups(&mut scene, &there);
        self.add_interfaces(&mut scene, &snapshot, &behind);
        let subjects = (rooms.subjects as usize).saturating_sub(scene.subjects.len() + 1);
        // Two places each.
        let groups = (rooms.groups as usize / 2).saturating_sub(scene.groups.len());
        let left = subjects.min(groups);
        self.add_groups(&mut scene, &gone[gone.len().saturating_sub(left)..]);
        scene
    }

    fn endpoint(&self, endpoint: &flow::Endpoint) -> Endpoint {
        self.ends.endpoint(endpoint)
    }

    fn add_addresses(&self, scene: &mut Scene, snapshot: &Snapshot) {
        let host = scene.subjects[0].clone();
        let loopbacks = [
            IpNet::V4(Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)),
            IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128)),
        ];
        for net in loopbacks {
            scene.addresses.push((net, host.clone()));
        }
        for (address, endpoint, is_host) in snapshot.addresses() {
            let endpoint = match is_host {
                true => host.clone(),
                false => self.endpoint(endpoint),
            };
            scene.addresses.push((IpNet::from(address), endpoint));
        }
        for (net, endpoint) in snapshot.ranges() {
            scene.addresses.push((*net, self.endpoint(endpoint)));
        }
    }

    /// Tells which endpoint is in which network namespace that is not this host's.
    fn add_groups(&self, scene: &mut Scene, groups: &[(u64, process::Group)]) -> HashMap<u32, u32> {
        let apart = groups.iter().filter(|(_, group)| !group.is_of_host);
        let pids: Vec<u32> = apart.map(|(_, group)| group.pid).collect();
        let namespaces = if pids.is_empty() {
            HashMap::new()
        } else {
            namespaces_of(&pids)
        };
        let mut behind = HashMap::new();
        for (cgroup, group) in groups {
            let mut endpoint = self.endpoint(&group.endpoint);
            if group.is_of_host {
                endpoint = endpoint.on_host(&scene.subjects[0].labels);
            }
            let subject = scene.subject(&group.endpoint, endpoint.clone());
            if let Some(namespace) = namespaces.get(&group.pid) {
                behind.entry(*namespace).or_insert(subject);
            }
            scene.peers.push(endpoint);
            scene.groups.push((*cgroup, subject));
        }
        behind
    }

    /// Who is behind an interface that is not there, or not observed, is judged nowhere.
    fn add_interfaces(&self, scene: &mut Scene, snapshot: &Snapshot, behind: &HashMap<u32, u32>) {
        let named: BTreeMap<&str, _> = snapshot
            .interfaces()
            .map(|(name, endpoint)| (name.as_str(), endpoint))
            .collect();
        for link in self.links.load().by_index.values() {
            let Some(slot) = self.slots.of(link.index) else {
                continue;
            };
            let found = if link.namespace.is_some() || link.role == Role::Loopback {
                // What is in there is that namespace's own.
                0
            } else {
                let named = named.get(link.name.as_str());
                let named = named.map(|known| scene.subject(known, self.endpoint(known)));
                let by_namespace = link.peer_namespace.and_then(|id| behind.get(&id).copied());
                guard(named.or(by_namespace).unwrap_or(NO_SUBJECT), true)
            };
            scene.guards.push((slot, found));
        }
    }
}

/// The host at one moment.
#[derive(PartialEq)]
pub(super) struct Scene {
    addresses: Vec<(IpNet, Endpoint)>,
    /// The host first.
    subjects: Vec<Endpoint>,
    numbers: HashMap<Interned<flow::Endpoint>, u32>,
    peers: Vec<Endpoint>,
    /// By cgroup, with the number of the subject; in the order of `peers`.
    groups: Vec<(u64, u32)>,
    guards: Vec<(u32, u32)>,
}

impl Scene {
    fn new(host: Endpoint) -> Self {
        Self {
            addresses: Vec::new(),
            subjects: vec![host],
            numbers: HashMap::new(),
            peers: Vec::new(),
            groups: Vec::new(),
            guards: Vec::new(),
        }
    }

    /// The number of somebody who can be judged.
    fn subject(&mut self, known: &Interned<flow::Endpoint>, endpoint: Endpoint) -> u32 {
        if let Some(number) = self.numbers.get(known) {
            return *number;
        }
        self.subjects.push(endpoint);
        let number = self.subjects.len() as u32;
        self.numbers.insert(known.clone(), number);
        number
    }

    /// Who is judged.
    pub(super) fn subjects(self) -> Vec<Endpoint> {
        self.subjects
    }

    pub(super) fn world(&self) -> World<'_> {
        World {
            addresses: &self.addresses,
            subjects: &self.subjects,
            peers: &self.peers,
        }
    }

    pub(super) fn placement(&self, made: &Tables) -> Placement {
        let groups = self.groups.iter().zip(&made.peer_classes);
        Placement {
            guards: self.guards.clone(),
            groups: groups
                .map(|((cgroup, subject), class)| Group {
                    cgroup: *cgroup,
                    subject: *subject,
                    class: *class,
                })
                .collect(),
            host: 1,
        }
    }
}
