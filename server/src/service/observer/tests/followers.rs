//! Streams that follow, side by side.

use std::time::Duration;

use futures::FutureExt as _;
use proptest::prelude::*;
use prost::Message as _;
use sextant_proto::observer::{
    GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
};
use tokio::sync::watch;

use crate::{
    config::Server,
    flow::{Flow, Time},
    selection::View,
    service::{
        Limits,
        observer::{
            flow_stream::{Common, FlowStream},
            query::Query,
        },
        stream::runs::Runs,
    },
    store::{Deliveries, Event, Ring},
};

fn numbered(n: u64) -> Event {
    Event::Flow(Flow {
        time: Some(Time::from_nanos(n as i64)),
        verdict: 1,
        ..Flow::default()
    })
}

/// The numbers of the flows in a chunk; those lost before them are counted.
pub(super) fn read(mut chunk: &[u8], lost: &mut u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some((prefix, rest)) = chunk.split_at_checked(5) {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        let (message, rest) = rest.split_at(length as usize);
        chunk = rest;
        let response = GetFlowsResponse::decode(message).unwrap();
        match response.response_types {
            Some(ResponseTypes::LostEvents(event)) => *lost += event.num_events_lost,
            Some(ResponseTypes::Flow(_)) => numbers.push(response.time.unwrap().nanos as u64),
            other => panic!("{other:?}"),
        }
    }
    numbers
}

/// The nodes that the responses of a chunk are of.
pub(super) fn node_names(mut chunk: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((prefix, rest)) = chunk.split_at_checked(5) {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        let (message, rest) = rest.split_at(length as usize);
        chunk = rest;
        names.push(GetFlowsResponse::decode(message).unwrap().node_name);
    }
    names
}

struct Follower {
    stream: FlowStream,
    next: u64,
    /// Flows that are missing, less those that were told as lost. A loss may be told
    /// at the end of a chunk, with the flow behind it in the next one.
    lost: i64,
}

impl Follower {
    fn new(ring: &Ring, common: &Common, mask: &[&str]) -> Self {
        let request = GetFlowsRequest {
            follow: true,
            field_mask: Some(prost_types::FieldMask {
                paths: mask.iter().map(ToString::to_string).collect(),
            }),
            ..GetFlowsRequest::default()
        };
        let query = Query::compile(request, &View::WHOLE).unwrap();
        let stream = FlowStream::start(query, ring, common.clone());
        let stream = stream.now_or_never().unwrap();
        Self {
            stream: stream.unwrap_or_else(|e| panic!("{e}")),
            next: ring.next_seq(),
            lost: 0,
        }
    }

    /// Takes a chunk if there is one; each flow is the next one, but for those
    /// that were told as lost.
    fn take(&mut self) -> Result<bool, TestCaseError> {
        let Some(Some(Ok(chunk))) = self.stream.next().now_or_never() else {
            return Ok(false);
        };
        let mut lost = 0;
        for number in read(&chunk, &mut lost) {
            prop_assert!(number >= self.next, "{number} came after {}", self.next);
            self.lost += (number - self.next) as i64;
            self.next = number + 1;
        }
        self.lost -= lost as i64;
        Ok(true)
    }
}

/// What the streams of a test have in common, and who ends them.
pub(super) fn common() -> (Common, watch::Sender<bool>) {
    let (end, draining) = watch::channel(false);
    let common = Common {
        limits: Limits::new(&Server::default(), draining),
        lost_interval: Duration::ZERO,
        node_name: "node".into(),
        deliveries: Deliveries::default(),
        runs: Runs::default(),
    };
    (common, end)
}

#[test]
fn a_stream_that_has_all_it_asked_for_loses_nothing_any_more() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let (ring, mut writer) = Ring::new(100);
    writer.push((0..10).map(numbered));
    let (common, _end) = common();
    let stream = |first: bool| {
        let request = GetFlowsRequest {
            first,
            follow: !first,
            number: 1,
            ..GetFlowsRequest::default()
        };
        let query = Query::compile(request, &View::WHOLE).unwrap();
        let start = FlowStream::start(query, &ring, common.clone());
        runtime.block_on(start).unwrap_or_else(|e| panic!("{e}"))
    };
    let (mut one, mut following) = (stream(true), stream(false));
    for stream in [&mut one, &mut following] {
        assert!(matches!(runtime.block_on(stream.next()), Some(Ok(_))));
    }
    writer.push((10..1000).map(numbered));
    drop(one);
    assert_eq!(common.deliveries.values().lapped, 0);
    drop(following);
    assert_eq!(common.deliveries.values().lapped, 890);
}

proptest! {
    #[test]
    fn those_that_share_what_was_encoded_get_each_flow_once_and_in_order(
        steps in prop::collection::vec((0_u64..200, 0_usize..6, 0_usize..3), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        let (ring, mut writer) = Ring::new(1000);
        let (common, _end) = common();
        let masks: [&[&str]; 6] = [&[], &["time"], &[], &["time"], &["time", "verdict"], &[]];
        let mut followers = masks.map(|mask| Follower::new(&ring, &common, mask));
        let mut written = 0;
        for (push, who, chunks) in steps {
            writer.push((written..written + push).map(numbered));
            written += push;
            for _ in 0..chunks {
                followers[who].take()?;
            }
        }
        for follower in &mut followers {
            // It gives others a turn when its time is over.
            for _ in 0..1000 {
                if follower.next < written {
                    follower.take()?;
                }
            }
            prop_assert!(!follower.take()?);
            prop_assert_eq!((follower.next, follower.lost), (written, 0));
        }
    }
}
