//! Hubble's context options: which labels tell who is on the two sides of a flow.
//!
//! Words, their meaning and the order of labels are those of Hubble v1.20.

use std::fmt::Write as _;

use sextant_proto::flow::TrafficDirection;

use super::names::direction;
use crate::{
    flow::{Address, Endpoint, Flow},
    metrics::labels::Labels,
};

/// How a side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    Identity,
    Namespace,
    Pod,
    PodName,
    Dns,
    Ip,
    ReservedIdentity,
    Workload,
    WorkloadName,
    App,
}

impl Identifier {
    /// All words.
    pub(super) const ALL: [(&str, Self); 10] = [
        ("identity", Self::Identity),
        ("namespace", Self::Namespace),
        ("pod", Self::Pod),
        ("pod-name", Self::PodName),
        ("dns", Self::Dns),
        ("ip", Self::Ip),
        ("reserved-identity", Self::ReservedIdentity),
        ("workload", Self::Workload),
        ("workload-name", Self::WorkloadName),
        ("app", Self::App),
    ];
}

/// A side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }

    fn endpoint(self, flow: &Flow) -> Option<&Endpoint> {
        match self {
            Self::Source => flow.source.as_deref(),
            Self::Destination => flow.destination.as_deref(),
        }
    }

    fn address(self, flow: &Flow) -> Option<&Address> {
        let ip = flow.ip.as_ref()?;
        Some(match self {
            Self::Source => &ip.source,
            Self::Destination => &ip.destination,
        })
    }

    fn names(self, flow: &Flow) -> &[String] {
        let names = match self {
            Self::Source => flow.source_names.as_deref(),
            Self::Destination => flow.destination_names.as_deref(),
        };
        names.map_or(&[], Vec::as_slice)
    }
}

/// The labels of `labelsContext`, in the order in which they are given out.
pub(super) const LABELS: [&str; 13] = [
    "source_ip",
    "source_pod",
    "source_namespace",
    "source_workload",
    "source_workload_kind",
    "source_app",
    "destination_ip",
    "destination_pod",
    "destination_namespace",
    "destination_workload",
    "destination_workload_kind",
    "destination_app",
    "traffic_direction",
];
/// Labels of one side among them.
const OF_A_SIDE: usize = 6;

/// Identifiers of one side; the first that says something is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identifiers {
    /// For flows of any direction.
    pub(super) any: Vec<Identifier>,
    /// Instead, if it is not empty, for ingress.
    pub(super) ingress: Vec<Identifier>,
    /// The same for egress.
    pub(super) egress: Vec<Identifier>,
}

impl Identifiers {
    fn is_empty(&self) -> bool {
        self.any.is_empty() && self.ingress.is_empty() && self.egress.is_empty()
    }

    fn of(&self, flow: &Flow) -> &[Identifier] {
        let special: &[Identifier] = match direction(flow) {
            Some(TrafficDirection::Ingress) => &self.ingress,
            Some(TrafficDirection::Egress) => &self.egress,
            _ => &[],
        };
        if special.is_empty() {
            &self.any
        } else {
            special
        }
    }

    fn has(&self, identifier: Identifier) -> bool {
        let mut all = self.any.iter().chain(&self.ingress).chain(&self.egress);
        all.any(|one| *one == identifier)
    }
}

/// The context options of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) source: Identifiers,
    pub(super) destination: Identifiers,
    /// Which of `LABELS`.
    pub(super) labels: [bool; LABELS.len()],
}

impl Context {
    /// The names of its labels.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let chosen = LABELS.iter().zip(self.labels);
        let chosen = chosen.filter_map(|(name, is_chosen)| is_chosen.then_some(*name));
        let sides = [("source", &self.source), ("destination", &self.destination)];
        let sides = sides.into_iter().filter(|(_, is)| !is.is_empty());
        chosen.chain(sides.map(|(name, _)| name)).collect()
    }

    /// Their values. For an answer that is told as its request, the sides are turned.
    pub(super) fn put(&self, flow: &Flow, is_turned: bool, labels: &mut Labels) {
        let side = |side: Side| if is_turned { side.other() } else { side };
        for (label, _) in (0..).zip(self.labels).filter(|(_, is_chosen)| *is_chosen) {
            match label / OF_A_SIDE {
                0 => put_label(label, side(Side::Source), flow, labels),
                1 => put_label(label - OF_A_SIDE, side(Side::Destination), flow, labels),
                _ => put_direction(flow, labels),
            }
        }
        for (name, is) in [
            (Side::Source, &self.source),
            (Side::Destination, &self.destination),
        ] {
            if !is.is_empty() {
                self.put_side(side(name), flow, labels);
                labels.end();
            }
        }
    }

    fn put_side(&self, side: Side, flow: &Flow, labels: &mut Labels) {
        let identifiers = match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        };
        let place = labels.place();
        for identifier in identifiers.of(flow) {
            put_identifier(*identifier, side, flow, labels);
            if labels.place() > place {
                break;
            }
        }
    }

    /// Namespaces and names of the endpoints that a series with these labels is of, by what
    /// Hubble looks at when one is gone: a side told as `pod`, or labels of pod and namespace.
    pub(super) fn endpoints<'a>(
        &self,
        names: &'a [&str],
        values: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let value = move |label: &str| {
            let at = names.iter().position(|name| *name == label)?;
            values.get(at).copied()
        };
        let side = |label: &str, identifiers: &Identifiers| {
            let is_told = identifiers.has(Identifier::Pod);
            is_told.then(|| value(label)?.split_once('/')).flatten()
        };
        let labels = |namespace: &str, pod: &str| value(namespace).zip(value(pod));
        let all = [
            side("source", &self.source),
            side("destination", &self.destination),
            labels("source_namespace", "source_pod"),
            labels("destination_namespace", "destination_pod"),
        ];
        all.into_iter().flatten()
    }
}

