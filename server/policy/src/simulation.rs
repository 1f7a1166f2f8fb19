//! What would have become of flows that were seen, had a set of policies been in force.
//!
//! Bound: `MAX_GROUPS` kinds of changes; flows of further ones are counted together.

mod told;

use std::collections::BTreeMap;

use sextant_flows::flow::{Flow, Time};

use crate::{
    judge::Judge,
    judgement::{Judgement, Reason, Source, Verdict},
    policy::Direction,
    set::PolicySet,
    traffic::{Fate, NotJudged, Party, Traffic},
};

/// Kinds of changes that are told apart.
pub const MAX_GROUPS: usize = 10_000;
/// Rules or policies that a reason names.
const MAX_NAMED: usize = 16;

/// Flows, judged one after the other.
#[derive(Debug)]
pub struct Simulation<'a> {
    judge: Judge<'a>,
    changes: BTreeMap<Change, Count>,
    counts: Counts,
}

/// How many flows there were of each sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that were judged.
    pub judged: u64,
    /// Of them, those of which a policy selects an end.
    pub selected: u64,
    /// Those that were let through and would be denied.
    pub denied: u64,
    /// Those that were denied by a policy and would be let through.
    pub allowed: u64,
    /// Those that would be let through once both ends have shown who they are.
    pub authenticated: u64,
    /// Of the changes, those that are not among the kinds that are told.
    pub not_told: u64,
    /// Those that were not judged.
    pub not_judged: BTreeMap<NotJudged, u64>,
}

/// A kind of change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What would become of it.
    pub verdict: Verdict,
    /// Who opened the connection.
    pub client: String,
    /// To whom.
    pub server: String,
    /// IP protocol number.
    pub protocol: u8,
    /// The server's port, or type of ICMP.
    pub port: u16,
    /// At which end: the server's ingress or the client's egress.
    pub direction: Direction,
    /// By what: policy and rule.
    pub by: String,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Flows.
    pub flows: u64,
    /// Time of the first one.
    pub first: Time,
    /// Time of the last one.
    pub last: Time,
}

impl<'a> Simulation<'a> {
    /// Of a set that might come into force.
    #[must_use]
    pub fn new(set: &'a PolicySet) -> Self {
        Self {
            judge: Judge::new(set),
            changes: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// What judging took so far, as `Judge` counts it.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.judge.steps()
    }

    /// Judges a flow.
    pub fn see(&mut self, flow: &Flow) {
        self.see_as(flow, |party| party);
    }

    /// Judges a flow of whose ends more is known than it tells.
    pub fn see_as(&mut self, flow: &Flow, known: impl Fn(Party) -> Party) {
        let traffic = match Traffic::of(flow).and_then(|traffic| traffic.known_as(known)) {
            Ok(traffic) => traffic,
            Err(reason) => {
                *self.counts.not_judged.entry(reason).or_default() += 1;
                return;
            }
        };
        self.counts.judged += 1;
        let (direction, judgement, is_selected) = judge(&mut self.judge, &traffic);
        self.counts.selected += u64::from(is_selected);
        let counted = match (traffic.fate, judgement.verdict) {
            (Fate::Forwarded, Verdict::Deny) => &mut self.counts.denied,
            (Fate::Forwarded, Verdict::AllowAuthenticated) => &mut self.counts.authenticated,
            (Fate::Denied, Verdict::Allow) => &mut self.counts.allowed,
            _ => return,
        };
        *counted += 1;
        let change = Change {
            verdict: judgement.verdict,
            by: by(&judgement),
            client: traffic.client.name,
            server: traffic.server.name,
            protocol: traffic.protocol,
            port: traffic.port,
            direction,
        };
        self.note(change, flow.time.unwrap_or_default());
    }

    fn note(&mut self, change: Change, time: Time) {
        if let Some(count) = self.changes.get_mut(&change) {
            count.flows += 1;
            count.first = count.first.min(time);
            count.last = count.last.max(time);
        } else if self.changes.len() < MAX_GROUPS {
            let (first, last) = (time, time);
            let flows = 1;
            self.changes.insert(change, Count { flows, first, last });
        } else {
            self.counts.not_told += 1;
        }
    }

    /// The kinds of changes, those of most flows first, and what was counted.
    #[must_use]
    pub fn finish(self) -> (Vec<(Change, Count)>, Counts) {
        let mut changes: Vec<_> = self.changes.into_iter().collect();
        changes.sort_by_key(|(_, count)| std::cmp::Reverse(count.flows));
        (changes, self.counts)
    }
}

/// The verdict of both ends, of which the stricter one counts: what the client may not
/// send never gets to the server. Tells also whether any policy is about it.
fn judge<'a>(judge: &mut Judge<'a>, traffic: &Traffic) -> (Direction, Judgement<'a>, bool) {
    let (client, server) = (&traffic.client.endpoint, &traffic.server.endpoint);
    let ends = judge.judge_ends(client, server, traffic.protocol, traffic.port);
    let is_about = |judgement: &Judgement<'_>| {
        !matches!(
            judgement.reason,
            Reason::Elsewhere | Reason::Exempt | Reason::NotSelected
        )
    };
    let is_selected = ends.iter().any(is_about);
    let [egress, ingress] = ends;
    // Of two that allow, the one by a rule tells more.
    let is_ingress = ingress.verdict > egress.verdict
        || ingress.verdict == egress.verdict && !matches!(egress.reason, Reason::Rules(_));
    if is_ingress {
        (Direction::Ingress, ingress, is_selected)
    } else {
        (Direction::Egress, egress, is_selected)
    }
}

/// A verdict's reason in words.
#[must_use]
pub fn by(judgement: &Judgement<'_>) -> String {
    match &judgement.reason {
        Reason::Elsewhere => "policies are not in force there".to_owned(),
        Reason::Exempt => {
            "no policy judges it: this host with itself, or a message of the link".to_owned()
        }
        Reason::NotSelected => "no policy is about it".to_owned(),
        Reason::DefaultAllow => "no rule denies it, and no policy by default".to_owned(),
        Reason::Rules(rules) => {
            let name = |source: &Source<'_>| format!("{} {}", source.policy, source.rule.place());
            named(rules, name)
        }
        Reason::DefaultDeny(policies) if policies.is_empty() => {
            "no rule allows it, and all is denied by default".to_owned()
        }
        Reason::DefaultDeny(policies) => named(policies, |id| format!("{id} default deny")),
    }
}

/// The first ones by name, and how many there are beside.
fn named<T>(all: &[T], name: impl Fn(&T) -> String) -> String {
    let told = all.iter().take(MAX_NAMED).map(name);
    let mut text = told.collect::<Vec<_>>().join(", ");
    if let Some(more) = all.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

#[cfg(test)]
mod tests;
