//! Requests by time over flows whose times need not rise.

use futures::FutureExt as _;
use proptest::prelude::*;
use prost_types::Timestamp;
use sextant_proto::{flow as pb, observer::GetFlowsRequest};

use super::followers::{common, node_names, read};
use crate::{
    flow::{Flow, Time},
    selection::View,
    service::observer::{
        flow_stream::{Common, FlowStream},
        query::Query,
    },
    store::{Event, Ring},
};

fn flow(nanos: i64) -> Event {
    Event::Flow(Flow {
        time: Some(Time::from_nanos(nanos)),
        verdict: 1,
        ..Flow::default()
    })
}

fn at(nanos: i64) -> Timestamp {
    Time::from_nanos(nanos).into()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

async fn start(query: Query, ring: &Ring, common: Common) -> FlowStream {
    let stream = FlowStream::start(query, ring, common).await;
    stream.unwrap_or_else(|e| panic!("{e}"))
}

/// The times of all flows that a request gives.
fn ask(ring: &Ring, request: GetFlowsRequest) -> Vec<i64> {
    let (common, _end) = common();
    runtime().block_on(async {
        let query = Query::compile(request, &View::WHOLE).unwrap();
        let mut stream = start(query, ring, common).await;
        let mut times = Vec::new();
        while let Some(chunk) = stream.next().await {
            let numbers = read(&chunk.unwrap(), &mut 0);
            times.extend(numbers.into_iter().map(|number| number as i64));
        }
        times
    })
}

fn since_until(since: Option<i64>, until: Option<i64>) -> GetFlowsRequest {
    GetFlowsRequest {
        since: since.map(at),
        until: until.map(at),
        ..GetFlowsRequest::default()
    }
}

#[test]
fn one_flow_that_is_early_or_late_hides_no_others() {
    for odd in [5_000, 1] {
        let (ring, mut writer) = Ring::new(1024);
        writer.push((100..110).map(flow));
        writer.push([flow(odd)]);
        writer.push((110..120).map(flow));
        let all: Vec<i64> = (100..120).collect();
        assert_eq!(ask(&ring, since_until(Some(100), Some(120))), all);
        assert_eq!(ask(&ring, since_until(Some(105), Some(112))), all[5..13]);
        let upper = ask(&ring, since_until(Some(100), None));
        assert_eq!(upper.len(), if odd == 1 { 20 } else { 21 });
        let lower = ask(&ring, since_until(None, Some(120)));
        assert_eq!(lower.len(), if odd == 1 { 21 } else { 20 });
    }
}

#[test]
fn flows_of_two_nodes_one_behind_the_other_are_all_found() {
    let (ring, mut writer) = Ring::new(4096);
    for _ in 0..2 {
        writer.push((0..1000).map(flow));
    }
    let twice = |range: std::ops::RangeInclusive<i64>| {
        let once: Vec<i64> = range.collect();
        [once.as_slice(), &once].concat()
    };
    assert_eq!(
        ask(&ring, since_until(Some(10), Some(990))),
        twice(10..=990)
    );
    assert_eq!(ask(&ring, since_until(None, Some(3))), twice(0..=3));
    assert_eq!(ask(&ring, since_until(Some(997), None)), twice(997..=999));
    let first = GetFlowsRequest {
        number: 5,
        ..since_until(Some(997), None)
    };
    assert_eq!(ask(&ring, first), [997, 998, 999, 997, 998]);
}

#[test]
fn a_follower_with_an_end_ends_when_nothing_in_range_is_left() {
    let (ring, mut writer) = Ring::new(64);
    writer.push([1, 9, 2, 3].map(flow));
    let request = GetFlowsRequest {
        follow: true,
        since: Some(at(0)),
        ..since_until(None, Some(5))
    };
    let (common, _end) = common();
    runtime().block_on(async {
        let query = Query::compile(request, &View::WHOLE).unwrap();
        let mut stream = start(query, &ring, common).await;
        let chunk = stream.next().await.unwrap().unwrap();
        assert_eq!(read(&chunk, &mut 0), [1, 2, 3]);
        assert!(stream.next().now_or_never().is_none());
        writer.push([flow(4), flow(7), flow(5)]);
        let chunk = stream.next().await.unwrap().unwrap();
        assert_eq!(read(&chunk, &mut 0), [4, 5]);
        writer.push([flow(6)]);
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn losses_are_told_up_to_where_rising_times_end() {
    let lost = || {
        Event::Lost(Box::new(crate::store::Stamped {
            time: Some(Time::from_nanos(1)),
            node_name: String::new(),
            event: pb::LostEvent {
                num_events_lost: 1,
                ..pb::LostEvent::default()
            },
        }))
    };
    let (ring, mut writer) = Ring::new(64);
    writer.push([
        flow(1),
        lost(),
        flow(2),
        lost(),
        flow(3),
        lost(),
        flow(4),
        lost(),
    ]);
    let query = Query::compile(since_until(Some(2), Some(3)), &View::WHOLE).unwrap();
    let (common, _end) = common();
    runtime().block_on(async {
        let mut stream = start(query, &ring, common).await;
        let mut count = 0;
        let chunk = stream.next().await.unwrap().unwrap();
        assert_eq!(read(&chunk, &mut count), [2, 3]);
        // Those between the flow before the range and the one after it.
        assert_eq!(count, 3);
    });
}

#[test]
fn a_loss_has_the_name_of_its_own_node() {
    let lost = |node: &str| {
        Event::Lost(Box::new(crate::store::Stamped {
            time: None,
            node_name: node.to_owned(),
            event: pb::LostEvent::default(),
        }))
    };
    let (ring, mut writer) = Ring::new(64);
    writer.push([lost("there"), lost("")]);
    let (common, _end) = common();
    let names = runtime().block_on(async {
        let query = Query::compile(GetFlowsRequest::default(), &View::WHOLE).unwrap();
        let mut stream = start(query, &ring, common).await;
        node_names(&stream.next().await.unwrap().unwrap())
    });
    assert_eq!(names, ["there", "node"]);
}

proptest! {
    #[test]
    fn what_is_in_range_is_found_whatever_the_order(
        runs in prop::collection::vec((0_i64..2_000, 1_i64..400), 1..6),
        capacity in 100_u64..2_000,
        since in prop::option::of(0_i64..2_400),
        until in prop::option::of(0_i64..2_400),
    ) {
        let times: Vec<i64> = runs.iter().flat_map(|(start, length)| *start..start + length).collect();
        let (ring, mut writer) = Ring::new(capacity);
        writer.push(times.iter().copied().map(flow));
        let readable = &times[times.len().saturating_sub(capacity as usize)..];
        let expect: Vec<i64> = readable
            .iter()
            .copied()
            .filter(|time| since.is_none_or(|since| *time >= since))
            .filter(|time| until.is_none_or(|until| *time <= until))
            .collect();
        let got = match (since, until) {
            // Without either a request gives what it gives today.
            (None, None) => return Ok(()),
            _ => ask(&ring, since_until(since, until)),
        };
        prop_assert_eq!(got, expect);
    }
}
