//! The set and its changes as messages, and errors as gRPC codes.

use std::collections::HashSet;

use sextant_ebpf_common::policy::Entry as MapEntry;
use sextant_flows::flow::Time;
use sextant_policy::{
    policy::{Kind, PolicyId},
    set::Enforcement,
};
use sextant_proto::sextant::policy::v1 as api;
use tonic::{Code, Status};

use super::{
    figures::{Figures, Now},
    typed,
};
use crate::policy::{
    change::{ChangeError, Options},
    database::UNKEPT,
    enforce::{Mode, OUTDATED},
    entry::{Action, ChangeKind, Entry, Revision, Step},
    policies::Done,
    state::{Standing, State},
};

/// Policies that a revision of a list tells.
const MAX_TOLD: usize = 100;

/// A policy.
pub(super) fn policy(
    entry: &Entry,
    state: &State,
    figures: &Figures,
    with_document: bool,
) -> api::Policy {
    let id = &entry.policy.id;
    let is_never = state.rulebook.enforced().enforcement() == Enforcement::Never;
    let (status, error) = match (&state.standing, entry.mode) {
        (_, _) if is_never => (
            api::PolicyState::Disabled,
            "[policy] enforcement is \"never\"".to_owned(),
        ),
        (_, Mode::Disabled) => (api::PolicyState::Disabled, String::new()),
        (Standing::Active(_), _) => (api::PolicyState::Active, String::new()),
        (Standing::Failed(error), _) => (api::PolicyState::Failed, error.clone()),
    };
    api::Policy {
        kind: kind(id.kind).into(),
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        document: match with_document {
            true => entry.document.to_string(),
            false => String::new(),
        },
        mode: mode(entry.mode).into(),
        revision: entry.revision,
        created: Some(entry.created.into()),
        updated: Some(entry.updated.into()),
        status: Some(api::PolicyStatus {
            state: status.into(),
            error,
            selected_endpoints: figures.known.selected(&entry.policy),
            rules: entry.rules() as u32,
            map_entries: figures.entries(id),
            map_bytes: figures.entries(id) * size_of::<MapEntry>() as u64,
            hits: figures.hits(id),
        }),
        specs: match with_document {
            true => typed::specs(id.kind, &entry.document),
            false => Vec::new(),
        },
    }
}

/// State of the set: as it is in force now, or, where that is not asked for, as it was put
/// there.
pub(super) fn set_status(state: &State, now: Option<&Now>) -> api::SetStatus {
    let is_idle = state.rulebook.is_idle();
    let in_force = now.and_then(|now| now.in_force.as_ref());
    let outdated = in_force.and_then(|now| now.outdated.as_ref());
    let outdated = outdated.map(|why| format!("{OUTDATED}: {why}"));
    let unkept = now.and_then(|now| now.unkept.as_ref());
    let unkept = unkept.map(|why| format!("{UNKEPT}: {why}"));
    let (standing, error, cost) = match &state.standing {
        Standing::Failed(error) => (api::PolicyState::Failed, error.clone(), None),
        Standing::Active(cost) => {
            let cost = in_force.map_or(*cost, |now| now.cost);
            let standing = match is_idle {
                true => api::PolicyState::Disabled,
                false => api::PolicyState::Active,
            };
            (
                standing,
                unkept.or(outdated).unwrap_or_default(),
                Some(cost),
            )
        }
    };
    let cost = cost.unwrap_or_default();
    let confirm_by = state.pending.map(|pending| pending.deadline.into());
    api::SetStatus {
        revision: state.revision,
        state: standing.into(),
        error,
        map_entries: cost.entries,
        map_bytes: cost.bytes,
        selected_endpoints: cost.selected,
        confirm_by,
        policies: state.entries.len() as u32,
    }
}

/// What a change did, and which of the `given` it left alone, as they are in `state`.
pub(super) fn changes(
    revision: &Revision,
    given: &[PolicyId],
    state: &State,
) -> Vec<api::PolicyChange> {
    let steps = revision.steps.iter();
    let mut told: Vec<_> = steps.map(of_step).collect();
    let changed: HashSet<_> = revision.steps.iter().map(|step| &step.id).collect();
    let same = given.iter().filter(|id| !changed.contains(id));
    told.extend(same.map(|id| {
        let entry = state.entries.get(id);
        let is = entry.map_or(0, |entry| mode(entry.mode).into());
        (id, change(id, api::PolicyAction::Unchanged, [is, is]))
    }));
    told.sort_unstable_by_key(|(id, _)| *id);
    told.into_iter().map(|(_, change)| change).collect()
}

