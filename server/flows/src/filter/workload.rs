//! Workloads of an endpoint.

use sextant_proto::flow as pb;

use super::{Checks, Side, set::Pairs};
use crate::flow::{Endpoint, Workload};

/// Compiles `source_workload` and `destination_workload`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) {
    for (side, wanted) in [
        (Side::Source, &filter.source_workload),
        (Side::Destination, &filter.destination_workload),
    ] {
        if !wanted.is_empty() {
            let wanted = wanted.iter().map(|w| (w.name.as_str(), w.kind.as_str()));
            let wanted: Pairs = wanted.collect();
            checks.endpoint(side, move |endpoint: &Endpoint| {
                let mut workloads = endpoint.workloads.iter();
                workloads.any(|workload| matches(&wanted, workload))
            });
        }
    }
}

/// An empty name or kind stands for any.
fn matches(wanted: &Pairs, Workload { name, kind }: &Workload) -> bool {
    [
        (name.as_str(), kind.as_str()),
        (name, ""),
        ("", kind),
        ("", ""),
    ]
    .iter()
    .any(|(name, kind)| wanted.contains(name, kind))
}
