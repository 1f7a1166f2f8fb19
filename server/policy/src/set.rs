//! Policies that are in force together. Judges by the rules as they were written, in
//! their order: the one that says what is right, not the fastest.

use std::sync::Arc;

use crate::{
    endpoint::Endpoint,
    judgement::{Judgement, Reason, Source, Verdict},
    policy::{Direction, Effect, Entity, Peer, Peers, Policy, PolicyId, Rule},
    ports::Layer4,
};

/// Policies, by kind, namespace and name. Sets share them.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    enforcement: Enforcement,
}

/// Who denies by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// Whom a policy selects, in its direction.
    #[default]
    Default,
    /// Everybody.
    Always,
    /// Nobody, whatever policies say.
    Never,
}

/// Rules of a set that are about an endpoint, by direction; for that set alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected([Vec<[usize; 3]>; 2]);

impl Selected {
    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|places| size_of_val(places.as_slice()))
            .sum()
    }
}

/// A connection, seen from the end that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Who is judged.
    pub subject: &'a Endpoint,
    /// The other end.
    pub peer: &'a Endpoint,
    /// Who opened it.
    pub direction: Direction,
    /// IP protocol number.
    pub protocol: u8,
    /// The server's port; the type of an ICMP message; 0 where there is none.
    pub port: u16,
}

/// How closely a rule is about a connection: bits of the port and one for the
/// protocol, then whether its peer is told.
type Specific = (u8, bool);

impl PolicySet {
    /// Of these policies; of two with the same name the later one counts. Fast where they
    /// come in their order.
    pub fn new<P: Into<Arc<Policy>>>(
        policies: impl IntoIterator<Item = P>,
        enforcement: Enforcement,
    ) -> Self {
        let mut policies: Vec<Arc<Policy>> = policies.into_iter().map(Into::into).collect();
        if !policies.is_sorted_by(|one, next| one.id < next.id) {
            // The later one of two comes first, and stays.
            policies.reverse();
            policies.sort_by(|one, other| one.id.cmp(&other.id));
            policies.dedup_by(|later, one| later.id == one.id);
        }
        Self {
            policies,
            enforcement,
        }
    }

    /// All of them.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Who denies by default.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// Whether it denies nothing, since nobody is to be denied anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self.enforcement {
            Enforcement::Default => self.policies.is_empty(),
            Enforcement::Always => false,
            Enforcement::Never => true,
        }
    }

    /// The verdict on a connection.
    #[must_use]
    pub fn judge(&self, connection: &Connection<'_>) -> Judgement<'_> {
        self.judge_by(
            self.rules(connection.subject, connection.direction),
            connection,
        )
    }

    /// Which rules are about an endpoint: it depends on its labels alone.
    #[must_use]
    pub fn selected(&self, subject: &Endpoint) -> Selected {
        let of = |direction| {
            let mut places = Vec::new();
            for (policy, of_policy) in self.policies.iter().enumerate() {
                for (spec, of_spec) in of_policy.specs.iter().enumerate() {
                    if !of_spec.subject.matches(subject) {
                        continue;
                    }
                    let rules = of_spec.rules.iter().enumerate();
                    let rules = rules.filter(|(_, rule)| rule.direction == direction);
                    places.extend(rules.map(|(rule, _)| [policy, spec, rule]));
                }
            }
            places
        };
        Selected([of(Direction::Ingress), of(Direction::Egress)])
    }

    /// The verdict on a connection, by what `selected` gave for its subject.
    #[must_use]
    pub fn judge_selected<'a>(
        &'a self,
        selected: &Selected,
        connection: &Connection<'_>,
    ) -> Judgement<'a> {
        let places = &selected.0[connection.direction as usize];
        let rules = places.iter().filter_map(|[policy, spec, rule]| {
            let policy = self.policies.get(*policy)?;
            let rule = policy.specs.get(*spec)?.rules.get(*rule)?;
            Some(Source {
                policy: &policy.id,
                rule,
            })
        });
        self.judge_by(rules, connection)
    }

    /// The verdict by the rules that are about the subject in this direction.
    pub(crate) fn judge_by<'a>(
        &self,
        rules: impl IntoIterator<Item = Source<'a>>,
        connection: &Connection<'_>,
    ) -> Judgement<'a> {
        if self.enforcement == Enforcement::Never {
            return allowed(Reason::NotSelected);
        }
        let mut found = Found::default();
        for source in rules {
            found.add(source, matched(source.rule, connection));
        }
        let is_denied = connection.subject.is_init() || self.enforcement == Enforcement::Always;
        found.judgement(is_denied)
    }

    /// The rules that are about an endpoint.
    pub(crate) fn rules<'a>(
        &'a self,
        subject: &Endpoint,
        direction: Direction,
    ) -> impl Iterator<Item = Source<'a>> {
        self.policies.iter().flat_map(move |policy| {
            let specs = policy
                .specs
                .iter()
                .filter(move |spec| spec.subject.matches(subject));
            specs
                .flat_map(|spec| &spec.rules)
                .filter(move |rule| rule.direction == direction)
                .map(|rule| Source {
                    policy: &policy.id,
                    rule,
                })
        })
    }
}

