//! Policies as the tables that the kernel looks up: `sextant_ebpf_common::policy` has
//! their layout and the order in which programs look. What is not here: how they get
//! into the kernel.
//!
//! ```text
//! sets ─► rules ─► lists of peers ─► classes ─► ranges of addresses
//!           └──────────┴─► spots (block of ports, class) ─► entries, with reasons
//! ```
//!
//! The judge (`set`) says what is right; the tables say the same for each connection.
//!
//! Bound: `Limits`. What needs more is refused before it takes long or much memory.

mod blocks;
mod classes;
mod decisions;
mod peers;
mod places;
mod ranges;
mod reasons;
mod rules;
mod scopes;
mod selectors;
mod spots;
mod tables;
mod tally;

use std::collections::HashMap;

use ipnet::IpNet;
use sextant_ebpf_common::policy::{CLASSES, Range4, Range6, Scope, Subject};

pub use reasons::{Because, MatchType, Reasons, TOLD, Told, Why};
pub use tables::Tables;

use crate::{
    endpoint::Endpoint,
    policy::{Direction, PolicyId},
    set::PolicySet,
};
use classes::Classes;
use decisions::Decisions;
use peers::Lists;
use ranges::Family;
use rules::Rules;
use scopes::Scopes;

/// What is to be in force.
#[derive(Clone, Copy, Debug)]
pub struct Sets<'a> {
    /// Policies that are enforced.
    pub enforced: &'a PolicySet,
    /// Those, and the ones in audit.
    pub with_audit: &'a PolicySet,
    /// By policy: number of the change that last changed it, for reasons.
    pub revisions: &'a HashMap<PolicyId, u64>,
}

/// Who can be judged, and who is where.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Endpoints by address; the longest prefix counts, of equal ones the first. This
    /// host's own addresses have the host, whose class is `HOST_CLASS`.
    pub addresses: &'a [(IpNet, Endpoint)],
    /// Who is judged: the subject with number 1 and so on.
    pub subjects: &'a [Endpoint],
    /// Peers without an address of their own, whose classes are wanted.
    pub peers: &'a [Endpoint],
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Ranges of IPv4.
    pub ranges4: usize,
    /// Ranges of IPv6.
    pub ranges6: usize,
    /// Subjects, nobody among them.
    pub subjects: usize,
    /// Distinct sets of rules, at most 65,536.
    pub rules: usize,
    /// Numbers of classes of peers, at most `CLASSES`.
    pub classes: usize,
    /// Places of entries; a power of two. Half of them may be taken.
    pub places: usize,
    /// What is looked at to compile: of the order of entries.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ranges4: 1 << 19,
            ranges6: 1 << 18,
            subjects: 1 << 16,
            rules: 1 << 16,
            classes: CLASSES as usize,
            places: 1 << 21,
            steps: 1 << 25,
        }
    }
}

/// A set does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policies need {needed} {what}, and there is room for {room}; divide them, or name fewer peers and ports"
)]
pub struct TooLarge {
    /// What of.
    pub what: &'static str,
    /// How many it takes, as far as was counted.
    pub needed: usize,
    /// How many there may be.
    pub room: usize,
}

impl TooLarge {
    fn of(what: &'static str, needed: usize, room: usize) -> Self {
        Self { what, needed, room }
    }

    fn check(what: &'static str, needed: usize, room: usize) -> Result<(), Self> {
        if needed > room {
            return Err(Self::of(what, needed, room));
        }
        Ok(())
    }
}

/// The tables of these sets.
///
/// # Errors
///
/// They need more than there may be.
pub fn compile(
    sets: &Sets<'_>,
    world: &World<'_>,
    reasons: &mut Reasons,
    limits: &Limits,
) -> Result<Tables, TooLarge> {
    TooLarge::check("subjects", world.subjects.len() + 1, limits.subjects)?;
    let mut rules = Rules::new(sets);
    let selected: Vec<Vec<u32>> = world
        .subjects
        .iter()
        .map(|subject| match subject.is_elsewhere() {
            true => Vec::new(),
            false => rules.parts(subject),
        })
        .collect();
    let rules = rules;
    let lists = Lists::new(rules.used(&selected));
    let mut classes = Classes::new(&lists, world, limits)?;
    let mut tables = Tables::default();
    place_peers(&mut tables, world, &lists, &mut classes, limits)?;
    let own = world.subjects.iter();
    let own: Vec<u32> = own
        .map(|subject| classes.of_endpoint(subject))
        .collect::<Result<_, _>>()?;
    let decisions = Decisions::new(&rules.all, reasons);
    let mut scopes = Scopes::new(&rules, &lists, &classes, decisions, limits);
    tables.subjects.push(Subject::default());
    let subjects = world.subjects.iter().zip(&selected).zip(&own);
    for ((subject, parts), own_class) in subjects {
        let mut scope = |direction| {
            let scope = match subject.is_elsewhere() {
                true => Scope::default(),
                false => scopes.of(subject, parts, direction)?,
            };
            Ok(Scope {
                own_class: *own_class,
                ..scope
            })
        };
        tables.subjects.push(Subject {
            ingress: scope(Direction::Ingress)?,
            egress: scope(Direction::Egress)?,
        });
    }
    tables.taken = scopes.entries.len();
    tables.scopes = scopes.numbers();
    tables.entries = places::placed(&scopes.entries, limits.places)?;
    Ok(tables)
}

/// Ranges of addresses, and classes of peers without one.
fn place_peers(
    tables: &mut Tables,
    world: &World<'_>,
    lists: &Lists<'_>,
    classes: &mut Classes<'_>,
    limits: &Limits,
) -> Result<(), TooLarge> {
    for peer in world.peers {
        tables.peer_classes.push(classes.of_endpoint(peer)?);
    }
    let mut known = Vec::with_capacity(world.addresses.len());
    for (net, endpoint) in world.addresses {
        known.push((*net, classes.of_endpoint(endpoint)?));
    }
    let ranges = ranges::ranges(Family::V4, &known, lists, classes)?;
    TooLarge::check("ranges of IPv4", ranges.len(), limits.ranges4)?;
    let ranges = ranges.into_iter().map(|(from, class)| Range4 {
        from: from as u32,
        class,
    });
    tables.ranges4 = ranges.collect();
    tables.spans4 = tables::spans(&tables.ranges4);
    let ranges = ranges::ranges(Family::V6, &known, lists, classes)?;
    TooLarge::check("ranges of IPv6", ranges.len(), limits.ranges6)?;
    let ranges = ranges.into_iter().map(|(from, class)| Range6 {
        from: tables::halves(from),
        class,
        pad: 0,
    });
    tables.ranges6 = ranges.collect();
    Ok(())
}

#[cfg(test)]
mod tests;
