//! Keys of flows: canonical, so that both directions meet in one entry.

use crate::{A_TO_B, B_TO_A};

/// Key of an IPv4 flow: `(a, port_a)` is the lower side. For ICMP the ports are
/// not those of the sides: of queries and answers `port_a` is the id and
/// `port_b` the type of the query; of other messages `port_a` is type and code
/// and `port_b` is `ICMP_MESSAGE`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key4 {
    /// Lower address.
    pub a: u32,
    /// Higher address.
    pub b: u32,
    /// Port of `a`.
    pub port_a: u16,
    /// Port of `b`.
    pub port_b: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
    /// Address space, where several overlap: a zone, or a VLAN in one (`vlan_in`).
    pub zone: u16,
}

/// Key of an IPv6 flow; as `Key4`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key6 {
    /// Lower address.
    pub a: [u32; 4],
    /// Higher address.
    pub b: [u32; 4],
    /// Port of `a`.
    pub port_a: u16,
    /// Port of `b`.
    pub port_b: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
    /// Address space, where several overlap.
    pub zone: u16,
}

/// `port_b` of ICMP messages that are no query.
pub const ICMP_MESSAGE: u16 = 0xffff;
/// Bit of `port_b` of ICMP queries: side `b` asks.
const ICMP_B_ASKS: u16 = 1 << 8;

/// The type of the query that an ICMP flow's `port_b` has; `ICMP_MESSAGE` of
/// other messages.
#[must_use]
pub const fn query_of(port_b: u16) -> u16 {
    match port_b {
        ICMP_MESSAGE => ICMP_MESSAGE,
        query => query & !ICMP_B_ASKS,
    }
}

/// What of a packet goes into its key beside the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Port of the sender, or `port_a` of ICMP.
    pub source_port: u16,
    /// Port of the receiver, or `port_b` of ICMP.
    pub destination_port: u16,
    /// The ports belong to the sides (not so for ICMP).
    pub sided: bool,
    /// For ICMP: the message answers another.
    pub answer: bool,
    /// IP protocol number.
    pub protocol: u8,
    /// Address space.
    pub zone: u16,
}

impl Ends {
    /// The direction of a packet between these addresses (in the order of
    /// numbers): ports decide between equal ones, and ICMP has none.
    #[inline(always)]
    fn direction(&self, source: u64, destination: u64) -> usize {
        let backward = if source != destination {
            source > destination
        } else if self.sided {
            self.source_port > self.destination_port
        } else {
            // A host that pings itself.
            self.answer
        };
        if backward { B_TO_A } else { A_TO_B }
    }

    #[inline(always)]
    fn ports(&self, direction: usize) -> (u16, u16) {
        if !self.sided {
            let b_asks =
                self.destination_port != ICMP_MESSAGE && (direction == B_TO_A) != self.answer;
            let bit = if b_asks { ICMP_B_ASKS } else { 0 };
            (self.source_port, self.destination_port | bit)
        } else if direction == A_TO_B {
            (self.source_port, self.destination_port)
        } else {
            (self.destination_port, self.source_port)
        }
    }
}

impl Key4 {
    /// The key of a packet and its direction in it.
    #[inline(always)]
    #[must_use]
    pub fn of(source: u32, destination: u32, ends: &Ends) -> (Self, usize) {
        let direction = ends.direction(
            u64::from(u32::from_be(source)),
            u64::from(u32::from_be(destination)),
        );
        let (port_a, port_b) = ends.ports(direction);
        let forward = direction == A_TO_B;
        let key = Self {
            a: if forward { source } else { destination },
            b: if forward { destination } else { source },
            port_a,
            port_b,
            protocol: ends.protocol,
            pad: 0,
            zone: ends.zone,
        };
        (key, direction)
    }
}

impl Key6 {
    /// The key of a packet and its direction in it.
    #[inline(always)]
    #[must_use]
    pub fn of(source: &[u32; 4], destination: &[u32; 4], ends: &Ends) -> (Self, usize) {
        let (from, to) = (words(source), words(destination));
        // The first word that differs decides.
        let direction = if from[0] == to[0] {
            ends.direction(from[1], to[1])
        } else {
            ends.direction(from[0], to[0])
        };
        let (port_a, port_b) = ends.ports(direction);
        let forward = direction == A_TO_B;
        let key = Self {
            a: if forward { *source } else { *destination },
            b: if forward { *destination } else { *source },
            port_a,
            port_b,
            protocol: ends.protocol,
            pad: 0,
            zone: ends.zone,
        };
        (key, direction)
    }
}

/// In the order of numbers.
#[inline(always)]
fn words(address: &[u32; 4]) -> [u64; 2] {
    let word = |index: usize| u64::from(u32::from_be(address[index]));
    [word(0) << 32 | word(1), word(2) << 32 | word(3)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(ports: (u16, u16), sided: bool, answer: bool) -> Ends {
        Ends {
            source_port: ports.0,
            destination_port: ports.1,
            sided,
            answer,
            protocol: if sided { 6 } else { 1 },
            zone: 7,
        }
    }

    /// Few values, so that equal sides come up too.
    fn address() -> impl Strategy<Value = [u32; 4]> {
        prop::array::uniform4(prop_oneof![0_u32..3, any::<u32>()])
    }

    proptest! {
        /// A packet and its answer have one key and opposite directions, but
        /// for a socket that speaks with itself.
        #[test]
        fn keys_are_symmetric(x in address(), y in address(), p in 0_u16..4, q in 0_u16..4) {
            let (there, back) = (ends((p, q), true, false), ends((q, p), true, false));
            let (key, way) = Key6::of(&x, &y, &there);
            let (other, other_way) = Key6::of(&y, &x, &back);
            prop_assert_eq!(key, other);
            prop_assert_eq!(way != other_way, (x, p) != (y, q));
            let (key, way) = Key4::of(x[0], y[0], &there);
            let (other, other_way) = Key4::of(y[0], x[0], &back);
            prop_assert_eq!(key, other);
            prop_assert_eq!(way != other_way, (x[0], p) != (y[0], q));
        }

        /// An ICMP query and its answer too, also of a host that pings itself.
        #[test]
        fn icmp_keys_are_symmetric(x in address(), y in address(), id: u16) {
            let (query, answer) = (ends((id, 8), false, false), ends((id, 8), false, true));
            let (key, way) = Key6::of(&x, &y, &query);
            let (other, other_way) = Key6::of(&y, &x, &answer);
            prop_assert_eq!((key, true), (other, way != other_way));
            let (key, way) = Key4::of(x[0], y[0], &query);
            let (other, other_way) = Key4::of(y[0], x[0], &answer);
            prop_assert_eq!((key, true), (other, way != other_way));
        }

        /// Two hosts that query each other under one id have a flow each.
        #[test]
        fn who_asks_is_in_the_key(x in address(), y in address(), id: u16) {
            let query = ends((id, 8), false, false);
            let (key, other) = (Key6::of(&x, &y, &query).0, Key6::of(&y, &x, &query).0);
            prop_assert_eq!(key == other, x == y);
            prop_assert_eq!(query_of(key.port_b), 8);
            prop_assert_eq!(query_of(other.port_b), 8);
        }

        /// What differs in anything has another key.
        #[test]
        fn different_flows_have_different_keys(x in address(), y in address(), p: u16, q: u16, r: u16) {
            let key = |source, destination, ports| Key6::of(source, destination, &ends(ports, true, false)).0;
            prop_assert_eq!(key(&x, &y, (p, q)) == key(&x, &y, (p, r)), q == r || (x == y && p == r && q == p));
        }
    }
}
