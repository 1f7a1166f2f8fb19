//! A unit or a container as an endpoint in Hubble's terms, so that filters, tools
//! and policies that are made for pods work on it. The rule for names is
//! `docs/who.md`.
//!
//! Bound: `MOST` endpoints are remembered, then all are forgotten; identities have
//! a bound of their own.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cgroup::{Belonging, Container, is_id};
use crate::{
    containers::Named,
    flow::{Endpoint, Interned, Interners, Workload},
    identity::Identities,
};

/// Endpoints that are remembered.
const MOST: usize = 16_384;
/// Digits of an id that stand for it, as engines show it.
const SHORT_ID: usize = 12;
/// Source of labels.
const SOURCE: &str = "sextant";
/// Labels of pods that are their own, or of one roll-out; who it is does not depend on them.
const PASSING: [&str; 2] = ["-hash=", "/pod-name="];
/// Labels that Hubble UI takes the title of a card from.
const TITLES: [&str; 4] = [
    "k8s:app=",
    "k8s:name=",
    "k8s:k8s-app=",
    "k8s:app.kubernetes.io/name=",
];
/// The first number of an endpoint that was found; those below are given by the
/// inventory.
const FIRST_ID: u32 = 1 << 16;

/// An endpoint, and what the engine said when it was made.
type Made = (Interned<Endpoint>, Option<Arc<Named>>);

/// Endpoints of what was found.
pub(super) struct Endpoints {
    identities: Arc<Identities>,
    cluster: String,
    /// By what it is and the executable's name.
    known: FxHashMap<(Belonging, String), Made>,
    /// Numbers by namespace and name.
    ids: FxHashMap<(String, String), u32>,
}

impl Endpoints {
    pub(super) fn new(identities: Arc<Identities>, cluster: String) -> Self {
        Self {
            identities,
            cluster,
            known: FxHashMap::default(),
            ids: FxHashMap::default(),
        }
    }

    /// The endpoint of what a process belongs to; `None` if that is the host.
    pub(super) fn of(
        &mut self,
        belonging: &Belonging,
        named: Option<&Arc<Named>>,
        exe: &str,
        interners: &mut Interners,
    ) -> Option<Interned<Endpoint>> {
        if belonging.container.is_none() && belonging.unit.is_empty() {
            return None;
        }
        let file = exe.rsplit('/').next().unwrap_or_default();
        let key = (belonging.clone(), file.to_owned());
        if let Some((known, as_named)) = self.known.get(&key)
            && is_same(named, as_named.as_ref())
        {
            return Some(known.clone());
        }
        if self.known.len() >= MOST {
            self.known.clear();
            self.ids.clear();
        }
        let endpoint = self.make(belonging, named.map(|named| &**named), file);
        let endpoint = interners.endpoints.intern(endpoint);
        self.known.insert(key, (endpoint.clone(), named.cloned()));
        Some(endpoint)
    }

    fn make(&mut self, belonging: &Belonging, named: Option<&Named>, file: &str) -> Endpoint {
        let Names {
            namespace,
            pod_name,
            workload,
            kind,
        } = names(belonging, named);
        let mut labels = labels(belonging, &namespace, &workload);
        let told = named.map_or(&[][..], |named| &named.labels);
        // Who it is does not depend on what it executes, or of which image it is.
        let who = told.iter().filter(|label| {
            label.starts_with("k8s:") && !PASSING.iter().any(|part| label.contains(part))
        });
        let mut identity = labels.clone();
        identity.extend(who.cloned());
        identity.sort_unstable();
        let identity = self.identities.number(&identity);
        labels.extend_from_slice(told);
        entitle(&mut labels, &workload);
        if !file.is_empty() {
            labels.push(format!("{SOURCE}:exe={file}"));
        }
        labels.sort_unstable();
        let next = FIRST_ID + self.ids.len() as u32;
        let id = *self
            .ids
            .entry((namespace.clone(), pod_name.clone()))
            .or_insert(next);
        Endpoint {
            id,
            identity,
            cluster_name: self.cluster.clone(),
            namespace,
            labels,
            workloads: vec![Workload {
                name: workload,
                kind: kind.into(),
            }],
            pod_name,
        }
    }
}

/// The unit at a path of a cgroup, whose process executes this file; `None` for what is
/// in a container, or in no unit.
pub(super) fn unit_at(path: &str, exe: &str) -> Option<Endpoint> {
    let belonging = Belonging::of(path);
    if belonging.container.is_some() || belonging.unit.is_empty() {
        return None;
    }
    let Names {
        namespace,
        pod_name,
        workload,
        kind,
    } = names(&belonging, None);
    let mut labels = labels(&belonging, &namespace, &workload);
    entitle(&mut labels, &workload);
    let file = exe.rsplit('/').next().filter(|file| !file.is_empty());
    labels.extend(file.map(|file| format!("{SOURCE}:exe={file}")));
    labels.sort_unstable();
    Some(Endpoint {
        namespace,
        pod_name,
        labels,
        workloads: vec![Workload {
            name: workload,
            kind: kind.into(),
        }],
        ..Endpoint::default()
    })
}

/// Whether both are the same word of an engine.
pub(super) fn is_same(one: Option<&Arc<Named>>, other: Option<&Arc<Named>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

struct Names {
    namespace: String,
    pod_name: String,
    workload: String,
    kind: &'static str,
}

fn names(belonging: &Belonging, named: Option<&Named>) -> Names {
    let of_user = belonging.user.map(|user| format!("user-{user}"));
    let Some(container) = &belonging.container else {
        return Names {
            namespace: of_user.unwrap_or_else(|| "system".into()),
            pod_name: belonging.unit.clone(),
            workload: belonging.unit.clone(),
            kind: "Unit",
        };
    };
    let own = match container.is_of_pod {
        true => "kubernetes",
        false => container.engine,
    };
    // Whatever is called how: what is a user's stays that user's.
    let namespace = of_user.or_else(|| named?.namespace.clone());
    let short = short(container);
    Names {
        namespace: namespace.unwrap_or_else(|| own.to_owned()),
        pod_name: named.map_or(short, |named| &named.pod_name).to_owned(),
        workload: named.map_or(short, |named| &named.container).to_owned(),
        kind: "Container",
    }
}

/// The first digits of an id, or the whole of a name.
fn short(container: &Container) -> &str {
    match is_id(&container.id) {
        true => &container.id[..SHORT_ID],
        false => &container.id,
    }
}

/// Hubble UI titles a card by labels that pods have, and shows none without.
fn entitle(labels: &mut Vec<String>, name: &str) {
    let is_title = |label: &String| TITLES.iter().any(|title| label.starts_with(title));
    if !labels.iter().any(is_title) {
        labels.push(format!("k8s:name={name}"));
    }
}

fn labels(belonging: &Belonging, namespace: &str, name: &str) -> Vec<String> {
    let label = |key: &str, value: &str| format!("{SOURCE}:{key}={value}");
    let mut labels = vec![label("namespace", namespace)];
    if let Some(container) = &belonging.container {
        labels.push(label("container", name));
        labels.push(label("engine", container.engine));
    } else {
        labels.push(label("unit", &belonging.unit));
    }
    labels
}
