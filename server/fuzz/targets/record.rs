//! RecordFlows requests of any bytes: what is not refused can be stored and sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use sextant_fuzz::{bounded, check_events};
use sextantd::{
    flow::{Interners, proto::from_proto},
    service::Sides,
    store::Event,
};

/// `RecordFlowsRequest`, whose flows are decoded one at a time.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(bytes = "vec", repeated, tag = "1")]
    flows: Vec<Vec<u8>>,
}

fn record(flows: &[Vec<u8>]) -> Vec<Event> {
    let (mut sides, mut interners) = (Sides::default(), Interners::default());
    let mut kept = Vec::new();
    for flow in flows {
        match sides.decode(flow) {
            Ok(valid) => {
                let recorded = sides.share(valid, &mut interners);
                let mut flow = from_proto(recorded.flow, &mut interners);
                (flow.source, flow.destination) = (recorded.source, recorded.destination);
                kept.push(Event::Flow(flow));
            }
            Err(invalid) => assert!(!invalid.description.is_empty()),
        }
    }
    kept
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = Request::decode(bytes) else {
        return;
    };
    check_events(bounded("recording", || record(&request.flows)));
});
