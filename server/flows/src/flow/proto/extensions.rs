//! Counters of a flow as `google.protobuf.Struct`, the one type that the real
//! `hubble` CLI can print and read back inside an `Any`.
//!
//! Keys: `packets`, `bytes`, `reverse_packets`, `reverse_bytes`, `duration_ns`
//! (numbers), `tcp_flags`, `reverse_tcp_flags` (lists), `end_reason`, `initiator`
//! (`"guessed"`), `vlan` (list, outer tag first), `kernel_drop_reason`, `drops`,
//! `dropped_packets` and `reverse_dropped_packets` (of `packets` and
//! `reverse_packets`, those that the kernel dropped after they were counted),
//! `observation_points` (list of `interface:direction`, in another network
//! namespace `namespace/interface:direction`), `network_namespace` (of the
//! interface, if it is not the daemon's own), `protocol_number` and `protocol`
//! (IANA's keyword) of a protocol that `l4` has no field for, `source_process` and
//! `destination_process` (Structs, see `flow::Process`), `tcp` (Struct, see
//! `flow::TcpQuality`), `nat` (Struct, see `flow::Nat`). A key without a meaning for the
//! flow is left out.

use prost::Message as _;
use prost_types::{Any, ListValue, Struct, Value, value::Kind};

use crate::flow::{Counters, Flow, L4, TcpFlags, ip_protocol};

/// The type in the `Any`.
pub(crate) const STRUCT_URL: &str = "type.googleapis.com/google.protobuf.Struct";

/// The extensions of a flow with these counters.
pub(super) fn of(counters: &Counters, flow: &Flow) -> Any {
    Any {
        type_url: STRUCT_URL.into(),
        value: fields(counters, flow).encode_to_vec(),
    }
}

fn fields(counters: &Counters, flow: &Flow) -> Struct {
    let interface = flow.interface.as_deref();
    let namespace = interface.map_or("", |interface| interface.namespace.as_str());
    let mut out = Struct::default();
    let mut put = |key: &str, kind: Kind| {
        out.fields.insert(key.into(), Value { kind: Some(kind) });
    };
    if let Some(reason) = &counters.kernel_drop_reason {
        put("kernel_drop_reason", text(reason));
    }
    totals(counters, &mut put);
    if counters.forward.tcp_flags != 0 {
        put("tcp_flags", flags(counters.forward.tcp_flags));
    }
    if counters.reverse.tcp_flags != 0 {
        put("reverse_tcp_flags", flags(counters.reverse.tcp_flags));
    }
    if let Some(end) = counters.end {
        put("end_reason", text(end.name()));
    }
    if counters.initiator_guessed {
        put("initiator", text("guessed"));
    }
    let tags: Vec<Kind> = counters
        .vlan
        .iter()
        .filter(|tag| **tag != 0)
        .map(|tag| number(u64::from(*tag)))
        .collect();
    if !tags.is_empty() {
        put("vlan", list(tags));
    }
    if let Some(points) = &counters.observation_points {
        let points = points.texts().map(|point| text(&point));
        put("observation_points", list(points));
    }
    for (key, process) in [
        ("source_process", &counters.source_process),
        ("destination_process", &counters.destination_process),
    ] {
        if let Some(process) = process {
            put(key, process.value());
        }
    }
    if let Some(tcp) = &counters.tcp {
        put("tcp", tcp.value());
    }
    if let Some(nat) = &counters.nat {
        put("nat", nat.value());
    }
    if let Some(L4::Other { protocol }) = flow.l4 {
        put("protocol_number", number(protocol.into()));
        if let Some(keyword) = ip_protocol::keyword(protocol) {
            put("protocol", text(keyword));
        }
    }
    if !namespace.is_empty() {
        put("network_namespace", text(namespace));
    }
    out
}

/// Of a drop how many there were, else what was counted.
fn totals(counters: &Counters, put: &mut impl FnMut(&str, Kind)) {
    if counters.is_drop() {
        put("drops", number(counters.drops));
        return;
    }
    put("packets", number(counters.forward.packets));
    put("bytes", number(counters.forward.bytes));
    put("reverse_packets", number(counters.reverse.packets));
    put("reverse_bytes", number(counters.reverse.bytes));
    put("duration_ns", number(counters.duration_ns));
    for (key, dropped) in [
        ("dropped_packets", counters.forward.dropped),
        ("reverse_dropped_packets", counters.reverse.dropped),
    ] {
        if dropped > 0 {
            put(key, number(dropped));
        }
    }
}

/// Exact up to 2^53, as any JSON number.
fn number(n: u64) -> Kind {
    Kind::NumberValue(n as f64)
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.into())
}

fn list(kinds: impl IntoIterator<Item = Kind>) -> Kind {
    Kind::ListValue(ListValue {
        values: kinds
            .into_iter()
            .map(|kind| Value { kind: Some(kind) })
            .collect(),
    })
}

fn flags(bits: u16) -> Kind {
    list(TcpFlags(bits).names().map(text))
}
