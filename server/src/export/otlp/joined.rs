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
    /// With the number of the note.
    traces: HashMap<Id, (u64, Trace)>,
    /// The first that was noted first; some may be gone.
    order: VecDeque<(u64, Id)>,
    noted: u64,
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
        let Entry::Vacant(place) = self.traces.entry(id) else {
            return;
        };
        self.noted += 1;
        place.insert((self.noted, trace));
        self.order.push_back((self.noted, id));
        let Self { traces, order, .. } = self;
        let is_there = |traces: &HashMap<Id, (u64, Trace)>, (note, id): &(u64, Id)| {
            traces.get(id).is_some_and(|(number, _)| number == note)
        };
        while traces.len() > MOST
            && let Some(first) = order.pop_front()
        {
            if is_there(traces, &first) {
                traces.remove(&first.1);
            }
        }
        if order.len() > 2 * MOST {
            order.retain(|one| is_there(traces, one));
        }
    }

    /// What is known of a connection that ends.
    pub(super) fn take(&mut self, connection: &Connection) -> Option<Trace> {
        let noted = self.traces.remove(&connection.id().trace_id());
        noted.map(|(_, trace)| trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of a connection from this port.
    fn request(port: u32) -> Flow {
        let text = format!(
            r#"{{"IP":{{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{port},"destination_port":80}}}},"l7":{{"http":{{"headers":[{{"key":"traceparent","value":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}]}}}}}}"#
        );
        let flow = sextant_flows::json::parse(&text, "flow.Flow").unwrap();
        crate::flow::proto::from_proto(flow, &mut crate::flow::Interners::default())
    }

    #[test]
    fn what_is_remembered_is_bounded_also_where_one_connection_comes_again_and_again() {
        let mut joined = Joined::default();
        let one = request(1);
        let connection = Connection::of(&one).unwrap();
        for _ in 0..3 * MOST {
            joined.note(&one);
            assert!(joined.take(&connection).is_some());
        }
        joined.note(&one);
        assert!(joined.order.len() <= 2 * MOST + 1, "{}", joined.order.len());
        // Notes that are over push out nobody.
        joined.note(&request(2));
        assert_eq!(joined.traces.len(), 2);
        assert!(joined.take(&connection).is_some());
    }
}
