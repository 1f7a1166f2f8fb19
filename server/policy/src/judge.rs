//! Judges many connections by one set: remembers which rules are about an endpoint.
//!
//! Bound: `MAX_SUBJECTS` endpoints; then it begins anew.

use std::collections::HashMap;

use crate::{
    endpoint::Endpoint,
    judgement::{Judgement, Reason, Source},
    label::Labels,
    policy::Direction,
    set::{Connection, PolicySet, allowed},
};

/// Endpoints whose rules are remembered.
const MAX_SUBJECTS: usize = 10_000;

/// Rules by direction: ingress, egress.
type Selected<'a> = [Vec<Source<'a>>; 2];

/// A set at work.
#[derive(Debug)]
pub struct Judge<'a> {
    set: &'a PolicySet,
    /// By the labels of a subject, and those of the host that it is a part of.
    selected: HashMap<(Labels, Option<Labels>), Selected<'a>>,
}

impl<'a> Judge<'a> {
    /// By a set.
    #[must_use]
    pub fn new(set: &'a PolicySet) -> Self {
        Self {
            set,
            selected: HashMap::new(),
        }
    }

    /// The verdict on a connection.
    pub fn judge(&mut self, connection: &Connection<'_>) -> Judgement<'a> {
        let set = self.set;
        let rules = &self.selected(connection.subject)[connection.direction as usize];
        set.judge_by(rules.iter().copied(), connection)
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
    fn selected(&mut self, subject: &Endpoint) -> &Selected<'a> {
        let told_by = (subject.labels.clone(), subject.part_of_host.clone());
        if self.selected.len() >= MAX_SUBJECTS && !self.selected.contains_key(&told_by) {
            self.selected.clear();
        }
        let set = self.set;
        let select = || {
            [Direction::Ingress, Direction::Egress]
                .map(|direction| set.rules(subject, direction).collect())
        };
        self.selected.entry(told_by).or_insert_with(select)
    }
}
