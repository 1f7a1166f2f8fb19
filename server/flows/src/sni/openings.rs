//! Where the bytes of a client begin, for captures: by its SYN, else by the first
//! segment that carries something. The kernel's programs know it themselves.
//!
//! Bound: `CAPACITY` connections; the oldest are forgotten.

use super::watcher::Connection;
use crate::generations::Generations;

/// Connections whose client is known.
const CAPACITY: usize = 65_536;
/// Control bits of TCP.
const SYN: u16 = 0x02;
const ACK: u16 = 0x10;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Its sender as the client.
    pub connection: Connection,
    /// Sequence number of its first byte, or of the SYN.
    pub sequence: u32,
    /// Control bits.
    pub flags: u16,
    /// Whether it carries something.
    pub has_bytes: bool,
}

#[derive(Clone, Copy, Debug)]
struct Opening {
    /// Sequence number of the client's first byte.
    first: u32,
    /// The server took the connection.
    is_answered: bool,
}

/// A segment of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is in what the client sends.
    pub offset: u32,
    /// What tells the connection from others with the same ends.
    pub began: u64,
    /// The server was seen to take the connection.
    pub is_answered: bool,
}

/// The connections.
#[derive(Debug)]
pub struct Openings(Generations<Connection, Opening>);

impl Default for Openings {
    fn default() -> Self {
        Self(Generations::new(CAPACITY))
    }
}

impl Openings {
    /// Connections that were forgotten for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten()
    }

    /// Where a segment is, if it is of a client.
    pub fn place(&mut self, segment: Segment) -> Option<Place> {
        let Segment {
            connection,
            sequence,
            flags,
            ..
        } = segment;
        let back = connection.back();
        match flags & (SYN | ACK) {
            SYN => self.open(connection, sequence.wrapping_add(1)),
            flags if flags == SYN | ACK => {
                if let Some(opening) = self.0.use_mut(&back) {
                    opening.is_answered = true;
                }
                return None;
            }
            _ if segment.has_bytes
                && self.0.use_mut(&connection).is_none()
                && self.0.use_mut(&back).is_none() =>
            {
                self.open(connection, sequence);
            }
            _ => {}
        }
        let first = sequence.wrapping_add(u32::from(flags & SYN != 0));
        let opening = self.0.use_mut(&connection)?;
        Some(Place {
            offset: first.wrapping_sub(opening.first),
            began: opening.first.into(),
            is_answered: opening.is_answered,
        })
    }

    /// A SYN that comes again is the same.
    fn open(&mut self, connection: Connection, first: u32) {
        match self.0.use_mut(&connection) {
            Some(known) if known.first == first => {}
            Some(known) => {
                *known = Opening {
                    first,
                    is_answered: false,
                };
            }
            None => {
                let opening = Opening {
                    first,
                    is_answered: false,
                };
                self.0.insert(connection, opening);
            }
        }
    }

    /// What tells a connection from others with the same ends, if its client is known.
    pub fn began(&mut self, connection: &Connection) -> Option<u64> {
        Some(self.0.use_mut(connection)?.first.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(is_client: bool, sequence: u32, flags: u16, has_bytes: bool) -> Segment {
        let ends = [([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 443)];
        let [client, server] = ends.map(Into::into);
        let (client, server) = if is_client {
            (client, server)
        } else {
            (server, client)
        };
        Segment {
            connection: Connection {
                zone: 0,
                client,
                server,
            },
            sequence,
            flags,
            has_bytes,
        }
    }

    #[test]
    fn the_client_is_who_sent_the_syn_and_its_bytes_begin_behind_it() {
        let mut openings = Openings::default();
        let mut place = |segment| {
            openings
                .place(segment)
                .map(|place| (place.offset, place.is_answered))
        };
        assert_eq!(place(segment(true, u32::MAX, SYN, false)), Some((0, false)));
        assert_eq!(place(segment(false, 700, SYN | ACK, false)), None);
        assert_eq!(place(segment(true, 1400, ACK, true)), Some((1400, true)));
        assert_eq!(place(segment(true, 0, ACK, true)), Some((0, true)));
        assert_eq!(place(segment(false, 701, ACK, true)), None);
        assert_eq!(
            place(segment(true, u32::MAX, SYN, false)),
            Some((0, true)),
            "again"
        );
        assert_eq!(
            place(segment(true, 9, SYN, true)),
            Some((0, false)),
            "another one"
        );
    }

    #[test]
    fn without_a_syn_the_first_bytes_are_the_beginning() {
        let mut openings = Openings::default();
        assert_eq!(openings.place(segment(true, 5, ACK, false)), None);
        let place = openings.place(segment(true, 5, ACK, true)).expect("begun");
        assert_eq!((place.offset, place.is_answered), (0, false));
        assert_eq!(openings.place(segment(false, 50, ACK, true)), None);
    }
}
