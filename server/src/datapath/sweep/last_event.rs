//! The last event of a flow, from its key and its entry.

use sextant_ebpf_common::{
    self as common, A_TO_B, Entry, Event, Key4, Key6, Kind, initiator, initiator_of,
    protocol::{ICMP, ICMP6, IGMP, TCP, UDP},
    query_of, vlan_of,
};

use crate::datapath::{bpf::Plain, clock::Moment};

/// A key that knows its sides.
pub(in crate::datapath) trait Sides: Plain {
    fn write(&self, forward: bool, event: &mut Event);
    fn protocol(&self) -> u8;
}

macro_rules! sides {
    ($key:ty, $family:expr, $words:expr) => {
        impl Sides for $key {
            fn write(&self, forward: bool, event: &mut Event) {
                let words = $words;
                let (from, to) = if forward {
                    (self.a, self.b)
                } else {
                    (self.b, self.a)
                };
                event.source = words(from);
                event.destination = words(to);
                // ICMP has no ports; what is in their place stays there.
                let sided = !matches!(self.protocol, ICMP | ICMP6 | IGMP);
                (event.source_port, event.destination_port) = if !sided {
                    (self.port_a, query_of(self.port_b))
                } else if forward {
                    (self.port_a, self.port_b)
                } else {
                    (self.port_b, self.port_a)
                };
                event.family = $family;
                event.protocol = self.protocol;
                event.zone = self.zone;
            }

            fn protocol(&self) -> u8 {
                self.protocol
            }
        }
    };
}

sides!(Key4, 4, |word| [word, 0, 0, 0]);
sides!(Key6, 6, |words| words);

/// When the last packet came, in nanoseconds.
pub(super) fn last_packet(entry: &Entry, now: Moment) -> u64 {
    let ticks = entry.last.into_iter().filter(|tick| *tick != 0);
    let last = ticks.map(|tick| now.of_tick(tick)).max();
    common::last_packet(entry.first_ns, entry.news_us, last.unwrap_or(0))
}

pub(super) fn last_event<K: Sides>(key: &K, entry: &Entry, now: Moment) -> Event {
    let opened_by = initiator_of(entry.tags);
    let from_a = opened_by & initiator::B == initiator::A;
    let direction = usize::from(!from_a);
    let owner = entry.owner[direction];
    let mut event = Event {
        time_ns: now.ns,
        first_ns: entry.first_ns,
        last_ns: last_packet(entry, now),
        packets: entry.packets,
        bytes: entry.bytes,
        point: if owner == 0 {
            entry.owner[1 - direction]
        } else {
            owner
        },
        owner: entry.owner,
        points: entry.points,
        sides: entry.sides,
        judged: entry.judged,
        handshake: entry.handshake,
        tcp_flags_seen: entry.tcp_flags,
        dropped: entry.dropped,
        drop_reason: entry.drop_reason,
        vlan: vlan_of(entry.tags),
        kind: Kind::Ended as u8,
        direction: if from_a { A_TO_B as u8 } else { 1 },
        initiator: opened_by,
        no_mac: 1,
        ..Event::default()
    };
    key.write(from_a, &mut event);
    restore_opening(entry, &mut event);
    event
}

/// Puts what the entry kept of the first packet's transport header back there.
fn restore_opening(entry: &Entry, event: &mut Event) {
    if !common::has_opening(entry.tags) || event.protocol == TCP {
        return;
    }
    let offset = common::opening_offset(event.protocol, event.destination_port);
    let Some(offset) = offset.map(|offset| offset as usize) else {
        return;
    };
    event.l4[offset..offset + 4].copy_from_slice(&entry.opening.to_ne_bytes());
    event.l4_len = (offset + 4) as u8;
    match event.protocol {
        // The flag without which no identifier is kept.
        UDP if event.destination_port != common::GENEVE_PORT => event.l4[8] = 0x08,
        IGMP => event.l4[0] = event.source_port.to_be_bytes()[0],
        _ => {}
    }
}
