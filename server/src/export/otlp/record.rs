//! A flow event as a log event (`LogRecord`).

use std::fmt::{self, Write};

use sextant_flows::{
    flow::wire::put,
    view::{Unreadable, Value, View},
};
use sextant_proto::flow::Verdict;

use super::{
    any,
    attributes::{Attributes, Ends, event_of, flow_of, say, transport, transport_named},
    frame::ITEM,
};
use crate::{
    flow::{Flow, Time},
    store::Event,
    traceparent,
};

/// Fields of `LogRecord`.
const SEVERITY_NUMBER: u32 = 2;
const SEVERITY_TEXT: u32 = 3;
const BODY: u32 = 5;
const ATTRIBUTES: u32 = 6;
const TRACE_ID: u32 = 9;
const SPAN_ID: u32 = 10;
const EVENT_NAME: u32 = 12;
const TIME_FIXED64: u8 = 1 << 3 | 1;
const OBSERVED_FIXED64: u8 = 11 << 3 | 1;

/// Severities of OpenTelemetry.
const INFO: (u64, &str) = (9, "INFO");
const WARN: (u64, &str) = (13, "WARN");
const ERROR: (u64, &str) = (17, "ERROR");

/// Appends an event, which is this encoded `ExportEvent`, as a field of its scope. Of one
/// that is masked its fields alone are told.
pub(in crate::export) fn put(
    event: &Event,
    encoded: &[u8],
    is_masked: bool,
    ends: &mut Ends,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let envelope = event_of(encoded)?;
    let mut written = Ok(());
    put::long_message(ITEM, out, |out| {
        fixed64(OBSERVED_FIXED64, nanos(Time::now()), out);
        written = match event {
            Event::Flow(flow) => put_flow(flow, is_masked, &envelope, ends, out),
            _ => put_other(event, &envelope, out),
        };
    });
    written
}

/// Appends flows that were counted together, which are this encoded `ExportEvent`: the fields
/// in which they are equal, how many there were, and the time of the first.
pub(in crate::export) fn put_group(
    encoded: &[u8],
    ends: &mut Ends,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let flow = flow_of(encoded)?;
    let mut written = Ok(());
    put::long_message(ITEM, out, |out| {
        fixed64(OBSERVED_FIXED64, nanos(Time::now()), out);
        written = put_common(&flow, ends, out);
    });
    written
}

/// What flows have in common.
fn put_common(flow: &View<'_>, ends: &mut Ends, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    fixed64(TIME_FIXED64, time_of(flow)?.map_or(0, nanos), out);
    let verdict = match flow.get("verdict") {
        Some(Value::Enum(verdict, _)) => verdict,
        _ => 0,
    };
    severity(severity_of(verdict), out);
    let mut attributes = Attributes::of_flow(ATTRIBUTES, ends, out);
    if let Some(Value::Message(l4)) = flow.get("l4")
        && let Some((protocol, _)) = l4.view()?.fields().next()
        && let Some(name) = transport_named(&protocol.name)
    {
        say(&mut attributes, "network.transport", name);
    }
    attributes.fields(flow)?;
    put::bytes(EVENT_NAME, b"network.flows", out);
    Ok(())
}

/// The time that a flow tells.
fn time_of(flow: &View<'_>) -> Result<Option<Time>, Unreadable> {
    let Some(Value::Message(time)) = flow.get("time") else {
        return Ok(None);
    };
    let time = time.view()?;
    let seconds = match time.get("seconds") {
        Some(Value::I64(seconds)) => seconds,
        _ => 0,
    };
    let nanos = match time.get("nanos") {
        Some(Value::I32(nanos)) => nanos,
        _ => 0,
    };
    Ok(Some(Time { seconds, nanos }))
}

