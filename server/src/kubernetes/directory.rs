//! What is known of the cluster, by all who ask: endpoints for `identity`, services for
//! the pipeline, the state for people.
//!
//! A pod that is gone keeps its address for `LINGER`, since the ends of its flows come
//! after it; whoever has the address next takes it at once. Bound: that of the tables,
//! `MOST_GONE` pods that are gone, `MOST_NEWS` events that nobody took yet.

use std::{
    collections::{HashSet, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    known::{KnownNamespace, KnownNode, KnownPod, KnownService},
    labels,
    table::{Change, Key, Record, Table},
};
use crate::{
    config::KubernetesKind,
    flow::Endpoint,
    identity::{Draft, News, Provider, reserved},
};

/// As long as a flow may be silent before it counts as ended, and a little.
pub(super) const LINGER: Duration = Duration::from_secs(70);
const MOST_GONE: usize = 4096;
const MOST_NEWS: usize = 4096;
/// The first number of a pod of this node as an endpoint; those below are others'.
const FIRST_ID: u32 = 1 << 24;

/// The cluster, as far as it is known; clones share it.
#[derive(Clone)]
pub struct Kubernetes(Arc<Shared>);

struct Shared {
    cluster: String,
    node: String,
    inner: Mutex<Inner>,
    /// Rises when services changed.
    services: AtomicU64,
    changed: Notify,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) pods: Table<KnownPod>,
    pub(super) services: Table<KnownService>,
    pub(super) nodes: Table<KnownNode>,
    pub(super) namespaces: Table<KnownNamespace>,
    gone: VecDeque<(Instant, Key, Arc<KnownPod>)>,
    news: Vec<News>,
    watches: [Watch; KubernetesKind::ALL.len()],
}

#[derive(Clone, Debug, Default)]
struct Watch {
    state: WatchState,
    failures: u64,
}

/// How it is with the watch of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchState {
    /// Nobody wants to know.
    #[default]
    Off,
    /// The first list is not complete yet.
    Starting,
    /// What is known is as it is.
    Following,
    /// It failed and is tried again, and why.
    Failing(String),
}

/// What became of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindStatus {
    /// Which.
    pub kind: KubernetesKind,
    /// How it is now.
    pub state: WatchState,
    /// Objects that are known.
    pub objects: u64,
    /// Objects that found no room since the last list.
    pub left_out: u64,
    /// Lists and watches that failed.
    pub failures: u64,
}

impl Kubernetes {
    /// The cluster of this name, from this node of it.
    #[must_use]
    pub fn new(cluster: String, node: String) -> Self {
        Self(Arc::new(Shared {
            cluster,
            node,
            inner: Mutex::default(),
            services: AtomicU64::new(0),
            changed: Notify::new(),
        }))
    }

