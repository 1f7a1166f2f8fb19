//! Transport headers for the later fragments of a packet, kept from the first one.
//!
//! Fragments may come in any order; those that come before the first one wait for
//! it, and without one they have no ports. An id that comes again after
//! `LIFETIME_SECONDS` is that of another packet. Bound: two generations of
//! `MAX_PACKETS` packets, of which the older one is forgotten when the younger one is
//! full, and `MAX_WAITING` fragments that wait, all let go when there are more; what
//! was not complete is counted.

use std::{collections::HashMap, mem, net::IpAddr};

use crate::decode::{Packet, Transport};

/// Packets whose fragments are awaited in each generation.
const MAX_PACKETS: usize = 4_096;

/// Fragments that wait for the first one of their packet.
const MAX_WAITING: usize = 1_024;

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

/// A fragment that came before the first one of its packet.
struct Waiting<T> {
    packet: Packet,
    seconds: i64,
    /// How many waited before it, ever.
    number: u64,
    seen: T,
}

/// Packets whose fragments are awaited. `T` is what else is known of a fragment.
pub(super) struct Fragments<T> {
    young: HashMap<Key, First>,
    old: HashMap<Key, First>,
    waiting: HashMap<Key, Vec<Waiting<T>>>,
    waiting_count: usize,
    waited: u64,
    forgotten: u64,
}

impl<T> Default for Fragments<T> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            waiting: HashMap::new(),
            waiting_count: 0,
            waited: 0,
            forgotten: 0,
        }
    }
}

impl<T> Fragments<T> {
    /// How many packets were forgotten for want of space.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes a packet, and gives those that are known as well as they will be: this
    /// one, fragments that waited for it, or nothing. A later fragment has the
    /// transport header of the first one, without what belongs to that alone.
    /// `seconds` is when it was captured.
    pub(super) fn take(
        &mut self,
        mut packet: Packet,
        seconds: i64,
        seen: T,
        ready: &mut Vec<(Packet, T)>,
    ) {
        let Some(fragment) = packet.ip.fragment else {
            ready.push((packet, seen));
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
            ready.push((packet, seen));
            let waiting = self.waiting.remove(&key).unwrap_or_default();
            self.waiting_count -= waiting.len();
            for mut later in waiting {
                self.complete(key, &mut later.packet, later.seconds);
                ready.push((later.packet, later.seen));
            }
        } else if self.complete(key, &mut packet, seconds) {
            ready.push((packet, seen));
        } else {
            let number = self.waited;
            self.hold(
                key,
                Waiting {
                    packet,
                    seconds,
                    number,
                    seen,
                },
                ready,
            );
        }
    }

    /// Those that waited in vain, at the end, in the order in which they came.
    pub(super) fn rest(&mut self, ready: &mut Vec<(Packet, T)>) {
        self.waiting_count = 0;
        let waiting = mem::take(&mut self.waiting).into_values().flatten();
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable_by_key(|later| later.number);
        let waiting = waiting.into_iter();
        ready.extend(waiting.map(|later| (later.packet, later.seen)));
    }

    fn hold(&mut self, key: Key, later: Waiting<T>, ready: &mut Vec<(Packet, T)>) {
        if self.waiting_count >= MAX_WAITING {
            self.forgotten += self.waiting.len() as u64;
            self.rest(ready);
        }
        self.waiting.entry(key).or_default().push(later);
        self.waiting_count += 1;
        self.waited += 1;
    }