/// Severity, time, body and trace are of fields that a mask may leave out.
fn put_flow(
    flow: &Flow,
    is_masked: bool,
    envelope: &View<'_>,
    ends: &mut Ends,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let Some(Value::Message(encoded)) = envelope.get("flow") else {
        return Err(Unreadable::Malformed);
    };
    let view = encoded.view()?;
    let has = |field| !is_masked || view.get(field).is_some();
    let time = flow.time.filter(|_| has("time"));
    fixed64(TIME_FIXED64, time.map_or(0, nanos), out);
    let verdict = if has("verdict") { flow.verdict } else { 0 };
    severity(severity_of(verdict), out);
    if !is_masked {
        put::message(BODY, out, |out| any::written(out, |out| body(flow, out)));
    }
    let mut attributes = Attributes::of_flow(ATTRIBUTES, ends, out);
    let l4 = flow.l4.as_ref().filter(|_| has("l4"));
    if let Some(name) = l4.and_then(transport) {
        say(&mut attributes, "network.transport", name);
    }
    // A time that is no such number is said as it is.
    if let Some(Time { seconds, nanos }) = time.filter(|time| nanos(*time) == 0) {
        let time = format!("{seconds}.{nanos:09}");
        say(&mut attributes, "hubble.time", &time);
    }
    attributes.fields(&view)?;
    if let Some((trace, span)) = trace_of(flow).filter(|_| !is_masked) {
        put::bytes(TRACE_ID, &trace, out);
        put::bytes(SPAN_ID, &span, out);
    }
    put::bytes(EVENT_NAME, b"network.flow", out);
    Ok(())
}

/// Losses, what the agent did, and debugging: under the name of their field.
fn put_other(event: &Event, envelope: &View<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    fixed64(TIME_FIXED64, event.time().map_or(0, nanos), out);
    severity(INFO, out);
    let mut name = String::new();
    for (field, values) in envelope.fields() {
        let Value::Message(message) = values[0].1 else {
            continue;
        };
        if field.name == "time" {
            continue;
        }
        name = format!("hubble.{}", field.name);
        let prefix = format!("{name}.");
        let mut attributes = Attributes::new(ATTRIBUTES, &prefix, out);
        attributes.fields(&message.view()?)?;
    }
    if let Some(Value::Text(node)) = envelope.get("node_name") {
        let mut attributes = Attributes::new(ATTRIBUTES, "", out);
        say(&mut attributes, "hubble.node_name", node);
    }
    put::bytes(EVENT_NAME, name.as_bytes(), out);
    Ok(())
}

/// A line for people.
fn body(flow: &Flow, out: &mut Vec<u8>) {
    let ports = flow.l4.as_ref().and_then(crate::flow::L4::ports);
    let ip = flow.ip.as_ref();
    let source = ip.map_or("".into(), |ip| ip.source.to_text());
    let destination = ip.map_or("".into(), |ip| ip.destination.to_text());
    let verdict = Verdict::try_from(flow.verdict).unwrap_or_default();
    let summary = flow.summary.to_text(flow);
    let mut line = put::Text(out);
    let mut written = || {
        side(&source, ports.map(|ports| ports.0), &mut line)?;
        line.write_str(" -> ")?;
        side(&destination, ports.map(|ports| ports.1), &mut line)?;
        line.write_str(" ")?;
        line.write_str(verdict.as_str_name())?;
        match summary.is_empty() {
            true => Ok(()),
            false => write!(line, " ({summary})"),
        }
    };
    let written = written();
    debug_assert!(written.is_ok(), "memory takes any text");
}

fn side(address: &str, port: Option<u32>, line: &mut impl Write) -> fmt::Result {
    match port {
        None => line.write_str(address),
        Some(port) if address.contains(':') => write!(line, "[{address}]:{port}"),
        Some(port) => write!(line, "{address}:{port}"),
    }
}

fn severity((number, text): (u64, &str), out: &mut Vec<u8>) {
    put::number(SEVERITY_NUMBER, number, out);
    put::bytes(SEVERITY_TEXT, text.as_bytes(), out);
}

fn severity_of(verdict: i32) -> (u64, &'static str) {
    match Verdict::try_from(verdict) {
        Ok(Verdict::Dropped) => WARN,
        Ok(Verdict::Error) => ERROR,
        _ => INFO,
    }
}

