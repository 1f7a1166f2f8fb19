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
}

impl Column {
    /// In lower case.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Duration => "duration",
            Self::Interface => "interface",
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
        };
        value.unwrap_or_else(|| "-".into())
    }
}

fn extensions(flow: &Flow) -> Struct {
    flow.extensions
        .as_ref()
        .filter(|any| any.type_url.ends_with("/google.protobuf.Struct"))
        .and_then(|any| Struct::decode(any.value.as_slice()).ok())
        .unwrap_or_default()
}
