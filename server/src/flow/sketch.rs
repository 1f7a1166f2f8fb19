//! A sketch of a flow in 64 bits, so that a scan passes over most flows
//! without touching them.
//!
//! In each group of bits a flow has exactly one, and a bit for each side that
//! has no DNS names. A filter forbids bits: a flow that has one of them cannot
//! match; one that has none may. Pure; it never says no to a flow that matches.

use std::hash::{BuildHasher as _, Hash};

use rustc_hash::FxBuildHasher;
use sextant_proto::flow::layer7::Record;

use super::{Endpoint, Flow, Interned, L4, Uuid};

/// A run of bits, of which a flow has one.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: u32,
    len: u32,
}

impl Group {
    /// The bit of a number; those beyond the group share its last bit.
    const fn bit(self, number: u32) -> u64 {
        let last = self.len - 1;
        1 << (self.first + if number < last { number } else { last })
    }

    const fn all(self) -> u64 {
        ((1 << self.len) - 1) << self.first
    }
}

const VERDICT: Group = Group { first: 0, len: 9 };
const L7: Group = Group { first: 9, len: 4 };
const TRANSPORT: Group = Group { first: 13, len: 6 };
const DIRECTION: Group = Group { first: 19, len: 4 };
const REPLY: Group = Group { first: 23, len: 3 };
const NAMELESS_SOURCE: u64 = 1 << 26;
const NAMELESS_DESTINATION: u64 = 1 << 27;
/// Namespaces by their hash, modulo 7 and modulo 6: one in 42 others is like it.
const SOURCE: [Group; 2] = [Group { first: 28, len: 7 }, Group { first: 35, len: 6 }];
const DESTINATION: [Group; 2] = [Group { first: 41, len: 7 }, Group { first: 48, len: 6 }];
/// Ids by their hash.
const UUID: Group = Group { first: 54, len: 10 };

/// What is known of an event; `NOTHING` of one that is no flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sketch(pub(crate) u64);

impl Sketch {
    /// Passes every sieve.
    pub const NOTHING: Self = Self(0);

    /// The sketch of a flow.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        Self(
            VERDICT.bit(flow.verdict as u32)
                | Application::of(flow).bit()
                | Transport::of(flow).bit()
                | DIRECTION.bit(flow.traffic_direction as u32)
                | REPLY.bit(reply(flow.is_reply))
                | nameless(flow)
                | hash_bit(UUID, hash(&flow.uuid))
                | namespace_bits(SOURCE, namespace(flow.source.as_ref()))
                | namespace_bits(DESTINATION, namespace(flow.destination.as_ref())),
        )
    }
}

/// Kinds of application-layer records that filters tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// No record.
    None,
    /// A query or its answer.
    Dns,
    /// A request or its answer.
    Http,
    /// Any other.
    Other,
}

impl Application {
    fn of(flow: &Flow) -> Self {
        match flow.l7().map(|l7| &l7.record) {
            None => Self::None,
            Some(Some(Record::Dns(_))) => Self::Dns,
            Some(Some(Record::Http(_))) => Self::Http,
            Some(_) => Self::Other,
        }
    }

    const fn bit(self) -> u64 {
        L7.bit(self as u32)
    }
}

/// Transport protocols that filters tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 792.
    Icmp4,
    /// RFC 4443.
    Icmp6,
    /// RFC 9260.
    Sctp,
    /// Any other, or none.
    Other,
}

impl Transport {
    fn of(flow: &Flow) -> Self {
        match &flow.l4 {
            Some(L4::Tcp { .. }) => Self::Tcp,
            Some(L4::Udp { .. }) => Self::Udp,
            Some(L4::Icmp4 { .. }) => Self::Icmp4,
            Some(L4::Icmp6 { .. }) => Self::Icmp6,
            Some(L4::Sctp { .. }) => Self::Sctp,
            _ => Self::Other,
        }
    }

    const fn bit(self) -> u64 {
        TRANSPORT.bit(self as u32)
    }
}

const fn reply(is_reply: Option<bool>) -> u32 {
    match is_reply {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    }
}

const fn nameless(flow: &Flow) -> u64 {
    let mut bits = 0;
    if flow.source_names.is_none() {
        bits |= NAMELESS_SOURCE;
    }
    if flow.destination_names.is_none() {
        bits |= NAMELESS_DESTINATION;
    }
    bits
}

/// A missing endpoint counts as an empty one, as in filters.
fn namespace(side: Option<&Interned<Endpoint>>) -> &str {
    side.map_or("", |endpoint| &endpoint.namespace)
}

fn namespace_bits(groups: [Group; 2], namespace: &str) -> u64 {
    let hash = hash(namespace);
    hash_bit(groups[0], hash) | hash_bit(groups[1], hash)
}

fn hash_bit(group: Group, hash: u64) -> u64 {
    group.bit((hash % u64::from(group.len)) as u32)
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    FxBuildHasher.hash_one(value) >> 32
}

/// What a flow that matches a filter cannot be; each call narrows further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forbidden(u64);

impl Forbidden {
    /// Only flows with one of these verdicts match.
    pub fn only_verdicts(&mut self, verdicts: &[i32]) {
        self.only(VERDICT, verdicts.iter().map(|v| VERDICT.bit(*v as u32)));
    }

