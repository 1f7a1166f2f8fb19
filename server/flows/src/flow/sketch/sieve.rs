//! What filters forbid of sketches.

use super::{
    Application, DESTINATION, DESTINATION_NETWORK, DESTINATION_PORT, DIRECTION, Group, L7,
    NAMELESS_DESTINATION, NAMELESS_SOURCE, NETWORK_BITS, REPLY, SOURCE, SOURCE_NETWORK,
    SOURCE_PORT, Sketch, TRANSPORT, Transport, UUID, VERDICT, namespace_bits, network_bit, reply,
};
use crate::flow::{Address, Uuid};

/// What a flow that matches a filter cannot be; each call narrows further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forbidden(u128);

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
        self.only(UUID, uuids.iter().map(|uuid| UUID.bit_of(uuid)));
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

    /// Only flows with one of these ports match.
    pub fn only_source_ports(&mut self, ports: &[u16]) {
        self.only(SOURCE_PORT, ports.iter().map(|p| SOURCE_PORT.bit_of(p)));
    }

    /// Only flows with one of these ports match.
    pub fn only_destination_ports(&mut self, ports: &[u16]) {
        let bits = ports.iter().map(|p| DESTINATION_PORT.bit_of(p));
        self.only(DESTINATION_PORT, bits);
    }

    /// Only flows from one of these networks match: an address and how many of
    /// its bits count.
    pub fn only_source_networks(&mut self, networks: &[(Address, u32)]) {
        self.only_networks(SOURCE_NETWORK, networks);
    }

    /// Only flows to one of these networks match.
    pub fn only_destination_networks(&mut self, networks: &[(Address, u32)]) {
        self.only_networks(DESTINATION_NETWORK, networks);
    }

    fn only_networks(&mut self, group: Group, networks: &[(Address, u32)]) {
        let is_narrow = |(address, bits): &(Address, u32)| match address {
            Address::V4(_) => *bits >= NETWORK_BITS[0],
            Address::V6(_) => *bits >= NETWORK_BITS[1],
            // Only such texts are equal, which have no bit.
            Address::None | Address::Text(_) => true,
        };
        if networks.iter().all(is_narrow) {
            let bits = networks.iter().map(|(net, _)| network_bit(group, net));
            self.only(group, bits);
        }
    }

    fn only_namespaces<'a>(
        &mut self,
        groups: [Group; 2],
        namespaces: impl Iterator<Item = &'a str>,
    ) {
        let bits = namespaces.fold(0, |all, one| all | namespace_bits(groups, one));
        self.0 |= (groups[0].all() | groups[1].all()) & !bits;
    }

    fn only(&mut self, group: Group, bits: impl Iterator<Item = u128>) {
        self.0 |= group.all() & !bits.fold(0, |all, bit| all | bit);
    }
}

/// Several filters, one of which must match; without any, all flows pass.
#[derive(Clone, Debug, Default)]
pub struct Sieve(Vec<u128>);

impl Sieve {
    /// Whether a flow with this sketch may match.
    #[inline]
    #[must_use]
    pub fn lets_pass(&self, sketch: Sketch) -> bool {
        match self.0.as_slice() {
            [] => true,
            [forbidden] => sketch.0 & forbidden == 0,
            all => all.iter().any(|forbidden| sketch.0 & forbidden == 0),
        }
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
        let forbidden: Vec<u128> = filters.into_iter().map(|filter| filter.0).collect();
        if forbidden.contains(&0) {
            return Self::default();
        }
        Self(forbidden)
    }
}
