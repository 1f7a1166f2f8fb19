//! What `GetFlowsResponse` and `ExportEvent` have in common, as encoded bytes: one of the
//! events, the node's name and the time, under the same numbers.
//!
//! Not the messages around them: that is for streams and exporters.

use prost::Message;
use sextant_proto::flow as pb;

use crate::{
    field::fields,
    flow::{
        Flow, Time,
        wire::{NODE_NAME as FLOW_NODE_NAME, TIME as FLOW_TIME, encode, encode_selected, put},
    },
    mask::Mask,
    store::Stamped,
};

/// Fields of both messages, and of `ExportEvent` alone.
const FLOW: u32 = 1;
/// `flow.Flow.aggregate`.
const FLOW_AGGREGATE: u32 = 21007;
const LOST_EVENTS: u32 = 3;
const AGENT_EVENT: u32 = 4;
const DEBUG_EVENT: u32 = 5;
const NODE_NAME: u32 = 1000;
const TIME: u32 = 1001;

/// Appends a flow. Time and node name are those of the masked flow, so they are absent
/// where the mask leaves them out. `scratch` is room to work in.
pub(crate) fn put_flow(flow: &Flow, mask: Option<&Mask>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    match mask {
        None => {
            put::long_message(FLOW, out, |out| encode(flow, out));
            put::bytes(NODE_NAME, flow.origin.node_name.as_bytes(), out);
            put_time(flow.time, out);
        }
        Some(mask) => {
            scratch.clear();
            encode_selected(flow, |field| mask.selects(field), scratch);
            put_masked(scratch, mask, out);
        }
    }
}

/// Appends what a mask selects of a flow, without an envelope.
pub(crate) fn put_selected(flow: &Flow, mask: &Mask, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    encode_selected(flow, |field| mask.selects(field), scratch);
    mask.apply(scratch, out);
}

/// Appends flows that are equal in these encoded fields: how many there were by direction
/// (ingress, egress, unknown), and the time of the first.
pub(crate) fn put_aggregate(equal: &[u8], time: Option<Time>, flows: [u32; 3], out: &mut Vec<u8>) {
    put::long_message(FLOW, out, |out| {
        if let Some(time) = time {
            put::message(FLOW_TIME, out, |out| put::time(time, out));
        }
        let own = [FLOW_TIME, FLOW_AGGREGATE];
        let others = fields(equal).map_while(Result::ok);
        for field in others.filter(|field| !own.contains(&field.number)) {
            out.extend_from_slice(field.whole);
        }
        put::message(FLOW_AGGREGATE, out, |out| {
            for (number, count) in (1..).zip(flows) {
                put::number(number, count.into(), out);
            }
        });
    });
    if let Some((at, length)) = field(equal, FLOW_NODE_NAME) {
        put::set_bytes(NODE_NAME, &equal[at..at + length], out);
    }
    put_time(time, out);
}

fn put_masked(whole: &[u8], mask: &Mask, out: &mut Vec<u8>) {
    let mut masked = 0;
    put::long_message(FLOW, out, |out| {
        let begin = out.len();
        mask.apply(whole, out);
        masked = out.len() - begin;
    });
    let begin = out.len() - masked;
    for (from, to) in [(FLOW_NODE_NAME, NODE_NAME), (FLOW_TIME, TIME)] {
        if let Some((at, length)) = field(&out[begin..begin + masked], from) {
            put::head(to, length, out);
            out.extend_from_within(begin + at..begin + at + length);
        }
    }
}

/// Appends a loss.
pub(crate) fn put_lost(lost: &Stamped<pb::LostEvent>, out: &mut Vec<u8>) {
    put_stamped(LOST_EVENTS, lost, &lost.node_name, out);
}

/// Appends what the daemon did.
pub(crate) fn put_agent(agent: &Stamped<pb::AgentEvent>, node_name: &str, out: &mut Vec<u8>) {
    put_stamped(AGENT_EVENT, agent, node_name, out);
}

/// Appends a message of the datapath.
pub(crate) fn put_debug(debug: &Stamped<pb::DebugEvent>, node_name: &str, out: &mut Vec<u8>) {
    put_stamped(DEBUG_EVENT, debug, node_name, out);
}

fn put_stamped(field: u32, event: &Stamped<impl Message>, node_name: &str, out: &mut Vec<u8>) {
    put::set_bytes(field, &event.event.encode_to_vec(), out);
    put::bytes(NODE_NAME, node_name.as_bytes(), out);
    put_time(event.time, out);
}

/// A loss that was stored, under this server's name unless it is of another node.
pub(crate) fn lost_somewhere(
    lost: &Stamped<pb::LostEvent>,
    node_name: &str,
) -> Stamped<pb::LostEvent> {
    let mut lost = lost.clone();
    if lost.node_name.is_empty() {
        node_name.clone_into(&mut lost.node_name);
    }
    lost
}

fn put_time(time: Option<Time>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        put::message(TIME, out, |out| put::time(time, out));
    }
}

/// Place and length of the content of a length-delimited field of a message
/// that we encoded.
fn field(message: &[u8], wanted: u32) -> Option<(usize, usize)> {
    let mut fields = fields(message).map_while(Result::ok);
    let content = fields.find(|field| field.number == wanted)?.message?;
    let at = content.as_ptr() as usize - message.as_ptr() as usize;
    Some((at, content.len()))
}
