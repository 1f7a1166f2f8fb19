//! Which trace a connection is of, as its requests said (W3C Trace Context): they are told
//! before its end, by events of their own.
//!
//! Of several requests the first counts. Bound: `MOST` connections; for another the one
//! that was noted first is forgotten, and its span is of the trace by its Community ID.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use super::record::trace_of;
use crate::{community::Connection, flow::Flow};

/// Connections that are remembered.
const MOST: usize = 65_536;

/// A trace, and the span in it that is above.
pub(super) type Trace = ([u8; 16], Vec<u8>);

/// A connection, by its Community ID.
type Id = [u8; 16];

/// Traces by connection.
#[derive(Debug, Default)]
pub(in crate::export) struct Joined {
    traces: HashMap<Id, Trace>,
    /// The first that was noted first; some may be gone.
    order: VecDeque<Id>,
}

impl Joined {
    /// Takes note of what an event says, if it does.
    pub(in crate::export) fn note(&mut self, flow: &Flow) {
        let Some(trace) = trace_of(flow) else {
            return;
        };
        let Some(connection) = Connection::of(flow) else {
            return;
        };
        let id = connection.id().trace_id();
        if let Entry::Vacant(place) = self.traces.entry(id) {
            place.insert(trace);
            self.order.push_back(id);
        }
        while self.traces.len() > MOST {
            let first = self.order.pop_front();
            first.and_then(|first| self.traces.remove(&first));
        }
        if self.order.len() > 2 * MOST {
            self.order.retain(|id| self.traces.contains_key(id));
        }
    }

    /// What is known of a connection that ends.
    pub(super) fn take(&mut self, connection: &Connection) -> Option<Trace> {
        self.traces.remove(&connection.id().trace_id())
    }
}
