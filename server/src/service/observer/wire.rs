//! GetFlows responses as bytes: gRPC messages with their prefix, one behind the
//! other, so that one frame of the transport carries many.

use sextant_proto::flow as pb;

use crate::{envelope, flow::Flow, mask::Mask, store::Stamped};

/// Appends the response for a flow. `scratch` is room to work in.
pub fn put_flow(flow: &Flow, mask: Option<&Mask>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    put_message(out, |out| envelope::put_flow(flow, mask, scratch, out));
}

/// Appends the response for a loss.
pub(super) fn put_lost(lost: &Stamped<pb::LostEvent>, out: &mut Vec<u8>) {
    put_message(out, |out| envelope::put_lost(lost, out));
}

/// A gRPC message: not compressed, its length, its bytes.
fn put_message(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 5]);
    write(out);
    let length = (out.len() - at - 5) as u32;
    out[at + 1..at + 5].copy_from_slice(&length.to_be_bytes());
}
