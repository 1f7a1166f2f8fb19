//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (`cilium.io/v2`).

use serde::Deserialize;
use serde_json::Value;

use super::{
    List, Metadata, has_items,
    icmp::IcmpRule,
    peers::{CidrRule, Scope, Written, in_namespace},
    port::{self, PortRule},
    problem::{Found, Path},
    selector::LabelSelector,
};
use crate::{
    label::{Label, NAMESPACE},
    policy::{Direction, Effect, Entity, Kind, Policy, PolicyId, Rule, Spec, Subject},
    ports::Layer4,
    selector::Operator,
};

/// Where a policy without a namespace is, as with `kubectl`.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    _group: String,
    kind: String,
    metadata: Metadata,
    spec: Option<SpecDocument>,
    specs: List<SpecDocument>,
    #[serde(rename = "status")]
    _status: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpecDocument {
    endpoint_selector: Option<LabelSelector>,
    node_selector: Option<LabelSelector>,
    ingress: List<IngressRule>,
    ingress_deny: List<IngressRule>,
    egress: List<EgressRule>,
    egress_deny: List<EgressRule>,
    labels: List<LabelDocument>,
    enable_default_deny: Option<DefaultDeny>,
    #[serde(default)]
    description: String,
    log: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultDeny {
    ingress: Option<bool>,
    egress: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelDocument {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authentication {
    mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IngressRule {
    from_endpoints: List<LabelSelector>,
    #[serde(rename = "fromCIDR")]
    from_cidr: List<String>,
    #[serde(rename = "fromCIDRSet")]
    from_cidr_set: List<CidrRule>,
    from_entities: List<Entity>,
    from_requires: Option<Value>,
    from_groups: Option<Value>,
    from_nodes: Option<Value>,
    to_ports: List<PortRule>,
    icmps: List<IcmpRule>,
    authentication: Option<Authentication>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EgressRule {
    to_endpoints: List<LabelSelector>,
    #[serde(rename = "toCIDR")]
    to_cidr: List<String>,
    #[serde(rename = "toCIDRSet")]
    to_cidr_set: List<CidrRule>,
    to_entities: List<Entity>,
    to_requires: Option<Value>,
    to_groups: Option<Value>,
    to_nodes: Option<Value>,
    to_services: Option<Value>,
    #[serde(rename = "toFQDNs")]
    to_fqdns: Option<Value>,
    to_ports: List<PortRule>,
    icmps: List<IcmpRule>,
    authentication: Option<Authentication>,
}

/// What rules of both directions have.
trait Directed {
    const DIRECTION: Direction;
    fn peers(&self) -> Written<'_>;
    fn unsupported(&self) -> Vec<(bool, &'static str)>;
    fn layer4(&self) -> (&List<PortRule>, &List<IcmpRule>);
    fn authentication(&self) -> Option<&Authentication>;
}

impl Directed for IngressRule {
    const DIRECTION: Direction = Direction::Ingress;

    fn peers(&self) -> Written<'_> {
        Written {
            endpoints: (&self.from_endpoints, "fromEndpoints"),
            cidr: (&self.from_cidr, "fromCIDR"),
            cidr_set: (&self.from_cidr_set, "fromCIDRSet"),
            entities: (&self.from_entities, "fromEntities"),
        }
    }

    fn unsupported(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.from_requires.is_some(), "fromRequires"),
            (self.from_groups.is_some(), "fromGroups"),
            (self.from_nodes.is_some(), "fromNodes"),
        ]
    }

    fn layer4(&self) -> (&List<PortRule>, &List<IcmpRule>) {
        (&self.to_ports, &self.icmps)
    }

    fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_ref()
    }
}

impl Directed for EgressRule {
    const DIRECTION: Direction = Direction::Egress;

    fn peers(&self) -> Written<'_> {
        Written {
            endpoints: (&self.to_endpoints, "toEndpoints"),
            cidr: (&self.to_cidr, "toCIDR"),
            cidr_set: (&self.to_cidr_set, "toCIDRSet"),
            entities: (&self.to_entities, "toEntities"),
        }
    }

    fn unsupported(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.to_requires.is_some(), "toRequires"),
            (self.to_groups.is_some(), "toGroups"),
            (self.to_nodes.is_some(), "toNodes"),
            (self.to_services.is_some(), "toServices"),
            (self.to_fqdns.is_some(), "toFQDNs"),
        ]
    }

    fn layer4(&self) -> (&List<PortRule>, &List<IcmpRule>) {
        (&self.to_ports, &self.icmps)
    }

    fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_ref()
    }
}