/// The trace that a flow belongs to, and the span: those of its only `traceparent`, else
/// Hubble's trace context without a span.
pub(super) fn trace_of(flow: &Flow) -> Option<([u8; 16], Vec<u8>)> {
    let cold = flow.cold.as_ref()?;
    let headers = cold.l7.as_ref().and_then(|l7| match &l7.record {
        Some(sextant_proto::flow::layer7::Record::Http(http)) => Some(&http.headers),
        _ => None,
    });
    let mut parents = headers
        .into_iter()
        .flatten()
        .filter(|header| header.key.eq_ignore_ascii_case("traceparent"));
    let parent = match (parents.next(), parents.next()) {
        (Some(only), None) => traceparent::ids(only.value.trim()),
        _ => None,
    };
    let context = || {
        let parent = cold.trace_context.as_ref()?.parent.as_ref()?;
        let trace = traceparent::hex(&parent.trace_id)?;
        (trace != [0; 16]).then(|| (trace, Vec::new()))
    };
    let parent = parent.map(|(trace, span)| (trace, span.to_vec()));
    parent.or_else(context)
}

pub(super) fn fixed64(tag: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(tag);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Nanoseconds since 1970; 0 is before, or after 2255.
pub(in crate::export) fn nanos(time: Time) -> u64 {
    match (0..9_000_000_000).contains(&time.seconds) {
        true => time.as_nanos().unsigned_abs(),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
    use prost::Message as _;
    use sextant_proto::flow as pb;

    use super::*;
    use crate::{
        export::{Aggregation, groups::Groups},
        flow::L4,
    };

    #[tokio::test]
    async fn flows_that_are_counted_together_are_one_record_of_what_they_have_in_common() {
        let fields = ["verdict", "l4.TCP.destination_port"].map(str::to_owned);
        let mut groups = Groups::new(&Aggregation {
            fields: fields.into(),
            interval: std::time::Duration::from_secs(30),
        })
        .unwrap();
        for source_port in [1, 2, 3] {
            let flow = Flow {
                time: Some(Time::from_nanos(i64::from(source_port))),
                verdict: Verdict::Dropped.into(),
                traffic_direction: 2,
                l4: Some(L4::Tcp {
                    source_port,
                    destination_port: 443,
                    flags: None,
                }),
                ..Flow::default()
            };
            assert!(groups.add(&flow));
        }
        groups.close();
        let (mut encoded, mut out) = (Vec::new(), Vec::new());
        assert!(groups.pop(&mut encoded));
        put_group(&encoded, &mut Ends::default(), &mut out).unwrap();
        let record = ScopeLogs::decode(out.as_slice()).unwrap().log_records;
        let [record] = &record[..] else {
            panic!("one for all: {record:?}");
        };
        assert_eq!(record.event_name, "network.flows");
        assert_eq!(
            (record.time_unix_nano, record.severity_text.as_str()),
            (1, "WARN")
        );
        let mut names: Vec<_> = record.attributes.iter().map(|one| &*one.key).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "destination.port",
                "hubble.aggregate.egress_flow_count",
                "hubble.verdict",
                "network.transport",
            ]
        );
    }

    #[test]
    fn a_flow_is_of_the_trace_of_its_only_well_formed_traceparent_else_of_its_context() {
        const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let of = |parents: &[&str], context: &str| {
            let mut flow = Flow::default();
            let header = |value: &&str| pb::HttpHeader {
                key: "Traceparent".into(),
                value: (*value).into(),
            };
            let http = pb::Http {
                headers: parents.iter().map(header).collect(),
                ..pb::Http::default()
            };
            let cold = flow.cold_mut();
            cold.l7 = Some(pb::Layer7 {
                record: Some(pb::layer7::Record::Http(http)),
                ..pb::Layer7::default()
            });
            cold.trace_context = Some(pb::TraceContext {
                parent: Some(pb::TraceParent {
                    trace_id: context.into(),
                }),
            });
            trace_of(&flow).map(|(trace, span)| (trace[0], span.len()))
        };
        let context = "1af7651916cd43dd8448eb211c80319c";
        assert_eq!(of(&[GOOD], context), Some((0x0a, 8)));
        let malformed = GOOD.replace("-01", "-zz");
        for parents in [&[][..], &[GOOD, GOOD], &[&malformed], &[""]] {
            assert_eq!(of(parents, context), Some((0x1a, 0)), "{parents:?}");
            for none in ["", "00000000000000000000000000000000", "0af"] {
                assert_eq!(of(parents, none), None, "{parents:?} {none}");
            }
        }
    }
}