fn of_step(step: &Step) -> (&PolicyId, api::PolicyChange) {
    let modes = [&step.before, &step.after];
    let modes = modes.map(|entry| entry.as_ref().map_or(0, |entry| mode(entry.mode).into()));
    (&step.id, change(&step.id, action(step.action), modes))
}

fn change(
    id: &PolicyId,
    action: api::PolicyAction,
    [before, after]: [i32; 2],
) -> api::PolicyChange {
    api::PolicyChange {
        policy: Some(reference(id)),
        action: action.into(),
        mode: after,
        mode_before: before,
        warnings: Vec::new(),
    }
}

/// Changes that were made.
pub(super) fn revisions(
    revisions: &[Revision],
    oldest: u64,
    state: &State,
) -> api::ListRevisionsResponse {
    api::ListRevisionsResponse {
        revisions: revisions
            .iter()
            .map(|one| revision(one, state, MAX_TOLD))
            .collect(),
        oldest,
    }
}

/// A change that was made, with so many of its policies.
pub(super) fn revision(revision: &Revision, state: &State, most: usize) -> api::Revision {
    let mut changes = changes(revision, &[], state);
    changes.truncate(most);
    let pending = state.pending.map(|pending| pending.revision);
    api::Revision {
        revision: revision.number,
        time: Some(revision.time.into()),
        who: revision.who.clone(),
        kind: match revision.kind {
            ChangeKind::Apply => api::ChangeKind::Apply,
            ChangeKind::Delete => api::ChangeKind::Delete,
            ChangeKind::SetMode => api::ChangeKind::SetMode,
            ChangeKind::Rollback { .. } => api::ChangeKind::Rollback,
            ChangeKind::NotConfirmed { .. } => api::ChangeKind::NotConfirmed,
        }
        .into(),
        changes,
        policies: revision.steps.len() as u32,
        confirm_by: revision.confirm_by.map(Time::into),
        waits: pending == Some(revision.number),
        rolled_back_to: match revision.kind {
            ChangeKind::Rollback { to } => to,
            ChangeKind::NotConfirmed { change } => change - 1,
            _ => 0,
        },
    }
}

/// What the audit log has of a change.
pub(super) fn summary(done: &Done, options: &Options) -> String {
    let count = |action| {
        let steps = done.revision.steps.iter();
        steps.filter(|step| step.action == action).count()
    };
    let [created, updated, deleted] =
        [Action::Created, Action::Updated, Action::Deleted].map(count);
    let revision = done.revision.number;
    let mut text = match (options.validate_only, done.revision.steps.is_empty()) {
        (true, _) => "validated".to_owned(),
        (false, true) => "nothing to change".to_owned(),
        (false, false) => format!("revision {revision}"),
    };
    text += &format!(": {created} created, {updated} updated, {deleted} deleted");
    if let Some(within) = options.confirm_within {
        text += &format!(", to be confirmed within {within:?}");
    }
    if options.force {
        text += ", forced";
    }
    text
}

/// Which policy.
pub(super) fn reference(id: &PolicyId) -> api::PolicyReference {
    api::PolicyReference {
        kind: kind(id.kind).into(),
        namespace: id.namespace.clone(),
        name: id.name.clone(),
    }
}

fn kind(kind: Kind) -> api::PolicyKind {
    match kind {
        Kind::Cilium => api::PolicyKind::CiliumNetworkPolicy,
        Kind::CiliumClusterwide => api::PolicyKind::CiliumClusterwideNetworkPolicy,
        Kind::Kubernetes => api::PolicyKind::NetworkPolicy,
    }
}

/// How far a policy goes.
pub(super) fn mode(mode: Mode) -> api::PolicyMode {
    match mode {
        Mode::Enforce => api::PolicyMode::Enforce,
        Mode::Audit => api::PolicyMode::Audit,
        Mode::Disabled => api::PolicyMode::Disabled,
    }
}

fn action(action: Action) -> api::PolicyAction {
    match action {
        Action::Created => api::PolicyAction::Created,
        Action::Updated => api::PolicyAction::Updated,
        Action::Deleted => api::PolicyAction::Deleted,
    }
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        let code = match &error {
            ChangeError::NotFound(_) | ChangeError::NotKept { .. } => Code::NotFound,
            ChangeError::Ambiguous(..) => Code::InvalidArgument,
            ChangeError::Conflict { .. } => Code::Aborted,
            ChangeError::Pending(_)
            | ChangeError::NotPending(_)
            | ChangeError::NeverConfirmed(_)
            | ChangeError::Enforce(_)
            | ChangeError::LockedOut(_)
            | ChangeError::NoDatabase(_) => Code::FailedPrecondition,
            ChangeError::TooLarge { .. } | ChangeError::Busy(_) => Code::ResourceExhausted,
            ChangeError::Database(_) => Code::Unavailable,
            ChangeError::Internal(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}
