//! Keeps a change from locking people out: the one who asks for it, those who are
//! connected to a management port, and all who might be.
//!
//! It judges by the proposed policies that are enforced, this host and the units that hold
//! the sockets. The loopback is never denied, so it is not looked at. Bound: that of
//! `owners`, `MAX_PEERS` addresses that policies name.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
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
    owners::{Owners, own_unit, sockets},
    rulebook::{Rulebook, Verdict},
};

/// Addresses that are tried.
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
        let change = (before, proposed);
        if let Some(arriving) = arriving {
            let what = "the connection that it comes on";
            self.keeps(
                change,
                arriving,
                &self.subjects(own_unit().as_slice()),
                what,
            )?;
        }
        if self.management.is_empty() || proposed.enforced().is_idle() {
            return Ok(());
        }
        let sockets = sockets(&self.management);
        let owners = Owners::of(&sockets);
        let policies = [before, proposed].map(|rulebook| rulebook.enforced().policies());
        let candidates = self.candidates(&policies.concat());
        for socket in &sockets {
            let subjects = self.subjects(owners.units(socket));
            let local = socket.local;
            match socket.peer {
                Some(peer) => {
                    let session = Arriving { peer, local };
                    self.keeps(change, session, &subjects, "a session that is open")?;
                }
                None if local.ip().is_loopback() => {}
                None => is_reachable(change, &candidates, &subjects, local.port())?,
            }
        }
        // Who listens later is of the host in any case.
        let host = [self.ends.host()];
        self.management
            .iter()
            .try_for_each(|port| is_reachable(change, &candidates, &host, *port))
    }

    /// The host, and units of it.
    fn subjects(&self, units: &[Endpoint]) -> Vec<Endpoint> {
        let units = units.iter().cloned();
        let units = units.map(|unit| self.ends.with_node_labels(unit));
        [self.ends.host()].into_iter().chain(units).collect()
    }

    /// One connection goes on, if it did before: what is denied already is not lost.
    fn keeps(
        &self,
        (before, proposed): (&Rulebook, &Rulebook),
        connection: Arriving,
        subjects: &[Endpoint],
        what: &str,
    ) -> Result<(), LockedOut> {
        let denied = match self.allows(proposed, connection, subjects, what) {
            Ok(()) => return Ok(()),
            Err(denied) => denied,
        };
        match self.allows(before, connection, subjects, what) {
            Ok(()) => Err(denied),
            Err(_) => Ok(()),
        }
    }

    /// One connection.
    fn allows(
        &self,
        proposed: &Rulebook,
        connection: Arriving,
        subjects: &[Endpoint],
        what: &str,
    ) -> Result<(), LockedOut> {
        let Arriving { peer, local } = connection;
        let (address, own) = (peer.ip().to_canonical(), local.ip().to_canonical());
        if address.is_loopback() || address == own {
            return Ok(());
        }
        let client = self.ends.at(address);
        let judged = subjects
            .iter()
            .flat_map(|subject| proposed.judge_ends(&client.endpoint, subject, TCP, local.port()));
        match judged.max_by_key(|(verdict, _)| *verdict) {
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

    /// Somebody of each sort who might connect.
    fn candidates(&self, policies: &[Arc<Policy>]) -> Vec<Endpoint> {
        let known = self.ends.known();
        let others = known.iter().filter(|endpoint| !endpoint.is_host());
        candidates(policies).chain(others.cloned()).collect()
    }
}

/// Whether anybody at all gets to a port of each subject, if anybody did before.
fn is_reachable(
    (before, proposed): (&Rulebook, &Rulebook),
    candidates: &[Endpoint],
    subjects: &[Endpoint],
    port: u16,
) -> Result<(), LockedOut> {
    // Why it is closed to the last of them; none if it is open to one.
    let closed = |rulebook: &Rulebook, subject: &Endpoint| -> Option<String> {
        let mut why = None;
        for peer in candidates {
            let [_, (verdict, judgement)] = rulebook.judge_ends(peer, subject, TCP, port);
            if matches!(verdict, Verdict::Allow | Verdict::Audit) {
                return None;
            }
            why = Some(by(&judgement));
        }
        why
    };
    for subject in subjects {
        if let Some(why) = closed(proposed, subject)
            && closed(before, subject).is_none()
        {
            return Err(LockedOut {
                what: format!("port {port}, which is for management, to everybody"),
                why,
            });
        }
    }
    Ok(())
}

/// Somebody outside of each family, another node, and whoever a policy names by address.
fn candidates(policies: &[Arc<Policy>]) -> impl Iterator<Item = Endpoint> {
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

#[cfg(test)]
mod tests {
    use sextant_policy::{document::parse, set::Enforcement};

    use super::*;
    use crate::policy::{
        enforce::Mode,
        entry::{Entries, Entry},
    };

    /// A policy of the host with this `ingress` and `ingressDeny`.
    fn rulebook(rules: &str) -> Rulebook {
        if rules.is_empty() {
            return Rulebook::default();
        }
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: host}}\n\
             spec:\n  nodeSelector: {{}}\n{rules}"
        );
        of(&text)
    }

    /// Of a document.
    fn of(text: &str) -> Rulebook {
        let entries: Entries = parse(text)
            .unwrap()
            .into_iter()
            .map(|policy| {
                let entry = Entry {
                    policy: Arc::new(policy.clone()),
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

    /// No policies, where all is denied that none allows.
    fn nothing_allowed() -> Rulebook {
        Rulebook::new(&Entries::new(), Enforcement::Always)
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
    fn where_all_is_denied_by_default_the_last_policy_that_allows_stays() {
        let guard = Guard::new(Ends::default(), vec![9]);
        let open = rulebook(ADMINS);
        let told = guard.check(&open, &nothing_allowed(), None).unwrap_err();
        assert!(told.to_string().contains("port 9"), "{told}");
        guard
            .check(&nothing_allowed(), &nothing_allowed(), None)
            .unwrap();
    }

    #[test]
    fn what_was_denied_before_does_not_stand_in_the_way() {
        let guard = Guard::new(Ends::default(), Vec::new());
        let arriving = Some(Arriving {
            peer: "10.8.8.7:1000".parse().unwrap(),
            local: "10.0.0.1:4244".parse().unwrap(),
        });
        let (open, admins) = (Rulebook::default(), rulebook(ADMINS));
        assert!(guard.check(&open, &admins, arriving).is_err());
        guard.check(&admins, &admins, arriving).unwrap();
    }

    #[test]
    fn a_policy_of_the_unit_that_holds_a_port_counts_too() {
        let unit = Endpoint::new(["sextant:unit=sshd.service"].into_iter().collect());
        let unit = unit.on_host(&["reserved:host"].into_iter().collect());
        let text = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: sshd}\n\
                    spec:\n  endpointSelector: {matchLabels: {unit: sshd.service}}\n  ingress:\n  - fromCIDR: [10.9.0.0/16]\n";
        let rulebook = of(text);
        let guard = Guard::new(Ends::default(), vec![22]);
        let session = |peer: &str| Arriving {
            peer: peer.parse().unwrap(),
            local: "10.0.0.1:22".parse().unwrap(),
        };
        let allows = |peer, subjects: &[Endpoint]| {
            guard.allows(&rulebook, session(peer), subjects, "a session that is open")
        };
        let subjects = [guard.ends.host(), unit];
        allows("10.9.8.7:1000", &subjects).unwrap();
        assert!(allows("10.8.8.7:1000", &subjects).is_err());
        allows("10.8.8.7:1000", &subjects[..1]).unwrap();
        let candidates = guard.candidates(rulebook.enforced().policies());
        let none = Rulebook::default();
        is_reachable((&none, &rulebook), &candidates, &subjects, 22).unwrap();
        let nobody = of(&text.replace("fromCIDR: [10.9.0.0/16]", "fromEntities: [none]"));
        let candidates = guard.candidates(nobody.enforced().policies());
        let told = is_reachable((&none, &nobody), &candidates, &subjects, 22);
        let told = told.unwrap_err().to_string();
        assert!(told.contains("sshd default deny"), "{told}");
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
