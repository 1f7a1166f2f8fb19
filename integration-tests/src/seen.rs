//! How soon a new connection is seen, by connecting until one is.

use std::time::{Duration, Instant};

use sextant_proto::{
    flow::FlowFilter,
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
};

use crate::{Daemon, Netns, eventually};

/// Connects to ports where nobody listens, until one is seen; tells how long that
/// took since `began`.
#[must_use]
pub fn seen_after(a: &Netns, daemon: &Daemon, began: Instant, to: &str, first: u16) -> Duration {
    let mut port = first;
    eventually("a new connection is seen", || {
        port += 1;
        a.try_run(&format!("timeout 1 bash -c 'echo > /dev/tcp/{to}/{port}'"));
        let tried = Instant::now();
        while tried.elapsed() < Duration::from_millis(500) {
            if is_seen(daemon, port) {
                return Some(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    })
}

/// Whether there is a flow to this port.
fn is_seen(daemon: &Daemon, port: u16) -> bool {
    let to_it = FlowFilter {
        destination_port: vec![port.to_string()],
        ..FlowFilter::default()
    };
    let request = GetFlowsRequest {
        number: 1,
        whitelist: vec![to_it],
        ..GetFlowsRequest::default()
    };
    let is_flow = |response: &GetFlowsResponse| {
        matches!(response.response_types, Some(ResponseTypes::Flow(_)))
    };
    daemon.responses(request).iter().any(is_flow)
}
