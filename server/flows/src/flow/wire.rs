//! From a flow straight to the bytes of `flow.Flow`.
//!
//! Equal to what the generated message type encodes, byte for byte, which a
//! property test holds; but nothing is allocated, and shared parts are copied
//! in the encoded form that they carry. Not for reading: `flow::proto` does
//! that. Called by the observer's streams, once for each flow sent.

mod extensions;
mod packet;
pub mod put;

#[cfg(test)]
mod tests;

use super::{Cold, Endpoint, EventType, Flow, Interface, intern::WireForm};

/// Field number of `time` in `flow.Flow`, looked for in what was encoded.
pub const TIME: u32 = 1;
/// As `TIME`, of `node_name`.
pub const NODE_NAME: u32 = 11;

/// Appends the encoded flow.
pub fn encode(flow: &Flow, out: &mut Vec<u8>) {
    encode_selected(flow, |_| true, out);
}

/// Appends the encoded flow without the fields that `selects` denies.
#[inline]
pub fn encode_selected(flow: &Flow, selects: impl Fn(u32) -> bool, out: &mut Vec<u8>) {
    let cold = flow.cold.as_deref();
    headers(flow, cold, &selects, out);
    ends(flow, cold, &selects, out);
    circumstances(flow, cold, &selects, out);
    if let Some(cold) = cold {
        policies(cold, &selects, out);
    }
    if selects(100_000) {
        put::text(100_000, out, |out| {
            flow.summary.write(flow, &mut put::Text(out))
        });
    }
    if selects(150_000) {
        extensions::put(flow, cold, out);
    }
}

/// Fields 1 to 6.
fn headers(flow: &Flow, cold: Option<&Cold>, selects: &impl Fn(u32) -> bool, out: &mut Vec<u8>) {
    if let Some(time) = flow.time.filter(|_| selects(TIME)) {
        put::message(TIME, out, |out| put::time(time, out));
    }
    put_int(2, flow.verdict, selects, out);
    put_number(3, flow.drop_reason.into(), selects, out);
    if let Some(ethernet) = flow.ethernet.as_ref().filter(|_| selects(4)) {
        put::message(4, out, |out| packet::ethernet(ethernet, out));
    }
    if let Some(ip) = flow.ip.as_ref().filter(|_| selects(5)) {
        let translated = cold.map_or("", |cold| &cold.source_xlated);
        put::message(5, out, |out| packet::ip(ip, translated, out));
    }
    if let Some(l4) = flow.l4.as_ref().filter(|_| selects(6)) {
        put::message(6, out, |out| packet::l4(l4, out));
    }
}

/// Fields 8 to 16.
fn ends(flow: &Flow, cold: Option<&Cold>, selects: &impl Fn(u32) -> bool, out: &mut Vec<u8>) {
    for (field, side) in [(8, &flow.source), (9, &flow.destination)] {
        if let Some(side) = side.as_ref().filter(|_| selects(field)) {
            put::set_bytes(field, side.wire(), out);
        }
    }
    put_int(10, flow.flow_type, selects, out);
    if selects(NODE_NAME) {
        put::bytes(NODE_NAME, flow.origin.node_name.as_bytes(), out);
    }
    for (field, names) in [(13, &flow.source_names), (14, &flow.destination_names)] {
        if let Some(names) = names.as_ref().filter(|_| selects(field)) {
            each(field, names, out);
        }
    }
    if let Some(l7) = cold
        .and_then(|cold| cold.l7.as_ref())
        .filter(|_| selects(15))
    {
        prost::encoding::message::encode(15, l7, out);
    }
    put_number(16, flow.reply.into(), selects, out);
}

