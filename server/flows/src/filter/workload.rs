//! Workloads of an endpoint.

use sextant_proto::flow as pb;

use super::{Checks, Side};
use crate::flow::{Endpoint, Workload};

/// Compiles `source_workload` and `destination_workload`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) {
    for (side, wanted) in [
        (Side::Source, &filter.source_workload),
        (Side::Destination, &filter.destination_workload),
    ] {
        if !wanted.is_empty() {
            let wanted = wanted.clone();
            checks.endpoint(side, move |endpoint: &Endpoint| {
                endpoint
                    .workloads
                    .iter()
                    .any(|workload| wanted.iter().any(|wanted| matches(wanted, workload)))
            });
        }
    }
}

/// An empty name or kind stands for any.
fn matches(wanted: &pb::Workload, workload: &Workload) -> bool {
    (wanted.name.is_empty() || wanted.name == workload.name)
        && (wanted.kind.is_empty() || wanted.kind == workload.kind)
}
