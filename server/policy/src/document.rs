//! Documents that people write, and the policies in them: CiliumNetworkPolicy,
//! CiliumClusterwideNetworkPolicy and Kubernetes' NetworkPolicy, in YAML or JSON.
//!
//! What is not known, or not supported yet, is refused by its path in the document,
//! never passed over. Of a text either all documents are good or none is taken.
//!
//! Bound: `Room`, for all texts of a request together.

mod cilium;
mod icmp;
mod kubernetes;
mod peers;
mod port;
mod problem;
mod room;
mod selector;

use std::{collections::HashSet, fmt, str::FromStr};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use problem::{Problem, Problems};
pub use room::Room;
pub use selector::is_value;

use crate::policy::Policy;
use problem::{Found, Path};

/// The entity that is nobody, as an empty list of peers is.
pub const NOBODY: &str = "none";

/// Bytes of a name, as Kubernetes has them.
const MAX_NAME: usize = 253;
/// Letters of what a document is called where something is wrong with it.
const MAX_TITLE: usize = 200;

/// Name and namespace; what else is there says nothing of the policy.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

/// The policies of a text, in their order.
///
/// # Errors
///
/// All problems that were found, each with its document and path.
pub fn parse(text: &str) -> Result<Vec<Policy>, Problems> {
    let written = written(text)?.into_iter();
    Ok(written.map(|written| written.policy).collect())
}

/// A policy, and the document that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The policy.
    pub policy: Policy,
    /// Its document; of a list, the item.
    pub document: Value,
}

/// The policy that one document makes.
///
/// # Errors
///
/// As `parse`.
pub fn policy_of(document: &Value) -> Result<Policy, Problems> {
    policy(document, &Path::default()).map_err(Found::into_problems)
}

/// The policies of a text with their documents, in their order.
///
/// # Errors
///
/// As `parse`.
pub fn written(text: &str) -> Result<Vec<Written>, Problems> {
    written_within(text, &mut Room::default())
}

/// The same for one text of several, which have this room together.
///
/// # Errors
///
/// As `parse`; also where there is no more room.
pub fn written_within(text: &str, room: &mut Room) -> Result<Vec<Written>, Problems> {
    let mut all: Vec<Written> = Vec::new();
    let mut ids = HashSet::new();
    let mut problems = Found::default();
    for (number, value) in documents(text, room)?.into_iter().enumerate() {
        let name = title(&value);
        let path = Path::default();
        let mut found = Found::default();
        for (value, path) in items(value, &path) {
            match policy(&value, &path) {
                Ok(policy) if !ids.insert(policy.id.clone()) => {
                    let what = format!("{} is there twice", policy.id);
                    found.push(path.problem(what, "give each a name of its own"));
                }
                Ok(policy) => all.push(Written {
                    policy,
                    document: value,
                }),
                Err(more) => found.append(more),
            }
        }
        problems.append(found.of_document(number + 1, &name));
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(problems.into_problems())
    }
}

/// A document as YAML.
///
/// # Errors
///
/// YAML has no form for it.
pub fn to_yaml(document: &Value) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(document)
}

/// The documents of a text; empty ones are left out.
fn documents(text: &str, room: &mut Room) -> Result<Vec<Value>, Problems> {
    let refused = |what: String, remedy: &str| {
        let mut found = Found::default();
        found.push(Path::default().problem(what, remedy));
        Err(found.into_problems())
    };
    if let Err((what, remedy)) = room.take_text(text.len()) {
        return refused(what, remedy);
    }
    match room.read(text) {
        Ok(mut values) => {
            values.retain(|value| !value.is_null());
            Ok(values)
        }
        Err(error) => refused(error.to_string(), "write YAML or JSON"),
    }
}

/// What a document is called, for those who look for it.
fn title(value: &Value) -> String {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or("?");
    let title = match (text("/metadata/namespace"), text("/metadata/name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (None, Some(name)) => format!("{kind} {name}"),
        _ => kind.to_owned(),
    };
    match title.char_indices().nth(MAX_TITLE) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title,
    }
}

/// The items of a list, or the document itself.
fn items(mut value: Value, path: &Path) -> Vec<(Value, Path)> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("");
    if !kind.ends_with("List") {
        return vec![(value, path.clone())];
    }
    let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) else {
        return Vec::new();
    };
    let path = path.field("items");
    items
        .into_iter()
        .enumerate()
        .map(|(n, item)| (item, path.item(n)))
        .collect()
}

fn policy(value: &Value, path: &Path) -> Result<Policy, Found> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
    let (group, kind) = (text("apiVersion"), text("kind"));
    match (group, kind) {
        ("cilium.io/v2", "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy") => {
            cilium::policy(typed(value, path)?, path)
        }
        ("networking.k8s.io/v1", "NetworkPolicy") => kubernetes::policy(typed(value, path)?, path),
        _ => {
            let what = format!("`{group}` `{kind}` is no policy");
            let remedy = "write CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy of cilium.io/v2, or NetworkPolicy of networking.k8s.io/v1";
            Err(path.problem(what, remedy).into())
        }
    }
}

fn typed<T: DeserializeOwned>(value: &Value, path: &Path) -> Result<T, Found> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let at = path.joined(&error.path().to_string());
        let what = error.inner().to_string();
        let remedy = if what.ends_with("expected a string") {
            "put it in quotes"
        } else {
            "see the format of this kind"
        };
        at.problem(what, remedy).into()
    })
}

/// Names and namespaces stand in answers, logs and tokens of pages.
impl Metadata {
    fn check(&self, path: &Path, problems: &mut Found) {
        for (field, value) in [("name", &self.name), ("namespace", &self.namespace)] {
            let at = path.field("metadata").field(field);
            let is_odd = |c: char| c == '/' || c.is_control() || c.is_whitespace();
            if value.len() > MAX_NAME {
                let what = format!("has {} bytes, and {MAX_NAME} are the most", value.len());
                problems.push(at.problem(what, "give a shorter one"));
            } else if value.contains(is_odd) {
                problems.push(at.problem("has a `/`, a space or a control sign", "leave it out"));
            }
        }
        if self.name.is_empty() {
            let at = path.field("metadata").field("name");
            problems.push(at.problem("is missing", "name the policy"));
        }
    }
}

/// A list that was written, though it may be empty: that is not the same as none.
type List<T> = Option<Vec<T>>;

/// Whether something is in a list.
fn has_items<T>(list: &List<T>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

/// A number as it is written; one with zeros or a sign before it some read otherwise.
fn decimal<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse()
        .ok()
        .filter(|number: &T| number.to_string() == text)
}

/// A number or a text, as Kubernetes has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

impl fmt::Display for NumberOrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