pub(super) fn policy(document: Document, path: &Path) -> Result<Policy, Found> {
    let mut problems = Found::default();
    let id = id(&document, path, &mut problems);
    let mut specs = Vec::new();
    if let Some(spec) = &document.spec {
        specs.push(spec.spec(&id, &path.field("spec"), &mut problems));
    }
    for (n, spec) in document.specs.iter().flatten().enumerate() {
        specs.push(spec.spec(&id, &path.field("specs").item(n), &mut problems));
    }
    if document.spec.is_none() && document.specs.is_none() {
        problems.push(path.problem("there is neither spec nor specs", "write one"));
    }
    if problems.is_empty() {
        Ok(Policy { id, specs })
    } else {
        Err(problems)
    }
}

fn id(document: &Document, path: &Path, problems: &mut Found) -> PolicyId {
    let metadata = path.field("metadata");
    document.metadata.check(path, problems);
    let Metadata { name, namespace } = &document.metadata;
    let (kind, namespace) = if document.kind == "CiliumNetworkPolicy" {
        let is_empty = namespace.is_empty();
        let namespace = if is_empty {
            DEFAULT_NAMESPACE
        } else {
            namespace
        };
        (Kind::Cilium, namespace.to_owned())
    } else {
        if !namespace.is_empty() {
            let what = "a clusterwide policy has none";
            let remedy = "leave it out, or write CiliumNetworkPolicy";
            problems.push(metadata.field("namespace").problem(what, remedy));
        }
        (Kind::CiliumClusterwide, String::new())
    };
    PolicyId {
        kind,
        namespace,
        name: name.clone(),
    }
}

impl SpecDocument {
    fn spec(&self, id: &PolicyId, path: &Path, problems: &mut Found) -> Spec {
        if self.log.is_some() {
            problems.push(path.field("log").not_supported());
        }
        let subject = self.subject(id, path, problems);
        let is_init = match &subject {
            Subject::Endpoints(selector) | Subject::Host(selector) => selector
                .requirements()
                .iter()
                .any(|one| one.source == "reserved" && one.key == "init"),
        };
        let scope = Scope {
            namespace: &id.namespace,
            is_init,
        };
        let default = self.enable_default_deny.as_ref();
        let ingress = default.and_then(|default| default.ingress).unwrap_or(true);
        let egress = default.and_then(|default| default.egress).unwrap_or(true);
        let mut rules = Vec::new();
        let mut add = |more: Vec<Rule>| rules.extend(more);
        let at = |name| path.field(name);
        let (allow, deny) = (Effect::Allow, Effect::Deny);
        add(list(
            &self.ingress,
            allow,
            ingress,
            scope,
            &at("ingress"),
            problems,
        ));
        add(list(
            &self.ingress_deny,
            deny,
            ingress,
            scope,
            &at("ingressDeny"),
            problems,
        ));
        add(list(
            &self.egress,
            allow,
            egress,
            scope,
            &at("egress"),
            problems,
        ));
        add(list(
            &self.egress_deny,
            deny,
            egress,
            scope,
            &at("egressDeny"),
            problems,
        ));
        self.refuse_nothing(path, problems);
        Spec {
            subject,
            description: self.description.clone(),
            labels: self
                .labels
                .iter()
                .flatten()
                .map(LabelDocument::label)
                .collect(),
            rules,
        }
    }

