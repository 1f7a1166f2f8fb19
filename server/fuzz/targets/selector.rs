//! Label selectors of any text, of endpoints and of nodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::check_filters;
use sextant_proto::flow::FlowFilter;

fuzz_target!(|selector: &str| {
    let of_endpoint = FlowFilter {
        source_label: vec![selector.into()],
        ..FlowFilter::default()
    };
    let of_node = FlowFilter {
        node_labels: vec![selector.into()],
        ..FlowFilter::default()
    };
    check_filters(&[of_endpoint], &[]);
    check_filters(&[of_node], &[]);
});
