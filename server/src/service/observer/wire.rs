//! GetFlows responses as bytes: gRPC messages with their prefix, one behind the
//! other, so that one frame of the transport carries many.

use prost::Message as _;
use sextant_proto::flow as pb;

use crate::{
    field::fields,
    flow::{
        Flow, Time,
        wire::{NODE_NAME as FLOW_NODE_NAME, TIME as FLOW_TIME, encode, encode_selected, put},
    },
    service::mask::Mask,
    store::Stamped,
};

/// Fields of `GetFlowsResponse`.
const FLOW: u32 = 1;
const LOST_EVENTS: u32 = 3;
const NODE_NAME: u32 = 1000;
const TIME: u32 = 1001;

/// Appends the response for a flow. Time and node name are those of the masked
/// flow, so they are absent where the mask leaves them out. `scratch` is room
/// to work in.
pub fn put_flow(flow: &Flow, mask: Option<&Mask>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    put_message(out, |out| match mask {
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
    });
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

/// Appends the response for a loss.
pub(super) fn put_lost(lost: &Stamped<pb::LostEvent>, out: &mut Vec<u8>) {
    put_message(out, |out| {
        put::set_bytes(LOST_EVENTS, &lost.event.encode_to_vec(), out);
        put::bytes(NODE_NAME, lost.node_name.as_bytes(), out);
        put_time(lost.time, out);
    });
}

fn put_time(time: Option<Time>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        put::message(TIME, out, |out| put::time(time, out));
    }
}

/// A gRPC message: not compressed, its length, its bytes.
fn put_message(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 5]);
    write(out);
    let length = (out.len() - at - 5) as u32;
    out[at + 1..at + 5].copy_from_slice(&length.to_be_bytes());
}

/// Place and length of the content of a length-delimited field of a message
/// that we encoded.
fn field(message: &[u8], wanted: u32) -> Option<(usize, usize)> {
    let mut fields = fields(message).map_while(Result::ok);
    let content = fields.find(|field| field.number == wanted)?.message?;
    let at = content.as_ptr() as usize - message.as_ptr() as usize;
    Some((at, content.len()))
}
