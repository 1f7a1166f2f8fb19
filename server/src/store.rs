//! The store: a ring of events with sequence numbers.
//!
//! One writer pushes batches; any number of readers hold a `Cursor`. Nothing
//! is queued for a reader: one that is too slow is overtaken and told exactly
//! how many events it lost. Bound: a `Room` in events and in bytes; memory is
//! that plus at most two segments, of which each has at most a sixteenth of the
//! bytes and an event.

mod cursor;
mod deliveries;
mod rate;
mod ring;
mod search;
mod times;
mod verdicts;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, MAX_RUN, Read, Run};
pub use deliveries::{Delivered, Deliveries};
pub use ring::{Ring, RingWriter, Room};
pub use sextant_flows::event::{Event, Stamped};
pub use verdicts::VerdictCounts;
