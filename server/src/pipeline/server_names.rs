//! Names by the TLS server name (SNI) that clients ask for, where DNS gave none.
//!
//! A connection has the name that its own client asked for in it. A client's later
//! connections to the same address have it until they ask for another: those of the
//! same client alone, and of this host alone those whose own sockets asked, so that
//! nobody names the flows of others. Loopback addresses are of many servers, so there
//! it is the connection alone. Bound: those of `sni` and `names`.

use std::net::SocketAddr;

use sextant_ebpf_common::{self as common, protocol::TCP};

use super::enrich;
use crate::{
    datapath::Carried,
    flow::{Interned, Interner, Names as NameList},
    names::{self, Client, Names},
    sni::{self, Asked, Connection, LIVES, Packet, Watcher},
};

/// Bit of a TCP header.
const SYN: u32 = 2;

/// The state that is kept between packets.
#[derive(Debug)]
pub(super) struct ServerNames {
    watcher: Watcher,
    names: Names,
}

impl ServerNames {
    pub(super) fn new(settings: names::Settings) -> Self {
        Self {
            watcher: Watcher::default(),
            names: Names::new(settings),
        }
    }

    pub(super) fn counts(&self) -> (sni::Counts, names::Counts) {
        (self.watcher.counts(), self.names.counts())
    }

    /// Names that count at a time.
    pub(super) fn list(&self, now_ns: u64) -> impl Iterator<Item = names::Listed> {
        self.names.list(now_ns)
    }

    /// Learns the name that a segment completes; `client` is who sent it.
    pub(super) fn take(&mut self, carried: Carried<'_>, zone: u16, client: Client) {
        let event = carried.event;
        let (source, destination) = connection(event);
        let seen = self.watcher.take(Packet {
            connection: Connection {
                zone: event.zone,
                client: source,
                server: destination,
            },
            began: event.first_ns,
            offset: carried.offset,
            bytes: carried.bytes,
        });
        if let Some(seen) = seen
            && is_of_client(event, client)
            && !destination.ip().is_loopback()
        {
            let found = (destination.ip(), LIVES);
            self.names
                .learn(client, zone, &seen.name, found, event.time_ns);
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.watcher.is_empty()
    }

    /// The names of one end of the event's flow for `client`, who is the other end.
    pub(super) fn of(
        &mut self,
        event: &common::Event,
        zone: u16,
        client: Client,
        end: End,
        interner: &mut Interner<NameList>,
    ) -> Option<Interned<NameList>> {
        let began = event.first_ns;
        let (source, destination) = connection(event);
        let (from, to) = match end {
            End::Source => (destination, source),
            End::Destination => (source, destination),
        };
        if event.protocol == TCP {
            let connection = Connection {
                zone: event.zone,
                client: from,
                server: to,
            };
            match self.watcher.asked(&connection, began, interner) {
                Asked::Name(own) => return Some(own),
                Asked::Nothing => return None,
                Asked::Unknown => {}
            }
        }
        self.names
            .of_none_but(client, zone, to.ip(), began, interner)
    }
}

/// An end of a flow, by an event of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its sender.
    Source,
    /// Its receiver.
    Destination,
}

/// Sender and receiver.
fn connection(event: &common::Event) -> (SocketAddr, SocketAddr) {
    let (source, destination) = enrich::addresses(event);
    (
        SocketAddr::new(source, event.source_port),
        SocketAddr::new(destination, event.destination_port),
    )
}

/// Whether the address of the client says who it is: the server took the connection,
/// and what has this host's address is of a socket of it, not of somebody behind it
/// whose address is translated.
fn is_of_client(event: &common::Event, client: Client) -> bool {
    let sender = usize::from(event.direction & 1);
    let is_answered = event.tcp_flags_seen >> (16 * (1 - sender)) & SYN != 0;
    is_answered && (client != Client::Host || event.sides[sender].tgid != 0)
}

#[cfg(test)]
mod tests;