/// As a peer, it tells nobody.
pub(crate) const EVERYBODY: Peer = Peer::Entity(Entity::All);

/// How closely a rule is about a connection, if it is.
fn matched(rule: &Rule, connection: &Connection<'_>) -> Option<Specific> {
    let is_peer_told = is_peer(rule, connection)?;
    Some((is_spoken(rule, connection)?, is_peer_told))
}

/// Whether the peer is one of the rule's; if so, whether the rule tells who that is.
pub(crate) fn is_peer(rule: &Rule, connection: &Connection<'_>) -> Option<bool> {
    match &rule.peers {
        Peers::Everybody => Some(false),
        Peers::These(peers) => {
            let mut matching = peers.iter().filter(|peer| peer.matches(connection.peer));
            let first = matching.next()?;
            Some(*first != EVERYBODY || matching.any(|peer| *peer != EVERYBODY))
        }
    }
}

/// How closely the rule is about what is spoken, if it is.
pub(crate) fn is_spoken(rule: &Rule, connection: &Connection<'_>) -> Option<u8> {
    let server = match connection.direction {
        Direction::Ingress => connection.subject,
        Direction::Egress => connection.peer,
    };
    match &rule.layer4 {
        Layer4::All => Some(0),
        Layer4::Ports(ports) => {
            let matched = ports.iter().filter_map(|ports| {
                ports.matched_bits(connection.protocol, connection.port, |name| {
                    server.port(name, connection.protocol)
                })
            });
            Some(matched.max()? + 1)
        }
    }
}

/// Rules that are about a connection.
#[derive(Default)]
struct Found<'a> {
    denying: Vec<Source<'a>>,
    allowing: Vec<(Source<'a>, Specific)>,
    default_deny: Vec<&'a PolicyId>,
    is_selected: bool,
}

impl<'a> Found<'a> {
    fn add(&mut self, source: Source<'a>, matched: Option<Specific>) {
        self.is_selected = true;
        // Rules of a policy come one after the other.
        let is_last = |last: &&PolicyId| std::ptr::eq(*last, source.policy);
        if source.rule.default_deny && !self.default_deny.last().is_some_and(is_last) {
            self.default_deny.push(source.policy);
        }
        match (matched, source.rule.effect) {
            (Some(_), Effect::Deny) => self.denying.push(source),
            (Some(specific), Effect::Allow) => self.allowing.push((source, specific)),
            (None, _) => {}
        }
    }

    fn judgement(self, is_denied_by_default: bool) -> Judgement<'a> {
        if !self.denying.is_empty() {
            return denied(Reason::Rules(self.denying));
        }
        if !self.allowing.is_empty() {
            let verdict = if needs_authentication(&self.allowing) {
                Verdict::AllowAuthenticated
            } else {
                Verdict::Allow
            };
            let rules = self.allowing.into_iter().map(|(source, _)| source);
            return Judgement {
                verdict,
                reason: Reason::Rules(rules.collect()),
            };
        }
        if is_denied_by_default || !self.default_deny.is_empty() {
            denied(Reason::DefaultDeny(self.default_deny))
        } else if self.is_selected {
            allowed(Reason::DefaultAllow)
        } else {
            allowed(Reason::NotSelected)
        }
    }
}

/// The closest rule that says something of it decides, as in Cilium.
fn needs_authentication(allowing: &[(Source<'_>, Specific)]) -> bool {
    let said = allowing
        .iter()
        .filter_map(|(source, specific)| Some((*specific, source.rule.authentication?)));
    said.max().is_some_and(|(_, required)| required)
}

pub(crate) fn allowed(reason: Reason<'_>) -> Judgement<'_> {
    Judgement {
        verdict: Verdict::Allow,
        reason,
    }
}

fn denied(reason: Reason<'_>) -> Judgement<'_> {
    Judgement {
        verdict: Verdict::Deny,
        reason,
    }
}

#[cfg(test)]
mod tests;
