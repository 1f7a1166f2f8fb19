//! The event of a flow: id, type, interface, numeric identities, trace ids.

use sextant_proto::flow as pb;

use super::{Checks, Side, set::OneOf};
use crate::flow::{Flow, Uuid};

/// Compiles `uuid`; the empty text finds flows without one.
pub(super) fn compile_uuid(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.uuid.is_empty() {
        let wanted: Vec<Uuid> = filter.uuid.iter().map(|u| Uuid::from_text(u)).collect();
        checks.forbidden.only_uuids(&wanted);
        checks.plain(move |flow| wanted.contains(&flow.uuid));
    }
}

/// Monitor event type of trace events.
const TRACE: i32 = 4;

/// Compiles `event_type`; a flow without event type matches nothing. A flow that
/// was seen at several points, which Hubble has an event of each for, is of the
/// sub-type of each.
pub(super) fn compile_type(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.event_type.is_empty() {
        let wanted = filter.event_type.clone();
        checks.plain(move |flow| {
            flow.event_type.is_some_and(|event| {
                wanted.iter().any(|wanted| {
                    (wanted.r#type == 0 || wanted.r#type == event.kind)
                        && (!wanted.match_sub_type
                            || wanted.sub_type == event.sub_type
                            || event.kind == TRACE && was_seen_at(flow, wanted.sub_type))
                })
            })
        });
    }
}

fn was_seen_at(flow: &Flow, sub_type: i32) -> bool {
    let counters = flow.counters.as_deref();
    let points = counters.and_then(|counters| counters.observation_points.as_ref());
    points.is_some_and(|points| points.0.iter().any(|point| point.sub_type == sub_type))
}

/// Compiles `source_identity` and `destination_identity`.
pub(super) fn compile_identity(filter: &pb::FlowFilter, checks: &mut Checks) {
    for (side, wanted) in [
        (Side::Source, &filter.source_identity),
        (Side::Destination, &filter.destination_identity),
    ] {
        if !wanted.is_empty() {
            let wanted: OneOf<u32> = wanted.iter().copied().collect();
            checks.plain(move |flow| {
                side.endpoint(flow)
                    .is_some_and(|endpoint| wanted.contains(endpoint.identity))
            });
        }
    }
}

/// Compiles `interface`; index 0 and the empty name stand for any.
pub(super) fn compile_interface(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.interface.is_empty() {
        let wanted = filter.interface.clone();
        checks.plain(move |flow| {
            flow.interface.as_ref().is_some_and(|interface| {
                wanted.iter().any(|wanted| {
                    (wanted.index == 0 || wanted.index == interface.index)
                        && (wanted.name.is_empty() || wanted.name == interface.name)
                })
            })
        });
    }
}

/// Compiles `trace_id`; the empty text finds flows without one.
pub(super) fn compile_trace_id(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.trace_id.is_empty() {
        let wanted = filter.trace_id.clone();
        checks.plain(move |flow| {
            let id = trace_id(flow);
            wanted.iter().any(|wanted| wanted == id)
        });
    }
}

fn trace_id(flow: &Flow) -> &str {
    let context = flow
        .cold
        .as_ref()
        .and_then(|cold| cold.trace_context.as_ref());
    let parent = context.and_then(|context| context.parent.as_ref());
    parent.map_or("", |parent| &parent.trace_id)
}

/// Compiles `ip_trace_id`; 0 finds flows without one.
pub(super) fn compile_ip_trace_id(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.ip_trace_id.is_empty() {
        let wanted: OneOf<u64> = filter.ip_trace_id.iter().copied().collect();
        checks.plain(move |flow| {
            let cold = flow.cold.as_ref();
            let id = cold.and_then(|cold| cold.ip_trace_id.as_ref());
            wanted.contains(id.map_or(0, |id| id.trace_id))
        });
    }
}
