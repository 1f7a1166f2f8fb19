//! DNS as it passes by: messages out of packets, answers joined to their queries.
//!
//! ```text
//! packets ─► stream (TCP) ─► message ─► pairs ─► Seen: a query, or an answer and its latency
//! ```
//!
//! Pure; `Watcher` is owned by one reader of packets. What comes over the wire is
//! data, whatever it says: a message that cannot be read is counted by cause.
//! Bound: the tables of `stream` and `pairs`, which forget the oldest and count it.

mod message;
mod pairs;
mod record;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod types;
mod watcher;

pub use message::{Address, Kind, Malformed, Message, Question, read};
pub use record::{layer7, mark, text};
pub use types::rcode_text;
pub use watcher::{Counts, Packet, Seen, Watcher};
