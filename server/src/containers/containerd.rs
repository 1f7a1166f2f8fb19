//! containerd's own API: containers of all its namespaces, and events of those that
//! are made or changed. Docker's (`moby`) are Docker's to name; those of pods
//! (`k8s.io`) are asked for by CRI, at the same socket.
//!
//! A container's labels are not told: `ctr` puts those of the image among them, and
//! nothing here tells them apart. nerdctl's name is taken for an id as nerdctl makes
//! it; else the id is the name.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::{Code, Streaming};

use super::{
    cri::{self, Nothing},
    directory::{MOST, Part},
    error::EngineError,
    grpc::Calls,
    http::within,
    named::{self, Named},
};
use crate::process::cgroup::is_id;

const ENGINE: &str = "containerd";
const DOCKERS: &str = "moby";
const PODS: &str = "k8s.io";
const AGAIN: Duration = Duration::from_secs(60);
const SOONEST: Duration = Duration::from_secs(1);
/// The engine works at most one part in so many on lists.
const SHARE: u32 = 20;
/// Namespaces that are looked at.
const NAMESPACES: usize = 64;

const LIST_NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
const LIST: &str = "/containerd.services.containers.v1.Containers/ListStream";
const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";
/// What is told: containers that are made, changed or removed.
const TOPICS: &str = r#"topic~="^/containers/""#;
const NERDCTL_NAME: &str = "nerdctl/name";
const NERDCTL_NAMESPACE: &str = "nerdctl/namespace";

#[derive(Clone, PartialEq, prost::Message)]
struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Listed {
    #[prost(message, optional, tag = "1")]
    container: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    labels: BTreeMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Subscribe {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    namespace: String,
}

/// Follows the engine until it fails.
pub(super) async fn session(part: &Part) -> Result<Infallible, EngineError> {
    let mut calls = Calls::connect(&part.socket().path).await?;
    part.connected(calls.uid());
    let changed = Arc::new(Notify::new());
    let mut events = JoinSet::new();
    events.spawn(watch(calls.clone(), Arc::clone(&changed)));
    let mut wanted = part.wanted();
    // Nobody says when events begin: what is made before is in the second list.
    let mut again = SOONEST * 2;
    loop {
        wanted.borrow_and_update();
        let begun = Instant::now();
        part.replace(list(&mut calls).await?);
        let soonest = Instant::now() + SOONEST.max(begun.elapsed() * SHARE);
        tokio::select! {
            Some(ended) = events.join_next() => {
                return ended.unwrap_or(Err(EngineError::Ended));
            }
            () = changed.notified() => {}
            _ = wanted.changed() => {}
            () = sleep_until(begun + again) => {}
        }
        again = AGAIN;
        sleep_until(soonest).await;
    }
}

/// Tells of events in namespaces that are looked at.
async fn watch(mut calls: Calls, changed: Arc<Notify>) -> Result<Infallible, EngineError> {
    let filters = vec![TOPICS.to_owned()];
    let question = Subscribe { filters };
    let mut events: Streaming<Envelope> = calls.stream(SUBSCRIBE, "", question).await?;
    loop {
        let failed = |status| EngineError::Call(SUBSCRIBE, Box::new(status));
        let event = events.message().await.map_err(failed)?;
        if event.ok_or(EngineError::Ended)?.namespace != DOCKERS {
            changed.notify_one();
        }
    }
}

async fn list(calls: &mut Calls) -> Result<Vec<(String, Named)>, EngineError> {
    let answer: Namespaces = calls.unary(LIST_NAMESPACES, "", Nothing {}).await?;
    let mut all = Vec::new();
    for namespace in answer.namespaces.iter().take(NAMESPACES) {
        match namespace.name.as_str() {
            DOCKERS => {}
            PODS => all.extend(pods(calls).await?),
            name => all.extend(containers(calls, name).await?),
        }
    }
    Ok(all)
}

/// Without the plug-in for CRI there are none.
async fn pods(calls: &mut Calls) -> Result<Vec<(String, Named)>, EngineError> {
    match cri::list(calls, ENGINE).await {
        Err(EngineError::Call(_, status)) if status.code() == Code::Unimplemented => Ok(Vec::new()),
        all => all,
    }
}

async fn containers(
    calls: &mut Calls,
    namespace: &str,
) -> Result<Vec<(String, Named)>, EngineError> {
    let listing = calls.stream(LIST, namespace, Nothing {});
    let mut listed: Streaming<Listed> = within(LIST, listing).await??;
    let mut all = Vec::new();
    while all.len() <= MOST {
        let next = within(LIST, listed.message()).await?;
        let failed = |status| EngineError::Call(LIST, Box::new(status));
        match next.map_err(failed)? {
            Some(one) => all.extend(one.container.and_then(|one| describe(namespace, &one))),
            None => break,
        }
    }
    Ok(all)
}

/// By its id, or by namespace and id where that is no number: so it is in the path of
/// its cgroup.
fn describe(namespace: &str, container: &Container) -> Option<(String, Named)> {
    let id = container.id.as_str();
    let label = |key: &str| container.labels.get(key).map(String::as_str);
    let nerdctl = label(NERDCTL_NAME).filter(|_| label(NERDCTL_NAMESPACE) == Some(namespace));
    let (key, name) = match is_id(id) {
        true => (id.to_owned(), nerdctl.unwrap_or(&id[..12])),
        false => (format!("{namespace}/{id}"), id),
    };
    let name = named::name(name)?;
    let labels = named::own_label("image", &container.image);
    let named = Named {
        engine: ENGINE,
        namespace: None,
        container: name.clone(),
        pod_name: name,
        labels: labels.into_iter().collect(),
        ..Named::default()
    };
    Some((key, named))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";

    fn of(id: &str, labels: &[(&str, &str)]) -> Option<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let container = Container {
            id: id.into(),
            labels: labels.iter().map(owned).collect(),
            image: "docker.io/library/nginx:1".into(),
        };
        let (key, named) = describe("default", &container)?;
        assert_eq!(named.labels, ["sextant:image=docker.io/library/nginx:1"]);
        Some((key, named.pod_name))
    }

    #[test]
    fn a_container_is_named_by_nerdctl_or_its_own_id() {
        let nerdctl = [(NERDCTL_NAME, "web"), (NERDCTL_NAMESPACE, "default")];
        assert_eq!(of(ID, &nerdctl), Some((ID.into(), "web".into())));
        assert_eq!(of(ID, &[]), Some((ID.into(), ID[..12].into())));
        assert_eq!(
            of("web1", &[]),
            Some(("default/web1".into(), "web1".into()))
        );
        // What an image brings along, where the id is somebody's choice.
        let found = of("web1", &nerdctl);
        assert_eq!(found, Some(("default/web1".into(), "web1".into())));
        assert_eq!(of("a b", &[]), None);
    }
}
