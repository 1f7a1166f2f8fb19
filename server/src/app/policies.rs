//! The set of policies: what puts it in force, and the service over it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use sextant_policy::policy::PolicyId;
use sextant_proto::flow as pb;
use tonic::Code;

use super::{
    Core,
    datapath::{Enforceable, RunningDatapath},
    lock,
};
use crate::{
    audit::Record,
    datapath::Predecessors,
    policy::{
        ends::Ends,
        enforce::{Enforce, Nowhere},
        enforcer::{Enforcer, Sources},
        entry::{Action, ChangeKind, Revision},
        guard::Guard,
        policies::{Parts, Policies},
        verdicts::Verdicts,
    },
    process::Groups,
    service::{Limits, PolicyServiceServer, PolicySetService},
};

/// After so long policies are in force for all who are known at the start.
const SETTLED: Duration = Duration::from_secs(4);

/// What puts policies in force, and follows the host.
fn enforce(core: &Core, datapath: Option<&mut RunningDatapath>) -> Arc<dyn Enforce> {
    let nowhere = |why: &str| Arc::new(Nowhere { why: why.into() });
    let Some(datapath) = datapath else {
        return nowhere("the datapath is off (--no-datapath)");
    };
    let groups = datapath.groups();
    let Some(Enforceable { tables, slots }) = datapath.take_enforceable() else {
        return nowhere("the tables of policies are taken");
    };
    let sources = Sources {
        identities: Arc::clone(&core.identities),
        links: Arc::clone(&core.known_links),
        ends: ends(core, groups.clone()),
        groups,
        slots,
    };
    let verdicts = Verdicts::default();
    lock(&core.pipeline).know_verdicts(verdicts.clone());
    let enforcer = Enforcer::new(tables, sources, verdicts);
    tokio::spawn(enforcer.clone().follow(core.draining.subscribe()));
    Arc::new(enforcer)
}

/// The set, in force where it can be.
pub(super) async fn open(
    core: &Core,
    datapath: Option<&mut RunningDatapath>,
) -> anyhow::Result<Policies> {
    let (config, pipeline) = (&core.config, Arc::clone(&core.pipeline));
    let audit = core.audit.clone();
    let predecessors = datapath.as_ref().map(|datapath| datapath.predecessors());
    let groups = datapath.as_ref().map(|datapath| datapath.groups());
    let parts = Parts {
        enforce: enforce(core, datapath),
        enforcement: config.policy.enforcement,
        guard: Guard::new(
            ends(core, groups.unwrap_or_default()),
            config.policy.management.clone(),
        ),
        told: Box::new(move |revision| {
            for event in events(revision) {
                lock(&pipeline).tell(event);
            }
            if let ChangeKind::NotConfirmed { change } = revision.kind {
                audit.record(undone(revision, change));
            }
        }),
    };
    let folder = config.state_dir.clone();
    let opened = tokio::task::spawn_blocking(move || Policies::open(&folder, parts)).await;
    let policies = opened.context("opening the set of policies")?;
    if let Some(predecessors) = predecessors {
        tokio::spawn(let_go(predecessors));
    }
    Ok(policies)
}

/// What was in force before stays so beside what is now, until that is complete.
async fn let_go(predecessors: Predecessors) {
    tokio::time::sleep(SETTLED).await;
    let removed = tokio::task::spawn_blocking(move || predecessors.remove()).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "what an earlier sextantd kept in force is not removed; remove it by hand, below [policy] pins");
    }
}

/// The service over it.
pub(super) fn service(
    core: &Core,
    policies: &Policies,
    groups: Groups,
    limits: Limits,
) -> PolicyServiceServer<PolicySetService> {
    let ends = ends(core, groups);
    let service = PolicySetService::new(policies.clone(), ends, core.ring.clone(), limits);
    service.into_server(core.config.server.max_request_bytes)
}

/// Who is who to policies.
fn ends(core: &Core, groups: Groups) -> Ends {
    Ends::new(core.identities.snapshot(), &core.config.node_labels, groups)
}

/// For the audit log, which has calls otherwise: this one nobody made.
fn undone(revision: &Revision, change: u64) -> Record {
    let (number, policies) = (revision.number, revision.steps.len());
    Record {
        time: revision.time,
        who: revision.who.clone(),
        from: String::new(),
        method: String::new(),
        what: format!(
            "revision {number}: undoes revision {change}, which was not confirmed, {policies} policies"
        ),
        code: Code::Ok,
        message: String::new(),
    }
}

/// Hubble's events of agents.
fn events(revision: &Revision) -> impl Iterator<Item = pb::AgentEvent> {
    revision.steps.iter().map(|step| {
        let (kind, rules) = match step.action {
            Action::Deleted => (pb::AgentEventType::PolicyDeleted, 0),
            _ => (
                pb::AgentEventType::PolicyUpdated,
                step.after.as_ref().map_or(0, |entry| entry.rules()),
            ),
        };
        pb::AgentEvent {
            r#type: kind.into(),
            notification: Some(pb::agent_event::Notification::PolicyUpdate(
                pb::PolicyUpdateNotification {
                    labels: labels(&step.id),
                    revision: revision.number,
                    rule_count: rules as i64,
                },
            )),
        }
    })
}

/// The labels that Cilium gives the rules of a policy.
fn labels(id: &PolicyId) -> Vec<String> {
    let mut labels = vec![format!("k8s:io.cilium.k8s.policy.derived-from={}", id.kind)];
    labels.push(format!("k8s:io.cilium.k8s.policy.name={}", id.name));
    if !id.namespace.is_empty() {
        let namespace = &id.namespace;
        labels.push(format!("k8s:io.cilium.k8s.policy.namespace={namespace}"));
    }
    labels
}