fn put_label(label: usize, side: Side, flow: &Flow, labels: &mut Labels) {
    let endpoint = side.endpoint(flow);
    let workload = endpoint.and_then(|endpoint| endpoint.workloads.first());
    match label {
        0 => put_address(side.address(flow), labels),
        1 => labels.part(endpoint.map_or("", |endpoint| &endpoint.pod_name)),
        2 => labels.part(endpoint.map_or("", |endpoint| &endpoint.namespace)),
        3 => labels.part(workload.map_or("", |workload| &workload.name)),
        4 => labels.part(workload.map_or("", |workload| &workload.kind)),
        _ => labels.part(endpoint.map_or("", app)),
    }
    labels.end();
}

fn put_direction(flow: &Flow, labels: &mut Labels) {
    match direction(flow) {
        Some(TrafficDirection::Unknown) => labels.value("unknown"),
        Some(direction) => labels.lower(direction.as_str_name()),
        None => labels.shown(flow.traffic_direction),
    }
}

fn put_address(address: Option<&Address>, labels: &mut Labels) {
    match address {
        None | Some(Address::None) => {}
        Some(Address::Text(text)) => labels.part(text),
        Some(address) => {
            if let Some(ip) = address.ip() {
                // Writing to memory does not fail.
                let _ = write!(labels, "{ip}");
            }
        }
    }
}

fn put_identifier(identifier: Identifier, side: Side, flow: &Flow, labels: &mut Labels) {
    match identifier {
        Identifier::Dns => return labels.joined(side.names(flow)),
        Identifier::Ip => return put_address(side.address(flow), labels),
        _ => {}
    }
    let Some(endpoint) = side.endpoint(flow) else {
        return;
    };
    let workload = endpoint.workloads.first();
    let workload = workload.map_or("", |workload| &workload.name);
    match identifier {
        Identifier::Dns | Identifier::Ip => {}
        Identifier::Identity => labels.joined(&endpoint.labels),
        Identifier::Namespace => labels.part(&endpoint.namespace),
        Identifier::PodName => labels.part(&endpoint.pod_name),
        Identifier::Pod => put_in_namespace(&endpoint.namespace, &endpoint.pod_name, labels),
        Identifier::ReservedIdentity => labels.part(reserved(endpoint)),
        Identifier::WorkloadName => labels.part(workload),
        Identifier::Workload if workload.is_empty() => {}
        Identifier::Workload => put_in_namespace(&endpoint.namespace, workload, labels),
        Identifier::App => labels.part(app(endpoint)),
    }
}

fn put_in_namespace(namespace: &str, name: &str, labels: &mut Labels) {
    if !namespace.is_empty() {
        labels.part(namespace);
        labels.part("/");
    }
    labels.part(name);
}

fn reserved(endpoint: &Endpoint) -> &str {
    const API_SERVER: &str = "reserved:kube-apiserver";
    let labels = &endpoint.labels;
    if labels.iter().any(|label| label == API_SERVER) {
        return API_SERVER;
    }
    let reserved = labels.iter().find(|label| label.starts_with("reserved:"));
    reserved.map_or("", String::as_str)
}

fn app(endpoint: &Endpoint) -> &str {
    let values = endpoint.labels.iter().filter_map(|label| {
        let (key, value) = label.strip_prefix("k8s:")?.split_once('=')?;
        let is_app = ["app.kubernetes.io/name", "k8s-app", "app"].contains(&key);
        (is_app && !value.is_empty()).then_some(value)
    });
    values.into_iter().next().unwrap_or_default()
}
