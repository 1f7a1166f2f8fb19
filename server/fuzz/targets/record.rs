//! RecordFlows requests of any bytes: what is not refused can be stored and sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use sextant_fuzz::check_events;
use sextant_proto::sextant::flow::v1::RecordFlowsRequest;
use sextantd::{
    flow::{Interners, proto::from_proto},
    record::check,
    store::Event,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = RecordFlowsRequest::decode(bytes) else {
        return;
    };
    let mut interners = Interners::default();
    let mut kept = Vec::new();
    for flow in request.flows {
        match check(&flow) {
            Ok(()) => kept.push(Event::Flow(from_proto(flow, &mut interners))),
            Err(invalid) => assert!(!invalid.description.is_empty()),
        }
    }
    check_events(kept);
});
