//! What was added since the last event of the same flow: events carry totals
//! since the flow began.
//!
//! A flow is told by its addresses, ports, protocol and node, whoever speaks.
//! Of one that began before the window and was not noted shortly before it,
//! only what comes after its first event counts; so does nothing of one that
//! ended idle, since its packets are older than the events that were looked
//! at. Not told apart: ICMP queries of the same two hosts, and flows with
//! equal addresses in several address spaces. Bound: 262,144 flows; others
//! count as if they had not been noted before.

use std::collections::HashMap;

use super::totals::Totals;
use crate::flow::{Address, Flow, L4};

const MAX_FLOWS: usize = 262_144;

/// An address and a port.
type End = ([u8; 16], u16);

/// A flow, by its addresses, ports, protocol and node, whoever speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    low: End,
    high: End,
    protocol: u16,
    node: usize,
}

/// The last totals of each flow.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    last: HashMap<FlowKey, Noted>,
    full: bool,
}

/// What was told of a flow.
#[derive(Clone, Copy, Debug, Default)]
struct Noted {
    packets: u64,
    bytes: u64,
    retransmissions: u64,
    /// Of packets and bytes, counted in the window.
    counted: (u64, u64),
}

impl Noted {
    /// Whether they may be of the same flow, told before these.
    fn is_before(&self, now: &Totals) -> bool {
        now.all_packets() >= self.packets && now.all_bytes() >= self.bytes
    }
}

/// Packets and bytes of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    /// Since its last event.
    pub(super) added: (u64, u64),
    /// Of TCP segments that were sent again, those since its last event.
    pub(super) retransmissions: u64,
    /// Counted before, in the window.
    pub(super) before: (u64, u64),
}

impl Deltas {
    /// With room for so many: a table that grows holds the smaller ones for a moment, too.
    pub(super) fn with_room(flows: usize) -> Self {
        Self {
            last: HashMap::with_capacity(flows.min(MAX_FLOWS)),
            full: false,
        }
    }

    /// What came since the flow's last event. `since` is the begin of the
    /// window, in nanoseconds.
    pub(super) fn advance(&mut self, flow: &Flow, now: &Totals, since: i64) -> Delta {
        let Some(key) = FlowKey::of(flow) else {
            return Delta::default();
        };
        let last = self.last.get(&key).copied();
        let (packets, bytes, retransmissions) = Self::added(flow, now, since, last);
        let added = (packets, bytes);
        let before = last.unwrap_or_default().counted;
        if now.ended {
            self.last.remove(&key);
            return Delta {
                added,
                retransmissions,
                before,
            };
        }
        let mut noted = Noted {
            packets: now.all_packets(),
            bytes: now.all_bytes(),
            // Not each event tells it.
            retransmissions: match last {
                Some(last) if last.is_before(now) => now.retransmissions.max(last.retransmissions),
                _ => now.retransmissions,
            },
            counted: before,
        };
        if flow.time.unwrap_or_default().as_nanos() >= since {
            noted.counted.0 = before.0.saturating_add(added.0);
            noted.counted.1 = before.1.saturating_add(added.1);
        }
        self.note(key, noted);
        Delta {
            added,
            retransmissions,
            before,
        }
    }

    /// Packets, bytes, and segments sent again.
    fn added(flow: &Flow, now: &Totals, since: i64, last: Option<Noted>) -> (u64, u64, u64) {
        match last {
            Some(last) if last.is_before(now) => (
                now.all_packets() - last.packets,
                now.all_bytes() - last.bytes,
                now.retransmissions.saturating_sub(last.retransmissions),
            ),
            _ if now.idle => (0, 0, 0),
            _ => {
                let time = flow.time.unwrap_or_default().as_nanos();
                let duration = now.duration_ns.unwrap_or(0);
                let duration = i64::try_from(duration).unwrap_or(i64::MAX);
                match time.saturating_sub(duration) >= since {
                    true => (now.all_packets(), now.all_bytes(), now.retransmissions),
                    false => (0, 0, 0),
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    fn note(&mut self, key: FlowKey, noted: Noted) {
        if self.last.len() >= MAX_FLOWS && !self.last.contains_key(&key) {
            self.full = true;
        } else {
            self.last.insert(key, noted);
        }
    }
}

impl FlowKey {
    /// That of an event; none without addresses.
    #[must_use]
    pub fn of(flow: &Flow) -> Option<Self> {
        let ip = flow.ip.as_ref()?;
        let (source, destination) = flow.l4.as_ref().and_then(L4::ports).unwrap_or_default();
        let source = (octets(&ip.source)?, source as u16);
        let destination = (octets(&ip.destination)?, destination as u16);
        Some(Self {
            low: source.min(destination),
            high: source.max(destination),
            protocol: protocol(flow.l4.as_ref()),
            node: flow.origin.key(),
        })
    }
}

/// IPv4 as IPv6 has it. A text that is not canonical names no flow.
fn octets(address: &Address) -> Option<[u8; 16]> {
    match address {
        Address::V4([a, b, c, d]) => {
            Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, *a, *b, *c, *d])
        }
        Address::V6(octets) => Some(*octets),
        Address::None | Address::Text(_) => None,
    }
}

/// Those without a field by their number, above those that have one.
fn protocol(l4: Option<&L4>) -> u16 {
    match l4 {
        None | Some(L4::Empty) => 0,
        Some(L4::Other { protocol }) => 256 + u16::from(*protocol),
        Some(L4::Tcp { .. }) => 1,
        Some(L4::Udp { .. }) => 2,
        Some(L4::Icmp4 { .. }) => 3,
        Some(L4::Icmp6 { .. }) => 4,
        Some(L4::Sctp { .. }) => 5,
        Some(L4::Vrrp { .. }) => 6,
        Some(L4::Igmp { .. }) => 7,
    }
}
