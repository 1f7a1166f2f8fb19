//! One RecordFlows call: decode, check, store, count.
//!
//! One message is taken at a time, so a client that is too fast is held by
//! HTTP/2 flow control. Bound: one message, `BATCH` decoded flows, the endpoints
//! that `Sides` remembers, 100 refusals.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use sextant_proto::sextant::flow::v1::{RecordFlowsResponse, Refusal};
use tonic::{
    Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use super::sides::{Sides, Valid};
use crate::{
    field::{Field, Malformed, fields},
    pipeline::Pipeline,
    record::{Invalid, RecordCounts},
    service::limits::{Limits, shutting_down},
};

/// Refusals that are told.
const MAX_REFUSALS: usize = 100;
/// Fields looked at, and at most as many flows stored, before others and the
/// datapath's reader get a turn.
const BATCH: usize = 64;
/// `RecordFlowsRequest.flows`.
const FLOWS: u32 = 1;

/// A call under way.
pub(super) struct Recording {
    pipeline: Arc<Mutex<Pipeline>>,
    counts: Arc<RecordCounts>,
    answer: RecordFlowsResponse,
    /// Flows that were found valid and are not stored yet.
    valid: Vec<Valid>,
    sides: Sides,
}

impl Recording {
    pub(super) fn new(pipeline: Arc<Mutex<Pipeline>>, counts: Arc<RecordCounts>) -> Self {
        Self {
            pipeline,
            counts,
            answer: RecordFlowsResponse::default(),
            valid: Vec::with_capacity(BATCH),
            sides: Sides::default(),
        }
    }

    /// Takes the whole stream.
    pub(super) async fn run(
        mut self,
        mut stream: Streaming<Bytes>,
        mut limits: Limits,
    ) -> Result<RecordFlowsResponse, Status> {
        loop {
            let message = tokio::select! {
                message = stream.message() => message?,
                () = limits.drained() => return Err(shutting_down()),
            };
            let Some(message) = message else {
                return Ok(self.answer);
            };
            self.take(&message).await.map_err(|malformed| {
                let before = self.answer.recorded + self.answer.refused;
                Status::invalid_argument(format!(
                    "what comes after flow {before} is no part of a RecordFlowsRequest: {malformed}"
                ))
            })?;
        }
    }

    /// Stores the flows of one message; those before a malformed part too.
    async fn take(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut flows = fields(message);
        let mut is_over = false;
        while !is_over {
            let refused = self.answer.refused;
            let batch = self.check_batch(&mut flows);
            self.store(refused);
            is_over = batch?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Checks the flows of a batch; true at the end of the message.
    fn check_batch<'a>(
        &mut self,
        flows: &mut impl Iterator<Item = Result<Field<'a>, Malformed>>,
    ) -> Result<bool, Malformed> {
        for _ in 0..BATCH {
            let Some(field) = flows.next() else {
                return Ok(true);
            };
            let field = field?;
            if field.number != FLOWS {
                continue;
            }
            match self.sides.decode(field.message.ok_or(Malformed)?) {
                Ok(flow) => self.valid.push(flow),
                Err(invalid) => self.refuse(invalid),
            }
        }
        Ok(false)
    }

    fn refuse(&mut self, invalid: Invalid) {
        let index = self.answer.recorded + self.answer.refused + self.valid.len() as u64;
        self.answer.refused += 1;
        if self.answer.refusals.len() < MAX_REFUSALS {
            self.answer.refusals.push(Refusal {
                index,
                field: invalid.field,
                description: invalid.description,
            });
        }
    }

    /// `refused_before` were refused before this batch.
    fn store(&mut self, refused_before: u64) {
        let recorded = self.valid.len() as u64;
        self.answer.recorded += recorded;
        let mut pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = &mut self.sides;
        pipeline.record(self.valid.drain(..), |valid, interners| {
            sides.share(valid, interners)
        });
        drop(pipeline);
        self.counts
            .add(recorded, self.answer.refused - refused_before);
    }
}

/// Requests as bytes; the response as usual.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::service) struct RecordCodec;

impl Codec for RecordCodec {
    type Encode = RecordFlowsResponse;
    type Decode = Bytes;
    type Encoder = <ProstCodec<RecordFlowsResponse, ()> as Codec>::Encoder;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<RecordFlowsResponse, ()>::default().encoder()
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Decoder for RecordCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use prost::Message as _;
    use sextant_proto::{flow as pb, sextant::flow::v1::RecordFlowsRequest};

    use super::*;
    use crate::{
        flow::Origin,
        pipeline::Namespaces,
        store::{Read, Ring},
    };

    fn flow(uuid: &str, node_name: &str, source: &str) -> pb::Flow {
        pb::Flow {
            uuid: uuid.into(),
            node_name: node_name.into(),
            ip: Some(pb::Ip {
                source: source.into(),
                ..pb::Ip::default()
            }),
            ..pb::Flow::default()
        }
    }

    fn recording() -> (Recording, Ring) {
        let (ring, writer) = Ring::new(1000);
        let origin = Origin {
            node_name: "here".into(),
            ..Origin::default()
        };
        let pipeline = Pipeline::new(
            writer,
            origin,
            Arc::default(),
            Arc::default(),
            Namespaces::new("default".into()),
        );
        let pipeline = Arc::new(Mutex::new(pipeline));
        (Recording::new(pipeline, Arc::default()), ring)
    }

    fn take(recording: &mut Recording, flows: impl IntoIterator<Item = pb::Flow>) {
        let request = RecordFlowsRequest {
            flows: flows.into_iter().collect(),
        };
        take_bytes(recording, &request.encode_to_vec()).unwrap();
    }

    fn take_bytes(recording: &mut Recording, message: &[u8]) -> Result<(), Malformed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(recording.take(message))
    }

    #[test]
    fn a_flow_that_cannot_be_read_is_refused_and_those_around_it_are_kept() {
        let (mut recording, ring) = recording();
        let good = flow("a", "", "").encode_to_vec();
        let mut message = Vec::new();
        for flow in [&good[..], &[0xff], &good] {
            message.extend([0x0a, flow.len() as u8]);
            message.extend(flow);
        }
        take_bytes(&mut recording, &message).unwrap();
        assert_eq!((ring.len(), recording.answer.refused), (2, 1));
        assert_eq!(recording.answer.refusals[0].index, 1);
        let text = &recording.answer.refusals[0].description;
        assert!(text.starts_with("the flow cannot be read: "), "{text}");
    }

    #[test]
    fn flows_before_a_malformed_part_are_kept_and_it_is_told() {
        let (mut recording, ring) = recording();
        let good = flow("a", "", "").encode_to_vec();
        let mut message = vec![0x0a, good.len() as u8];
        message.extend(&good);
        // Cut off; a number where a flow belongs.
        for part in [[0x0a, 200], [0x08, 1]] {
            let message = [message.as_slice(), &part].concat();
            assert_eq!(take_bytes(&mut recording, &message), Err(Malformed));
        }
        assert_eq!((ring.len(), recording.answer.recorded), (2, 2));
    }

    #[test]
    fn invalid_flows_are_refused_by_place_and_the_others_kept() {
        let (mut recording, ring) = recording();
        take(
            &mut recording,
            [flow("a", "", "10.0.0.1"), flow("b", "", "x")],
        );
        take(&mut recording, [flow("c", "there", ""), flow("d", "", "y")]);
        assert_eq!(
            (recording.answer.recorded, recording.answer.refused),
            (2, 2)
        );
        let places: Vec<u64> = recording.answer.refusals.iter().map(|r| r.index).collect();
        assert_eq!(places, [1, 3]);
        assert_eq!(recording.answer.refusals[0].field, "IP.source");
        assert_eq!(
            (recording.counts.recorded(), recording.counts.refused()),
            (2, 2)
        );
        assert_eq!((ring.len(), ring.seen_flows()), (2, 2));
    }

    #[test]
    fn others_get_a_turn_also_where_nothing_is_stored() {
        let refused = [0x0a, 1, 0xff].repeat(3 * BATCH);
        let unknown = [0x10, 0].repeat(3 * BATCH);
        for message in [refused, unknown] {
            let (mut recording, _ring) = recording();
            let mut take = std::pin::pin!(recording.take(&message));
            let mut turns = 0;
            while take.as_mut().now_or_never().is_none() {
                turns += 1;
            }
            assert!(turns >= 3, "{turns}");
        }
    }

    #[test]
    fn only_the_first_hundred_refusals_are_told() {
        let (mut recording, _ring) = recording();
        take(&mut recording, (0..250).map(|_| flow("", "", "x")));
        assert_eq!(recording.answer.refused, 250);
        assert_eq!(recording.answer.refusals.len(), 100);
    }

    #[test]
    fn what_a_flow_lacks_is_filled_in_and_what_it_says_is_kept() {
        let (mut recording, ring) = recording();
        let said = pb::Endpoint {
            pod_name: "said".into(),
            ..pb::Endpoint::default()
        };
        let complete = pb::Flow {
            time: Some(prost_types::Timestamp {
                seconds: 7,
                nanos: 0,
            }),
            source: Some(said),
            ..flow("mine", "there", "10.0.0.1")
        };
        take(&mut recording, [flow("", "", "127.0.0.1"), complete]);
        let mut cursor = ring.cursor_at(0);
        let mut next = || match cursor.next(|event| event.as_flow().cloned()) {
            Read::Event(Some(flow)) => crate::flow::proto::to_proto(&flow),
            other => panic!("{other:?}"),
        };
        let (filled, kept) = (next(), next());
        assert_eq!((filled.node_name.as_str(), filled.uuid.len()), ("here", 36));
        assert!(filled.time.is_some() && filled.source.is_some());
        assert_eq!(filled.destination, None);
        assert_eq!(
            (kept.node_name.as_str(), kept.uuid.as_str()),
            ("there", "mine")
        );
        assert_eq!(kept.time.map(|time| time.seconds), Some(7));
        assert_eq!(kept.source.map(|side| side.pod_name), Some("said".into()));
    }
}
