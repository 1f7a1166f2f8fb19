use std::{net::IpAddr, sync::Arc};

use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Kubernetes,
    directory::LINGER,
    follow::take,
    objects::{Namespace, Node, Pod, Service},
};
use crate::{
    config::{Endpoint, KubernetesKind},
    flow,
    identity::{Draft, Identities, Inventory, News, Numbers, Provider, reserved},
};

mod manifests;

struct Cluster {
    known: Kubernetes,
    identities: Identities,
}

/// This host's own address.
struct Own;

impl Provider for Own {
    fn contribute(&self, draft: &mut Draft<'_>) {
        draft.host(ip("10.0.0.1"));
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Cluster {
    fn new() -> Self {
        let known = Kubernetes::new("default".into(), "node-a".into());
        known.want(&KubernetesKind::ALL);
        let static_one = Endpoint {
            name: "static".into(),
            addresses: vec![ip("10.244.0.99")],
            ..Endpoint::default()
        };
        let inventory = Arc::new(Inventory::new(vec![static_one], "default".into()));
        let providers: Vec<Box<dyn Provider>> =
            vec![Box::new(inventory), Box::new(Own), Box::new(known.clone())];
        Self {
            identities: Identities::new(providers, Numbers::in_memory(), false),
            known,
        }
    }

    fn pod(&self, event: fn(Pod) -> Event<Pod>, pod: Value) {
        take(&self.known, event(serde_json::from_value(pod).unwrap()));
    }

    fn at(&self, address: &str) -> flow::Endpoint {
        self.identities.refresh();
        let snapshot = self.identities.snapshot().load_full();
        flow::Endpoint::clone(snapshot.resolve(ip(address)))
    }

    fn name_at(&self, address: &str) -> String {
        self.at(address).pod_name
    }

    fn news(&self) -> Vec<(String, bool)> {
        let news = self.known.take_news().into_iter();
        let told = |News {
                        endpoint, is_gone, ..
                    }| (endpoint.pod_name, is_gone);
        news.map(told).collect()
    }
}

fn pod(name: &str, address: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-11-28T10:00:00Z",
            "labels": {"app": "web", "pod-template-hash": "5d69"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d69", "uid": "r", "controller": true
            }],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {"nodeName": "node-a", "serviceAccountName": "seller", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}, {"ip": "fd00::7"}]},
    })
}

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    *pod.pointer_mut(pointer).unwrap() = value;
    pod
}

#[test]
fn a_pod_is_an_endpoint_as_hubble_tells_it() {
    let cluster = Cluster::new();
    cluster.pod(Event::Apply, pod("web-5d69-x", "10.244.0.7"));
    let namespace = json!({"metadata": {"name": "shop", "labels": {"team": "red"}}});
    let namespace: Namespace = serde_json::from_value(namespace).unwrap();
    take(&cluster.known, Event::Apply(namespace));
    let endpoint = cluster.at("10.244.0.7");
    assert_eq!(
        endpoint.labels,
        [
            "k8s:app=web",
            "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop",
            "k8s:io.cilium.k8s.namespace.labels.team=red",
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.cilium.k8s.policy.serviceaccount=seller",
            "k8s:io.kubernetes.pod.namespace=shop",
        ]
    );
    let workload = &endpoint.workloads[0];
    assert_eq!(
        (workload.kind.as_str(), workload.name.as_str()),
        ("Deployment", "web")
    );
    assert_eq!(endpoint.namespace, "shop");
    assert!(endpoint.id != 0, "it is on this node");
    assert!(endpoint.identity >= reserved::FIRST_CLUSTER);
    assert_eq!(cluster.at("fd00::7"), endpoint);
    // Another pod of the workload is the same identity.
    let other = with(pod("web-5d69-y", "10.244.0.8"), "/status/podIPs", json!([]));
    let other = with(other, "/spec/nodeName", json!("node-b"));
    cluster.pod(Event::Apply, other);
    let other = cluster.at("10.244.0.8");
    assert_eq!((other.identity, other.id), (endpoint.identity, 0));
}

