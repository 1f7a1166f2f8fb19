//! Optional columns, from what Sextant puts in `Flow.extensions`.

use std::time::Duration;

use clap::ValueEnum;
use prost::Message as _;
use prost_types::{Struct, value::Kind};
use sextant_proto::flow::Flow;

use crate::text;

/// An optional column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// Bytes on the wire: forward/reverse.
    Bytes,
    /// Packets on the wire: forward/reverse; of a drop, how many were dropped.
    Packets,
    /// From the first to the last packet.
    Duration,
    /// Where it was seen.
    Interface,
    /// Processes of sender and receiver: names of their executables, and their numbers.
    Process,
    /// systemd units of sender and receiver.
    Unit,
    /// Containers of sender and receiver.
    Container,
    /// Users of sender and receiver.
    User,
    /// Smoothed round-trip times of TCP, as the initiator's socket and the other one know
    /// them.
    Rtt,
    /// TCP segments that the initiator and the other side sent again.
    Retrans,
    /// From the SYN of TCP to its answer.
    Handshake,
    /// Which side reset the connection.
    Reset,
    /// Of translated addresses, the initiator's leg and the other one: client>server each.
    Nat,
    /// Command lines, where the server tells them.
    Command,
}

impl Column {
    /// In lower case.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Duration => "duration",
            Self::Interface => "interface",
            Self::Process => "process",
            Self::Unit => "unit",
            Self::Container => "container",
            Self::User => "user",
            Self::Rtt => "rtt",
            Self::Retrans => "retrans",
            Self::Handshake => "handshake",
            Self::Reset => "reset",
            Self::Nat => "nat",
            Self::Command => "command",
        }
    }

    /// Its text; `-` where the flow has none.
    pub(super) fn of(self, flow: &Flow) -> String {
        let fields = extensions(flow);
        let number = |key: &str| match fields.fields.get(key)?.kind {
            Some(Kind::NumberValue(number)) => Some(number),
            _ => None,
        };
        let both = |forward, reverse| {
            let forward: f64 = number(forward)?;
            Some(format!("{forward}/{}", number(reverse).unwrap_or(0.0)))
        };
        let value = match self {
            Self::Bytes => both("bytes", "reverse_bytes"),
            Self::Packets => both("packets", "reverse_packets")
                .or_else(|| number("drops").map(|drops| drops.to_string())),
            Self::Duration => number("duration_ns")
                .map(|nanos| text::duration(Duration::from_nanos(nanos as u64))),
            Self::Interface => flow
                .interface
                .as_ref()
                .map(|interface| text::harmless(&interface.name))
                .filter(|name| !name.is_empty()),
            Self::Process => sides(&fields, executable),
            Self::Unit => sides(&fields, |process| text_of(process, "unit")),
            Self::Container => sides(&fields, container),
            Self::User => sides(&fields, user),
            Self::Rtt => ends(&fields, ["srtt_us", "reverse_srtt_us"], micros),
            Self::Retrans => ends(&fields, ["retrans", "reverse_retrans"], |n| n.to_string()),
            Self::Handshake => tcp(&fields, "handshake_us").map(micros),
            Self::Nat => legs(&fields),
            Self::Reset => of_tcp(&fields).and_then(|tcp| text_of(tcp, "reset_by")),
            Self::Command => sides(&fields, |process| text_of(process, "command_line")),
        };
        value.unwrap_or_else(|| "-".into())
    }
}

/// `sender/receiver`, with `-` for what is not known; nothing if neither is.
fn sides(fields: &Struct, of: impl Fn(&Struct) -> Option<String>) -> Option<String> {
    let side = |key: &str| match &fields.fields.get(key)?.kind {
        Some(Kind::StructValue(process)) => of(process),
        _ => None,
    };
    let (source, destination) = (side("source_process"), side("destination_process"));
    if source.is_none() && destination.is_none() {
        return None;
    }
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    Some(format!("{}/{}", shown(source), shown(destination)))
}

/// What is known of a TCP connection.
fn of_tcp(fields: &Struct) -> Option<&Struct> {
    match &fields.fields.get("tcp")?.kind {
        Some(Kind::StructValue(tcp)) => Some(tcp),
        _ => None,
    }
}

fn tcp(fields: &Struct, key: &str) -> Option<f64> {
    match of_tcp(fields)?.fields.get(key)?.kind {
        Some(Kind::NumberValue(number)) => Some(number),
        _ => None,
    }
}

/// `client>server` of both legs.
fn legs(fields: &Struct) -> Option<String> {
    let within = |fields: &Struct, key: &str| match &fields.fields.get(key)?.kind {
        Some(Kind::StructValue(inner)) => Some(inner.clone()),
        _ => None,
    };
    let nat = within(fields, "nat")?;
    let (original, reply) = (within(&nat, "original")?, within(&nat, "reply")?);
    let end = |tuple, key| text_of(tuple, key).unwrap_or_else(|| "-".into());
    let (client, called) = (end(&original, "source"), end(&original, "destination"));
    let (outside, server) = (end(&reply, "destination"), end(&reply, "source"));
    Some(format!("{client}>{called}={outside}>{server}"))
}

/// `initiator/other`, with `-` for what is not known; nothing if neither is.
fn ends(fields: &Struct, keys: [&str; 2], show: impl Fn(f64) -> String) -> Option<String> {
    let known = keys.map(|key| tcp(fields, key));
    let [there, back] = known.map(|end| end.map_or_else(|| "-".into(), &show));
    known
        .iter()
        .any(Option::is_some)
        .then(|| format!("{there}/{back}"))
}

fn micros(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us}us"),
        us if us < 1_000_000.0 => format!("{:.1}ms", us / 1000.0),
        us => format!("{:.2}s", us / 1_000_000.0),
    }
}

fn text_of(fields: &Struct, key: &str) -> Option<String> {
    match &fields.fields.get(key)?.kind {
        Some(Kind::StringValue(value)) => Some(text::harmless(value)),
        Some(Kind::NumberValue(value)) => Some(value.to_string()),
        _ => None,
    }
}

fn executable(process: &Struct) -> Option<String> {
    let pid = text_of(process, "pid")?;
    let file = text_of(process, "exe");
    let file = file.and_then(|exe| exe.rsplit('/').next().map(str::to_owned));
    // A thread of the kernel has none, and may have a `/` in its name.
    let name = file.or_else(|| text_of(process, "name"));
    Some(format!("{}[{pid}]", name.unwrap_or_default()))
}

/// By its name, else by the first digits of its id.
fn container(process: &Struct) -> Option<String> {
    let id = || {
        let id = text_of(process, "container")?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(if is_id { id[..12].to_owned() } else { id })
    };
    text_of(process, "container_name").or_else(id)
}

fn user(process: &Struct) -> Option<String> {
    text_of(process, "user").or_else(|| text_of(process, "uid"))
}

fn extensions(flow: &Flow) -> Struct {
    flow.extensions
        .as_ref()
        .filter(|any| any.type_url.ends_with("/google.protobuf.Struct"))
        .and_then(|any| Struct::decode(any.value.as_slice()).ok())
        .unwrap_or_default()
}
