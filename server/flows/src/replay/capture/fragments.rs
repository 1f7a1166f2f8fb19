//! Ports for the later fragments of a packet, kept from the first one.
//!
//! Bound: a fixed number of packets; when it is reached all are forgotten, and
//! counted. A later fragment that comes before the first one has no ports.

use std::{collections::HashMap, net::IpAddr};

use crate::decode::{Packet, Transport};

/// Packets whose fragments are awaited at once.
const MAX_PACKETS: usize = 4_096;

/// What the fragments of a packet share.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

/// Packets whose fragments are awaited.
#[derive(Default)]
pub(super) struct Fragments {
    awaited: HashMap<Key, Transport>,
    forgotten: u64,
}

impl Fragments {
    /// How many packets were forgotten for want of space.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The transport header of a packet; for a later fragment that of the first
    /// one, without what belongs to that alone.
    pub(super) fn complete(&mut self, packet: &Packet) -> Transport {
        let Some(fragment) = packet.ip.fragment else {
            return packet.transport;
        };
        let key = Key {
            source: packet.ip.source,
            destination: packet.ip.destination,
            protocol: packet.ip.protocol,
            id: fragment.id,
        };
        if fragment.offset == 0 {
            self.put(key, packet.transport);
            return packet.transport;
        }
        let kept = match fragment.more {
            true => self.awaited.get(&key).copied(),
            false => self.awaited.remove(&key),
        };
        kept.map_or(packet.transport, without_flags)
    }

    fn put(&mut self, key: Key, transport: Transport) {
        if self.awaited.len() >= MAX_PACKETS {
            self.forgotten += self.awaited.len() as u64;
            self.awaited.clear();
        }
        self.awaited.insert(key, transport);
    }
}

/// Control bits count once for a packet.
fn without_flags(transport: Transport) -> Transport {
    match transport {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        } => Transport::Tcp {
            source_port,
            destination_port,
            flags: 0,
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
                fragment: Some(Fragment { id, offset, more }),
            },
            transport: match offset {
                0 => UDP,
                _ => Transport::Fragment,
            },
            tunnel: None,
        }
    }

    #[test]
    fn later_fragments_have_the_ports_of_the_first_until_the_last() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.complete(&piece(7, 8, true)), Transport::Fragment);
        assert_eq!(fragments.complete(&piece(7, 0, true)), UDP);
        assert_eq!(fragments.complete(&piece(7, 8, true)), UDP);
        assert_eq!(fragments.complete(&piece(8, 8, true)), Transport::Fragment);
        assert_eq!(fragments.complete(&piece(7, 16, false)), UDP);
        assert_eq!(
            fragments.complete(&piece(7, 16, false)),
            Transport::Fragment
        );
    }

    #[test]
    fn the_table_is_bounded_and_counts_what_it_forgets() {
        let mut fragments = Fragments::default();
        for id in 0..=MAX_PACKETS as u32 {
            fragments.complete(&piece(id, 0, true));
        }
        assert_eq!(fragments.awaited.len(), 1);
        assert_eq!(fragments.forgotten(), MAX_PACKETS as u64);
    }
}
