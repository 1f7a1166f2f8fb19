//! TLS server names of a capture, for its packets that have no name by DNS.
//!
//! As the datapath does it, but that each address is a client by itself, and that a
//! connection without a SYN in the file begins with the first bytes in it.

use std::net::SocketAddr;

use crate::{
    decode::{Packet, Transport},
    flow::{Interned, Interner, Names as NameList},
    names::{Client, Names, Settings},
    sni::{self, Asked, Connection, LIVES, Openings, Segment, Watcher},
};

/// What is kept between packets.
pub(super) struct ServerNames {
    openings: Openings,
    watcher: Watcher,
    names: Names,
}

/// When a packet was captured and what it carries, as far as that is in the file.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    pub(super) at_ns: u64,
    pub(super) bytes: &'a [u8],
}

impl ServerNames {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            openings: Openings::default(),
            watcher: Watcher::default(),
            names: Names::new(settings),
        }
    }

    /// Connections and names that the bounded tables forgot.
    pub(super) fn forgotten(&self) -> u64 {
        let (connections, names) = (self.watcher.counts(), self.names.counts());
        self.openings.forgotten() + connections.forgotten + names.forgotten
    }

    /// Learns the name that a segment completes.
    pub(super) fn take(&mut self, packet: &Packet, space: u16, carried: Carried<'_>) {
        let Transport::Tcp {
            source_port,
            destination_port,
            sequence,
            flags,
            ..
        } = packet.transport
        else {
            return;
        };
        let connection = connection(packet, space, source_port, destination_port);
        let Some(place) = self.openings.place(Segment {
            connection,
            sequence,
            flags,
            has_bytes: !carried.bytes.is_empty(),
        }) else {
            return;
        };
        if place.offset as usize >= sni::MOST || carried.bytes.is_empty() {
            return;
        }
        let seen = self.watcher.take(sni::Packet {
            connection,
            began: place.began,
            offset: place.offset,
            bytes: carried.bytes,
        });
        if let Some(seen) = seen
            && place.is_answered
            && !packet.ip.destination.is_loopback()
        {
            let client = Client::Other(space, packet.ip.source);
            let found = (packet.ip.destination, LIVES);
            self.names
                .learn(client, space, &seen.name, found, carried.at_ns);
        }
    }

    /// The names of receiver and sender, as the other one asked for them.
    pub(super) fn of(
        &mut self,
        packet: &Packet,
        space: u16,
        at_ns: u64,
        interner: &mut Interner<NameList>,
    ) -> [Option<Interned<NameList>>; 2] {
        let (source, destination) = (packet.ip.source, packet.ip.destination);
        let (mut to, mut from) = (Asked::Unknown, Asked::Unknown);
        if let Transport::Tcp {
            source_port,
            destination_port,
            ..
        } = packet.transport
        {
            let forth = connection(packet, space, source_port, destination_port);
            to = self.asked(&forth, interner);
            from = self.asked(&forth.back(), interner);
        }
        let mut or_earlier = |asked, client, address| match asked {
            Asked::Name(own) => Some(own),
            Asked::Nothing => None,
            Asked::Unknown => {
                let client = Client::Other(space, client);
                self.names
                    .of_none_but(client, space, address, at_ns, interner)
            }
        };
        [
            or_earlier(to, source, destination),
            or_earlier(from, destination, source),
        ]
    }

    fn asked(&mut self, connection: &Connection, interner: &mut Interner<NameList>) -> Asked {
        match self.openings.began(connection) {
            Some(began) => self.watcher.asked(connection, began, interner),
            None => Asked::Unknown,
        }
    }
}

fn connection(packet: &Packet, space: u16, source_port: u16, destination_port: u16) -> Connection {
    Connection {
        zone: space,
        client: SocketAddr::new(packet.ip.source, source_port),
        server: SocketAddr::new(packet.ip.destination, destination_port),
    }
}
