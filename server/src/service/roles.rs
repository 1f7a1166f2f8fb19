//! Which role each RPC needs: the one table. A test holds it against what
//! reflection lists, so that no RPC is without a line.

use crate::config::Role;

/// What it takes to call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Whoever is connected; it tells nothing of flows.
    Nothing,
    /// A role, and how much of what a viewer may see it shows.
    Role(Role, Scope),
}

/// What an RPC has to do with what its caller sees of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// It tells nothing of flows.
    NoFlows,
    /// It shows what is in view.
    View,
    /// It cannot be limited: for those who see everything.
    Everything,
}

const VIEWER: Need = Need::Role(Role::Viewer, Scope::NoFlows);
const IN_VIEW: Need = Need::Role(Role::Viewer, Scope::View);
const POLICY_ADMIN: Need = Need::Role(Role::PolicyAdmin, Scope::NoFlows);
const EVERYTHING: Need = Need::Role(Role::Viewer, Scope::Everything);

const NEEDS: &[(&str, Need)] = &[
    ("grpc.health.v1.Health/Check", Need::Nothing),
    ("grpc.health.v1.Health/Watch", Need::Nothing),
    (
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        VIEWER,
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        VIEWER,
    ),
    ("observer.Observer/GetAgentEvents", EVERYTHING),
    ("observer.Observer/GetDebugEvents", EVERYTHING),
    ("observer.Observer/GetFlows", IN_VIEW),
    ("observer.Observer/GetNamespaces", IN_VIEW),
    ("observer.Observer/GetNodes", VIEWER),
    ("observer.Observer/ServerStatus", VIEWER),
    ("peer.Peer/Notify", VIEWER),
    (
        "sextant.audit.v1.AuditService/ListAudit",
        Need::Role(Role::Operator, Scope::NoFlows),
    ),
    ("sextant.flow.v1.FlowService/ListFilterHints", IN_VIEW),
    ("sextant.flow.v1.FlowService/ListNames", EVERYTHING),
    (
        "sextant.flow.v1.FlowService/RecordFlows",
        Need::Role(Role::Recorder, Scope::NoFlows),
    ),
    ("sextant.flow.v1.FlowService/SummarizeFlows", IN_VIEW),
    ("sextant.flow.v1.FlowService/WatchFlowSummary", IN_VIEW),
    ("sextant.policy.v1.PolicyService/Apply", POLICY_ADMIN),
    ("sextant.policy.v1.PolicyService/Confirm", POLICY_ADMIN),
    ("sextant.policy.v1.PolicyService/Delete", POLICY_ADMIN),
    ("sextant.policy.v1.PolicyService/Evaluate", IN_VIEW),
    ("sextant.policy.v1.PolicyService/Explain", IN_VIEW),
    ("sextant.policy.v1.PolicyService/Get", VIEWER),
    ("sextant.policy.v1.PolicyService/List", VIEWER),
    ("sextant.policy.v1.PolicyService/ListHits", VIEWER),
    ("sextant.policy.v1.PolicyService/ListRevisions", VIEWER),
    ("sextant.policy.v1.PolicyService/Rollback", POLICY_ADMIN),
    ("sextant.policy.v1.PolicyService/SetMode", POLICY_ADMIN),
    ("sextant.policy.v1.PolicyService/Simulate", IN_VIEW),
    ("sextant.policy.v1.PolicyService/Suggest", IN_VIEW),
    ("sextant.policy.v1.PolicyService/Watch", VIEWER),
    ("sextant.status.v1.StatusService/GetStatus", VIEWER),
    ("sextant.status.v1.StatusService/WatchStatus", VIEWER),
];

/// What a path needs; none where there is no such RPC.
pub(super) fn need(path: &str) -> Option<Need> {
    let name = path.strip_prefix('/')?;
    let index = NEEDS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(NEEDS[index].1)
}

/// Whether the RPC at a path changes something.
pub(super) fn writes(path: &str) -> bool {
    matches!(
        need(path),
        Some(Need::Role(Role::Recorder | Role::PolicyAdmin, _))
    )
}

/// All paths.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (String, Need)> {
    NEEDS.iter().map(|(name, need)| (format!("/{name}"), *need))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_that_reflection_lists_has_its_line_and_no_other() {
        let rpcs = crate::service::methods::all().into_iter();
        let mut names: Vec<String> = rpcs.map(|(name, _)| name).collect();
        names.sort_unstable();
        let lines: Vec<_> = NEEDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(lines, names);
        assert_eq!(
            need("/sextant.flow.v1.FlowService/RecordFlows"),
            Some(Need::Role(Role::Recorder, Scope::NoFlows))
        );
        assert_eq!(need("/observer.Observer/Nope"), None);
        let recorder = Need::Role(Role::Recorder, Scope::NoFlows);
        let mut expect = vec![(
            "/sextant.flow.v1.FlowService/RecordFlows".to_owned(),
            recorder,
        )];
        let of_policies = ["Apply", "Confirm", "Delete", "Rollback", "SetMode"];
        expect.extend(of_policies.map(|method| {
            let path = format!("/sextant.policy.v1.PolicyService/{method}");
            (path, POLICY_ADMIN)
        }));
        let writing: Vec<_> = all().filter(|(path, _)| writes(path)).collect();
        assert_eq!(writing, expect);
    }
}
