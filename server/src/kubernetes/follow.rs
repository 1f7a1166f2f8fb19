//! Asks the API server, for ever: a client, a watch of each kind, and word to the
//! others when something changed.
//!
//! A watch that fails goes on where it was (`kube::runtime::watcher`: by the version of
//! the last object, from a new list where the API server has forgotten that one, 410),
//! later each time, and no other kind with it. After `TRIES` failures in a row it has a
//! new client by the kubeconfig, whose certificates and tokens may be others by then, and
//! begins anew; those of a pod are read again by the client that it has.

use std::{
    convert::Infallible,
    fmt::Debug,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Client, Config, Resource,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use serde::de::DeserializeOwned;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    directory::{Inner, Kubernetes},
    error::{KubernetesError, reason},
    known::{KnownNamespace, KnownNode, KnownPod, KnownService},
    objects::{Namespace, Node, Pod, Service},
    table::{Change, Key, Record, Table},
};
use crate::{
    config::{self, KubernetesKind},
    identity::News,
};

/// After failures: twice as long each time.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Failures of a kind, one after the other, after which its client is made anew.
const TRIES: u32 = 5;
/// Changes within so long are one.
const REST: Duration = Duration::from_millis(100);
/// It works at most one part in so many on changes.
const SHARE: u32 = 20;
/// Objects of a page of a list.
const PAGE: u32 = 250;
/// A watch is begun anew after so long, in seconds, and one that is silent for longer is
/// given up.
const WATCH: u32 = 240;
const SILENCE: Duration = Duration::from_secs(300);

/// Follows the cluster, for ever. `changed` is called when endpoints changed, with pods
/// of this node that came and went.
pub async fn follow(
    settings: config::Kubernetes,
    known: Kubernetes,
    mut changed: impl FnMut(Vec<News>) + Send,
) -> Infallible {
    known.want(&settings.kinds);
    let mut watches = JoinSet::new();
    watches.spawn(ask(settings, known.clone()));
    loop {
        let begun = Instant::now();
        let next = known.forget_gone(begun);
        let news = known.take_news();
        tokio::task::block_in_place(|| changed(news));
        sleep(REST.max(begun.elapsed() * SHARE)).await;
        let forget = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = known.changed() => {}
            () = forget => {}
            Some(Err(panic)) = watches.join_next() => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// Makes a client and watches each kind with it.
async fn ask(settings: config::Kubernetes, known: Kubernetes) {
    let client = first_client(&settings, &known).await;
    let mut watches = JoinSet::new();
    for kind in &settings.kinds {
        let (client, known) = (client.clone(), known.clone());
        let kubeconfig = settings.kubeconfig.clone();
        match kind {
            KubernetesKind::Pods => watches.spawn(watch::<Pod>(client, kubeconfig, known)),
            KubernetesKind::Services => watches.spawn(watch::<Service>(client, kubeconfig, known)),
            KubernetesKind::Nodes => watches.spawn(watch::<Node>(client, kubeconfig, known)),
            KubernetesKind::Namespaces => {
                watches.spawn(watch::<Namespace>(client, kubeconfig, known))
            }
        };
    }
    // None ends by itself.
    while let Some(ended) = watches.join_next().await {
        if let Err(panic) = ended
            && panic.is_panic()
        {
            std::panic::resume_unwind(panic.into_panic());
        }
    }
}

/// A client, as soon as one can be made.
async fn first_client(settings: &config::Kubernetes, known: &Kubernetes) -> Client {
    let mut failures = 0;
    loop {
        let error = match client(settings.kubeconfig.as_deref()).await {
            Ok(client) => return client,
            Err(error) => error,
        };
        failures += 1;
        let reason = error.to_string();
        for kind in &settings.kinds {
            known.failed(*kind, &reason);
        }
        if failures == 1 {
            tracing::warn!(
                reason,
                "the API server of Kubernetes cannot be asked; names that it told stay"
            );
        }
        sleep(pause(failures)).await;
    }
}

/// A client by a kubeconfig, or as a pod is told.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, KubernetesError> {
    let mut config = match kubeconfig {
        None => Config::incluster().map_err(KubernetesError::InCluster)?,
        Some(path) => {
            let wrong = |error| KubernetesError::Kubeconfig(path.to_owned(), error);
            let read = Kubeconfig::read_from(path).map_err(wrong)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(read, &options)
                .await
                .map_err(wrong)?
        }
    };
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config).map_err(KubernetesError::Client)?;
    Ok(builder.build())
}

/// A kind that is watched.
pub(super) trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    type Known: Record;
    const KIND: KubernetesKind;

    /// What is kept of it, if anything.
    fn known(&self) -> Option<Self::Known>;

    fn table(inner: &mut Inner) -> &mut Table<Self::Known>;

    /// What else changes with it.
    fn then(_inner: &mut Inner, _all: &Kubernetes, _change: &Change<Self::Known>) {}
}

impl Watched for Pod {
    type Known = KnownPod;
    const KIND: KubernetesKind = KubernetesKind::Pods;

    fn known(&self) -> Option<KnownPod> {
        KnownPod::of(self)
    }