    fn refuse_nothing(&self, path: &Path, problems: &mut Found) {
        let has_rules = has_items(&self.ingress)
            || has_items(&self.ingress_deny)
            || has_items(&self.egress)
            || has_items(&self.egress_deny);
        if !has_rules {
            let remedy = "write ingress, ingressDeny, egress or egressDeny; `- {}` in ingress or egress denies all";
            problems.push(path.problem("has no rule", remedy));
        }
    }

    fn subject(&self, id: &PolicyId, path: &Path, problems: &mut Found) -> Subject {
        let endpoints = path.field("endpointSelector");
        let nodes = path.field("nodeSelector");
        match (&self.endpoint_selector, &self.node_selector) {
            (Some(selector), None) => {
                let mut selector = selector.selector("", &endpoints, problems);
                if id.kind == Kind::Cilium {
                    refuse_other_namespace(&selector, &id.namespace, &endpoints, problems);
                    selector.require(in_namespace(&id.namespace));
                }
                Subject::Endpoints(selector)
            }
            (None, Some(selector)) => {
                if id.kind == Kind::Cilium {
                    let remedy = "write CiliumClusterwideNetworkPolicy";
                    problems.push(nodes.problem("a policy of a namespace has none", remedy));
                }
                Subject::Host(selector.selector("", &nodes, problems))
            }
            (None, None) => {
                let what = "there is neither endpointSelector nor nodeSelector";
                problems.push(path.problem(what, "write one; `{}` selects all"));
                Subject::Endpoints(crate::selector::Selector::default())
            }
            (Some(_), Some(_)) => {
                let what = "cannot stand beside endpointSelector";
                problems.push(nodes.problem(what, "write a policy for each"));
                Subject::Endpoints(crate::selector::Selector::default())
            }
        }
    }
}

/// Cilium passes over a namespace that is not the policy's, with a warning in its log.
fn refuse_other_namespace(
    selector: &crate::selector::Selector,
    namespace: &str,
    path: &Path,
    problems: &mut Found,
) {
    for one in selector.requirements() {
        let is_other = |values: &[String]| !values.iter().any(|value| value == namespace);
        if one.key == NAMESPACE && matches!(&one.operator, Operator::In(values) if is_other(values))
        {
            let what = format!("asks for another namespace than the policy's, `{namespace}`");
            problems.push(path.problem(what, "leave it out, or move the policy"));
        }
    }
}

impl LabelDocument {
    fn label(&self) -> Label {
        let source = match self.source.as_str() {
            "" => "unspec",
            source => source,
        };
        Label::new(source, &self.key, &self.value)
    }
}

fn list<R: Directed>(
    rules: &List<R>,
    effect: Effect,
    default_deny: bool,
    scope: Scope<'_>,
    path: &Path,
    problems: &mut Found,
) -> Vec<Rule> {
    let rules = rules.iter().flatten().enumerate();
    rules
        .map(|(number, written)| {
            let path = path.item(number);
            for (is_there, name) in written.unsupported() {
                if is_there {
                    problems.push(path.field(name).not_supported());
                }
            }
            let (ports, icmps) = written.layer4();
            let layer4 = port::layer4(ports, icmps, &path, problems);
            let has_layer4 = layer4 != Layer4::All;
            Rule {
                direction: R::DIRECTION,
                effect,
                number,
                peers: written.peers().peers(scope, has_layer4, &path, problems),
                layer4,
                default_deny,
                authentication: authentication(written.authentication(), effect, &path, problems),
            }
        })
        .collect()
}

fn authentication(
    written: Option<&Authentication>,
    effect: Effect,
    path: &Path,
    problems: &mut Found,
) -> Option<bool> {
    let mode = written?.mode.as_str();
    let path = path.field("authentication");
    if effect == Effect::Deny {
        problems.push(path.problem("has no meaning where traffic is denied", "leave it out"));
    }
    match mode {
        "required" => Some(true),
        "disabled" => Some(false),
        _ => {
            let remedy = "write required or disabled";
            let problem = path
                .field("mode")
                .problem(format!("`{mode}` is no mode"), remedy);
            problems.push(problem);
            None
        }
    }
}
