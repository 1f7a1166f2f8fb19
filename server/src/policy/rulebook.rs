//! The set as it judges: by the policies that are enforced, and with those in audit.
//!
//! A policy in audit opens nothing and closes nothing: where those that are enforced let
//! through what all of them together would deny, the verdict is `Audit`. Bound: what
//! `Remembered` has room for.

use std::sync::{Arc, PoisonError, RwLock};

use sextant_policy::{
    endpoint::Endpoint,
    exempt::is_exempt,
    judgement::{self, Judgement, Reason},
    policy::Direction,
    remembered::Remembered,
    set::{Connection, Enforcement, PolicySet, Selected},
};

use super::{enforce::by_mode, entry::Entries};

/// A set at work.
#[derive(Debug, Default)]
pub struct Rulebook {
    enforced: Book,
    /// None where no policy is in audit.
    with_audit: Option<Book>,
}

/// Policies, and which of their rules are about whom.
#[derive(Debug, Default)]
struct Book {
    set: PolicySet,
    selected: RwLock<Remembered<Arc<Selected>>>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is let through.
    Allow,
    /// It is, and told: a policy in audit would deny it.
    Audit,
    /// It is dropped until both ends have shown who they are.
    Authenticate,
    /// It is dropped.
    Deny,
}

impl Rulebook {
    /// Of these policies.
    #[must_use]
    pub fn new(entries: &Entries, enforcement: Enforcement) -> Self {
        let policies = entries.values().map(|entry| (entry.mode, &entry.policy));
        let (enforced, with_audit) = by_mode(policies, enforcement);
        let book = |set| Book {
            set,
            selected: RwLock::default(),
        };
        Self {
            enforced: book(enforced),
            with_audit: with_audit.map(book),
        }
    }

    /// The policies that are enforced.
    #[must_use]
    pub fn enforced(&self) -> &PolicySet {
        &self.enforced.set
    }

    /// Whether it lets everything through without a word.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.enforced().is_idle() && self.with_audit().is_idle()
    }

    /// Those that are enforced or in audit.
    #[must_use]
    pub fn with_audit(&self) -> &PolicySet {
        self.with_audit
            .as_ref()
            .map_or(&self.enforced.set, |book| &book.set)
    }

    /// The verdict on a connection, and the judgement that makes it.
    #[must_use]
    pub fn judge(&self, connection: &Connection<'_>) -> (Verdict, Judgement<'_>) {
        let Connection { subject, peer, .. } = connection;
        if is_exempt(subject, peer, connection.protocol, connection.port) {
            let judgement = Judgement {
                verdict: judgement::Verdict::Allow,
                reason: Reason::Exempt,
            };
            return (Verdict::Allow, judgement);
        }
        let enforced = self.enforced.judge(connection);
        let verdict = match enforced.verdict {
            judgement::Verdict::Deny => Verdict::Deny,
            judgement::Verdict::AllowAuthenticated => Verdict::Authenticate,
            judgement::Verdict::Allow => Verdict::Allow,
        };
        if verdict == Verdict::Allow
            && let Some(book) = &self.with_audit
        {
            let all = book.judge(connection);
            if all.verdict != judgement::Verdict::Allow {
                return (Verdict::Audit, all);
            }
        }
        (verdict, enforced)
    }

    /// The verdicts at both ends of a connection: the client's egress and the server's
    /// ingress.
    #[must_use]
    pub fn judge_ends(
        &self,
        client: &Endpoint,
        server: &Endpoint,
        protocol: u8,
        port: u16,
    ) -> [(Verdict, Judgement<'_>); 2] {
        [Direction::Egress, Direction::Ingress]
            .map(|direction| self.judge(&connection(client, server, direction, protocol, port)))
    }
}

/// A connection as its end in this direction sees it.
#[must_use]
pub fn connection<'a>(
    client: &'a Endpoint,
    server: &'a Endpoint,
    direction: Direction,
    protocol: u8,
    port: u16,
) -> Connection<'a> {
    let (subject, peer) = match direction {
        Direction::Egress => (client, server),
        Direction::Ingress => (server, client),
    };
    Connection {
        subject,
        peer,
        direction,
        protocol,
        port,
    }
}