    fn table(inner: &mut Inner) -> &mut Table<KnownPod> {
        &mut inner.pods
    }

    fn then(inner: &mut Inner, all: &Kubernetes, change: &Change<KnownPod>) {
        inner.pods_changed(all, change);
    }
}

impl Watched for Service {
    type Known = KnownService;
    const KIND: KubernetesKind = KubernetesKind::Services;

    fn known(&self) -> Option<KnownService> {
        KnownService::of(self)
    }

    fn table(inner: &mut Inner) -> &mut Table<KnownService> {
        &mut inner.services
    }

    fn then(_inner: &mut Inner, all: &Kubernetes, _change: &Change<KnownService>) {
        all.services_changed();
    }
}

impl Watched for Node {
    type Known = KnownNode;
    const KIND: KubernetesKind = KubernetesKind::Nodes;

    fn known(&self) -> Option<KnownNode> {
        KnownNode::of(self)
    }

    fn table(inner: &mut Inner) -> &mut Table<KnownNode> {
        &mut inner.nodes
    }
}

impl Watched for Namespace {
    type Known = KnownNamespace;
    const KIND: KubernetesKind = KubernetesKind::Namespaces;

    fn known(&self) -> Option<KnownNamespace> {
        Some(KnownNamespace::of(self))
    }

    fn table(inner: &mut Inner) -> &mut Table<KnownNamespace> {
        &mut inner.namespaces
    }
}

/// How a kind went of late.
#[derive(Default)]
struct Standing {
    /// Failures, one after the other.
    failures: u32,
    /// Why, as the log was told; empty when it goes well.
    told: String,
}

impl Standing {
    fn good<T: Watched>(&mut self, known: &Kubernetes) {
        if !self.told.is_empty() {
            tracing::info!(kind = %T::KIND, "the API server of Kubernetes is followed again");
        }
        *self = Self::default();
        known.following(T::KIND);
    }

    /// Tells of a failure, not again and again, and waits for the next attempt.
    async fn bad<T: Watched>(&mut self, known: &Kubernetes, reason: String) {
        self.failures = self.failures.saturating_add(1);
        known.failed(T::KIND, &reason);
        if self.told != reason {
            tracing::warn!(kind = %T::KIND, reason, "the API server of Kubernetes does not tell; names that it told stay");
            self.told = reason;
        }
        sleep(pause(self.failures)).await;
    }
}

/// Follows a kind, for ever.
async fn watch<T: Watched>(mut with: Client, kubeconfig: Option<PathBuf>, known: Kubernetes) {
    let mut standing = Standing::default();
    loop {
        watch_with::<T>(with.clone(), kubeconfig.is_some(), &known, &mut standing).await;
        match client(kubeconfig.as_deref()).await {
            Ok(other) => with = other,
            Err(error) => standing.bad::<T>(&known, error.to_string()).await,
        }
    }
}

/// Follows a kind until another client may do better.
async fn watch_with<T: Watched>(
    client: Client,
    may_change: bool,
    known: &Kubernetes,
    standing: &mut Standing,
) {
    let settings = watcher::Config::default().page_size(PAGE).timeout(WATCH);
    let mut events = pin!(watcher(Api::<T>::all(client), settings));
    let mut failures = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let is_listed =
                    !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                take::<T>(known, event);
                if is_listed {
                    failures = 0;
                    standing.good::<T>(known);
                }
            }
            Err(error) => {
                failures += 1;
                standing.bad::<T>(known, reason(&error)).await;
                if may_change && failures >= TRIES {
                    return;
                }
            }
        }
    }
}

pub(super) fn take<T: Watched>(known: &Kubernetes, event: watcher::Event<T>) {
    known.change(T::table, |table| told(table, event), T::then);
}

fn told<T: Watched>(table: &mut Table<T::Known>, event: watcher::Event<T>) -> Change<T::Known> {
    use watcher::Event;
    match event {
        Event::Init => table.begin(),
        Event::InitApply(object) => {
            if let Some(known) = object.known() {
                table.gather(key(&object), known);
            }
        }
        Event::InitDone => return table.complete(),
        Event::Apply(object) => {
            let key = key(&object);
            return match object.known() {
                Some(known) => table.put(key, known),
                None => table.remove(&key),
            };
        }
        Event::Delete(object) => return table.remove(&key(&object)),
    }
    Change::default()
}

fn key(object: &impl Resource) -> Key {
    let meta = object.meta();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    (text(&meta.namespace), text(&meta.name))
}

/// Twice as long after each failure, and not for all nodes at the same time.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let pause = (SHORTEST * (1 << doublings)).min(LONGEST);
    let mut random = [0; 1];
    // Without it, all at once.
    let _ = getrandom::fill(&mut random);
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        for (failures, seconds) in [(1, 1), (2, 2), (5, 16), (6, 30), (u32::MAX, 30)] {
            let longest = Duration::from_secs(seconds);
            let pause = pause(failures);
            assert!(
                pause >= longest / 2 && pause <= longest,
                "{failures}: {pause:?}"
            );
        }
    }
}
