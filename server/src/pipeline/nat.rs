//! Both legs of a connection whose addresses are translated, joined: the leg of the
//! initiator, with the original addresses, and the one behind the translation, with
//! those of the answers.
//!
//! By equal tuples, whatever the interface. Who is behind a side of one leg is behind
//! that side of the other; what the kernel did not tell again is used as it was. Bound:
//! 65,536 connections, of which those that were not met for longest are forgotten and
//! counted.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use sextant_ebpf_common::{self as common, Kind, Side, Translation, Tuple};

use super::{enrich, services};
use crate::{
    flow::{Endpoint, Flow, Interned, Nat},
    generations::Generations,
    identity::{Snapshot, reserved},
};

const MAX_CONNECTIONS: usize = 65_536;
/// A packet is on both legs within this time.
const LEG_NS: u64 = 1_000_000_000;
/// Address families (linux/socket.h).
const INET: u16 = 2;
const INET6: u16 = 10;

/// Addresses and ports of a leg, whoever sends, and the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LegKey {
    low: SocketAddr,
    high: SocketAddr,
    protocol: u8,
}

impl LegKey {
    fn new([a, b]: [SocketAddr; 2], protocol: u8) -> Self {
        let (low, high) = (a.min(b), a.max(b));
        Self {
            low,
            high,
            protocol,
        }
    }
}

/// A connection.
#[derive(Clone, Debug)]
struct Connection {
    nat: Nat,
    /// Who is behind the client and the server, as either leg told.
    sides: [Side; 2],
    /// When the last packet came of the leg that ended first; 0 for none.
    over_ns: u64,
}

/// Which leg an event is of, and what is known of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    nat: Nat,
    /// The one of the initiator, with the original addresses.
    is_original: bool,
    /// The client sends.
    is_from_client: bool,
}

/// How many were told and joined; shared.
#[derive(Clone, Debug, Default)]
pub struct NatCounts(Arc<[AtomicU64; 3]>);

impl NatCounts {
    /// Translations that the kernel told, each as often as it did.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.0[0].load(Relaxed)
    }

    /// Events of either leg that were joined with the other.
    #[must_use]
    pub fn joined(&self) -> u64 {
        self.0[1].load(Relaxed)
    }

    /// Connections that were forgotten for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0[2].load(Relaxed)
    }
}

/// Translated connections.
pub(super) struct Translations {
    /// By the tuple of the initiator's leg.
    connections: Generations<LegKey, Connection>,
    /// The initiator's leg by the other one.
    behind: Generations<LegKey, LegKey>,
    counts: NatCounts,
}

impl Default for Translations {
    fn default() -> Self {
        Self {
            connections: Generations::new(MAX_CONNECTIONS),
            behind: Generations::new(MAX_CONNECTIONS),
            counts: NatCounts::default(),
        }
    }
}

impl Translations {
    pub(super) fn counts(&self) -> NatCounts {
        self.counts.clone()
    }

    /// Takes what the kernel told.
    pub(super) fn learn(&mut self, told: &[Translation]) {
        for told in told {
            self.counts.0[0].fetch_add(1, Relaxed);
            let (Some(original), Some(reply)) = (ends(&told.original), ends(&told.reply)) else {
                continue;
            };
            let original_key = LegKey::new(original, told.original.protocol);
            let reply_key = LegKey::new(reply, told.reply.protocol);
            let nat = Nat { original, reply };
            match self.connections.use_mut(&original_key) {
                Some(known) if known.nat == nat && known.over_ns == 0 => {}
                Some(known) => *known = Connection::new(nat),
                None => self.connections.insert(original_key, Connection::new(nat)),
            }
            match self.behind.use_mut(&reply_key) {
                Some(known) => *known = original_key,
                None => self.behind.insert(reply_key, original_key),
            }
        }
        let forgotten = self.connections.forgotten();
        self.counts.0[2].store(forgotten, Relaxed);
    }

