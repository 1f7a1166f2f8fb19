//! Namespaces that flows had lately, for `GetNamespaces`.
//!
//! As in Hubble, they are given under the node's own cluster, which is left out
//! when it is the default one, and are forgotten an hour after they were last
//! seen. Bound: one entry for each namespace.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::sides;
use crate::flow::Flow;

/// How long a namespace is remembered.
const KEEP: Duration = Duration::from_secs(3600);

/// The namespaces; clones share them.
#[derive(Clone, Debug)]
pub struct Namespaces {
    cluster: String,
    seen: Arc<Mutex<BTreeMap<String, Instant>>>,
    /// Namespaces of the batch at hand.
    batch: HashSet<String, RandomState>,
}

impl Namespaces {
    /// Namespaces of this cluster.
    #[must_use]
    pub fn new(cluster: String) -> Self {
        Self {
            cluster: if cluster == "default" {
                String::new()
            } else {
                cluster
            },
            seen: Arc::default(),
            batch: HashSet::default(),
        }
    }

    /// Cluster and namespace, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<(String, String)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, last| last.elapsed() < KEEP);
        seen.keys()
            .map(|namespace| (self.cluster.clone(), namespace.clone()))
            .collect()
    }

    pub(super) fn see(&mut self, flow: &Flow) {
        for side in sides(flow) {
            if !side.namespace.is_empty() && !self.batch.contains(&side.namespace) {
                self.batch.insert(side.namespace.clone());
            }
        }
    }

    pub(super) fn publish(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for namespace in self.batch.drain() {
            seen.insert(namespace, now);
        }
    }
}
