//! Containers of pods by the Container Runtime Interface (`runtime.v1`), which CRI-O
//! and containerd speak. Only what the kubelet said itself is taken: names of the
//! pod's metadata and its labels, never those that an image brings along.
//!
//! It has no events that all runtimes tell, so all are listed again every while, and
//! when a container was met that nobody named.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    directory::Part,
    error::EngineError,
    grpc::Calls,
    named::{self, Named},
};

const AGAIN: Duration = Duration::from_secs(60);
const SOONEST: Duration = Duration::from_secs(1);
/// The engine works at most one part in so many on lists.
const SHARE: u32 = 20;

const SANDBOXES: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
const CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
const VERSION: &str = "/runtime.v1.RuntimeService/Version";

/// What nothing has to be said in.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionAnswer {
    #[prost(string, tag = "2")]
    runtime_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sandboxes {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Sandbox>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<SandboxMetadata>,
    #[prost(btree_map = "string, string", tag = "5")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainersAnswer {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    sandbox: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
}

/// Follows the engine until it fails.
pub(super) async fn session(part: &Part) -> Result<Infallible, EngineError> {
    let mut calls = Calls::connect(&part.socket().path).await?;
    part.connected(calls.uid());
    let engine = engine(&mut calls).await?;
    let mut wanted = part.wanted();
    loop {
        wanted.borrow_and_update();
        let begun = Instant::now();
        part.replace(list(&mut calls, engine).await?);
        let soonest = Instant::now() + SOONEST.max(begun.elapsed() * SHARE);
        if timeout_at(begun + AGAIN, wanted.changed()).await.is_ok() {
            sleep_until(soonest).await;
        }
    }
}

/// What runs them, by its own word.
async fn engine(calls: &mut Calls) -> Result<&'static str, EngineError> {
    let answer: VersionAnswer = calls.unary(VERSION, "", Nothing {}).await?;
    Ok(match answer.runtime_name.as_str() {
        "cri-o" => "crio",
        "containerd" => "containerd",
        _ => "container",
    })
}

/// All containers, and the pods' own.
pub(super) async fn list(
    calls: &mut Calls,
    engine: &'static str,
) -> Result<Vec<(String, Named)>, EngineError> {
    let sandboxes: Sandboxes = calls.unary(SANDBOXES, "", Nothing {}).await?;
    let answer: ContainersAnswer = calls.unary(CONTAINERS, "", Nothing {}).await?;
    let pods: BTreeMap<&str, &Sandbox> = sandboxes
        .items
        .iter()
        .map(|sandbox| (sandbox.id.as_str(), sandbox))
        .collect();
    let mut all = Vec::new();
    for sandbox in &sandboxes.items {
        let named = describe(engine, sandbox, "", "");
        all.extend(named.map(|named| (sandbox.id.clone(), named)));
    }
    for container in &answer.containers {
        let Some(sandbox) = pods.get(container.sandbox.as_str()) else {
            continue;
        };
        let name = container.metadata.as_ref().map_or("", |of| &of.name);
        let image = container.image.as_ref().map_or("", |image| &image.image);
        let named = describe(engine, sandbox, name, image);
        all.extend(named.map(|named| (container.id.clone(), named)));
    }
    Ok(all)
}

/// Without a container's name it is the pod's own container.
fn describe(engine: &'static str, pod: &Sandbox, container: &str, image: &str) -> Option<Named> {
    let metadata = pod.metadata.as_ref()?;
    let pod_name = named::name(&metadata.name)?;
    let container = match container {
        "" => "POD".into(),
        name => named::name(name)?,
    };
    let mut labels: Vec<String> = named::labels("k8s", &pod.labels).collect();
    labels.extend(named::own_label("pod", &pod_name));
    labels.extend(named::own_label("image", image));
    labels.sort_unstable();
    Some(Named {
        engine,
        namespace: named::namespace("kubernetes", &metadata.namespace),
        pod_name,
        container,
        labels,
        ..Named::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str) -> Sandbox {
        Sandbox {
            id: "a".into(),
            metadata: Some(SandboxMetadata {
                name: name.into(),
                namespace: namespace.into(),
            }),
            labels: [("app", "web"), ("io.kubernetes.pod.name", "x")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    #[test]
    fn a_container_of_a_pod_has_the_pods_names_and_labels() {
        let named = describe("crio", &pod("shop", "web-7d9"), "nginx", "nginx:1").unwrap();
        assert_eq!(named.namespace.as_deref(), Some("shop"));
        assert_eq!(
            (named.pod_name.as_str(), named.container.as_str()),
            ("web-7d9", "nginx")
        );
        assert_eq!(
            named.labels,
            [
                "k8s:app=web",
                "sextant:image=nginx:1",
                "sextant:pod=web-7d9"
            ]
        );
        assert_eq!(
            describe("crio", &pod("shop", "web"), "", "")
                .unwrap()
                .container,
            "POD"
        );
        assert_eq!(describe("crio", &pod("shop", "a b"), "x", ""), None);
        let system = describe("crio", &pod("system", "web"), "x", "").unwrap();
        assert_eq!(system.namespace.as_deref(), Some("kubernetes.system"));
    }
}