    /// The leg that an event is of, if its connection is translated. Who is behind a side
    /// of which the event does not know is put in from the other leg.
    pub(super) fn join(&mut self, event: &mut common::Event) -> Option<Leg> {
        if self.connections.is_empty() || event.kind == Kind::Dropped as u8 {
            return None;
        }
        let (source, destination) = enrich::addresses(event);
        let source = SocketAddr::new(source, event.source_port);
        let destination = SocketAddr::new(destination, event.destination_port);
        let key = LegKey::new([source, destination], event.protocol);
        let (key, is_original) = match self.behind.use_mut(&key) {
            Some(original) => (*original, false),
            None => (key, true),
        };
        let connection = self.connections.use_mut(&key)?;
        if connection.over_ns != 0 && event.first_ns > connection.over_ns + LEG_NS {
            // Another connection with these ports, and not translated as far as is known.
            return None;
        }
        let nat = connection.nat;
        let is_from_client = if is_original {
            source == nat.original[0]
        } else {
            destination == nat.reply[0]
        };
        let sender = usize::from(event.direction & 1);
        let client = if is_from_client { sender } else { 1 - sender };
        for (known, place) in connection.sides.iter_mut().zip([client, 1 - client]) {
            let told = &mut event.sides[place];
            if told.tgid != 0 {
                *known = *told;
            } else if known.tgid != 0 {
                *told = *known;
            }
        }
        if event.kind == Kind::Ended as u8 && connection.over_ns == 0 {
            connection.over_ns = event.last_ns;
        }
        self.counts.0[1].fetch_add(1, Relaxed);
        Some(Leg {
            nat,
            is_original,
            is_from_client,
        })
    }
}

impl Connection {
    fn new(nat: Nat) -> Self {
        Self {
            nat,
            sides: [Side::default(); 2],
            over_ns: 0,
        }
    }
}

impl Leg {
    /// What the client called.
    pub(super) fn called(&self) -> SocketAddr {
        self.nat.original[1]
    }

    /// Tells it in a flow of the leg: the inventory's name of what was called, else who answers.
    pub(super) fn mark(&self, flow: &mut Flow, identities: &Snapshot) {
        let Nat { original, reply } = self.nat;
        let [client, called] = original;
        let [server, translated] = reply;
        // The address of a side that this leg does not have tells who it is.
        let (sender, receiver) = match self.is_from_client {
            true => (&mut flow.source, &mut flow.destination),
            false => (&mut flow.destination, &mut flow.source),
        };
        if self.is_original {
            name(receiver, server.ip(), identities);
        } else {
            name(sender, client.ip(), identities);
        }
        if self.is_from_client && client.ip() != translated.ip() {
            flow.cold_mut().source_xlated = translated.ip().to_string();
        }
        if called != server {
            let answers = match self.is_from_client {
                true => &flow.destination,
                false => &flow.source,
            };
            let service = services::service(identities.resolve(called.ip()))
                .or_else(|| services::service(answers.as_deref()?));
            if let Some(service) = service {
                services::tell(flow, service, self.is_from_client);
            }
        }
        if let Some(counters) = &mut flow.counters {
            counters.nat = Some(Box::new(self.nat));
        }
    }
}

/// Names a side by its address on the other leg, unless it is known better.
fn name(side: &mut Option<Interned<Endpoint>>, address: IpAddr, identities: &Snapshot) {
    let is_open = |side: &Endpoint| Snapshot::is_world(side) || side.identity == reserved::HOST;
    let (found, is_host) = identities.look_up(address);
    if side.as_deref().is_none_or(is_open) && !is_host && !Snapshot::is_world(found) {
        *side = Some(found.clone());
    }
}

/// Sender and receiver of a tuple.
fn ends(tuple: &Tuple) -> Option<[SocketAddr; 2]> {
    let address = |words: [u32; 4]| {
        let [first, ..] = words;
        match tuple.family {
            INET => Some(IpAddr::from(first.to_ne_bytes())),
            INET6 => {
                let mut bytes = [0_u8; 16];
                for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
                    place.copy_from_slice(&word.to_ne_bytes());
                }
                Some(IpAddr::from(bytes))
            }
            _ => None,
        }
    };
    let port = u16::from_be;
    Some([
        SocketAddr::new(address(tuple.source)?, port(tuple.source_port)),
        SocketAddr::new(address(tuple.destination)?, port(tuple.destination_port)),
    ])
}

#[cfg(test)]
mod tests;
