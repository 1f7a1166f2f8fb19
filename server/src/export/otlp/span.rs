//! A connection that ended as a span, from its first packet to its last: one that was
//! observed here, or one that was recorded or replayed with its end (`end_reason`).
//!
//! Its trace is by the Community ID, so both ends of a connection, and every tool that
//! knows that id, tell of the same trace; unless the connection itself says which, by a
//! request in it (`joined`). Of what was recorded it is not told how long it was silent
//! before its end.

use std::net::IpAddr;

use sextant_flows::{
    flow::wire::put,
    view::{Unreadable, View},
};
use sextant_proto::flow::Verdict;

use super::{
    attributes::{Attributes, Ends, count, flow_of, say, transport},
    frame::ITEM,
    joined::Joined,
    record::{fixed64, nanos, trace_of},
};
use crate::{
    community::{CommunityId, Connection},
    flow::{Counters, Flow, Uuid},
    summary::{Measure, measure},
};

/// Fields of `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const PARENT: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START_FIXED64: u8 = 7 << 3 | 1;
const END_FIXED64: u8 = 8 << 3 | 1;
const ATTRIBUTES: u32 = 9;
const STATUS: u32 = 15;

/// Kinds of spans.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// Code of a status.
const ERROR: u64 = 2;

/// A connection, told by its last event.
struct Ended<'f> {
    flow: &'f Flow,
    /// Of one that was observed here.
    counters: Option<&'f Counters>,
    duration_ns: u64,
    is_reset: bool,
    connection: Connection,
    client: (IpAddr, u16),
    server: (IpAddr, u16),
}

impl<'f> Ended<'f> {
    fn of(flow: &'f Flow) -> Option<Self> {
        let counters = flow.counters.as_deref();
        let Measure::Totals(totals) = measure(flow) else {
            return None;
        };
        if !totals.ended {
            return None;
        }
        let connection = Connection::of(flow)?;
        let (source, destination) = (connection.source, connection.destination);
        let (client, server) = match flow.is_reply {
            Some(true) => (destination, source),
            _ => (source, destination),
        };
        Some(Self {
            flow,
            counters,
            duration_ns: totals.duration_ns?,
            is_reset: totals.reset,
            connection,
            client,
            server,
        })
    }

    fn kind(&self) -> u64 {
        let Some(counters) = self.counters else {
            return INTERNAL;
        };
        let (mut client, mut server) = (&counters.source_process, &counters.destination_process);
        if self.flow.is_reply == Some(true) {
            (client, server) = (server, client);
        }
        match (client, server) {
            (Some(_), None) => CLIENT,
            (None, Some(_)) => SERVER,
            _ => INTERNAL,
        }
    }

    fn put(
        &self,
        flow: &View<'_>,
        is_masked: bool,
        (ends, joined): (&mut Ends, &mut Joined),
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let community = self.connection.id();
        let noted = joined.take(&self.connection);
        let said = trace_of(self.flow).or(noted).filter(|_| !is_masked);
        let (trace, parent) = said.unwrap_or_else(|| (community.trace_id(), Vec::new()));
        put::bytes(TRACE_ID, &trace, out);
        put::bytes(SPAN_ID, &span_id(&self.flow.uuid), out);
        put::bytes(PARENT, &parent, out);
        let transport = self
            .flow
            .l4
            .as_ref()
            .and_then(transport)
            .unwrap_or_default();
        let version = if self.client.0.is_ipv4() { 4 } else { 6 };
        let name = format!("flow_ipv{version}_{transport}");
        put::bytes(NAME, name.as_bytes(), out);
        put::number(KIND, self.kind(), out);
        // The event comes when nothing more is waited for.
        let end = self
            .flow
            .time
            .map_or(0, nanos)
            .saturating_sub(self.counters.map_or(0, |counters| counters.silent_ns));
        let begin = end.saturating_sub(self.duration_ns);
        fixed64(START_FIXED64, begin, out);
        fixed64(END_FIXED64, end, out);
        let mut attributes = Attributes::of_flow(ATTRIBUTES, ends, out);
        if !is_masked {
            self.ends(&community, transport, &mut attributes);
        }
        attributes.fields(flow)?;
        if self.is_reset || self.is_dropped() {
            put::message(STATUS, out, |out| put::number(3, ERROR, out));
        }
        Ok(())
    }

    /// Whether nothing of it came through: the kernel dropped it all, or a policy did.
    fn is_dropped(&self) -> bool {
        let is_denied = self.flow.verdict == i32::from(Verdict::Dropped);
        let counters = self.counters;
        is_denied || counters.is_some_and(|counters| counters.kernel_drop_reason.is_some())
    }

    /// What is no field of a flow.
    fn ends(&self, community: &CommunityId, transport: &str, attributes: &mut Attributes<'_>) {
        say(attributes, "network.transport", transport);
        say(attributes, "client.address", &self.client.0.to_string());
        count(attributes, "client.port", self.client.1.into());
        say(attributes, "server.address", &self.server.0.to_string());
        count(attributes, "server.port", self.server.1.into());
        say(attributes, "flow.community_id", &community.text());
    }
}

/// Whether a connection ends with this event: then there is a span of it.
pub(in crate::export) fn ends_connection(flow: &Flow) -> bool {
    Ended::of(flow).is_some()
}

/// Appends a span of the connection that ends with this event, which is this encoded
/// `ExportEvent`. Of one that is masked its fields alone are told, and when it began and
/// ended.
pub(in crate::export) fn put(
    flow: &Flow,
    encoded: &[u8],
    is_masked: bool,
    (ends, joined): (&mut Ends, &mut Joined),
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let ended = Ended::of(flow).ok_or(Unreadable::Malformed)?;
    let flow = flow_of(encoded)?;
    let mut written = Ok(());
    put::long_message(ITEM, out, |out| {
        written = ended.put(&flow, is_masked, (ends, joined), out)
    });
    written
}

/// By the event's own id, which no other event has.
fn span_id(uuid: &Uuid) -> [u8; 8] {
    use sha1::{Digest as _, Sha1};
    let hash = Sha1::digest(uuid.to_text().as_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    id
}
