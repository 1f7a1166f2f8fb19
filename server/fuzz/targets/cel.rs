//! CEL expressions of any text, against flows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::check_filters;
use sextant_proto::flow::{FlowFilter, flow_filter::Experimental};

fuzz_target!(|expression: &str| {
    let filter = FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![expression.into()],
        }),
        ..FlowFilter::default()
    };
    check_filters(&[filter], &[]);
});
