//! A span of each change, a child of the call that asks for it.

use tracing::{Span, field::Empty};

use super::Done;
use crate::{
    policy::change::{Ask, ChangeError},
    spans,
};

/// Of a change that begins.
pub(super) fn span(action: &'static str) -> Span {
    tracing::info_span!(
        target: spans::TARGET,
        "policies",
        otel.name = format!("policies {action}"),
        otel.status_code = Empty,
        sextant.policy.action = action,
        sextant.policy.outcome = Empty,
        sextant.policy.revision = Empty,
        sextant.policy.changed = Empty,
        sextant.policy.policies = Empty,
    )
}

/// What is asked for.
pub(super) fn action(ask: &Ask) -> &'static str {
    match ask {
        Ask::Apply { .. } => "apply",
        Ask::Delete(_) => "delete",
        Ask::SetMode(..) => "set mode",
        Ask::Rollback(_) => "rollback",
        Ask::Undo(_) => "undo",
    }
}

/// What came of a change: the set's revision after it, how many policies it changes, and
/// how many there are then.
pub(super) fn changed(span: &Span, done: &Result<Done, ChangeError>, validates: bool) {
    let Ok(done) = done else {
        return refused(span);
    };
    let steps = done.revision.steps.len();
    let outcome = match steps {
        _ if validates => "validated",
        0 if done.state.revision != done.revision.number => "unchanged",
        _ => "changed",
    };
    span.record("sextant.policy.outcome", outcome);
    span.record("sextant.policy.revision", number(done.state.revision));
    span.record("sextant.policy.changed", steps as i64);
    span.record("sextant.policy.policies", done.state.entries.len() as i64);
}

/// A change is confirmed.
pub(super) fn confirmed(span: &Span, revision: u64) {
    span.record("sextant.policy.outcome", "confirmed");
    span.record("sextant.policy.revision", number(revision));
}

/// There is none.
pub(super) fn refused(span: &Span) {
    span.record("sextant.policy.outcome", "refused");
    span.record("otel.status_code", "ERROR");
}

/// OpenTelemetry's numbers have a sign.
fn number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
