//! Policies of any text as tables of the kernel: refused by what is too large, or they say
//! what the judge says; policies whose names begin with `audit` are in audit.
#![no_main]

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use sextant_ebpf_common::policy::{verdict, verdict_of};
use sextant_fuzz::bounded;
use sextant_policy::{
    compile::{Limits, Reasons, Sets, Tables, World, compile},
    document::parse,
    endpoint::Endpoint,
    judgement::Verdict,
    policy::{Direction, Peer, Peers, Policy, Rule},
    ports::{Layer4, Which},
    set::{Connection, Enforcement, PolicySet},
};

/// Ends of networks, and of ranges of ports, that are tried.
const EDGES: usize = 16;
/// What the kernel has room for here.
const LIMITS: Limits = Limits {
    ranges4: 1 << 13,
    ranges6: 1 << 13,
    subjects: 16,
    rules: 16,
    classes: 1 << 12,
    places: 1 << 13,
    steps: 1 << 15,
};

fuzz_target!(|text: &str| {
    let Ok(policies) = parse(text) else { return };
    let edges = Edges::of(&policies);
    let is_enforced = |policy: &&Policy| !policy.id.name.starts_with("audit");
    let enforced = policies.iter().filter(is_enforced).cloned();
    let enforced = PolicySet::new(enforced, Enforcement::Default);
    let with_audit = PolicySet::new(policies, Enforcement::Default);
    let sets = Sets {
        enforced: &enforced,
        with_audit: &with_audit,
        revisions: &HashMap::new(),
    };
    let (addresses, endpoints) = world();
    let world = World {
        addresses: &addresses,
        subjects: &endpoints,
        peers: &endpoints,
    };
    let compiled = bounded("compiling", || {
        compile(&sets, &world, &mut Reasons::default(), &LIMITS)
    });
    match compiled {
        Ok(tables) => edges.check(&tables, &sets, &world),
        Err(error) => assert!(error.needed > error.room, "{error}"),
    }
});

fn world() -> (Vec<(IpNet, Endpoint)>, Vec<Endpoint>) {
    let labels = |texts: &[&str]| Endpoint::new(texts.iter().copied().collect());
    let host = labels(&["reserved:host"]);
    let mut web = labels(&["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]);
    web.named_ports.insert(("http".into(), 6), 8080);
    let api = labels(&["k8s:app=api", "k8s:io.kubernetes.pod.namespace=shop"]);
    let unit = labels(&["sextant:unit=db.service"]).on_host(&host.labels);
    let init = labels(&["reserved:init"]);
    let at = |address: [u8; 4], end: &Endpoint| (IpNet::from(IpAddr::from(address)), end.clone());
    let addresses = vec![at([192, 0, 2, 1], &host), at([10, 1, 0, 1], &api)];
    (addresses, vec![host, web, api, unit, init])
}

/// Where policies may begin or end to be about something.
struct Edges {
    addresses: Vec<IpAddr>,
    ports: Vec<(u8, u16)>,
}

impl Edges {
    fn of(policies: &[Policy]) -> Self {
        let mut edges = Self {
            addresses: vec![[192, 0, 2, 1].into(), [10, 1, 0, 1].into()],
            ports: vec![(6, 80), (17, 53), (1, 8), (47, 0)],
        };
        for rule in policies
            .iter()
            .flat_map(|policy| &policy.specs)
            .flat_map(|spec| &spec.rules)
        {
            edges.add(rule);
        }
        edges.addresses.truncate(EDGES);
        edges.ports.truncate(EDGES);
        edges
    }

    fn add(&mut self, rule: &Rule) {
        if let Peers::These(peers) = &rule.peers {
            for peer in peers {
                if let Peer::Addresses(net, except) = peer {
                    let nets = std::iter::once(net).chain(except);
                    self.addresses
                        .extend(nets.flat_map(|net| [net.network(), net.broadcast()]));
                }
            }
        }
        if let Layer4::Ports(all) = &rule.layer4 {
            for ports in all {
                if let Which::Range(first, last) = ports.which {
                    let edges = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                    self.ports.extend(edges.map(|port| (ports.protocol, port)));
                }
            }
        }
    }

    fn check(&self, tables: &Tables, sets: &Sets<'_>, world: &World<'_>) {
        let known = world.peers.iter().zip(&tables.peer_classes);
        let mut peers: Vec<_> = known.map(|(peer, class)| (peer.clone(), *class)).collect();
        peers.extend(self.addresses.iter().map(|address| {
            let mut at = world.addresses.iter();
            let known = at.find(|(net, _)| net.contains(address));
            let end = known.map_or_else(|| Endpoint::outside(*address), |(_, end)| end.clone());
            (end, tables.class_of(*address))
        }));
        for (number, subject) in world.subjects.iter().enumerate() {
            for (peer, class) in &peers {
                for direction in [Direction::Ingress, Direction::Egress] {
                    for (protocol, port) in &self.ports {
                        let connection = Connection {
                            subject,
                            peer,
                            direction,
                            protocol: *protocol,
                            port: *port,
                        };
                        let number = number as u32 + 1;
                        let decision = tables.judge(number, direction, *class, *protocol, *port);
                        let verdict = verdict_of(decision).max(verdict::ALLOW);
                        assert_eq!(verdict, judged(sets, &connection), "{connection:?}");
                    }
                }
            }
        }
    }
}

fn judged(sets: &Sets<'_>, connection: &Connection<'_>) -> u32 {
    let denies = |set: &PolicySet| set.judge(connection).verdict != Verdict::Allow;
    match (denies(sets.enforced), denies(sets.with_audit)) {
        (true, _) => verdict::DENY,
        (false, true) => verdict::AUDIT,
        (false, false) => verdict::ALLOW,
    }
}
