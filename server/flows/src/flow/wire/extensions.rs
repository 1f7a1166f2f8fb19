//! Counters of a flow as an encoded `google.protobuf.Struct` in an `Any`; see
//! `flow::proto::extensions` for the keys. They are written in their order.

use super::put;
use crate::flow::{
    Cold, Counters, Flow, Interned, L4, Nat, Points, Process, TcpFlags, TcpQuality,
    intern::WireForm, ip_protocol, proto::STRUCT_URL, quality::Field,
};

const EXTENSIONS: u32 = 150_000;
/// Fields of `google.protobuf.Value`.
const NUMBER_FIXED64: u8 = 2 << 3 | 1;
const STRING: u32 = 3;
const TRUE: [u8; 2] = [4 << 3, 1];
const STRUCT: u32 = 5;
const LIST: u32 = 6;

/// Appends the extensions: those that the flow came with, or its counters.
pub(super) fn put(flow: &Flow, cold: Option<&Cold>, out: &mut Vec<u8>) {
    if let Some(given) = cold.and_then(|cold| cold.extensions.as_ref()) {
        prost::encoding::message::encode(EXTENSIONS, given, out);
    } else if let Some(counters) = flow.counters.as_deref() {
        put::long_message(EXTENSIONS, out, |out| {
            put::bytes(1, STRUCT_URL.as_bytes(), out);
            put::long_message(2, out, |out| fields(counters, flow, out));
        });
    }
}

/// The entries of the Struct, sorted by key.
fn fields(counters: &Counters, flow: &Flow, out: &mut Vec<u8>) {
    let namespace = flow.interface.as_ref().map_or("", |found| &found.namespace);
    let (forward, reverse) = (counters.forward, counters.reverse);
    let is_drop = counters.is_drop();
    if !is_drop {
        number("bytes", forward.bytes, out);
    }
    if let Some(process) = &counters.destination_process {
        ready("destination_process", process, out);
    }
    if is_drop {
        number("drops", counters.drops, out);
    } else {
        if forward.dropped > 0 {
            number("dropped_packets", forward.dropped, out);
        }
        number("duration_ns", counters.duration_ns, out);
    }
    if let Some(end) = counters.end {
        text("end_reason", end.name(), out);
    }
    if counters.initiator_guessed {
        text("initiator", "guessed", out);
    }
    if let Some(reason) = counters.kernel_drop_reason.as_deref() {
        text("kernel_drop_reason", reason, out);
    }
    if let Some(nat) = &counters.nat {
        translation(nat, out);
    }
    if !namespace.is_empty() {
        text("network_namespace", namespace, out);
    }
    if let Some(points) = &counters.observation_points {
        entry("observation_points", out, |out| {
            put::set_bytes(LIST, points.wire(), out);
        });
    }
    if !is_drop {
        number("packets", forward.packets, out);
    }
    if let Some(L4::Other { protocol }) = flow.l4 {
        if let Some(keyword) = ip_protocol::keyword(protocol) {
            text("protocol", keyword, out);
        }
        number("protocol_number", protocol.into(), out);
    }
    if !is_drop {
        number("reverse_bytes", reverse.bytes, out);
        if reverse.dropped > 0 {
            number("reverse_dropped_packets", reverse.dropped, out);
        }
        number("reverse_packets", reverse.packets, out);
    }
    flags("reverse_tcp_flags", reverse.tcp_flags, out);
    if let Some(process) = &counters.source_process {
        ready("source_process", process, out);
    }
    if let Some(tcp) = &counters.tcp {
        quality(tcp, out);
    }
    flags("tcp_flags", forward.tcp_flags, out);
    if counters.vlan != [0; 2] {
        vlan(counters.vlan, out);
    }
}

fn vlan(tags: [u16; 2], out: &mut Vec<u8>) {
    entry("vlan", out, |out| {
        put::message(LIST, out, |out| {
            for tag in tags.iter().filter(|tag| **tag != 0) {
                put::message(1, out, |out| number_value(u64::from(*tag), out));
            }
        });
    });
}

fn entry(key: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    put::message(1, out, |out| {
        put::bytes(1, key.as_bytes(), out);
        put::message(2, out, value);
    });
}

/// An entry whose value is shared by many flows.
fn ready(key: &str, process: &Interned<Process>, out: &mut Vec<u8>) {
    put::long_message(1, out, |out| {
        put::bytes(1, key.as_bytes(), out);
        put::set_bytes(2, process.wire(), out);
    });
}

fn translation(nat: &Nat, out: &mut Vec<u8>) {
    put::long_message(1, out, |out| {
        put::bytes(1, b"nat", out);
        put::long_message(2, out, |out| {
            put::long_message(STRUCT, out, |out| {
                for (key, ends) in nat.fields() {
                    entry(key, out, |out| {
                        put::message(STRUCT, out, |out| {
                            for (key, end) in ends {
                                text(key, &end, out);
                            }
                        });
                    });
                }
            });
        });
    });
}

fn quality(tcp: &TcpQuality, out: &mut Vec<u8>) {
    put::long_message(1, out, |out| {
        put::bytes(1, b"tcp", out);
        put::long_message(2, out, |out| {
            put::long_message(STRUCT, out, |out| {
                for (key, field) in tcp.fields() {
                    match field {
                        Field::Number(value) => number(key, value.into(), out),
                        Field::Text(value) => text(key, value, out),
                        Field::True => entry(key, out, |out| out.extend_from_slice(&TRUE)),
                    }
                }
            });
        });
    });
}

fn number(key: &str, number: u64, out: &mut Vec<u8>) {
    entry(key, out, |out| number_value(number, out));
}

/// Exact up to 2^53, as any JSON number.
fn number_value(number: u64, out: &mut Vec<u8>) {
    out.push(NUMBER_FIXED64);
    out.extend_from_slice(&(number as f64).to_le_bytes());
}

fn text(key: &str, text: &str, out: &mut Vec<u8>) {
    entry(key, out, |out| {
        put::set_bytes(STRING, text.as_bytes(), out);
    });
}

fn flags(key: &str, bits: u16, out: &mut Vec<u8>) {
    if bits == 0 {
        return;
    }
    entry(key, out, |out| {
        put::message(LIST, out, |out| {
            for name in TcpFlags(bits).names() {
                put::message(1, out, |out| {
                    put::set_bytes(STRING, name.as_bytes(), out);
                });
            }
        });
    });
}

/// The content of a `ListValue`.
impl WireForm for Points {
    fn encode_wire(&self, out: &mut Vec<u8>) {
        for text in self.texts() {
            put::message(1, out, |out| {
                put::set_bytes(STRING, text.as_bytes(), out);
            });
        }
    }
}
