//! Peers of documents: endpoints, addresses, entities.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{
    List, decimal, has_items,
    problem::{Found, Path, Problem},
    selector::LabelSelector,
};
use crate::{
    label::NAMESPACE,
    policy::{Entity, Peer, Peers},
    selector::{Operator, Requirement, Selector},
};

/// Before labels of a namespace, as labels of the endpoints in it.
pub(super) const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";

/// What stands in one rule of who is at the other end, with the names of its fields.
pub(super) struct Written<'a> {
    pub(super) endpoints: (&'a List<LabelSelector>, &'static str),
    pub(super) cidr: (&'a List<String>, &'static str),
    pub(super) cidr_set: (&'a List<CidrRule>, &'static str),
    pub(super) entities: (&'a List<Entity>, &'static str),
}

/// A part of `fromCIDRSet`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CidrRule {
    #[serde(default)]
    cidr: String,
    cidr_group_ref: Option<Value>,
    cidr_group_selector: Option<Value>,
    except: List<String>,
}

/// Where a selector stands: what it says of namespaces, if it says nothing.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The policy's; empty for clusterwide ones.
    pub(super) namespace: &'a str,
    /// Whether the policy is about endpoints of which nothing is known yet.
    pub(super) is_init: bool,
}

impl Written<'_> {
    /// The peers; `everybody` where nothing is said and the rule is about ports.
    pub(super) fn peers(
        &self,
        scope: Scope<'_>,
        has_layer4: bool,
        path: &Path,
        problems: &mut Found,
    ) -> Peers {
        self.refuse_two(path, problems);
        if self.is_written_empty() {
            return Peers::These(Vec::new());
        }
        let mut found = Vec::new();
        let (list, name) = self.endpoints;
        for (n, selector) in list.iter().flatten().enumerate() {
            let path = path.field(name).item(n);
            let selector = selector.selector("", &path, problems);
            found.push(Peer::Endpoints(scope.of(selector)));
        }
        let (list, name) = self.cidr;
        for (n, text) in list.iter().flatten().enumerate() {
            match net(text, &path.field(name).item(n)) {
                Ok(net) => found.push(Peer::Addresses(net, Vec::new())),
                Err(problem) => problems.push(problem),
            }
        }
        let (list, name) = self.cidr_set;
        for (n, rule) in list.iter().flatten().enumerate() {
            found.extend(rule.peer(&path.field(name).item(n), problems));
        }
        let entities = self.entities.0.iter().flatten();
        found.extend(entities.map(|entity| Peer::Entity(*entity)));
        if found.is_empty() && has_layer4 {
            Peers::Everybody
        } else {
            Peers::These(found)
        }
    }

    fn lists(&self) -> [(bool, bool, &'static str); 4] {
        fn of<T>(list: &List<T>, name: &'static str) -> (bool, bool, &'static str) {
            (list.is_some(), has_items(list), name)
        }
        [
            of(self.endpoints.0, self.endpoints.1),
            of(self.cidr.0, self.cidr.1),
            of(self.cidr_set.0, self.cidr_set.1),
            of(self.entities.0, self.entities.1),
        ]
    }

    /// An empty list selects nobody, whatever else is there.
    fn is_written_empty(&self) -> bool {
        self.lists().iter().any(|(is, has, _)| *is && !has)
    }

    fn refuse_two(&self, path: &Path, problems: &mut Found) {
        let lists = self.lists();
        let mut names = lists.iter().filter(|(_, has, _)| *has).map(|list| list.2);
        if let (Some(first), Some(second)) = (names.next(), names.next()) {
            let what = format!("cannot stand beside {first}");
            let problem = path.field(second).problem(what, "write a rule for each");
            problems.push(problem);
        }
    }
}

impl Scope<'_> {
    /// A selector that says nothing of namespaces is about the policy's own, or, if
    /// that has none, about endpoints that have one: not about those outside.
    fn of(self, mut selector: Selector) -> Selector {
        let has_labels = selector
            .requirements()
            .iter()
            .any(|one| one.key.starts_with(NAMESPACE_LABELS));
        if selector.asks_for_reserved() || selector.asks_for(NAMESPACE) {
            return selector;
        }
        if self.namespace.is_empty() {
            if !self.is_init {
                selector.require(Requirement::new(NAMESPACE, Operator::Exists));
            }
        } else if !has_labels {
            selector.require(in_namespace(self.namespace));
        }
        selector
    }
}

/// Of endpoints in a namespace.
pub(super) fn in_namespace(namespace: &str) -> Requirement {
    Requirement::new(NAMESPACE, Operator::In(vec![namespace.to_owned()]))
}

impl CidrRule {
    fn peer(&self, path: &Path, problems: &mut Found) -> Option<Peer> {
        for (field, name) in [
            (&self.cidr_group_ref, "cidrGroupRef"),
            (&self.cidr_group_selector, "cidrGroupSelector"),
        ] {
            if field.is_some() {
                problems.push(path.field(name).not_supported());
                return None;
            }
        }
        match excepting(&self.cidr, self.except.as_deref().unwrap_or_default(), path) {
            Ok(peer) => Some(peer),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }
}

/// Addresses of a network, but for parts of it.
pub(super) fn excepting(cidr: &str, except: &[String], path: &Path) -> Result<Peer, Problem> {
    let at = path.field("cidr");
    let whole = net(cidr, &at)?;
    if !cidr.contains('/') {
        let what = format!("`{cidr}` has no length of its prefix");
        return Err(at.problem(what, format!("write {whole}")));
    }
    let mut nets = Vec::new();
    for (n, text) in except.iter().enumerate() {
        let at = path.field("except").item(n);
        let part = net(text, &at)?;
        if !whole.contains(&part) {
            let what = format!("{part} is not within {whole}");
            return Err(at.problem(what, "leave it out, or widen the other one"));
        }
        nets.push(part);
    }
    Ok(Peer::Addresses(whole, nets))
}

/// A network, or one address.
fn net(text: &str, path: &Path) -> Result<IpNet, Problem> {
    parsed(text).map(|net| net.trunc()).ok_or_else(|| {
        let what = format!("`{text}` is no address or network");
        path.problem(what, "write 192.0.2.0/24 or 2001:db8::/32")
    })
}

/// A number with zeros before it is refused: some read it as octal.
fn parsed(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    IpNet::new(address.parse().ok()?, decimal(length)?).ok()
}
