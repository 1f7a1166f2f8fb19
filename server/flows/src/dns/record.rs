//! A message as Hubble has it: the record of an L7 flow, and its text.

use std::fmt::{self, Write};

use sextant_proto::flow as pb;

use super::{
    message::{Kind, Message, Question},
    types::{rcode_text, record_type},
    watcher::Seen,
};
use crate::flow::{EventType, Flow};

/// Monitor event type of Hubble's access log.
const ACCESS_LOG: i32 = 129;
/// Where the record is from: the packets themselves. Hubble's own are `proxy`.
const SOURCE: &str = "wire";

/// The application-layer part of a message's flow. `question` is the query's where
/// the answer does not repeat it. The TTL of an answer without addresses and
/// aliases is the largest number, as Hubble's.
#[must_use]
pub fn layer7(message: &Message, question: &Question, latency_ns: Option<u64>) -> pb::Layer7 {
    let types = |types: &[u16]| types.iter().copied().map(record_type).collect();
    let mut dns = pb::Dns {
        query: question.name.clone(),
        observation_source: SOURCE.into(),
        qtypes: types(&question.types),
        ..pb::Dns::default()
    };
    let kind = match message.kind {
        Kind::Query => pb::L7FlowType::Request,
        Kind::Answer => {
            dns.ips = message
                .addresses
                .iter()
                .map(|found| found.ip.to_string())
                .collect();
            dns.ttl = message.ttl.unwrap_or(u32::MAX);
            dns.cnames.clone_from(&message.aliases);
            dns.rcode = message.rcode.into();
            dns.rrtypes = types(&message.record_types);
            pb::L7FlowType::Response
        }
    };
    pb::Layer7 {
        r#type: kind.into(),
        latency_ns: latency_ns.unwrap_or(0),
        record: Some(pb::layer7::Record::Dns(dns)),
    }
}

/// Makes the flow of a packet that of a message in it.
pub fn mark(flow: &mut Flow, seen: &Seen) {
    let is_reply = seen.message.kind == Kind::Answer;
    flow.flow_type = pb::FlowType::L7.into();
    flow.event_type = Some(EventType {
        kind: ACCESS_LOG,
        sub_type: 0,
    });
    flow.reply = is_reply;
    flow.is_reply = Some(is_reply);
    flow.trace_observation_point = 0;
    flow.trace_reason = 0;
    // Packets and bytes are told by the flow that they are in.
    flow.counters = None;
    let layer7 = layer7(&seen.message, &seen.question, seen.latency_ns);
    flow.cold_mut().l7 = Some(layer7);
}

/// Writes Hubble's summary of a DNS record.
///
/// # Errors
/// As `out` has them.
pub fn text(kind: pb::L7FlowType, dns: &pb::Dns, out: &mut impl Write) -> fmt::Result {
    let types = dns.qtypes.join(",");
    if kind != pb::L7FlowType::Response {
        return write!(out, "DNS Query {} {types}", dns.query);
    }
    out.write_str("DNS Answer ")?;
    if dns.rcode != 0 {
        write!(out, "RCode: {}", rcode_text(dns.rcode))?;
    } else {
        if !dns.ips.is_empty() {
            write!(out, "\"{}\"", dns.ips.join(","))?;
        }
        if !dns.cnames.is_empty() {
            let space = if dns.ips.is_empty() { "" } else { " " };
            write!(out, "{space}CNAMEs: \"{}\"", dns.cnames.join(","))?;
        }
    }
    write!(out, " TTL: {} (Query {} {types})", dns.ttl, dns.query)
}