    /// Whether there is a pod of this name.
    #[must_use]
    pub fn has_pod(&self, namespace: &str, name: &str) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().pods.get(&key).is_some()
    }

    /// Rises when services changed.
    #[must_use]
    pub fn services_version(&self) -> u64 {
        self.0.services.load(Relaxed)
    }

    /// Looks at what services are called by: address, `None` for those of each node,
    /// protocol, port, namespace and name.
    pub fn each_service(&self, mut look: impl FnMut(Option<IpAddr>, u8, u16, &str, &str)) {
        for ((namespace, name), service) in self.lock().services.iter() {
            for (protocol, port) in &service.ports {
                for address in &service.addresses {
                    look(Some(*address), *protocol, *port, namespace, name);
                }
            }
            for (protocol, port) in &service.node_ports {
                look(None, *protocol, *port, namespace, name);
            }
        }
    }

    /// Nodes with the address at which others reach them, by name.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, IpAddr)> {
        let inner = self.lock();
        let nodes = inner.nodes.iter();
        let nodes =
            nodes.filter_map(|((_, name), node)| Some((name.clone(), *node.addresses.first()?)));
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_unstable();
        nodes
    }

    /// What became of each kind; nothing where nobody wants to know of any.
    #[must_use]
    pub fn kinds(&self) -> Vec<KindStatus> {
        let inner = self.lock();
        let all = KubernetesKind::ALL.into_iter();
        let all = all.filter_map(|kind| {
            let watch = &inner.watches[kind as usize];
            let (objects, left_out) = inner.counts(kind);
            (watch.state != WatchState::Off).then(|| KindStatus {
                kind,
                state: watch.state.clone(),
                objects,
                left_out,
                failures: watch.failures,
            })
        });
        all.collect()
    }

    /// These kinds are wanted from now on; what is known of others is forgotten.
    pub fn want(&self, kinds: &[KubernetesKind]) {
        let mut inner = self.lock();
        for kind in KubernetesKind::ALL {
            let watch = &mut inner.watches[kind as usize];
            if kinds.contains(&kind) {
                watch.state = WatchState::Starting;
                continue;
            }
            *watch = Watch::default();
            match kind {
                KubernetesKind::Pods => inner.pods = Table::default(),
                KubernetesKind::Services => inner.services = Table::default(),
                KubernetesKind::Nodes => inner.nodes = Table::default(),
                KubernetesKind::Namespaces => inner.namespaces = Table::default(),
            }
        }
        if !kinds.contains(&KubernetesKind::Pods) {
            inner.gone.clear();
        }
        drop(inner);
        self.0.services.fetch_add(1, Relaxed);
        self.0.changed.notify_one();
    }

    /// Waits until something changed, for one who waits.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Pods that came and went since it was asked last; those of other nodes that came were
    /// gone before.
    pub(super) fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.lock().news)
    }

    /// Forgets pods that are gone for long; tells when the next one is.
    pub(super) fn forget_gone(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.lock();
        while inner.gone.front().is_some_and(|(until, ..)| *until <= now) {
            inner.gone.pop_front();
        }
        inner.gone.front().map(|(until, ..)| *until)
    }

    /// A watch goes on.
    pub(super) fn following(&self, kind: KubernetesKind) {
        self.lock().watches[kind as usize].state = WatchState::Following;
    }

    /// A watch failed, and why; what is known stays.
    pub(super) fn failed(&self, kind: KubernetesKind, reason: &str) {
        let watch = &mut self.lock().watches[kind as usize];
        watch.state = WatchState::Failing(reason.to_owned());
        watch.failures += 1;
    }

    /// Changes a table.
    pub(super) fn change<T: Record>(
        &self,
        table: impl FnOnce(&mut Inner) -> &mut Table<T>,
        change: impl FnOnce(&mut Table<T>) -> Change<T>,
        then: impl FnOnce(&mut Inner, &Self, &Change<T>),
    ) {
        let mut inner = self.lock();
        let change = change(table(&mut inner));
        if change.is_empty() {
            return;
        }
        then(&mut inner, self, &change);
        drop(inner);
        self.0.changed.notify_one();
    }

    /// Services are others.
    pub(super) fn services_changed(&self) {
        self.0.services.fetch_add(1, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod as an endpoint, without the number of its identity.
    fn endpoint(&self, inner: &Inner, key: &Key, pod: &KnownPod) -> Endpoint {
        let namespace = inner.namespaces.get(&(String::new(), key.0.clone()));
        let by_name;
        let labels = match namespace {
            Some(namespace) => namespace.labels.as_slice(),
            None => {
                by_name = labels::by_name(&key.0);
                &by_name
            }
        };
        let mut endpoint = pod.endpoint(key, labels, &self.0.cluster);
        if self.is_here(pod) {
            endpoint.id = id(&pod.addresses);
        }
        endpoint
    }

    fn is_here(&self, pod: &KnownPod) -> bool {
        pod.node.eq_ignore_ascii_case(&self.0.node)
    }
}

impl Inner {
    fn counts(&self, kind: KubernetesKind) -> (u64, u64) {
        match kind {
            KubernetesKind::Pods => (self.pods.len(), self.pods.left_out()),
            KubernetesKind::Services => (self.services.len(), self.services.left_out()),
            KubernetesKind::Nodes => (self.nodes.len(), self.nodes.left_out()),
            KubernetesKind::Namespaces => (self.namespaces.len(), self.namespaces.left_out()),
        }
    }

    /// Pods that went linger; it is told who came and went.
    pub(super) fn pods_changed(&mut self, all: &Kubernetes, change: &Change<KnownPod>) {
        let until = Instant::now() + LINGER;
        let mut news = Vec::new();
        for (key, old) in &change.old {
            let new = self.pods.get(key);
            let is_there = new.is_some_and(|new| new.is_same(old));
            // One whose address is another lingers at the old one.
            if !is_there || new.is_some_and(|new| new.addresses != old.addresses) {
                self.gone.push_back((until, key.clone(), Arc::clone(old)));
            }
            if !is_there {
                news.push((key, old, true));
            }
        }
        let was_there = |key: &Key, new: &KnownPod| {
            let mut old = change.old.iter();
            old.any(|(was, old)| was == key && old.is_same(new))
        };
        let gone: HashSet<&Key> = self.gone.iter().map(|(_, key, _)| key).collect();
        for (key, new) in &change.new {
            // Of other nodes it counts only that one is back.
            let is_told = all.is_here(new) || gone.contains(key);
            if is_told && !was_there(key, new) {
                news.push((key, new, false));
            }
        }
        let over = self.gone.len().saturating_sub(MOST_GONE);
        self.gone.drain(..over);
        for (key, pod, is_gone) in news {
            let is_here = all.is_here(pod);
            // There is room for those of this node, whatever happens on others.
            let most = if is_here { MOST_NEWS } else { MOST_NEWS / 2 };
            if self.news.len() < most {
                let endpoint = all.endpoint(self, key, pod);
                self.news.push(News {
                    endpoint,
                    is_gone,
                    is_here,
                });
            }
        }
    }
}

/// A number of a pod of this node, from its address.
fn id(addresses: &[IpAddr]) -> u32 {
    use std::hash::{BuildHasher as _, BuildHasherDefault};
    let hash = BuildHasherDefault::<rustc_hash::FxHasher>::default().hash_one(addresses.first());
    FIRST_ID + (hash as u32 & (FIRST_ID - 1))
}

impl Provider for Kubernetes {
    fn contribute(&self, draft: &mut Draft<'_>) {
        let inner = self.lock();
        for ((_, name), node) in inner.nodes.iter() {
            for address in &node.addresses {
                match name.eq_ignore_ascii_case(&self.0.node) {
                    true => draft.host(*address),
                    false => draft.address(*address, remote_node()),
                }
            }
        }
        let mut pods: Vec<_> = inner.pods.iter().collect();
        // The first has an address that several have.
        pods.sort_by(|(a, one), (b, other)| (other.created, a).cmp(&(one.created, b)));
        let gone = inner.gone.iter().rev().map(|(_, key, pod)| (key, pod));
        for (key, pod) in pods.into_iter().chain(gone) {
            let mut endpoint = self.endpoint(&inner, key, pod);
            endpoint.identity = draft.number(&endpoint.labels);
            draft.ports(&key.0, &key.1, &pod.ports);
            for address in &pod.addresses {
                draft.address(*address, endpoint.clone());
            }
        }
    }
}

/// Another node.
fn remote_node() -> Endpoint {
    Endpoint {
        identity: reserved::REMOTE_NODE,
        labels: vec!["reserved:remote-node".to_owned()],
        ..Endpoint::default()
    }
}
