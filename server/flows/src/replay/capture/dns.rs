//! DNS messages of a capture, and the names that its other packets have by them, else
//! by the TLS server names in it.
//!
//! As the datapath does it, but for the host: a capture does not say which address is
//! its own, so each address is a client by itself, in each VLAN where VLANs tell flows apart.

use std::net::SocketAddr;

use super::{
    Frame,
    sni::{Carried, ServerNames},
};
use crate::{
    decode::{self, Packet, Transport},
    dns::{self, Seen, Watcher},
    flow::{Flow, Interners},
    names::{Client, Names, Settings},
};

/// As the daemon has them by default.
const SETTINGS: Settings = Settings {
    capacity: 65_536,
    shortest_ns: 60_000_000_000,
};
const PORT: u16 = 53;

/// What is kept between packets.
pub(super) struct Dns {
    watcher: Watcher,
    names: Names,
    server_names: ServerNames,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            watcher: Watcher::default(),
            names: Names::new(SETTINGS),
            server_names: ServerNames::new(SETTINGS),
        }
    }
}

impl Dns {
    /// Queries, streams and names that the bounded tables forgot.
    pub(super) fn forgotten(&self) -> u64 {
        let (messages, names) = (self.watcher.counts(), self.names.counts());
        messages.forgotten_queries
            + messages.forgotten_streams
            + names.forgotten
            + self.server_names.forgotten()
    }

    /// The messages that a packet of an address space has or completes; learns the names
    /// in them.
    pub(super) fn take(&mut self, frame: &Frame<'_>, packet: &Packet, space: u16) -> Vec<Seen> {
        let mut seen = Vec::new();
        if let Some(carried) = segment(frame, packet) {
            self.server_names.take(packet, space, carried);
        }
        let Some(packet) = carried(frame, packet, space) else {
            return seen;
        };
        self.watcher.take(packet, &mut |message| seen.push(message));
        let client = Client::Other(space, packet.destination.ip());
        for answer in &seen {
            for found in answer.learned() {
                let name = &answer.question.name;
                self.names.learn(client, space, name, found, packet.at_ns);
            }
        }
        seen
    }

    /// Names both sides of a flow, as the other one knows them.
    pub(super) fn name(
        &mut self,
        flow: &mut Flow,
        packet: &Packet,
        space: u16,
        interners: &mut Interners,
    ) {
        let at_ns = nanos(flow.time.map_or(0, |time| time.as_nanos()));
        let (source, destination) = (packet.ip.source, packet.ip.destination);
        let interner = &mut interners.names;
        let [to, from] = self.server_names.of(packet, space, at_ns, interner);
        let mut named = |by, address| {
            let client = Client::Other(space, by);
            self.names
                .of_none_but(client, space, address, at_ns, interner)
        };
        flow.source_names = named(destination, source).or(from);
        flow.destination_names = named(source, destination).or(to);
    }
}

fn nanos(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// What a TCP segment carries; nothing of DNS, which is read otherwise.
fn segment<'a>(frame: &Frame<'a>, packet: &Packet) -> Option<Carried<'a>> {
    let Transport::Tcp {
        source_port,
        destination_port,
        ..
    } = packet.transport
    else {
        return None;
    };
    if [source_port, destination_port].contains(&PORT) {
        return None;
    }
    let (bytes, _) = decode::carried(frame.link_type.link()?, frame.bytes)?;
    Some(Carried {
        at_ns: nanos(frame.time.map_or(0, |time| time.as_nanos())),
        bytes,
    })
}

fn carried<'a>(frame: &Frame<'a>, packet: &Packet, space: u16) -> Option<dns::Packet<'a>> {
    let (source, destination, sequence) = match packet.transport {
        Transport::Udp {
            source_port,
            destination_port,
        } => (source_port, destination_port, None),
        Transport::Tcp {
            source_port,
            destination_port,
            sequence,
            ..
        } => (source_port, destination_port, Some(sequence)),
        _ => return None,
    };
    if source != PORT && destination != PORT {
        return None;
    }
    let (bytes, missing) = decode::carried(frame.link_type.link()?, frame.bytes)?;
    // What the capture left out of a segment's end.
    let left_out = match sequence {
        Some(_) => (frame.wire_length as usize).saturating_sub(frame.bytes.len()),
        None => missing,
    };
    let length = u32::try_from(bytes.len() + left_out).ok()?;
    (length > 0).then_some(dns::Packet {
        at_ns: nanos(frame.time.map_or(0, |time| time.as_nanos())),
        zone: space,
        sequence,
        source: SocketAddr::new(packet.ip.source, source),
        destination: SocketAddr::new(packet.ip.destination, destination),
        length,
        bytes,
    })
}
