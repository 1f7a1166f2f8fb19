//! From the first segments of clients to the names that their connections have.

use std::{net::SocketAddr, sync::Arc};

use super::{
    hello::{self, Malformed},
    stream::{Begun, Stream},
};
use crate::{
    flow::{Interned, Interner, Names},
    generations::Generations,
};

/// Connections whose first bytes are coming.
const OPEN: usize = 4096;
/// Connections that are remembered with their name, or as those that have none.
const KNOWN: usize = 65_536;

/// A connection by its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Address space.
    pub zone: u16,
    /// Who opened it.
    pub client: SocketAddr,
    /// Whom it was opened to.
    pub server: SocketAddr,
}

impl Connection {
    /// As if the server had opened it.
    #[must_use]
    pub fn back(self) -> Self {
        Self {
            client: self.server,
            server: self.client,
            ..self
        }
    }
}

/// What a segment of a client carries.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The connection.
    pub connection: Connection,
    /// What tells it from others with the same ends, before and after.
    pub began: u64,
    /// Where its first byte is in what the client sends.
    pub offset: u32,
    /// The first bytes of it.
    pub bytes: &'a [u8],
}

/// A name that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// In lower case, without a dot at the end.
    pub name: Arc<str>,
}

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Nothing: it has not asked yet, or does not speak TLS.
    Unknown,
    /// It asked for no name, or for none that is one.
    Nothing,
    /// For this one.
    Name(Interned<Names>),
}

/// What became of connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// ClientHellos that were read.
    pub hellos: u64,
    /// Those among them without a name.
    pub nameless: u64,
    /// What was none, or could not be read, in the order of `Malformed::ALL`.
    pub malformed: [u64; Malformed::ALL.len()],
    /// Connections whose names were forgotten for want of room.
    pub forgotten: u64,
}

#[derive(Debug)]
struct Known {
    began: u64,
    name: Option<Arc<str>>,
    /// The name, as flows have it.
    shared: Option<Interned<Names>>,
}

#[derive(Debug)]
struct Open {
    began: u64,
    stream: Stream,
}

/// Watches connections begin.
#[derive(Debug)]
pub struct Watcher {
    open: Generations<Connection, Open>,
    known: Generations<Connection, Known>,
    counts: Counts,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            open: Generations::new(OPEN),
            known: Generations::new(KNOWN),
            counts: Counts::default(),
        }
    }
}

impl Watcher {
    /// What became of connections so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.forgotten = self.known.forgotten();
        counts.malformed[Malformed::Incomplete as usize] += self.open.forgotten();
        counts
    }

    /// The name that a segment completes, once for each connection.
    pub fn take(&mut self, packet: Packet<'_>) -> Option<Seen> {
        let connection = packet.connection;
        if let Some(known) = self.known.use_mut(&connection)
            && known.began == packet.began
        {
            return None;
        }
        let open = self.open.remove(&connection);
        let mut open = open
            .filter(|open| open.began == packet.began)
            .unwrap_or_else(|| Open {
                began: packet.began,
                stream: Stream::default(),
            });
        let read = match open.stream.take(packet.offset as usize, packet.bytes) {
            Begun::Waits => {
                self.open.insert(connection, open);
                return None;
            }
            Begun::Other => Err(Malformed::NotHello),
            Begun::Message { bytes, is_partial } => hello::read(&bytes, is_partial),
        };
        let name = self.count(read).map(Arc::from);
        self.known.remove(&connection);
        let known = Known {
            began: packet.began,
            name: name.clone(),
            shared: None,
        };
        self.known.insert(connection, known);
        name.map(|name| Seen { name })
    }

    fn count(&mut self, read: Result<Option<String>, Malformed>) -> Option<String> {
        match read {
            Ok(name) => {
                self.counts.hellos += 1;
                self.counts.nameless += u64::from(name.is_none());
                name
            }
            Err(malformed) => {
                self.counts.malformed[malformed as usize] += 1;
                None
            }
        }
    }

    /// Whether no connection is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What the client of a connection asked for.
    pub fn asked(
        &mut self,
        connection: &Connection,
        began: u64,
        interner: &mut Interner<Names>,
    ) -> Asked {
        let known = self.known.use_mut(connection);
        let Some(known) = known.filter(|known| known.began == began) else {
            return Asked::Unknown;
        };
        let Some(name) = &known.name else {
            return Asked::Nothing;
        };
        let shared = &mut known.shared;
        let shared = shared.get_or_insert_with(|| interner.intern(vec![name.to_string()]));
        Asked::Name(shared.clone())
    }
}

#[cfg(test)]
mod tests;