    /// Completes a later fragment, if the first one came.
    fn complete(&mut self, key: Key, packet: &mut Packet, seconds: i64) -> bool {
        let known = match self.young.get_mut(&key) {
            None => self.old.get_mut(&key),
            young => young,
        };
        let is_same = |first: &&mut First| (seconds - first.seconds).abs() <= LIFETIME_SECONDS;
        let Some(first) = known.filter(is_same) else {
            return false;
        };
        first.ended |= packet.ip.fragment.is_some_and(|fragment| !fragment.more);
        packet.ip.protocol = first.protocol;
        packet.transport = without_flags(first.transport);
        true
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
            is_blocked: false,
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

    /// The transports of what is ready when a fragment comes, by their offsets.
    fn at(fragments: &mut Fragments<u16>, piece: Packet, seconds: i64) -> Vec<(u16, Transport)> {
        let mut ready = Vec::new();
        let offset = piece.ip.fragment.map_or(0, |fragment| fragment.offset);
        fragments.take(piece, seconds, offset, &mut ready);
        transports(ready)
    }

    fn rest(fragments: &mut Fragments<u16>) -> Vec<(u16, Transport)> {
        let mut ready = Vec::new();
        fragments.rest(&mut ready);
        transports(ready)
    }

    fn transports(ready: Vec<(Packet, u16)>) -> Vec<(u16, Transport)> {
        let ready = ready.into_iter();
        ready
            .map(|(packet, offset)| (offset, packet.transport))
            .collect()
    }

    #[test]
    fn fragments_have_the_ports_of_the_first_in_any_order() {
        for order in [
            [0, 1, 2, 3],
            [0, 3, 1, 2],
            [3, 2, 1, 0],
            [1, 0, 3, 2],
            [2, 3, 0, 1],
        ] {
            let mut fragments = Fragments::default();
            let mut all = Vec::new();
            for place in order {
                let piece = piece(7, place * 8, place != 3);
                all.extend(at(&mut fragments, piece, 5));
            }
            assert_eq!(all.len(), 4, "{order:?}");
            assert!(
                all.iter().all(|(_, transport)| *transport == UDP),
                "{order:?}"
            );
            assert_eq!(rest(&mut fragments), []);
        }
    }

    #[test]
    fn without_a_first_one_they_come_at_the_end() {
        let mut fragments = Fragments::default();
        at(&mut fragments, piece(8, 0, true), 5);
        assert_eq!(at(&mut fragments, piece(7, 8, true), 5), []);
        assert_eq!(rest(&mut fragments), [(8, Transport::Fragment)]);
        assert_eq!(rest(&mut fragments), []);
    }

    #[test]
    fn an_id_that_comes_again_later_is_another_packet() {
        let mut fragments = Fragments::default();
        at(&mut fragments, piece(7, 0, true), 5);
        assert_eq!(at(&mut fragments, piece(7, 8, false), 35), [(8, UDP)]);
        assert_eq!(at(&mut fragments, piece(7, 16, true), 36), []);
        // The first one of that other packet, and of one later still.
        assert_eq!(
            at(&mut fragments, piece(7, 0, true), 37),
            [(0, UDP), (16, UDP)]
        );
        assert_eq!(at(&mut fragments, piece(7, 24, true), 100), []);
        let late = at(&mut fragments, piece(7, 0, true), 200);
        assert_eq!(late, [(0, UDP), (24, Transport::Fragment)]);
    }

    #[test]
    fn what_is_behind_an_extension_header_of_the_first_is_that_of_all() {
        for order in [[0, 8], [8, 0]] {
            let mut fragments = Fragments::default();
            let mut ready = Vec::new();
            for offset in order {
                let mut packet = piece(7, offset, true);
                packet.ip.protocol = if offset == 0 { 17 } else { 51 };
                packet.ip.fragment.as_mut().expect("a piece").protocol = 51;
                fragments.take(packet, 5, offset, &mut ready);
            }
            let all: Vec<_> = ready
                .into_iter()
                .map(|(packet, _)| (packet.ip.protocol, packet.transport))
                .collect();
            assert_eq!(all, [(17, UDP), (17, UDP)]);
        }
    }

    #[test]
    fn the_tables_are_bounded_and_count_what_they_forget() {
        let mut fragments = Fragments::default();
        for id in 0..2 * MAX_PACKETS as u32 {
            at(&mut fragments, piece(id, 0, true), 5);
        }
        at(&mut fragments, piece(0, 8, false), 5);
        assert_eq!(fragments.forgotten(), 0);
        at(&mut fragments, piece(1_000_000, 0, true), 5);
        assert_eq!(fragments.forgotten(), MAX_PACKETS as u64 - 1);
        assert!(fragments.young.len() + fragments.old.len() <= 2 * MAX_PACKETS);

        let mut fragments = Fragments::default();
        for id in 0..MAX_WAITING as u32 {
            assert_eq!(at(&mut fragments, piece(id, 8, true), 5), []);
        }
        assert_eq!(
            at(&mut fragments, piece(9_999, 8, true), 5).len(),
            MAX_WAITING
        );
        assert_eq!(fragments.forgotten(), MAX_WAITING as u64);
        assert_eq!(
            at(&mut fragments, piece(9_999, 0, true), 5),
            [(0, UDP), (8, UDP)]
        );
    }
}