impl Book {
    fn judge(&self, connection: &Connection<'_>) -> Judgement<'_> {
        if connection.subject.is_elsewhere() {
            return Judgement {
                verdict: judgement::Verdict::Allow,
                reason: Reason::Elsewhere,
            };
        }
        let selected = self.selected(connection.subject);
        self.set.judge_selected(&selected, connection)
    }

    /// Which rules are about an endpoint depends on labels alone.
    fn selected(&self, subject: &Endpoint) -> Arc<Selected> {
        let known = self.selected.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(selected) = known.get(subject) {
            return selected;
        }
        drop(known);
        let selected = Arc::new(self.set.selected(subject));
        let mut known = self
            .selected
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.insert(subject, Arc::clone(&selected), selected.bytes());
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flow::Time,
        policy::{change::Plan, enforce::Mode, entry::Action, testing::written},
    };

    fn entries(given: &[(&str, u16, Mode)]) -> Entries {
        let none = Entries::new();
        let mut plan = Plan::new(&none, 1, Time::default());
        for (name, port, mode) in given {
            plan.apply(&[written(name, *port)], Some(*mode), false);
        }
        let steps = plan.steps().into_iter();
        let steps = steps.filter(|step| step.action == Action::Created);
        steps
            .filter_map(|step| Some((step.id, step.after?)))
            .collect()
    }

    fn verdict(given: &[(&str, u16, Mode)], port: u16) -> Verdict {
        let labels = ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"];
        let web = Endpoint::new(labels.into_iter().collect());
        let outside = Endpoint::outside([192, 0, 2, 1].into());
        let rulebook = Rulebook::new(&entries(given), Enforcement::Default);
        let [egress, ingress] = rulebook.judge_ends(&outside, &web, 6, port);
        assert_eq!(egress.0, Verdict::Allow);
        // A second time by what is remembered.
        assert_eq!(rulebook.judge_ends(&outside, &web, 6, port)[1], ingress);
        ingress.0
    }

    #[test]
    fn a_part_of_the_host_is_told_from_others_with_its_labels() {
        let text = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: host}\n\
                    spec: {nodeSelector: {}, ingress: [{}]}\n";
        let none = Entries::new();
        let mut plan = Plan::new(&none, 1, Time::default());
        let given = sextant_policy::document::written(text).unwrap();
        plan.apply(&given, None, false);
        let steps = plan.steps().into_iter();
        let entries = steps.filter_map(|step| Some((step.id, step.after?)));
        let rulebook = Rulebook::new(&entries.collect(), Enforcement::Default);
        let unit = Endpoint::new(["sextant:unit=a.service"].into_iter().collect());
        let part = unit
            .clone()
            .on_host(&["reserved:host"].into_iter().collect());
        let outside = Endpoint::outside([192, 0, 2, 1].into());
        let ingress = |server: &Endpoint| rulebook.judge_ends(&outside, server, 6, 80)[1].0;
        assert_eq!(ingress(&unit), Verdict::Allow);
        assert_eq!(ingress(&part), Verdict::Deny);
    }

    #[test]
    fn a_policy_in_audit_opens_nothing_and_closes_nothing() {
        use Mode::{Audit, Disabled, Enforce};
        for (given, expect) in [
            (&[("a", 80, Enforce)][..], Verdict::Deny),
            (&[("a", 80, Audit)], Verdict::Audit),
            (&[("a", 80, Disabled)], Verdict::Allow),
            (&[("a", 443, Audit)], Verdict::Allow),
            (&[("a", 80, Enforce), ("b", 443, Audit)], Verdict::Deny),
            (&[("a", 443, Enforce), ("b", 80, Audit)], Verdict::Allow),
        ] {
            assert_eq!(verdict(given, 443), expect, "{given:?}");
        }
    }
}
