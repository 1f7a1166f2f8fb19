//! Keeps a change from locking people out: the one who asks for it, those who are
//! connected to a management port, and all who might be.
//!
//! It judges by the proposed policies that are enforced. The loopback is never denied,
//! so it is not looked at. Bound: the sockets of this host, `MAX_PEERS` of them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;
use sextant_policy::{
    endpoint::Endpoint,
    label::{Label, RESERVED},
    policy::{Peer, Peers, Policy},
    ports::protocol::TCP,
    simulation::by,
};

use super::{
    ends::Ends,
    rulebook::{Rulebook, Verdict},
};

/// Peers of management ports that are looked at.
const MAX_PEERS: usize = 4096;

/// What is never denied unless it is forced.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    ends: Ends,
    /// TCP ports of this host.
    management: Vec<u16>,
}

/// A connection by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// Who opened it.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
}

/// A change would deny something that is needed to take it back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the change would deny {what} ({why}); allow it in a policy, or force the change (`force`, `--force`)"
)]
pub struct LockedOut {
    what: String,
    why: String,
}

impl Guard {
    /// Of these ports, with the endpoints that are known.
    #[must_use]
    pub fn new(ends: Ends, management: Vec<u16>) -> Self {
        Self { ends, management }
    }

    /// Looks at a change.
    ///
    /// # Errors
    ///
    /// It would lock somebody out.
    pub fn check(
        &self,
        before: &Rulebook,
        proposed: &Rulebook,
        arriving: Option<Arriving>,
    ) -> Result<(), LockedOut> {
        if let Some(arriving) = arriving {
            self.allows(proposed, arriving, "the connection that it comes on")?;
        }
        if self.management.is_empty() || proposed.enforced().policies().is_empty() {
            return Ok(());
        }
        for session in sessions(&self.management) {
            self.allows(proposed, session, "a session that is open")?;
        }
        self.management
            .iter()
            .try_for_each(|port| self.is_reachable(before, proposed, *port))
    }

    /// One connection.
    fn allows(
        &self,
        proposed: &Rulebook,
        connection: Arriving,
        what: &str,
    ) -> Result<(), LockedOut> {
        let Arriving { peer, local } = connection;
        let (address, own) = (peer.ip().to_canonical(), local.ip().to_canonical());
        if address.is_loopback() || address == own {
            return Ok(());
        }
        let (client, server) = (self.ends.at(address), self.ends.at(own));
        // Whatever is bound to an address of this host is the host's.
        let server = match server.endpoint.is_elsewhere() {
            true => self.ends.host(),
            false => server.endpoint,
        };
        let judged = proposed.judge_ends(&client.endpoint, &server, TCP, local.port());
        let worst = judged.into_iter().max_by_key(|(verdict, _)| *verdict);
        match worst {
            Some((Verdict::Deny | Verdict::Authenticate, judgement)) => {
                let what = format!("{what}, from {} to port {}", client.name, local.port());
                Err(LockedOut {
                    what,
                    why: by(&judgement),
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether anybody at all gets to a port, if anybody did before.
    fn is_reachable(
        &self,
        before: &Rulebook,
        proposed: &Rulebook,
        port: u16,
    ) -> Result<(), LockedOut> {
        let host = self.ends.host();
        let policies = proposed.enforced().policies();
        let candidates: Vec<_> = candidates(policies).chain(self.known()).collect();
        let judged = |rulebook: &Rulebook| -> Option<String> {
            let mut last = None;
            for peer in &candidates {
                let [_, (verdict, judgement)] = rulebook.judge_ends(peer, &host, TCP, port);
                if matches!(verdict, Verdict::Allow | Verdict::Audit) {
                    return None;
                }
                last = Some(by(&judgement));
            }
            last
        };
        match judged(proposed) {
            Some(why) if judged(before).is_none() => Err(LockedOut {
                what: format!("port {port}, which is for management, to everybody"),
                why,
            }),
            _ => Ok(()),
        }
    }

    fn known(&self) -> Vec<Endpoint> {
        let known = self.ends.known();
        let others = known.iter().filter(|endpoint| !endpoint.is_host());
        others.cloned().collect()
    }
}

/// Somebody outside of each family, another node, and whoever a policy names by address.
fn candidates(policies: &[Policy]) -> impl Iterator<Item = Endpoint> {
    let documentation = [
        IpAddr::from([192, 0, 2, 1]),
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1_u16]),
    ];
    let named: BTreeSet<IpAddr> = policies
        .iter()
        .flat_map(|policy| &policy.specs)
        .flat_map(|spec| &spec.rules)
        .filter_map(|rule| match &rule.peers {
            Peers::These(peers) => Some(peers),
            Peers::Everybody => None,
        })
        .flatten()
        .filter_map(|peer| match peer {
            Peer::Addresses(net, except) => one_of(net, except),
            _ => None,
        })
        .take(MAX_PEERS)
        .collect();
    let node = [Label::new(RESERVED, "remote-node", "")];
    let outside = documentation.into_iter().chain(named);
    outside
        .map(Endpoint::outside)
        .chain([Endpoint::new(node.into_iter().collect())])
}

/// An address of a range that is none of the exceptions: its first, or one that comes
/// after an exception.
fn one_of(net: &IpNet, except: &[IpNet]) -> Option<IpAddr> {
    let after = except.iter().filter_map(|net| next(net.broadcast()));
    let mut tried = [net.network()].into_iter().chain(after);
    tried.find(|address| {
        net.contains(address) && !except.iter().any(|except| except.contains(address))
    })
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv4Addr::from_bits(next).into())
        }
        IpAddr::V6(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv6Addr::from_bits(next).into())
        }
    }
}

