//! Kubernetes' NetworkPolicy (`networking.k8s.io/v1`).

use serde::Deserialize;
use serde_json::Value;

use super::{
    List, Metadata, NumberOrText,
    cilium::DEFAULT_NAMESPACE,
    peers::{NAMESPACE_LABELS, excepting, in_namespace},
    port,
    problem::{Found, Path, Problem},
    selector::LabelSelector,
};
use crate::{
    label::NAMESPACE,
    policy::{Direction, Effect, Kind, Peer, Peers, Policy, PolicyId, Rule, Spec, Subject},
    ports::{Layer4, Ports, Which, protocol},
    selector::{Operator, Requirement},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    _group: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: SpecDocument,
    #[serde(rename = "status")]
    _status: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpecDocument {
    #[serde(default)]
    pod_selector: LabelSelector,
    ingress: List<IngressRule>,
    egress: List<EgressRule>,
    policy_types: List<PolicyType>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum PolicyType {
    Ingress,
    Egress,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngressRule {
    from: List<PeerDocument>,
    ports: List<PortDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EgressRule {
    to: List<PeerDocument>,
    ports: List<PortDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PeerDocument {
    pod_selector: Option<LabelSelector>,
    namespace_selector: Option<LabelSelector>,
    ip_block: Option<IpBlock>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IpBlock {
    cidr: String,
    except: List<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortDocument {
    protocol: Option<String>,
    port: Option<NumberOrText>,
    end_port: Option<i64>,
}

pub(super) fn policy(document: Document, path: &Path) -> Result<Policy, Found> {
    let mut problems = Found::default();
    document.metadata.check(path, &mut problems);
    let Metadata { name, namespace } = &document.metadata;
    let namespace = match namespace.as_str() {
        "" => DEFAULT_NAMESPACE,
        namespace => namespace,
    };
    let spec = document
        .spec
        .spec(namespace, &path.field("spec"), &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Policy {
        id: PolicyId {
            kind: Kind::Kubernetes,
            namespace: namespace.to_owned(),
            name: name.clone(),
        },
        specs: vec![spec],
    })
}

impl SpecDocument {
    fn spec(&self, namespace: &str, path: &Path, problems: &mut Found) -> Spec {
        let at = path.field("podSelector");
        let mut subject = self.pod_selector.selector("", &at, problems);
        subject.require(in_namespace(namespace));
        if self
            .policy_types
            .as_ref()
            .is_some_and(|types| types.len() > 2)
        {
            let problem = "more than two are there, and there are two directions";
            problems.push(
                path.field("policyTypes")
                    .problem(problem, "write each once"),
            );
        }
        let mut rules = Vec::new();
        if self.is_about(PolicyType::Ingress) {
            let at = path.field("ingress");
            for (n, rule) in self.ingress.iter().flatten().enumerate() {
                let path = at.item(n);
                let peers = peers(&rule.from, namespace, &path.field("from"), problems);
                let layer4 = layer4(&rule.ports, &path.field("ports"), problems);
                rules.push(allowing(Direction::Ingress, n, peers, layer4));
            }
            deny_by_default(Direction::Ingress, &mut rules);
        }
        if self.is_about(PolicyType::Egress) {
            let at = path.field("egress");
            for (n, rule) in self.egress.iter().flatten().enumerate() {
                let path = at.item(n);
                let peers = peers(&rule.to, namespace, &path.field("to"), problems);
                let layer4 = layer4(&rule.ports, &path.field("ports"), problems);
                rules.push(allowing(Direction::Egress, n, peers, layer4));
            }
            deny_by_default(Direction::Egress, &mut rules);
        }
        Spec {
            subject: Subject::Endpoints(subject),
            description: String::new(),
            labels: Vec::new(),
            rules,
        }
    }

    /// Where that is not written, a policy is about ingress, and about egress if it has
    /// rules of it.
    fn is_about(&self, which: PolicyType) -> bool {
        match &self.policy_types {
            Some(types) if !types.is_empty() => types.contains(&which),
            _ => which == PolicyType::Ingress || super::has_items(&self.egress),
        }
    }
}

fn allowing(direction: Direction, number: usize, peers: Peers, layer4: Layer4) -> Rule {
    Rule {
        direction,
        effect: Effect::Allow,
        number,
        peers,
        layer4,
        default_deny: true,
        authentication: None,
    }
}

/// Without a rule nothing is allowed: as a rule that matches nothing.
fn deny_by_default(direction: Direction, rules: &mut Vec<Rule>) {
    if !rules.iter().any(|rule| rule.direction == direction) {
        let (peers, layer4) = (Peers::These(Vec::new()), Layer4::Ports(Vec::new()));
        rules.push(allowing(direction, 0, peers, layer4));
    }
}

fn peers(list: &List<PeerDocument>, namespace: &str, path: &Path, problems: &mut Found) -> Peers {
    let list = list.as_deref().unwrap_or_default();
    if list.is_empty() {
        return Peers::Everybody;
    }
    let mut found = Vec::new();
    for (n, peer) in list.iter().enumerate() {
        match peer.peer(namespace, &path.item(n), problems) {
            Ok(peer) => found.push(peer),
            Err(problem) => problems.push(problem),
        }
    }
    Peers::These(found)
}

impl PeerDocument {
    fn peer(&self, namespace: &str, path: &Path, problems: &mut Found) -> Result<Peer, Problem> {
        let has_selector = self.pod_selector.is_some() || self.namespace_selector.is_some();
        if let Some(block) = &self.ip_block {
            if has_selector {
                let what = "cannot stand beside a selector";
                return Err(path.field("ipBlock").problem(what, "write a peer for each"));
            }
            return block.peer(&path.field("ipBlock"));
        }
        if !has_selector {
            let remedy = "write podSelector, namespaceSelector or ipBlock; `podSelector: {}` is the whole namespace";
            return Err(path.problem("says nothing", remedy));
        }
        let pods = self.pod_selector.clone().unwrap_or_default();
        let mut selector = pods.selector("", &path.field("podSelector"), problems);
        match &self.namespace_selector {
            None => selector.require(in_namespace(namespace)),
            Some(namespaces) if namespaces.is_empty() => {
                selector.require(Requirement::new(NAMESPACE, Operator::Exists));
            }
            Some(namespaces) => {
                let path = path.field("namespaceSelector");
                let namespaces = namespaces.selector(NAMESPACE_LABELS, &path, problems);
                for requirement in namespaces.requirements() {
                    selector.require(requirement.clone());
                }
            }
        }
        Ok(Peer::Endpoints(selector))
    }
}

impl IpBlock {
    /// Kubernetes wants an exception to be smaller than its block.
    fn peer(&self, path: &Path) -> Result<Peer, Problem> {
        let except = self.except.as_deref().unwrap_or_default();
        let peer = excepting(&self.cidr, except, path)?;
        if let Peer::Addresses(whole, parts) = &peer
            && let Some(n) = parts.iter().position(|part| part == whole)
        {
            let at = path.field("except").item(n);
            return Err(at.problem(format!("is all of {whole}"), "leave the block out"));
        }
        Ok(peer)
    }
}

fn layer4(list: &List<PortDocument>, path: &Path, problems: &mut Found) -> Layer4 {
    let list = list.as_deref().unwrap_or_default();
    if list.is_empty() {
        return Layer4::All;
    }
    let mut found = Vec::new();
    for (n, port) in list.iter().enumerate() {
        match port.ports(&path.item(n)) {
            Ok(ports) => found.push(ports),
            Err(problem) => problems.push(problem),
        }
    }
    Layer4::Ports(found)
}

impl PortDocument {
    fn ports(&self, path: &Path) -> Result<Ports, Problem> {
        let protocol = match self.protocol.as_deref() {
            None | Some("TCP") => protocol::TCP,
            Some("UDP") => protocol::UDP,
            Some("SCTP") => protocol::SCTP,
            Some(other) => {
                let what = format!("`{other}` is no protocol");
                let at = path.field("protocol");
                return Err(at.problem(what, "write TCP, UDP or SCTP"));
            }
        };
        let which = match (&self.port, self.end_port) {
            (None, None) => Which::Every,
            (None, Some(_)) => {
                return Err(path
                    .field("endPort")
                    .problem("needs a port", "write port too"));
            }
            (Some(port), end) => self.range(port, end, path)?,
        };
        Ok(Ports { protocol, which })
    }

    fn range(&self, port: &NumberOrText, end: Option<i64>, path: &Path) -> Result<Which, Problem> {
        let first = match port {
            NumberOrText::Number(first) => *first,
            NumberOrText::Text(name) => return port::which(name, end.unwrap_or(0), path),
        };
        let last = end.unwrap_or(first);
        match (u16::try_from(first), u16::try_from(last)) {
            (Ok(first), Ok(last)) if first >= 1 && last >= first => Ok(Which::Range(first, last)),
            _ => {
                let what = format!("{first} to {last} are no ports");
                Err(path
                    .field("port")
                    .problem(what, "write 1 to 65535, the larger one last"))
            }
        }
    }
}