#[test]
fn an_address_is_claimed_by_who_has_it_alone() {
    let cluster = Cluster::new();
    let on_node = with(pod("proxy", "10.0.0.1"), "/status/podIPs", json!([]));
    let mut of_host = on_node.clone();
    of_host["spec"]["hostNetwork"] = json!(true);
    cluster.pod(Event::Apply, of_host);
    assert_eq!(cluster.at("10.0.0.1").identity, reserved::HOST);
    // Whatever its status says.
    cluster.pod(Event::Apply, on_node);
    assert_eq!(cluster.at("10.0.0.1").identity, reserved::HOST);
    cluster.pod(Event::Apply, pod("thief", "10.244.0.99"));
    assert_eq!(
        cluster.name_at("10.244.0.99"),
        "static",
        "the inventory wins"
    );
    cluster.pod(
        Event::Apply,
        with(
            pod("new", "10.244.0.5"),
            "/status",
            json!({"phase": "Pending"}),
        ),
    );
    let over = with(
        pod("over", "10.244.0.6"),
        "/status/phase",
        json!("Succeeded"),
    );
    cluster.pod(Event::Apply, over);
    for nobody in ["10.244.0.5", "10.244.0.6"] {
        assert_eq!(cluster.at(nobody).identity, reserved::WORLD);
    }
}

#[test]
fn a_pod_that_is_gone_keeps_its_name_for_its_last_flows_unless_another_has_the_address() {
    let cluster = Cluster::new();
    for (name, address) in [("a", "10.244.0.7"), ("b", "10.244.0.8")] {
        cluster.pod(Event::Apply, pod(name, address));
        cluster.pod(Event::Delete, pod(name, address));
    }
    assert_eq!(cluster.name_at("10.244.0.7"), "a");
    cluster.pod(Event::Apply, pod("c", "10.244.0.7"));
    assert_eq!(cluster.name_at("10.244.0.7"), "c");
    let now = Instant::now();
    let next = cluster.known.forget_gone(now).unwrap();
    assert!(next > now);
    assert_eq!(cluster.known.forget_gone(next + LINGER), None);
    assert_eq!(cluster.at("10.244.0.8").identity, reserved::WORLD);
    assert_eq!(cluster.name_at("10.244.0.7"), "c");
    let told = ["a", "a", "b", "b", "c"].map(str::to_owned);
    let told = told.into_iter().zip([false, true, false, true, false]);
    assert_eq!(cluster.news(), told.collect::<Vec<_>>());
}

#[test]
fn of_two_pods_with_one_address_the_younger_has_it() {
    let cluster = Cluster::new();
    let older = "/metadata/creationTimestamp";
    cluster.pod(Event::Apply, pod("young", "10.244.0.7"));
    cluster.pod(
        Event::Apply,
        with(
            pod("old", "10.244.0.7"),
            older,
            json!("2026-11-28T09:00:00Z"),
        ),
    );
    assert_eq!(cluster.name_at("10.244.0.7"), "young");
}

#[test]
fn a_list_that_lacks_a_pod_takes_it_away_and_names_stay_meanwhile() {
    let cluster = Cluster::new();
    cluster.pod(Event::Apply, pod("a", "10.244.0.7"));
    cluster.pod(Event::Apply, pod("b", "10.244.0.8"));
    take::<Pod>(&cluster.known, Event::Init);
    cluster.pod(Event::InitApply, pod("b", "10.244.0.9"));
    assert_eq!(cluster.name_at("10.244.0.8"), "b");
    take::<Pod>(&cluster.known, Event::InitDone);
    assert_eq!(cluster.name_at("10.244.0.9"), "b");
    assert_eq!(cluster.news().last().unwrap(), &("a".to_owned(), true));
    // One that was made anew under its name is another.
    cluster.pod(
        Event::Apply,
        with(pod("b", "10.244.0.9"), "/metadata/uid", json!("other")),
    );
    assert_eq!(
        cluster.news(),
        [("b".to_owned(), true), ("b".to_owned(), false)]
    );
}

