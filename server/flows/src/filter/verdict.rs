//! What became of a flow: verdict, drop reason, reply, direction.

use sextant_proto::flow as pb;

use super::{
    Checks,
    set::{Bools, OneOf},
};

const DROPPED: i32 = pb::Verdict::Dropped as i32;

/// Compiles `verdict`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.verdict.is_empty() {
        checks.forbidden.only_verdicts(&filter.verdict);
        let wanted: OneOf<i32> = filter.verdict.iter().copied().collect();
        checks.plain(move |flow| wanted.contains(flow.verdict));
    }
}

/// Compiles `drop_reason_desc`, which finds dropped flows only.
pub(super) fn compile_drop_reason(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.drop_reason_desc.is_empty() {
        checks.forbidden.only_verdicts(&[DROPPED]);
        let wanted: OneOf<i32> = filter.drop_reason_desc.iter().copied().collect();
        checks.plain(move |flow| flow.verdict == DROPPED && wanted.contains(flow.drop_reason_desc));
    }
}

/// Compiles `reply`. Where it is not known whether a flow is a reply, a
/// dropped one counts as none and any other matches nothing.
pub(super) fn compile_reply(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.reply.is_empty() {
        let wanted = Bools::from(filter.reply.as_slice());
        let known = [true, false]
            .into_iter()
            .filter(|reply| wanted.contains(*reply));
        let unknown = wanted.contains(false).then_some(None);
        let replies: Vec<_> = known.map(Some).chain(unknown).collect();
        checks.forbidden.only_replies(&replies);
        checks.plain(move |flow| match flow.is_reply {
            Some(reply) => wanted.contains(reply),
            None => flow.verdict == DROPPED && wanted.contains(false),
        });
    }
}

/// Compiles `traffic_direction`.
pub(super) fn compile_direction(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.traffic_direction.is_empty() {
        checks.forbidden.only_directions(&filter.traffic_direction);
        let wanted: OneOf<i32> = filter.traffic_direction.iter().copied().collect();
        checks.plain(move |flow| wanted.contains(flow.traffic_direction));
    }
}
