//! Namespaces that flows had lately, for `GetNamespaces`.
//!
//! As in Hubble, they are given under the node's own cluster, which is left out
//! when it is the default one, and are forgotten an hour after they were last
//! seen. Bound: `MAX` namespaces; of more, those not seen for longest are
//! forgotten, and counted.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::sides;
use crate::flow::Flow;

/// How long a namespace is remembered.
const KEEP: Duration = Duration::from_secs(3600);
/// Namespaces that are remembered at most: an answer with all of them, of the
/// longest names that Kubernetes allows, is less than what gRPC clients take.
const MAX: usize = 16_384;
/// How many of them are forgotten at once, so that each costs little.
const FORGET: usize = MAX / 8;
/// Longest name that is remembered; Kubernetes allows 63 bytes.
const MAX_NAME: usize = 128;

/// The namespaces; clones share them.
#[derive(Clone, Debug)]
pub struct Namespaces {
    cluster: String,
    seen: Arc<Mutex<BTreeMap<String, Instant>>>,
    /// Namespaces that there was no room for.
    forgotten: Arc<AtomicU64>,
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
            forgotten: Arc::default(),
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

    /// How many were forgotten, or never remembered, for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }

    pub(super) fn see(&mut self, flow: &Flow) {
        for side in sides(flow) {
            if side.namespace.len() > MAX_NAME {
                self.forgotten.fetch_add(1, Relaxed);
            } else if !side.namespace.is_empty() && !self.batch.contains(&side.namespace) {
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
            if seen.len() >= MAX && !seen.contains_key(&namespace) {
                let forgotten = forget_oldest(&mut seen);
                self.forgotten.fetch_add(forgotten, Relaxed);
            }
            seen.insert(namespace, now);
        }
    }
}

/// Forgets those not seen for longest; how many these are.
fn forget_oldest(seen: &mut BTreeMap<String, Instant>) -> u64 {
    let mut times: Vec<Instant> = seen.values().copied().collect();
    let (_, last, _) = times.select_nth_unstable(FORGET - 1);
    let (last, before) = (*last, seen.len());
    // Of equal age, no more than so many.
    let mut rest = FORGET;
    seen.retain(|_, time| {
        let goes = *time <= last && rest > 0;
        rest -= usize::from(goes);
        !goes
    });
    (before - seen.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Endpoint, Interned};

    fn see(namespaces: &mut Namespaces, name: String) {
        let source = Endpoint {
            namespace: name,
            ..Endpoint::default()
        };
        namespaces.see(&Flow {
            source: Some(Interned::from(source)),
            ..Flow::default()
        });
    }

    #[test]
    fn of_ever_new_namespaces_the_latest_are_told_and_the_others_counted() {
        let mut namespaces = Namespaces::new("default".into());
        let count = 3 * MAX;
        for n in 0..count {
            see(&mut namespaces, format!("ns-{n}"));
            if n % 64 == 63 {
                namespaces.publish();
            }
        }
        let list = namespaces.list();
        assert!((MAX - FORGET..=MAX).contains(&list.len()), "{}", list.len());
        assert_eq!(namespaces.forgotten() as usize, count - list.len());
        let latest = (String::new(), format!("ns-{}", count - 1));
        assert!(list.contains(&latest));
    }

    #[test]
    fn a_name_that_is_none_is_not_told_but_counted() {
        let mut namespaces = Namespaces::new("default".into());
        see(&mut namespaces, "n".repeat(MAX_NAME + 1));
        see(&mut namespaces, "n".repeat(MAX_NAME));
        namespaces.publish();
        assert_eq!((namespaces.list().len(), namespaces.forgotten()), (1, 1));
    }
}
