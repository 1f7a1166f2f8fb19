//! TLS as it begins: the server's name that a client asks for (SNI, RFC 6066).
//!
//! ```text
//! segments ─► stream: bytes in order ─► records ─► hello ─► watcher: which connection has which name
//! ```
//!
//! The first bytes of a client alone; what is encrypted is not looked at. Of Encrypted
//! Client Hello it is the outer name, as the real one is encrypted. Pure; `Watcher`
//! is owned by one reader of packets. What comes over the wire is data, whatever it
//! says: what cannot be read is counted by cause. Bound: `MOST` bytes of a connection,
//! and the tables of `watcher`, which forget the oldest and count it.

/// Seconds that a name counts for later connections of its client to the address:
/// programs that speak TLS to it ask again each time.
pub const LIVES: u32 = 3600;

mod hello;
mod openings;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod watcher;

pub use hello::{Malformed, read};
pub use openings::{Openings, Place, Segment};
pub use stream::MOST;
pub use watcher::{Asked, Connection, Counts, Packet, Seen, Watcher};
