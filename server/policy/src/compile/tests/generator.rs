//! Random policies and worlds in which much meets: few labels, ports and networks, with
//! ends of the address spaces among them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::dice::Dice;
use crate::{
    endpoint::Endpoint,
    label::NAMESPACE,
    policy::{Direction, Effect, Entity, Kind, Peer, Peers, Policy, PolicyId, Rule, Spec, Subject},
    ports::{Layer4, Ports, Which},
    selector::{Operator, Requirement, Selector},
    set::Enforcement,
};

const ENTITIES: [Entity; 14] = [
    Entity::All,
    Entity::World,
    Entity::WorldIpv4,
    Entity::WorldIpv6,
    Entity::Cluster,
    Entity::ClusterMesh,
    Entity::Host,
    Entity::RemoteNode,
    Entity::Init,
    Entity::Ingress,
    Entity::Unmanaged,
    Entity::Health,
    Entity::None,
    Entity::KubeApiserver,
];
const NETS: [&str; 18] = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.128/25",
    "10.1.2.3/32",
    "10.2.0.0/15",
    "192.0.2.0/24",
    "255.255.255.255/32",
    "255.255.0.0/16",
    "::/0",
    "::/128",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1::5/128",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
];
pub(super) const PROTOCOLS: [u8; 7] = [6, 6, 17, 132, 1, 58, 47];
const PORTS: [u16; 11] = [0, 1, 8, 80, 81, 443, 1023, 1024, 8080, 32_768, 65_535];

pub(super) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(super) fn endpoint(labels: &[&str], named: &[(&str, u8, u16)]) -> Endpoint {
    let named = named.iter();
    Endpoint {
        named_ports: named
            .map(|(name, protocol, port)| (((*name).to_owned(), *protocol), *port))
            .collect(),
        ..Endpoint::new(labels.iter().copied().collect())
    }
}

/// Endpoints of all sorts, the host first.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let shop = "k8s:io.kubernetes.pod.namespace=shop";
    let data = "k8s:io.kubernetes.pod.namespace=data";
    let host = &["reserved:host", "k8s:node=a"].into_iter().collect();
    vec![
        endpoint(&["reserved:host", "k8s:node=a"], &[("http", 6, 80)]),
        endpoint(
            &["k8s:app=web", "k8s:tier=front", shop],
            &[("http", 6, 8080)],
        ),
        endpoint(&["k8s:app=web", "k8s:tier=front", shop], &[("http", 6, 81)]),
        endpoint(&["k8s:app=api", shop], &[("http", 17, 80), ("dns", 17, 53)]),
        endpoint(&["sextant:app=api", data], &[("http", 6, 8080)]),
        endpoint(&["sextant:unit=db.service", "k8s:app=db", data], &[]),
        endpoint(&["reserved:init"], &[]),
        endpoint(&["reserved:health"], &[("http", 6, 443)]),
        endpoint(&["reserved:remote-node", "reserved:kube-apiserver"], &[]),
        endpoint(&["reserved:kube-apiserver", "reserved:world"], &[]),
        endpoint(&[], &[]),
        endpoint(&["sextant:unit=db.service", data], &[("http", 6, 443)]).on_host(host),
        endpoint(&["k8s:app=web", shop], &[]).on_host(host),
        endpoint(&[], &[]).on_host(host),
    ]
}

fn selector(dice: &mut Dice) -> Selector {
    let keys = [
        "app",
        "k8s:app",
        "tier",
        NAMESPACE,
        "reserved:host",
        "reserved:health",
        "sextant:unit",
        "node",
    ];
    let values = [
        "web",
        "api",
        "db",
        "front",
        "shop",
        "data",
        "db.service",
        "",
    ];
    let requirement = |dice: &mut Dice| {
        let few = |dice: &mut Dice| dice.some(3, |dice| dice.of(&values).to_owned());
        let operator = match dice.below(6) {
            0..3 => Operator::In(few(dice)),
            3 => Operator::NotIn(few(dice)),
            4 => Operator::Exists,
            _ => Operator::DoesNotExist,
        };
        Requirement::new(dice.of(&keys), operator)
    };
    Selector::new(dice.some(2, requirement))
}