/// Connections that are open to these ports of this host.
fn sessions(ports: &[u16]) -> Vec<Arriving> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = tables.into_iter().flatten().flatten();
    let open = entries.filter(|entry| {
        let is_open = entry.state == procfs::net::TcpState::Established;
        is_open && ports.contains(&entry.local_address.port())
    });
    let sessions = open.map(|entry| Arriving {
        peer: entry.remote_address,
        local: entry.local_address,
    });
    sessions.take(MAX_PEERS).collect()
}

#[cfg(test)]
mod tests {
    use sextant_policy::{document::parse, set::Enforcement};

    use super::*;
    use crate::policy::{enforce::Mode, entry::Entry, state::Entries};

    /// A policy of the host with this `ingress` and `ingressDeny`.
    fn rulebook(rules: &str) -> Rulebook {
        if rules.is_empty() {
            return Rulebook::default();
        }
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: host}}\n\
             spec:\n  nodeSelector: {{}}\n{rules}"
        );
        let entries: Entries = parse(&text)
            .unwrap()
            .into_iter()
            .map(|policy| {
                let entry = Entry {
                    policy: policy.clone(),
                    document: serde_json::Value::Null,
                    mode: Mode::Enforce,
                    revision: 1,
                    created: Default::default(),
                    updated: Default::default(),
                    bytes: 0,
                };
                (policy.id, std::sync::Arc::new(entry))
            })
            .collect();
        Rulebook::new(&entries, Enforcement::Default)
    }

    fn checked(before: &str, rules: &str, peer: Option<&str>) -> Result<(), LockedOut> {
        // A port that nothing here has.
        let guard = Guard::new(Ends::default(), vec![9]);
        let arriving = peer.map(|peer| Arriving {
            peer: peer.parse().unwrap(),
            local: "10.0.0.1:4244".parse().unwrap(),
        });
        guard.check(&rulebook(before), &rulebook(rules), arriving)
    }

    const WEB: &str = "  ingress:\n  - toPorts: [{ports: [{port: \"80\"}]}]\n";
    const ADMINS: &str = "  ingress:\n  - fromCIDR: [10.9.0.0/16]\n";
    const ALL_BUT: &str =
        "  enableDefaultDeny: {ingress: false}\n  ingressDeny:\n  - fromCIDR: [10.9.0.0/16]\n";

    #[test]
    fn a_management_port_stays_open_to_somebody() {
        let told = checked("", WEB, None).unwrap_err().to_string();
        assert!(told.contains("port 9, which is for management"), "{told}");
        assert!(told.contains("host default deny"), "{told}");
        checked("", ADMINS, None).unwrap();
        checked("", ALL_BUT, None).unwrap();
        checked("", "", None).unwrap();
        let denied =
            "  ingressDeny:\n  - toPorts: [{ports: [{port: \"9\"}]}]\n  ingress:\n  - {}\n";
        let told = checked("", denied, None).unwrap_err().to_string();
        assert!(told.contains("ingressDeny[0]"), "{told}");
        // It was closed already.
        checked(WEB, WEB, None).unwrap();
    }

    #[test]
    fn the_connection_that_a_change_comes_on_is_not_denied() {
        checked("", ADMINS, Some("10.9.8.7:1000")).unwrap();
        checked("", ADMINS, Some("[::ffff:10.9.8.7]:1000")).unwrap();
        let told = checked("", ADMINS, Some("10.8.8.7:1000"));
        let told = told.unwrap_err().to_string();
        assert!(told.contains("from 10.8.8.7 to port 4244"), "{told}");
        checked("", ADMINS, Some("127.0.0.1:1000")).unwrap();
        let told = checked("", ALL_BUT, Some("10.9.8.7:1000")).unwrap_err();
        assert!(told.to_string().contains("ingressDeny[0]"), "{told}");
        let needs = "  ingress:\n  - authentication: {mode: required}\n    fromEntities: [all]\n";
        assert!(checked("", needs, Some("10.9.8.7:1000")).is_err());
    }
}