#[test]
fn of_pods_of_other_nodes_it_is_told_who_is_gone_and_who_is_back() {
    let cluster = Cluster::new();
    let remote = || with(pod("far", "10.244.1.7"), "/spec/nodeName", json!("node-b"));
    cluster.pod(Event::Apply, remote());
    assert_eq!(cluster.news(), []);
    cluster.pod(Event::Delete, remote());
    cluster.pod(Event::Apply, remote());
    let news = cluster.known.take_news();
    let told = news.iter().map(|one| (one.is_gone, one.is_here));
    assert_eq!(told.collect::<Vec<_>>(), [(true, false), (false, false)]);
}

#[test]
fn nodes_are_the_host_and_others() {
    let cluster = Cluster::new();
    for (name, address) in [("node-a", "192.0.2.1"), ("node-b", "192.0.2.2")] {
        let node = json!({
            "metadata": {"name": name},
            "status": {"addresses": [
                {"type": "Hostname", "address": name},
                {"type": "ExternalIP", "address": "203.0.113.1"},
                {"type": "InternalIP", "address": address},
            ]},
        });
        let node: Node = serde_json::from_value(node).unwrap();
        take(&cluster.known, Event::Apply(node));
    }
    assert_eq!(cluster.at("192.0.2.1").identity, reserved::HOST);
    let other = cluster.at("192.0.2.2");
    assert_eq!(other.identity, reserved::REMOTE_NODE);
    assert_eq!(other.labels, ["reserved:remote-node"]);
    assert_eq!(
        cluster.known.nodes(),
        [
            ("node-a".to_owned(), ip("192.0.2.1")),
            ("node-b".to_owned(), ip("192.0.2.2"))
        ]
    );
}

#[test]
fn services_are_called_by_address_and_port() {
    let cluster = Cluster::new();
    let version = cluster.known.services_version();
    let service = |spec: Value| {
        let service = json!({"metadata": {"name": "api", "namespace": "shop"}, "spec": spec});
        serde_json::from_value::<Service>(service).unwrap()
    };
    let ports = json!([
        {"port": 80, "nodePort": 30080, "targetPort": "http"},
        {"port": 53, "protocol": "UDP"},
    ]);
    let named = json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:96::7"], "ports": ports});
    take(&cluster.known, Event::Apply(service(named)));
    assert_ne!(cluster.known.services_version(), version);
    let mut all = Vec::new();
    cluster
        .known
        .each_service(|address, protocol, port, namespace, name| {
            let address = address.map_or_else(|| "node".into(), |address| address.to_string());
            all.push(format!("{address} {protocol} {port} {namespace}/{name}"));
        });
    assert_eq!(
        all,
        [
            "10.96.0.7 6 80 shop/api",
            "fd00:96::7 6 80 shop/api",
            "10.96.0.7 17 53 shop/api",
            "fd00:96::7 17 53 shop/api",
            "node 6 30080 shop/api",
        ]
    );
    // A headless one is called by the addresses of its pods.
    take(
        &cluster.known,
        Event::Apply(service(json!({"clusterIP": "None"}))),
    );
    cluster
        .known
        .each_service(|_, _, _, _, name| panic!("nobody calls {name}"));
}

#[test]
fn what_is_not_wanted_any_more_is_forgotten() {
    let cluster = Cluster::new();
    cluster.pod(Event::Apply, pod("a", "10.244.0.7"));
    cluster.known.want(&[KubernetesKind::Services]);
    assert_eq!(cluster.at("10.244.0.7").identity, reserved::WORLD);
    let kinds: Vec<_> = cluster.known.kinds().iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [KubernetesKind::Services]);
}
