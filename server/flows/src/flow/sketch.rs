//! A sketch of a flow in 128 bits, so that a scan passes over most flows
//! without touching them.
//!
//! In each group of bits a flow has one at most, and a bit for each side that
//! has no DNS names. A filter forbids bits: a flow that has one of them cannot
//! match; one that has none may. Pure; it never says no to a flow that matches.

mod sieve;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, Hash};

use rustc_hash::FxBuildHasher;
use sextant_proto::flow::layer7::Record;

use super::{Address, Endpoint, Flow, Interned, L4};

pub use sieve::{Forbidden, Sieve};

/// A run of bits, of which a flow has one at most.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: u32,
    len: u32,
}

impl Group {
    /// The bit of a number; those beyond the group share its last bit.
    const fn bit(self, number: u32) -> u128 {
        let last = self.len - 1;
        1 << (self.first + if number < last { number } else { last })
    }

    const fn all(self) -> u128 {
        ((1 << self.len) - 1) << self.first
    }

    /// The bit of a value, by its hash.
    fn bit_of(self, value: &(impl Hash + ?Sized)) -> u128 {
        let hash = FxBuildHasher.hash_one(value) >> 32;
        self.bit((hash % u64::from(self.len)) as u32)
    }
}

const VERDICT: Group = Group { first: 0, len: 9 };
const L7: Group = Group { first: 9, len: 4 };
const TRANSPORT: Group = Group { first: 13, len: 6 };
const DIRECTION: Group = Group { first: 19, len: 4 };
const REPLY: Group = Group { first: 23, len: 3 };
const NAMELESS_SOURCE: u128 = 1 << 26;
const NAMELESS_DESTINATION: u128 = 1 << 27;
/// What follows goes by hashes. Namespaces have two: one in 42 others is alike.
const SOURCE: [Group; 2] = [Group { first: 28, len: 7 }, Group { first: 35, len: 6 }];
const DESTINATION: [Group; 2] = [Group { first: 41, len: 7 }, Group { first: 48, len: 6 }];
const UUID: Group = Group { first: 54, len: 14 };
const SOURCE_PORT: Group = Group { first: 68, len: 14 };
const DESTINATION_PORT: Group = Group { first: 82, len: 14 };
/// The first `NETWORK_BITS` of addresses.
const SOURCE_NETWORK: Group = Group { first: 96, len: 16 };
const DESTINATION_NETWORK: Group = Group {
    first: 112,
    len: 16,
};
/// Leading bits of an address by which networks are told apart, IPv4 and IPv6.
const NETWORK_BITS: [u32; 2] = [16, 32];

/// What is known of an event; `NOTHING` of one that is no flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sketch(pub u128);

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
                | UUID.bit_of(&flow.uuid)
                | port_bits(flow.l4.as_ref())
                | namespace_bits(SOURCE, namespace(flow.source.as_ref()))
                | namespace_bits(DESTINATION, namespace(flow.destination.as_ref()))
                | network_bits(flow),
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

    const fn bit(self) -> u128 {
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

    const fn bit(self) -> u128 {
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

const fn nameless(flow: &Flow) -> u128 {
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

fn namespace_bits(groups: [Group; 2], namespace: &str) -> u128 {
    groups[0].bit_of(namespace) | groups[1].bit_of(namespace)
}

/// Ports as filters compare them: cut to 16 bits.
fn port_bits(l4: Option<&L4>) -> u128 {
    let (source, destination) = l4.and_then(L4::ports).unwrap_or_default();
    SOURCE_PORT.bit_of(&(source as u16)) | DESTINATION_PORT.bit_of(&(destination as u16))
}

fn network_bits(flow: &Flow) -> u128 {
    flow.ip.as_ref().map_or(0, |ip| {
        network_bit(SOURCE_NETWORK, &ip.source) | network_bit(DESTINATION_NETWORK, &ip.destination)
    })
}

/// None for a text that is no canonical address: it may be in any network.
fn network_bit(group: Group, address: &Address) -> u128 {
    match address {
        Address::None | Address::Text(_) => 0,
        Address::V4([a, b, ..]) => group.bit_of(&[*a, *b]),
        Address::V6([a, b, c, d, ..]) => group.bit_of(&[*a, *b, *c, *d]),
    }
}
