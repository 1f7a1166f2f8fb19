//! GetFlows responses as bytes: what goes on the wire, ready made.

use bytes::{BufMut as _, Bytes};
use prost::{
    Message as _,
    encoding::{
        WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint,
    },
};
use sextant_proto::{flow as pb, observer::GetFlowsRequest};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::mask::Mask;
use crate::{
    flow::{Flow, proto::to_proto},
    store::Stamped,
};

/// Fields of `GetFlowsResponse`.
const FLOW: u32 = 1;
const LOST_EVENTS: u32 = 3;
const NODE_NAME: u32 = 1000;
const TIME: u32 = 1001;
/// Fields of `Flow` that the response repeats.
const FLOW_TIME: u32 = 1;
const FLOW_NODE_NAME: u32 = 11;

/// Bytes collected before a frame is sent, and before others get a turn.
const BUFFER: usize = 64 << 10;

/// An encoded `GetFlowsResponse`.
#[derive(Clone, Debug)]
pub struct Encoded(Bytes);

impl Encoded {
    /// The response for a flow. Time and node name are those of the masked
    /// flow, so they are absent where the mask leaves them out.
    #[must_use]
    pub fn flow(flow: &Flow, mask: Option<&Mask>, scratch: &mut Vec<u8>) -> Self {
        let whole = to_proto(flow).encode_to_vec();
        let masked = match mask {
            None => &whole,
            Some(mask) => {
                scratch.clear();
                mask.apply(&whole, scratch);
                scratch
            }
        };
        let mut out = Vec::with_capacity(masked.len() + 96);
        put(FLOW, masked, &mut out);
        if let Some(name) = field(masked, FLOW_NODE_NAME) {
            put(NODE_NAME, name, &mut out);
        }
        if let Some(time) = field(masked, FLOW_TIME) {
            put(TIME, time, &mut out);
        }
        Self(out.into())
    }

    /// The response for a loss.
    #[must_use]
    pub fn lost(lost: &Stamped<pb::LostEvent>) -> Self {
        let mut out = Vec::new();
        put(LOST_EVENTS, &lost.event.encode_to_vec(), &mut out);
        if !lost.node_name.is_empty() {
            put(NODE_NAME, lost.node_name.as_bytes(), &mut out);
        }
        if let Some(time) = lost.time {
            put(
                TIME,
                &prost_types::Timestamp::from(time).encode_to_vec(),
                &mut out,
            );
        }
        Self(out.into())
    }

    /// The encoded message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn put(number: u32, content: &[u8], out: &mut Vec<u8>) {
    out.reserve(content.len() + encoded_len_varint(content.len() as u64) + 5);
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// The content of a length-delimited field of a message that we encoded.
fn field(mut message: &[u8], wanted: u32) -> Option<&[u8]> {
    while !message.is_empty() {
        let (number, wire) = decode_key(&mut message).ok()?;
        let length = match wire {
            WireType::LengthDelimited => decode_varint(&mut message).ok()? as usize,
            WireType::Varint => {
                decode_varint(&mut message).ok()?;
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (content, rest) = message.split_at_checked(length)?;
        if number == wanted {
            return Some(content);
        }
        message = rest;
    }
    None
}

/// Reads `GetFlowsRequest`, writes ready bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowsCodec;

impl Codec for FlowsCodec {
    type Encode = Encoded;
    type Decode = GetFlowsRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for FlowsCodec {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item.0);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER)
    }
}

impl Decoder for FlowsCodec {
    type Item = GetFlowsRequest;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<GetFlowsRequest>, Status> {
        GetFlowsRequest::decode(input)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
