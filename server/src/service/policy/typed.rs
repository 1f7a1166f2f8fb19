//! Policies in messages, as the documents that they stand for, and back.
//!
//! What they mean, and what is wrong with them, `sextant_policy::document` says alone.

use serde_json::{Value, json};
use sextant_policy::{document::NOBODY, policy::Kind};
use sextant_proto::sextant::policy::v1 as api;
use tonic::Status;

use super::request;
use crate::service::error::invalid;

/// Lists of peers in the rules of documents.
const PEERS: [&str; 8] = [
    "fromEndpoints",
    "fromCIDR",
    "fromCIDRSet",
    "fromEntities",
    "toEndpoints",
    "toCIDR",
    "toCIDRSet",
    "toEntities",
];
/// Lists of rules in the specs of documents, and where nobody stands in them.
const RULES: [(&str, &str); 4] = [
    ("ingress", "fromEntities"),
    ("ingressDeny", "fromEntities"),
    ("egress", "toEntities"),
    ("egressDeny", "toEntities"),
];

/// The document of a policy, the `field` of its request.
pub(super) fn document(policy: &api::TypedPolicy, field: &str) -> Result<String, Status> {
    let kind = match request::kind(policy.kind, &format!("{field}.kind"))? {
        None => Kind::Cilium,
        Some(Kind::Kubernetes) => {
            let text = "NetworkPolicy has another format; give it as a document";
            return Err(invalid(&format!("{field}.kind"), text));
        }
        Some(kind) => kind,
    };
    let specs = match policy.specs.as_slice() {
        [] => return Err(invalid(&format!("{field}.specs"), "give one at least")),
        [one] => ("spec", json!(one)),
        several => ("specs", json!(several)),
    };
    let mut metadata = json!({ "name": policy.name });
    if !policy.namespace.is_empty() {
        metadata["namespace"] = json!(policy.namespace);
    }
    let mut document = json!({
        "apiVersion": "cilium.io/v2",
        "kind": kind.to_string(),
        "metadata": metadata,
    });
    document[specs.0] = specs.1;
    Ok(document.to_string())
}

/// What a document says, in messages; nothing of Kubernetes' own.
pub(super) fn specs(kind: Kind, document: &Value) -> Vec<api::PolicySpec> {
    if kind == Kind::Kubernetes {
        return Vec::new();
    }
    let one = document.get("spec").into_iter();
    let several = document.get("specs").and_then(Value::as_array);
    let all = one.chain(several.into_iter().flatten());
    let all = all.filter(|spec| !spec.is_null()).map(|spec| {
        let mut spec = without_nulls(spec);
        spell_out(&mut spec);
        serde_json::from_value(spec)
    });
    // Of a document that somebody wrote in a form that messages do not have there is none.
    all.collect::<Result<_, _>>().unwrap_or_default()
}

/// A field that is null is not there; a label that is has no value.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| match (name.as_str(), value) {
                ("matchLabels", Value::Object(labels)) => {
                    let text = |value: &Value| json!(value.as_str().unwrap_or_default());
                    let labels = labels.iter().map(|(key, value)| (key.clone(), text(value)));
                    (name.clone(), Value::Object(labels.collect()))
                }
                _ => (name.clone(), without_nulls(value)),
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Says in words of messages what documents say otherwise: nobody, and types of ICMP by
/// number.
fn spell_out(spec: &mut Value) {
    for (list, entities) in RULES {
        let rules = spec.get_mut(list).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            let Value::Object(fields) = rule else {
                continue;
            };
            let is_empty = |name: &&str| fields.get(*name) == Some(&json!([]));
            if PEERS.iter().any(is_empty) {
                fields.retain(|name, _| !PEERS.contains(&name.as_str()));
                fields.insert(entities.to_owned(), json!([NOBODY]));
            }
            let icmps = fields.get_mut("icmps").and_then(Value::as_array_mut);
            for field in icmps.into_iter().flatten().flat_map(types) {
                if let Value::Number(number) = field {
                    *field = json!(number.to_string());
                }
            }
        }
    }
}

/// The types of a part of `icmps`.
fn types(icmp: &mut Value) -> impl Iterator<Item = &mut Value> {
    let fields = icmp.get_mut("fields").and_then(Value::as_array_mut);
    let fields = fields.into_iter().flatten();
    fields.filter_map(|field| field.get_mut("type"))
}

#[cfg(test)]
mod tests;