    /// Only flows with one of these kinds of records match.
    pub fn only_applications(&mut self, kinds: &[Application]) {
        self.only(L7, kinds.iter().map(|kind| kind.bit()));
    }

    /// Only flows over one of these protocols match.
    pub fn only_transports(&mut self, kinds: &[Transport]) {
        self.only(TRANSPORT, kinds.iter().map(|kind| kind.bit()));
    }

    /// Only flows in one of these directions match.
    pub fn only_directions(&mut self, directions: &[i32]) {
        let bits = directions.iter().map(|d| DIRECTION.bit(*d as u32));
        self.only(DIRECTION, bits);
    }

    /// Only flows of which this is known, or not, match.
    pub fn only_replies(&mut self, replies: &[Option<bool>]) {
        self.only(REPLY, replies.iter().map(|r| REPLY.bit(reply(*r))));
    }

    /// Only flows with one of these ids match.
    pub fn only_uuids(&mut self, uuids: &[Uuid]) {
        self.only(UUID, uuids.iter().map(|uuid| hash_bit(UUID, hash(uuid))));
    }

    /// Only flows whose source has DNS names match.
    pub fn only_named_sources(&mut self) {
        self.0 |= NAMELESS_SOURCE;
    }

    /// Only flows whose destination has DNS names match.
    pub fn only_named_destinations(&mut self) {
        self.0 |= NAMELESS_DESTINATION;
    }

    /// Only flows from an endpoint in one of these namespaces match.
    pub fn only_sources<'a>(&mut self, namespaces: impl Iterator<Item = &'a str>) {
        self.only_namespaces(SOURCE, namespaces);
    }

    /// Only flows to an endpoint in one of these namespaces match.
    pub fn only_destinations<'a>(&mut self, namespaces: impl Iterator<Item = &'a str>) {
        self.only_namespaces(DESTINATION, namespaces);
    }

    fn only_namespaces<'a>(
        &mut self,
        groups: [Group; 2],
        namespaces: impl Iterator<Item = &'a str>,
    ) {
        let bits = namespaces.fold(0, |all, one| all | namespace_bits(groups, one));
        self.0 |= (groups[0].all() | groups[1].all()) & !bits;
    }

    fn only(&mut self, group: Group, bits: impl Iterator<Item = u64>) {
        self.0 |= group.all() & !bits.fold(0, |all, bit| all | bit);
    }
}

/// Several filters, one of which must match; without any, all flows pass.
#[derive(Clone, Debug, Default)]
pub struct Sieve(Vec<u64>);

impl Sieve {
    /// Whether a flow with this sketch may match.
    #[inline]
    #[must_use]
    pub fn lets_pass(&self, sketch: Sketch) -> bool {
        self.0.is_empty() || self.0.iter().any(|forbidden| sketch.0 & forbidden == 0)
    }

    /// Whether no flow is held back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Forbidden> for Sieve {
    /// Open if one of the filters forbids nothing.
    fn from_iter<I: IntoIterator<Item = Forbidden>>(filters: I) -> Self {
        let forbidden: Vec<u64> = filters.into_iter().map(|filter| filter.0).collect();
        if forbidden.contains(&0) {
            return Self::default();
        }
        Self(forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_has_one_bit_of_each_group() {
        let fields = [VERDICT, L7, TRANSPORT, DIRECTION, REPLY, UUID];
        let groups = [&fields[..], &SOURCE, &DESTINATION].concat();
        let names = NAMELESS_SOURCE | NAMELESS_DESTINATION;
        let all = groups.iter().fold(names, |all, group| {
            assert_eq!(all & group.all(), 0, "{group:?} overlaps");
            all | group.all()
        });
        assert_eq!(all, u64::MAX);
        for verdict in [-1, 0, 7, 8, i32::MAX] {
            let flow = Flow {
                verdict,
                ..Flow::default()
            };
            let sketch = Sketch::of(&flow).0;
            assert!(groups.iter().all(|g| (sketch & g.all()).count_ones() == 1));
            assert_eq!(sketch & names, names);
        }
    }

    #[test]
    fn ids_spread_over_the_bits_of_their_group() {
        let mut counts = [0_u32; 64];
        for n in 0..10_000_u128 {
            let uuid = Uuid::Binary(((n << 64) | (n * n)).to_be_bytes());
            counts[hash_bit(UUID, hash(&uuid)).trailing_zeros() as usize] += 1;
        }
        let used = &counts[UUID.first as usize..];
        assert!(used.iter().all(|n| (700..1300).contains(n)), "{used:?}");
    }

    #[test]
    fn what_is_forbidden_is_held_back_and_the_rest_passes() {
        let dropped = Flow {
            verdict: 2,
            ..Flow::default()
        };
        let mut only_dropped = Forbidden::default();
        only_dropped.only_verdicts(&[2]);
        let sieve: Sieve = [only_dropped].into_iter().collect();
        assert!(sieve.lets_pass(Sketch::of(&dropped)));
        assert!(!sieve.lets_pass(Sketch::of(&Flow::default())));
        assert!(sieve.lets_pass(Sketch::NOTHING));
        let open: Sieve = [only_dropped, Forbidden::default()].into_iter().collect();
        assert!(open.is_open() && open.lets_pass(Sketch::of(&Flow::default())));
    }
}
