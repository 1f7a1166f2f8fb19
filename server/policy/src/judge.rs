//! Judges many connections by one set: remembers which rules are about an endpoint, and
//! counts what it takes.
//!
//! Bound: what `Remembered` has room for.

use std::sync::Arc;

use crate::{
    endpoint::Endpoint,
    judgement::{Judgement, Reason, Source},
    policy::Direction,
    remembered::Remembered,
    set::{Connection, PolicySet, allowed},
};

/// A set at work.
#[derive(Debug)]
pub struct Judge<'a> {
    set: &'a PolicySet,
    selected: Remembered<Arc<[Selected<'a>; 2]>>,
    /// Steps to find the rules of an endpoint.
    search: u64,
    steps: u64,
}

/// Rules about an endpoint in one direction.
#[derive(Debug)]
struct Selected<'a> {
    rules: Vec<Source<'a>>,
    /// Steps to look at all of them.
    steps: u64,
}

impl<'a> Judge<'a> {
    /// By a set.
    #[must_use]
    pub fn new(set: &'a PolicySet) -> Self {
        let specs = set.policies().iter().flat_map(|policy| &policy.specs);
        Self {
            set,
            selected: Remembered::default(),
            search: specs.map(|spec| spec.subject.steps()).sum(),
            steps: 0,
        }
    }

    /// What all judgements so far took: parts of rules and selectors that may have been
    /// looked at, of some nanoseconds each.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The verdict on a connection.
    pub fn judge(&mut self, connection: &Connection<'_>) -> Judgement<'a> {
        let selected = self.selected(connection.subject);
        let selected = &selected[connection.direction as usize];
        self.steps = self.steps.saturating_add(selected.steps);
        self.set
            .judge_by(selected.rules.iter().copied(), connection)
    }

    /// The verdicts on a connection at both of its ends: the client's egress and the
    /// server's ingress.
    pub fn judge_ends(
        &mut self,
        client: &Endpoint,
        server: &Endpoint,
        protocol: u8,
        port: u16,
    ) -> [Judgement<'a>; 2] {
        [
            (client, server, Direction::Egress),
            (server, client, Direction::Ingress),
        ]
        .map(|(subject, peer, direction)| {
            if subject.is_elsewhere() {
                return allowed(Reason::Elsewhere);
            }
            self.judge(&Connection {
                subject,
                peer,
                direction,
                protocol,
                port,
            })
        })
    }

    /// The rules that are about an endpoint: they depend on labels alone.
    fn selected(&mut self, subject: &Endpoint) -> Arc<[Selected<'a>; 2]> {
        if let Some(selected) = self.selected.get(subject) {
            return selected;
        }
        self.steps = self.steps.saturating_add(self.search);
        let set = self.set;
        let select = |direction| {
            let rules: Vec<_> = set.rules(subject, direction).collect();
            let steps = rules.iter().map(|source| source.rule.steps()).sum();
            Selected { rules, steps }
        };
        let selected = Arc::new([Direction::Ingress, Direction::Egress].map(select));
        let count: usize = selected.iter().map(|one| one.rules.len()).sum();
        let bytes = count * size_of::<Source<'_>>();
        self.selected.insert(subject, Arc::clone(&selected), bytes);
        selected
    }
}