fn peer(dice: &mut Dice) -> Peer {
    match dice.below(6) {
        0 | 1 => Peer::Endpoints(selector(dice)),
        2 | 3 => {
            let whole = net(dice.of(&NETS));
            let except = dice.some(3, |dice| net(dice.of(&NETS)));
            Peer::Addresses(whole, except)
        }
        4 => Peer::Entity(dice.of(&ENTITIES)),
        _ => Peer::Entity(dice.of(&ENTITIES[..4])),
    }
}

fn ports(dice: &mut Dice) -> Ports {
    let which = match dice.below(6) {
        0 => Which::Every,
        1 => Which::Named(dice.of(&["http", "dns", "none"]).to_owned()),
        2 | 3 => {
            let port = dice.of(&PORTS);
            Which::Range(port, port)
        }
        _ => {
            let (one, other) = (dice.of(&PORTS), dice.of(&PORTS));
            Which::Range(one.min(other), one.max(other))
        }
    };
    Ports {
        protocol: dice.of(&PROTOCOLS),
        which,
    }
}

fn rule(dice: &mut Dice, number: usize) -> Rule {
    Rule {
        direction: dice.of(&[Direction::Ingress, Direction::Egress]),
        effect: dice.of(&[Effect::Allow, Effect::Allow, Effect::Deny]),
        number,
        peers: if dice.once_in(4) {
            Peers::Everybody
        } else {
            Peers::These(dice.some(3, peer))
        },
        layer4: if dice.once_in(4) {
            Layer4::All
        } else {
            Layer4::Ports(dice.some(3, ports))
        },
        default_deny: !dice.once_in(4),
        authentication: dice.of(&[None, None, None, None, Some(true), Some(false)]),
    }
}

fn spec(dice: &mut Dice) -> Spec {
    let of_host = dice.once_in(4);
    let selector = if dice.once_in(2) {
        Selector::default()
    } else {
        selector(dice)
    };
    let rules = 1 + dice.below(4);
    Spec {
        subject: if of_host {
            Subject::Host(selector)
        } else {
            Subject::Endpoints(selector)
        },
        description: String::new(),
        labels: Vec::new(),
        rules: (0..rules).map(|number| rule(dice, number)).collect(),
    }
}

/// A policy of this name.
pub(super) fn policy(dice: &mut Dice, name: usize) -> Policy {
    let specs = 1 + dice.below(2);
    Policy {
        id: PolicyId {
            kind: Kind::Cilium,
            namespace: "shop".into(),
            name: format!("p{name}"),
        },
        specs: (0..specs).map(|_| spec(dice)).collect(),
    }
}

pub(super) fn enforcement(dice: &mut Dice) -> Enforcement {
    match dice.below(12) {
        0 => Enforcement::Always,
        1 => Enforcement::Never,
        _ => Enforcement::Default,
    }
}

/// Where some endpoints are; the host has addresses of its own.
pub(super) fn addresses(dice: &mut Dice, endpoints: &[Endpoint]) -> Vec<(IpNet, Endpoint)> {
    dice.some(10, |dice| (net(dice.of(&NETS)), dice.of(endpoints)))
}

/// Addresses at and beside the ends of networks.
pub(super) fn edges() -> Vec<IpAddr> {
    let mut edges = Vec::new();
    for net in NETS.map(net) {
        let (first, last) = (net.network(), net.broadcast());
        edges.extend([before(first), Some(first), Some(last), after(last)]);
    }
    edges.into_iter().flatten().collect()
}

fn before(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(one) => IpAddr::V4(u32::from(one).checked_sub(1)?.into()),
        IpAddr::V6(one) => IpAddr::V6(u128::from(one).checked_sub(1)?.into()),
    })
}

fn after(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(one) => IpAddr::V4(u32::from(one).checked_add(1)?.into()),
        IpAddr::V6(one) => IpAddr::V6(u128::from(one).checked_add(1)?.into()),
    })
}

/// A port at or beside those that rules tell.
pub(super) fn port(dice: &mut Dice) -> u16 {
    let step = dice.of(&[0, 0, 1, u16::MAX]);
    dice.of(&PORTS).wrapping_add(step)
}
