//! How a verdict came about: each rule that is about the subject, and what it said.

use crate::{
    judgement::Source,
    set::{Connection, PolicySet, is_peer, is_spoken},
};

/// What a rule has to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It matches, and does what it does.
    Matches,
    /// It is about other peers.
    OtherPeer,
    /// It is about other protocols or ports.
    OtherPort,
}

/// A rule that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Considered<'a> {
    /// The rule.
    pub source: Source<'a>,
    /// What it said.
    pub outcome: Outcome,
}

/// All rules that are about the subject in this direction, in their order.
#[must_use]
pub fn considered<'a>(set: &'a PolicySet, connection: &Connection<'_>) -> Vec<Considered<'a>> {
    let rules = set.rules(connection.subject, connection.direction);
    let considered = rules.map(|source| {
        let outcome = if is_peer(source.rule, connection).is_none() {
            Outcome::OtherPeer
        } else if is_spoken(source.rule, connection).is_none() {
            Outcome::OtherPort
        } else {
            Outcome::Matches
        };
        Considered { source, outcome }
    });
    considered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document::parse, endpoint::Endpoint, policy::Direction, set::Enforcement};

    #[test]
    fn each_rule_tells_why_it_does_not_match() {
        let text = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a, namespace: shop}\n\
                    spec:\n  endpointSelector: {}\n  ingress:\n  - fromEndpoints: [{matchLabels: {app: api}}]\n  \
                    - toPorts: [{ports: [{port: \"80\"}]}]\n  - toPorts: [{ports: [{port: \"443\"}]}]\n  \
                    ingressDeny:\n  - fromEntities: [world]\n  egress:\n  - {}\n";
        let set = PolicySet::new(parse(text).unwrap(), Enforcement::Default);
        let labels = |app: &str| {
            let labels = [app, "k8s:io.kubernetes.pod.namespace=shop"];
            Endpoint::new(labels.into_iter().collect())
        };
        let (subject, peer) = (labels("app=web"), labels("app=other"));
        let considered = considered(
            &set,
            &Connection {
                subject: &subject,
                peer: &peer,
                direction: Direction::Ingress,
                protocol: 6,
                port: 443,
            },
        );
        let told = considered
            .iter()
            .map(|one| (one.source.rule.place(), one.outcome));
        let expect = [
            ("ingress[0]", Outcome::OtherPeer),
            ("ingress[1]", Outcome::OtherPort),
            ("ingress[2]", Outcome::Matches),
            ("ingressDeny[0]", Outcome::OtherPeer),
        ];
        let expect = expect.map(|(place, outcome)| (place.to_owned(), outcome));
        assert_eq!(told.collect::<Vec<_>>(), expect);
    }
}
