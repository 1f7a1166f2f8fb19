//! A flow event as a log event (`LogRecord`).

use sextant_flows::{
    flow::wire::put,
    shape::Shape,
    view::{Unreadable, Value, View},
};
use sextant_proto::flow::Verdict;

use super::{
    any,
    attributes::{Attributes, say, transport},
    frame::ITEM,
};
use crate::{
    flow::{Flow, Time},
    store::Event,
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
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let shape = Shape::named("observer.ExportEvent").ok_or(Unreadable::Malformed)?;
    let envelope = View::new(shape, encoded)?;
    let mut written = Ok(());
    put::long_message(ITEM, out, |out| {
        fixed64(OBSERVED_FIXED64, nanos(Time::now()), out);
        written = match event {
            Event::Flow(flow) => put_flow(flow, is_masked, &envelope, out),
            _ => put_other(event, &envelope, out),
        };
    });
    written
}

/// Severity, time, body and trace are of fields that a mask may leave out.
fn put_flow(
    flow: &Flow,
    is_masked: bool,
    envelope: &View<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let Some(Value::Message(encoded)) = envelope.get("flow") else {
        return Err(Unreadable::Malformed);
    };
    let view = encoded.view()?;
    let has = |field| !is_masked || view.get(field).is_some();
    let time = flow.time.filter(|_| has("time"));
    fixed64(TIME_FIXED64, time.map_or(0, nanos), out);
    severity(severity_of(has("verdict").then_some(flow)), out);
    if !is_masked {
        let body = body(flow);
        put::message(BODY, out, |out| any::text(&body, out));
    }
    let mut attributes = Attributes::of_flow(ATTRIBUTES, out);
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
        let mut attributes = Attributes::new(ATTRIBUTES, &format!("{name}."), out);
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
fn body(flow: &Flow) -> String {
    let side = |address: &str, port: Option<u32>| match port {
        None => address.to_owned(),
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
    };
    let ports = flow.l4.as_ref().and_then(crate::flow::L4::ports);
    let ip = flow.ip.as_ref();
    let source = ip.map_or("".into(), |ip| ip.source.to_text());
    let destination = ip.map_or("".into(), |ip| ip.destination.to_text());
    let verdict = Verdict::try_from(flow.verdict).unwrap_or_default();
    let summary = flow.summary.to_text(flow);
    let mut line = format!(
        "{} -> {} {}",
        side(&source, ports.map(|ports| ports.0)),
        side(&destination, ports.map(|ports| ports.1)),
        verdict.as_str_name(),
    );
    if !summary.is_empty() {
        line += &format!(" ({summary})");
    }
    line
}

fn severity((number, text): (u64, &str), out: &mut Vec<u8>) {
    put::number(SEVERITY_NUMBER, number, out);
    put::bytes(SEVERITY_TEXT, text.as_bytes(), out);
}

fn severity_of(flow: Option<&Flow>) -> (u64, &'static str) {
    let verdict = flow.map(|flow| Verdict::try_from(flow.verdict));
    match verdict {
        Some(Ok(Verdict::Dropped)) => WARN,
        Some(Ok(Verdict::Error)) => ERROR,
        _ => INFO,
    }
}

/// The trace that a flow belongs to, and the span: those of its W3C `traceparent`
/// (https://www.w3.org/TR/trace-context/), else Hubble's trace context without a span.
pub(super) fn trace_of(flow: &Flow) -> Option<([u8; 16], Vec<u8>)> {
    let cold = flow.cold.as_ref()?;
    let headers = cold.l7.as_ref().and_then(|l7| match &l7.record {
        Some(sextant_proto::flow::layer7::Record::Http(http)) => Some(&http.headers),
        _ => None,
    });
    let parent = headers.into_iter().flatten().find_map(|header| {
        let is_parent = header.key.eq_ignore_ascii_case("traceparent");
        is_parent.then(|| traceparent(&header.value)).flatten()
    });
    let context = || {
        let parent = cold.trace_context.as_ref()?.parent.as_ref()?;
        Some((hex(&parent.trace_id)?, Vec::new()))
    };
    parent.or_else(context)
}

/// `00-<trace>-<span>-<flags>`, and longer ones of later versions.
fn traceparent(value: &str) -> Option<([u8; 16], Vec<u8>)> {
    let mut parts = value.trim().split('-');
    let version = parts
        .next()
        .filter(|part| part.len() == 2 && *part != "ff")?;
    hex::<1>(version)?;
    let trace = hex::<16>(parts.next()?)?;
    let span = hex::<8>(parts.next()?)?;
    let is_set = trace != [0; 16] && span != [0; 8];
    is_set.then(|| (trace, span.to_vec()))
}

pub(super) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let is_hex = digits.len() == 2 * N && digits.iter().all(u8::is_ascii_hexdigit);
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    is_hex.then_some(bytes)
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
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_its_specification_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (trace, span) = traceparent(good).unwrap();
        assert_eq!((trace[0], trace[15], span.len()), (0x0a, 0x9c, 8));
        assert!(
            traceparent(&format!(
                "{}-what.comes.later",
                good.replacen("00", "cc", 1)
            ))
            .is_some()
        );
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            assert!(traceparent(bad).is_none(), "{bad}");
        }
    }
}
