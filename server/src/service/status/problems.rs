//! What is not as it should be: losses of late, interfaces that are not wholly observed,
//! programs that are gone, policies and exporters. What is over is told for a minute.

use std::time::{Duration, SystemTime};

use sextant_proto::sextant::status::v1 as api;

use super::DatapathParts;
use crate::{
    audit,
    datapath::{InterfaceCount, Loss, Unobserved},
    export::State,
    flow::Time,
    policy::{database::UNKEPT, enforce::OUTDATED, policies::Policies, state::Standing},
};

/// So long after it was last seen a problem is told.
const RECENT: Duration = Duration::from_secs(60);
/// A change that is not confirmed is undone in this time.
const UNDONE: Duration = Duration::from_secs(2);

/// All of them.
pub(super) fn of(parts: &DatapathParts) -> Vec<api::Problem> {
    let losses = parts.losses.recent().into_iter().map(loss);
    let unobserved = parts.counters.unobserved();
    let unobserved = unobserved.iter().map(not_observed);
    let attached = parts.counters.interfaces();
    let now = SystemTime::now();
    let attached = attached
        .iter()
        .flat_map(|interface| not_wholly_observed(interface, now));
    let missing = parts.counters.missing().into_iter();
    let missing = missing.map(|text| problem(api::ProblemKind::Program, text, None));
    losses
        .chain(unobserved)
        .chain(attached)
        .chain(missing)
        .collect()
}

/// Policies that should be in force and are not, or are not kept.
pub(super) fn of_policies(policies: &Policies) -> Vec<api::Problem> {
    let unkept = policies.unkept().map(|why| format!("{UNKEPT}: {why}"));
    let texts = not_in_force(policies).into_iter().chain(unkept);
    texts
        .map(|text| problem(api::ProblemKind::Policy, text, None))
        .collect()
}

fn not_in_force(policies: &Policies) -> Option<String> {
    let state = policies.state();
    match &state.standing {
        Standing::Active(_) => {
            if let Some(why) = policies.in_force().and_then(|now| now.outdated) {
                return Some(format!("the policies are {OUTDATED}: {why}"));
            }
            let pending = state
                .pending
                .filter(|pending| is_long_over(pending.deadline))?;
            Some(format!(
                "revision {} was not confirmed in time: the set before it is in force again, and it cannot be undone where policies are kept; it is tried again, see the log",
                pending.revision
            ))
        }
        Standing::Failed(why) => Some(format!("the policies are not in force: {why}")),
    }
}

fn is_long_over(deadline: Time) -> bool {
    let over = Time::now().as_nanos().saturating_sub(deadline.as_nanos());
    u64::try_from(over).is_ok_and(|over| Duration::from_nanos(over) > UNDONE)
}

/// An exporter that cannot write, or dropped something of late.
pub(super) fn of_exporter(exporter: &State) -> Option<api::Problem> {
    let problem = |text, last| problem(api::ProblemKind::Export, text, last);
    let name = &exporter.name;
    if let (false, Some((time, error))) = (exporter.is_up, &exporter.last_error) {
        let text = format!("the exporter {name} does not write: {error}");
        return Some(problem(text, Some(*time)));
    }
    let now = SystemTime::now();
    let is_recent = |at: &SystemTime| now.duration_since(*at).is_ok_and(|since| since < RECENT);
    let last = exporter.last_drop.filter(is_recent)?;
    let dropped: u64 = exporter.dropped.iter().sum();
    let text = format!("the exporter {name} dropped {dropped} events since the start");
    Some(problem(text, Some(last)))
}

/// An audit log that cannot be written.
pub(super) fn of_audit(audit: &audit::Log) -> Option<api::Problem> {
    let why = audit.trouble()?;
    let text = format!("the audit log is not written: {why}");
    Some(problem(api::ProblemKind::Audit, text, None))
}

/// Degraded by any problem.
pub(super) fn state(problems: &[api::Problem]) -> api::State {
    match problems {
        [] => api::State::Ok,
        _ => api::State::Degraded,
    }
}

fn loss(loss: Loss) -> api::Problem {
    api::Problem {
        kind: api::ProblemKind::Loss.into(),
        text: loss.text,
        since: Some(loss.since.into()),
        last: Some(loss.last.into()),
    }
}

fn of_interface(text: String, last: Option<SystemTime>) -> api::Problem {
    problem(api::ProblemKind::Interface, text, last)
}

/// One of which the beginning is not known.
pub(super) fn problem(
    kind: api::ProblemKind,
    text: String,
    last: Option<SystemTime>,
) -> api::Problem {
    api::Problem {
        kind: kind.into(),
        text,
        since: None,
        last: last.map(Into::into),
    }
}

fn not_observed(interface: &Unobserved) -> api::Problem {
    let Unobserved { name, reason } = interface;
    of_interface(format!("{name} is not observed: {reason}"), None)
}

fn not_wholly_observed(interface: &InterfaceCount, now: SystemTime) -> Vec<api::Problem> {
    let name = &interface.name;
    let mut problems = Vec::new();
    if let Some(failure) = &interface.failure {
        let text = format!("{name} is not wholly observed: {failure}");
        problems.push(of_interface(text, None));
    }
    let unseen_at = interface
        .unseen_at
        .filter(|at| now.duration_since(*at).is_ok_and(|since| since < RECENT));
    let ways = ["ingress", "egress"].into_iter().zip(&interface.ahead);
    for ((way, ahead), unseen) in ways.zip(interface.unseen) {
        if !ahead.is_empty() {
            let programs = ahead.join(", ");
            let text = format!("{programs} may hide packets on {way} of {name}");
            problems.push(of_interface(text, None));
        }
        if unseen > 0 && unseen_at.is_some() {
            let text = format!("{unseen} packets on {way} of {name} were seen by no program");
            problems.push(of_interface(text, unseen_at));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ahead: &[&str], unseen: u64, seconds_ago: u64) -> InterfaceCount {
        let ahead: Vec<String> = ahead.iter().map(|name| (*name).to_owned()).collect();
        InterfaceCount {
            index: 1,
            name: "vb".into(),
            hook: "tcx",
            since: SystemTime::UNIX_EPOCH,
            packets: [9; 2],
            bytes: [9; 2],
            unseen: [0, unseen],
            unseen_at: Some(SystemTime::now() - Duration::from_secs(seconds_ago)),
            ahead: [ahead, Vec::new()],
            failure: None,
        }
    }

    fn texts(interface: &InterfaceCount) -> Vec<String> {
        let problems = not_wholly_observed(interface, SystemTime::now());
        problems.into_iter().map(|problem| problem.text).collect()
    }

    #[test]
    fn interfaces_that_are_not_wholly_observed_degrade() {
        assert!(texts(&interface(&[], 0, 1)).is_empty());
        assert_eq!(
            texts(&interface(&["foreign"], 1234, 1)),
            [
                "foreign may hide packets on ingress of vb",
                "1234 packets on egress of vb were seen by no program"
            ]
        );
        let failed = InterfaceCount {
            failure: Some("no".into()),
            ..interface(&[], 0, 1)
        };
        assert_eq!(texts(&failed), ["vb is not wholly observed: no"]);
    }

    #[test]
    fn a_gap_is_told_for_a_minute() {
        assert_eq!(texts(&interface(&[], 7, 59)).len(), 1);
        assert!(texts(&interface(&[], 7, 61)).is_empty());
    }

    #[test]
    fn any_problem_degrades() {
        assert_eq!(state(&[]), api::State::Ok);
        let problem = of_interface("v".into(), None);
        assert_eq!(state(&[problem]), api::State::Degraded);
    }
}
