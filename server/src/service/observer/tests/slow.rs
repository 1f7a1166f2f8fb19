//! Streams whose filters take long for each flow.

use futures::FutureExt as _;
use sextant_proto::{
    flow::{FlowFilter, flow_filter::Experimental},
    observer::GetFlowsRequest,
};
use tokio::runtime::{Builder, Runtime};
use tonic::Code;

use super::followers::common;
use crate::{
    flow::{Flow, Time},
    selection::View,
    service::observer::{flow_stream::FlowStream, query::Query},
    store::{Event, Ring},
};

const FLOWS: u64 = 200;

fn ring() -> Ring {
    let (ring, mut writer) = Ring::new(FLOWS);
    writer.push((0..FLOWS).map(|n| {
        Event::Flow(Flow {
            time: Some(Time::from_nanos(n as i64)),
            verdict: 1,
            ..Flow::default()
        })
    }));
    ring
}

/// A loop over 50 in each of so many loops around it.
fn nested(loops: usize, innermost: &str) -> String {
    let list: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let list = list.join(", ");
    (0..loops).fold(innermost.into(), |inner, at| {
        format!("[{list}].all(v{at}, {inner})")
    })
}

fn query(expression: &str, number: u64, first: bool) -> Query {
    let filter = FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![expression.into()],
        }),
        ..FlowFilter::default()
    };
    let request = GetFlowsRequest {
        number,
        first,
        whitelist: vec![filter],
        ..GetFlowsRequest::default()
    };
    Query::compile(request, &View::WHOLE).unwrap()
}

/// How often the work was interrupted until it was done. Not to be called in a
/// task, which may not do so much at once.
fn turns<T>(work: impl Future<Output = T>) -> (usize, T) {
    let mut work = std::pin::pin!(work);
    let mut turns = 0;
    loop {
        if let Some(done) = work.as_mut().now_or_never() {
            return (turns, done);
        }
        turns += 1;
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.unwrap()
}

#[test]
fn others_get_a_turn_after_each_slow_flow() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let ring = ring();
    let (common, _end) = common();
    // About 25,000 steps for a flow, and no flow passes.
    let expression = format!("{} && _flow.verdict == 2", nested(2, "v0 == v0"));
    let backwards = FlowStream::start(query(&expression, 1, false), &ring, common.clone());
    let (looking, stream) = turns(backwards);
    assert!(stream.is_ok());
    assert!(looking as u64 > FLOWS / 4, "{looking}");
    let forwards = FlowStream::start(query(&expression, 0, true), &ring, common.clone());
    let mut stream = turns(forwards).1.unwrap_or_else(|e| panic!("{e}"));
    let (looking, end) = turns(stream.next());
    assert!(end.is_none());
    assert!(looking as u64 > FLOWS / 4, "{looking}");
}

#[test]
fn a_runaway_expression_ends_the_stream_with_its_field() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let ring = ring();
    let (common, _end) = common();
    let expression = nested(6, "true");
    let start = FlowStream::start(query(&expression, 1, false), &ring, common.clone());
    let status = turns(start).1.err().expect("an error");
    let text = "whitelist[0].experimental.cel_expression[0]: takes more than 100000 steps";
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with(text), "{status}");
    let start = FlowStream::start(query(&expression, 0, true), &ring, common.clone());
    let mut stream = turns(start).1.unwrap_or_else(|e| panic!("{e}"));
    let end = turns(stream.next()).1.expect("an end");
    let status = end.expect_err("an error");
    assert!(status.message().starts_with(text), "{status}");
    assert!(turns(stream.next()).1.is_none());
}
