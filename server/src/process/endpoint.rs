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
    flow::{Endpoint, Interned, Interners, Workload},
    identity::Identities,
};

/// Endpoints that are remembered.
const MOST: usize = 16_384;
/// Digits of an id that stand for it, as engines show it.
const SHORT_ID: usize = 12;
/// Source of labels.
const SOURCE: &str = "sextant";
/// The first number of an endpoint that was found; those below are given by the
/// inventory.
const FIRST_ID: u32 = 1 << 16;

/// Endpoints of what was found.
pub(super) struct Endpoints {
    identities: Arc<Identities>,
    cluster: String,
    /// By what it is and the executable's name.
    known: FxHashMap<(Belonging, String), Interned<Endpoint>>,
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
        exe: &str,
        interners: &mut Interners,
    ) -> Option<Interned<Endpoint>> {
        if belonging.container.is_none() && belonging.unit.is_empty() {
            return None;
        }
        let file = exe.rsplit('/').next().unwrap_or_default();
        let key = (belonging.clone(), file.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        if self.known.len() >= MOST {
            self.known.clear();
            self.ids.clear();
        }
        let endpoint = interners.endpoints.intern(self.make(belonging, file));
        self.known.insert(key, endpoint.clone());
        Some(endpoint)
    }

    fn make(&mut self, belonging: &Belonging, file: &str) -> Endpoint {
        let (namespace, name, kind) = name_of(belonging);
        let mut labels = labels(belonging, &namespace, &name);
        labels.sort_unstable();
        // Who it is does not depend on what it executes.
        let identity = self.identities.number(&labels);
        if !file.is_empty() {
            labels.push(format!("{SOURCE}:exe={file}"));
            labels.sort_unstable();
        }
        let next = FIRST_ID + self.ids.len() as u32;
        let id = *self
            .ids
            .entry((namespace.clone(), name.clone()))
            .or_insert(next);
        Endpoint {
            id,
            identity,
            cluster_name: self.cluster.clone(),
            namespace,
            labels,
            workloads: vec![Workload {
                name: name.clone(),
                kind: kind.into(),
            }],
            pod_name: name,
        }
    }
}

/// Namespace, name and kind.
fn name_of(belonging: &Belonging) -> (String, String, &'static str) {
    match &belonging.container {
        Some(container) => {
            let namespace = match (belonging.user, container.is_of_pod) {
                (Some(user), _) => format!("user-{user}"),
                (None, true) => "kubernetes".into(),
                (None, false) => container.engine.into(),
            };
            (namespace, short(container).to_owned(), "Container")
        }
        None => {
            let namespace = match belonging.user {
                Some(user) => format!("user-{user}"),
                None => "system".into(),
            };
            (namespace, belonging.unit.clone(), "Unit")
        }
    }
}

/// The first digits of an id, or the whole of a name.
fn short(container: &Container) -> &str {
    match is_id(&container.id) {
        true => &container.id[..SHORT_ID],
        false => &container.id,
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
