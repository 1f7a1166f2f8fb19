//! Transport headers for the later fragments of a packet, kept from the first one.
//!
//! Fragments may come in any order behind the first one; a later one that comes
//! before it has no ports. An id that comes again after `LIFETIME_SECONDS` is that
//! of another packet. Bound: two generations of `MAX_PACKETS` packets; when the
//! younger one is full the older one is forgotten, and those of it that were not
//! complete are counted.

use std::{collections::HashMap, mem, net::IpAddr};

use crate::decode::{Packet, Transport};

/// Packets whose fragments are awaited in each generation.
const MAX_PACKETS: usize = 4_096;

/// As long as Linux waits for the fragments of a packet.
const LIFETIME_SECONDS: i64 = 30;

/// What the fragments of a packet share.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
    vlan: [u16; 2],
}

/// What the first fragment told.
#[derive(Clone, Copy)]
struct First {
    /// Beyond all extension headers.
    protocol: u8,
    transport: Transport,
    seconds: i64,
    /// The last fragment came too.
    ended: bool,
}

/// Packets whose fragments are awaited.
#[derive(Default)]
pub(super) struct Fragments {
    young: HashMap<Key, First>,
    old: HashMap<Key, First>,
    forgotten: u64,
}

impl Fragments {
    /// How many packets were forgotten for want of space.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Gives a later fragment the transport header of the first one, without what
    /// belongs to that alone. `seconds` is when it was captured.
    pub(super) fn complete(&mut self, packet: &mut Packet, seconds: i64) {
        let Some(fragment) = packet.ip.fragment else {
            return;
        };
        let key = Key {
            source: packet.ip.source,
            destination: packet.ip.destination,
            protocol: fragment.protocol,
            id: fragment.id,
            vlan: packet.vlan,
        };
        if fragment.offset == 0 {
            let first = First {
                protocol: packet.ip.protocol,
                transport: packet.transport,
                seconds,
                ended: false,
            };
            self.put(key, first);
            return;
        }
        let known = match self.young.get_mut(&key) {
            None => self.old.get_mut(&key),
            young => young,
        };
        let is_same = |first: &&mut First| (seconds - first.seconds).abs() <= LIFETIME_SECONDS;
        if let Some(first) = known.filter(is_same) {
            first.ended |= !fragment.more;
            packet.ip.protocol = first.protocol;
            packet.transport = without_flags(first.transport);
        }
    }

    fn put(&mut self, key: Key, first: First) {
        if self.young.len() >= MAX_PACKETS {
            let old = mem::replace(&mut self.old, mem::take(&mut self.young));
            let open = old.values().filter(|first| !first.ended);
            self.forgotten += open.count() as u64;
        }
        self.old.remove(&key);
        self.young.insert(key, first);
    }
}

/// Control bits count once for a packet.
fn without_flags(transport: Transport) -> Transport {
    match transport {
        Transport::Tcp {
            source_port,
            destination_port,
            sequence,
            ..
        } => Transport::Tcp {
            source_port,
            destination_port,
            flags: 0,
            sequence,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::decode::{Fragment, Ip};

    const UDP: Transport = Transport::Udp {
        source_port: 1,
        destination_port: 53,
    };

    fn piece(id: u32, offset: u16, more: bool) -> Packet {
        Packet {
            macs: None,
            vlan: [0; 2],
            direction: None,
            ip: Ip {
                source: Ipv4Addr::LOCALHOST.into(),
                destination: Ipv4Addr::LOCALHOST.into(),
                protocol: 17,
                fragment: Some(Fragment {
                    id,
                    protocol: 17,
                    offset,
                    more,
                }),
            },
            transport: match offset {
                0 => UDP,
                _ => Transport::Fragment,
            },
            tunnel: None,
        }
    }

    /// The transport that a fragment gets.
    fn at(fragments: &mut Fragments, mut piece: Packet, seconds: i64) -> Transport {
        fragments.complete(&mut piece, seconds);
        piece.transport
    }

    #[test]
    fn later_fragments_have_the_ports_of_the_first_in_any_order() {
        for order in [[0, 1, 2, 3], [0, 3, 1, 2], [0, 2, 3, 1]] {
            let mut fragments = Fragments::default();
            for place in order {
                let piece = piece(7, place * 8, place != 3);
                assert_eq!(at(&mut fragments, piece, 5), UDP, "{order:?}");
            }
            let other = piece(8, 8, true);
            assert_eq!(at(&mut fragments, other, 5), Transport::Fragment);
        }
        let before = at(&mut Fragments::default(), piece(7, 8, true), 5);
        assert_eq!(before, Transport::Fragment);
    }

    #[test]
    fn an_id_that_comes_again_later_is_another_packet() {
        let mut fragments = Fragments::default();
        at(&mut fragments, piece(7, 0, true), 5);
        assert_eq!(at(&mut fragments, piece(7, 8, false), 35), UDP);
        let later = at(&mut fragments, piece(7, 8, true), 36);
        assert_eq!(later, Transport::Fragment);
    }

    #[test]
    fn what_is_behind_an_extension_header_of_the_first_is_that_of_all() {
        let mut fragments = Fragments::default();
        let authenticated = |offset, protocol| {
            let mut packet = piece(7, offset, true);
            packet.ip.protocol = protocol;
            packet.ip.fragment.as_mut().expect("a piece").protocol = 51;
            packet
        };
        fragments.complete(&mut authenticated(0, 17), 5);
        let mut later = authenticated(8, 51);
        fragments.complete(&mut later, 5);
        assert_eq!((later.ip.protocol, later.transport), (17, UDP));
    }

    #[test]
    fn the_table_is_bounded_and_counts_what_it_forgets() {
        let mut fragments = Fragments::default();
        for id in 0..2 * MAX_PACKETS as u32 {
            at(&mut fragments, piece(id, 0, true), 5);
        }
        at(&mut fragments, piece(0, 8, false), 5);
        assert_eq!(fragments.forgotten(), 0);
        at(&mut fragments, piece(1_000_000, 0, true), 5);
        assert_eq!(fragments.forgotten(), MAX_PACKETS as u64 - 1);
        assert!(fragments.young.len() + fragments.old.len() <= 2 * MAX_PACKETS);
    }
}