/// Fields 19 to 41.
fn circumstances(
    flow: &Flow,
    cold: Option<&Cold>,
    selects: &impl Fn(u32) -> bool,
    out: &mut Vec<u8>,
) {
    if let Some(EventType { kind, sub_type }) = flow.event_type.filter(|_| selects(19)) {
        put::message(19, out, |out| {
            put::int(1, kind, out);
            put::int(2, sub_type, out);
        });
    }
    if let Some(cold) = cold {
        message(20, cold.source_service.as_deref(), selects, out);
        message(21, cold.destination_service.as_deref(), selects, out);
    }
    put_int(22, flow.traffic_direction, selects, out);
    put_number(23, flow.policy_match_type.into(), selects, out);
    put_int(24, flow.trace_observation_point, selects, out);
    put_int(25, flow.drop_reason_desc, selects, out);
    if let Some(is_reply) = flow.is_reply.filter(|_| selects(26)) {
        put::message(26, out, |out| put::number(1, is_reply.into(), out));
    }
    if let Some(cold) = cold {
        put_int(27, cold.debug_capture_point, selects, out);
    }
    if let Some(interface) = flow.interface.as_ref().filter(|_| selects(28)) {
        put::message(28, out, |out| interface_content(interface, out));
    }
    if let Some(cold) = cold {
        put_number(29, cold.proxy_port.into(), selects, out);
        message(30, cold.trace_context.as_ref(), selects, out);
        put_int(31, cold.sock_xlate_point, selects, out);
    }
    put_number(32, flow.socket_cookie(), selects, out);
    put_number(33, flow.cgroup_id(), selects, out);
    if selects(34) {
        put::text(34, out, |out| packet::uuid(&flow.uuid, out));
    }
    if let Some(cold) = cold {
        put_int(35, cold.auth_type, selects, out);
    }
    put_int(36, flow.trace_reason, selects, out);
    if selects(37) {
        each(37, &flow.origin.node_labels, out);
    }
    if let Some(cold) = cold {
        message(38, cold.file.as_deref(), selects, out);
        message(39, cold.tunnel.as_deref(), selects, out);
        message(40, cold.ip_trace_id.as_ref(), selects, out);
    }
    if let Some((name, version)) = flow.origin.emitter.as_ref().filter(|_| selects(41)) {
        put::message(41, out, |out| {
            put::bytes(1, name.as_bytes(), out);
            put::bytes(2, version.as_bytes(), out);
        });
    }
}

/// Fields 21001 to 21007.
fn policies(cold: &Cold, selects: &impl Fn(u32) -> bool, out: &mut Vec<u8>) {
    for (field, policies) in [
        (21_001, &cold.egress_allowed_by),
        (21_002, &cold.ingress_allowed_by),
        (21_004, &cold.egress_denied_by),
        (21_005, &cold.ingress_denied_by),
    ] {
        if selects(field) {
            prost::encoding::message::encode_repeated(field, policies, out);
        }
    }
    if selects(21_006) {
        each(21_006, &cold.policy_log, out);
    }
    message(21_007, cold.aggregate.as_ref(), selects, out);
}

fn put_int(field: u32, number: i32, selects: &impl Fn(u32) -> bool, out: &mut Vec<u8>) {
    if selects(field) {
        put::int(field, number, out);
    }
}

fn put_number(field: u32, number: u64, selects: &impl Fn(u32) -> bool, out: &mut Vec<u8>) {
    if selects(field) {
        put::number(field, number, out);
    }
}

fn message<M: prost::Message>(
    field: u32,
    message: Option<&M>,
    selects: &impl Fn(u32) -> bool,
    out: &mut Vec<u8>,
) {
    if let Some(message) = message.filter(|_| selects(field)) {
        prost::encoding::message::encode(field, message, out);
    }
}

/// A repeated text; empty ones are written too.
fn each(field: u32, texts: &[String], out: &mut Vec<u8>) {
    for text in texts {
        put::set_bytes(field, text.as_bytes(), out);
    }
}

impl WireForm for Endpoint {
    fn encode_wire(&self, out: &mut Vec<u8>) {
        put::number(1, self.id.into(), out);
        put::number(2, self.identity.into(), out);
        put::bytes(3, self.namespace.as_bytes(), out);
        each(4, &self.labels, out);
        put::bytes(5, self.pod_name.as_bytes(), out);
        for workload in &self.workloads {
            put::message(6, out, |out| {
                put::bytes(1, workload.name.as_bytes(), out);
                put::bytes(2, workload.kind.as_bytes(), out);
            });
        }
        put::bytes(7, self.cluster_name.as_bytes(), out);
    }
}

fn interface_content(interface: &Interface, out: &mut Vec<u8>) {
    put::number(1, interface.index.into(), out);
    put::bytes(2, interface.name.as_bytes(), out);
}
