//! One RecordFlows call: check, store, count.
//!
//! One message is taken at a time, so a client that is too fast is held by
//! HTTP/2 flow control. Bound: one message, 100 refusals.

use std::sync::{Arc, Mutex, PoisonError};

use sextant_proto::{
    flow as pb,
    sextant::flow::v1::{RecordFlowsRequest, RecordFlowsResponse, Refusal},
};
use tonic::{Status, Streaming};

use super::limits::{Limits, shutting_down};
use crate::{
    pipeline::Pipeline,
    record::{RecordCounts, check},
};

/// Refusals that are told.
const MAX_REFUSALS: usize = 100;
/// Flows stored before the datapath's reader gets the pipeline again.
const BATCH: usize = 256;

/// A call under way.
pub(super) struct Recording {
    pipeline: Arc<Mutex<Pipeline>>,
    counts: Arc<RecordCounts>,
    answer: RecordFlowsResponse,
}

impl Recording {
    pub(super) fn new(pipeline: Arc<Mutex<Pipeline>>, counts: Arc<RecordCounts>) -> Self {
        Self {
            pipeline,
            counts,
            answer: RecordFlowsResponse::default(),
        }
    }

    /// Takes the whole stream.
    pub(super) async fn run(
        mut self,
        mut stream: Streaming<RecordFlowsRequest>,
        mut limits: Limits,
    ) -> Result<RecordFlowsResponse, Status> {
        let _place = limits.admit()?;
        loop {
            let message = tokio::select! {
                message = stream.message() => message?,
                () = limits.drained() => return Err(shutting_down()),
            };
            let Some(message) = message else {
                return Ok(self.answer);
            };
            self.take(message.flows).await;
        }
    }

    /// Stores the flows of one message.
    async fn take(&mut self, flows: Vec<pb::Flow>) {
        let mut flows = flows.into_iter();
        while flows.len() > 0 {
            self.store(flows.by_ref().take(BATCH));
            tokio::task::yield_now().await;
        }
    }

    fn store(&mut self, flows: impl Iterator<Item = pb::Flow>) {
        let refused = self.answer.refused;
        let mut valid = Vec::with_capacity(BATCH);
        for flow in flows {
            let index = self.answer.recorded + self.answer.refused + valid.len() as u64;
            match check(&flow) {
                Ok(()) => valid.push(flow),
                Err(invalid) => {
                    self.answer.refused += 1;
                    if self.answer.refusals.len() < MAX_REFUSALS {
                        self.answer.refusals.push(Refusal {
                            index,
                            field: invalid.field,
                            description: invalid.description,
                        });
                    }
                }
            }
        }
        let recorded = valid.len() as u64;
        self.answer.recorded += recorded;
        self.pipeline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(valid);
        self.counts.add(recorded, self.answer.refused - refused);
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn invalid_flows_are_refused_by_place_and_the_others_kept() {
        let (mut recording, ring) = recording();
        recording.store([flow("a", "", "10.0.0.1"), flow("b", "", "x")].into_iter());
        recording.store([flow("c", "there", ""), flow("d", "", "y")].into_iter());
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
    fn only_the_first_hundred_refusals_are_told() {
        let (mut recording, _ring) = recording();
        recording.store((0..250).map(|_| flow("", "", "x")));
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
        recording.store([flow("", "", "127.0.0.1"), complete].into_iter());
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
