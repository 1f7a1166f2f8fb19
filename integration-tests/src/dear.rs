//! The dearest requests that are known, each of which once froze a server or took
//! gigabytes of it.
//!
//! What became of them is judged by those that send them.

pub mod policies;

use sextant_proto::{
    flow::{FlowFilter, flow_filter::Experimental},
    observer::GetFlowsRequest,
};

/// A request for one flow that passes these.
#[must_use]
pub fn of(whitelist: Vec<FlowFilter>) -> GetFlowsRequest {
    GetFlowsRequest {
        number: 1,
        whitelist,
        ..GetFlowsRequest::default()
    }
}

/// A request with an expression of CEL.
#[must_use]
pub fn cel(expression: String) -> GetFlowsRequest {
    of(vec![FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![expression],
        }),
        ..FlowFilter::default()
    }])
}

/// A loop over fifty in each of so many loops around it.
#[must_use]
pub fn nested(loops: usize, innermost: &str) -> String {
    let list: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let list = list.join(", ");
    (0..loops).fold(innermost.into(), |inner, at| {
        format!("[{list}].all(v{at}, {inner})")
    })
}

/// As many empty filters as a message of four bytes each.
#[must_use]
pub fn empty_filters(count: usize) -> GetFlowsRequest {
    of(vec![FlowFilter::default(); count])
}

/// Regular expressions of megabytes each, in 47 kB.
#[must_use]
pub fn patterns() -> GetFlowsRequest {
    of(vec![FlowFilter {
        http_url: (0..3000).map(|n| format!("\\pL{{60}}{n}")).collect(),
        ..FlowFilter::default()
    }])
}

/// Six loops of fifty, in each other.
#[must_use]
pub fn loops() -> GetFlowsRequest {
    cel(nested(6, "true"))
}

/// A text that is doubled thirty times.
#[must_use]
pub fn doubled() -> GetFlowsRequest {
    let steps = ".map(s, s + s)".repeat(30);
    cel(format!("['aaaaaaaa']{steps}.size() > 0"))
}

/// A type that is doubled sixteen times: gigabytes of it, once.
#[must_use]
pub fn doubled_types() -> GetFlowsRequest {
    cel(format!("[[]]{} == {{}}", ".map(x, {x: [x]})".repeat(16)))
}

/// As many filters and names as a request may have.
#[must_use]
pub fn many_names() -> GetFlowsRequest {
    let filter = FlowFilter {
        source_pod: vec!["ns/pod".into(), "/x".into()],
        destination_pod: vec!["other/p".into(); 5],
        ..FlowFilter::default()
    };
    of(vec![filter; 1000])
}

/// One label selector of as many requirements as its bytes hold.
#[must_use]
pub fn many_requirements() -> GetFlowsRequest {
    of(vec![FlowFilter {
        source_label: vec!["a,".repeat((8 << 10) - 1) + "a"],
        ..FlowFilter::default()
    }])
}

/// A scan that takes some thousand turns for each flow, of which none passes.
#[must_use]
pub fn slow_scan() -> GetFlowsRequest {
    cel(format!("{} && _flow.verdict == 2", nested(2, "v0 == v0")))
}
