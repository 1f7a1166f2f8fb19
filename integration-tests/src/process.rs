//! What flows tell of processes.

use prost::Message as _;
use sextant_proto::flow::{Flow, layer4::Protocol};

/// A number or text of a process in the extensions; `None` if there is none.
#[must_use]
pub fn of_process(flow: &Flow, side: &str, key: &str) -> Option<String> {
    use prost_types::value::Kind;
    let any = flow.extensions.as_ref()?;
    let all = prost_types::Struct::decode(any.value.as_slice()).unwrap();
    let Some(Kind::StructValue(process)) = all.fields.get(side)?.kind.clone() else {
        return None;
    };
    match process.fields.get(key)?.kind.clone()? {
        Kind::NumberValue(number) => Some(number.to_string()),
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The process behind a side: `source_process` or `destination_process`.
#[must_use]
pub fn pid(flow: &Flow, side: &str) -> Option<u32> {
    of_process(flow, side, "pid")?.parse().ok()
}

/// Protocol, source and destination port of a flow of TCP or UDP.
#[must_use]
pub fn ports(flow: &Flow) -> Option<(&'static str, u16, u16)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some(("tcp", tcp.source_port as u16, tcp.destination_port as u16)),
        Protocol::Udp(udp) => Some(("udp", udp.source_port as u16, udp.destination_port as u16)),
        _ => None,
    }
}
