//! Finds flows that have ended, removes them from the kernel's tables and
//! raises their last event with the totals.
//!
//! An entry is read and removed in one step. It has been idle for seconds by
//! then; a packet that comes at that very moment opens a new flow.

use std::{io, os::fd::AsFd as _, time::Duration};

use aya::maps::MapData;
use sextant_ebpf_common::{
    self as common, A_TO_B, DropCount, DropKey, Entry, Event, Key4, Key6, Kind, initiator,
    initiator_of, query_of, vlan_of,
};

use super::{
    bpf::{BatchWalk, Plain, lookup_and_delete},
    clock::Moment,
    volumes::Swept,
};

const BATCH: usize = 4096;
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMP6: u8 = 58;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u16 = 1;
const RST: u16 = 1 << 2;

/// How long a flow may be silent before it counts as ended.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// An open TCP connection.
    pub tcp: Duration,
    /// A TCP connection that both sides closed, or that was reset.
    pub tcp_closed: Duration,
    /// Everything else.
    pub other: Duration,
}

/// A key that knows its sides.
pub(super) trait Sides: Plain {
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

/// Removes ended flows of one table; their last events go to `out`.
pub(super) fn sweep<K: Sides>(
    table: &MapData,
    now: Moment,
    timeouts: &Timeouts,
    out: &mut Vec<Event>,
) -> io::Result<Swept> {
    let fd = table.fd().as_fd();
    let mut swept = Swept::default();
    let mut ended: Vec<K> = Vec::new();
    let mut walk = BatchWalk::<K, Entry>::new(fd, BATCH);
    loop {
        let more = walk.next(|key, entry| {
            if is_ended(key.protocol(), entry, now, timeouts) {
                ended.push(*key);
            } else {
                swept.entries += 1;
                swept.live.add(entry.packets, entry.bytes);
            }
        })?;
        // Removing between batches is safe: the walk goes by bucket.
        for key in ended.drain(..) {
            if let Some(entry) = lookup_and_delete::<K, Entry>(fd, &key)? {
                swept.ended.add(entry.packets, entry.bytes);
                out.push(last_event(&key, &entry, now));
            }
        }
        if !more {
            return Ok(swept);
        }
    }
}

/// A dropped flow is forgotten when no event was due for so long.
const DROP_IDLE: Duration = Duration::from_secs(15);

/// Removes dropped flows that are over; drops not yet told go to `out`.
///
/// The program tells a storm at each `interval` while it lasts. What is left
/// when it pauses is told here, and the entry goes: the next drop of the flow
/// is news again.
pub(super) fn sweep_drops(
    table: &MapData,
    now: u64,
    interval: Duration,
    out: &mut Vec<Event>,
) -> io::Result<Swept> {
    let fd = table.fd().as_fd();
    let mut swept = Swept::default();
    let mut over: Vec<DropKey> = Vec::new();
    let mut walk = BatchWalk::<DropKey, DropCount>::new(fd, BATCH);
    loop {
        let more = walk.next(|key, count| {
            let silent = Duration::from_nanos(now.saturating_sub(count.event_ns));
            let is_due = count.drops > count.told && silent >= interval;
            if is_due || silent >= DROP_IDLE {
                over.push(*key);
            } else {
                swept.entries += 1;
            }
        })?;
        for key in over.drain(..) {
            let last = lookup_and_delete::<DropKey, DropCount>(fd, &key)?;
            if let Some(count) = last.filter(|count| count.drops > count.told) {
                out.push(last_drops(&key, &count, now));
            }
        }
        if !more {
            return Ok(swept);
        }
    }
}

fn last_drops(key: &DropKey, count: &DropCount, now: u64) -> Event {
    Event {
        time_ns: now,
        first_ns: now,
        last_ns: now,
        source: key.source,
        destination: key.destination,
        source_port: key.source_port,
        destination_port: key.destination_port,
        protocol: key.protocol,
        family: key.family,
        l4: count.l4,
        mac: count.mac,
        point: count.point,
        zone: key.zone,
        drop_reason: key.reason,
        drops: u32::try_from(count.drops - count.told).unwrap_or(u32::MAX),
        frame_len: count.frame_len,
        tcp_flags: count.tcp_flags,
        kind: Kind::Dropped as u8,
        l4_len: count.l4_len,
        no_mac: count.no_mac,
        ..Event::default()
    }
}

fn is_ended(protocol: u8, entry: &Entry, now: Moment, timeouts: &Timeouts) -> bool {
    let idle = Duration::from_nanos(now.ns.saturating_sub(last_packet(entry, now)));
    let limit = if protocol != TCP {
        timeouts.other
    } else if is_closed(entry.tcp_flags) {
        timeouts.tcp_closed
    } else {
        timeouts.tcp
    };
    idle >= limit
}

/// When the last packet came, in nanoseconds.
fn last_packet(entry: &Entry, now: Moment) -> u64 {
    let ticks = entry.last.into_iter().filter(|tick| *tick != 0);
    let last = ticks.map(|tick| now.of_tick(tick)).max();
    common::last_packet(entry.first_ns, entry.news_us, last.unwrap_or(0))
}

/// Reset by one side, or finished by both.
fn is_closed(flags: u32) -> bool {
    let (forward, reverse) = (flags as u16, (flags >> 16) as u16);
    (forward | reverse) & RST != 0 || forward & reverse & FIN != 0
}

fn last_event<K: Sides>(key: &K, entry: &Entry, now: Moment) -> Event {
    let opened_by = initiator_of(entry.tags);
    let from_a = opened_by & !initiator::GUESSED == initiator::A;
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
