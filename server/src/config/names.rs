//! Names and labels: what may stand in them.
//!
//! Pure, like `values`. The rules are Kubernetes' where Hubble's filters and
//! clients rely on them, and no more than that elsewhere.

use rustls::pki_types::ServerName;

use super::values::Parsed;

/// Longest name of a node, host or endpoint.
const MAX_NAME: usize = 253;
/// Longest name of a cluster or namespace, key (without prefix) or label value.
const MAX_PART: usize = 63;
/// Longest name of a group, as `groupadd` takes it.
const MAX_GROUP: usize = 32;

/// The name of a node. A slash would divide it from its cluster.
pub(super) fn node(text: &str) -> Parsed<String> {
    identifier(text, MAX_NAME)
}

/// The node's name after that of its host, in the form that Kubernetes gives to
/// nodes: patterns of Hubble's `--node-name` match no other.
pub(super) fn node_of_host(host: &str) -> String {
    let fitting = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-' | '.') => c,
        _ => '-',
    };
    let name: String = host.chars().map(fitting).collect();
    match name.trim_matches(['-', '.']) {
        "" => "localhost".into(),
        name => name.into(),
    }
}

/// The name of a host.
pub(super) fn host(text: &str) -> Parsed<String> {
    identifier(text, MAX_NAME)
}

/// The name that a server's certificate has: of DNS, or an IP address.
pub(super) fn server(text: &str) -> Parsed<String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "`{text}` is not a name of a server; write a DNS name or an IP address, without a port"
        )),
    }
}

/// The name of a cluster or namespace.
pub(super) fn group(text: &str) -> Parsed<String> {
    identifier(text, MAX_PART)
}

/// `node` or `cluster/node`.
pub(super) fn peer(text: &str) -> Parsed<String> {
    match text.split_once('/') {
        Some((cluster, name)) => group(cluster).and_then(|_| node(name)),
        None => node(text),
    }
    .map(|_| text.to_owned())
    .map_err(|reason| format!("{reason}; a peer is named `node` or `cluster/node`"))
}

/// The name of an endpoint or workload; looser, since it may come from
/// outside, such as a systemd unit. Filters divide `namespace/name` at a slash.
pub(super) fn free(text: &str) -> Parsed<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if text.is_empty() || text.len() > MAX_NAME || text.contains(odd) {
        return Err(format!(
            "`{text}` is not a name; use 1 to {MAX_NAME} bytes without spaces and `/`"
        ));
    }
    Ok(text.to_owned())
}

/// Letters, digits, `-`, `_`, `.`; the first and last a letter or digit.
fn identifier(text: &str, longest: usize) -> Parsed<String> {
    if text.len() <= longest && is_identifier(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is not a name; use 1 to {longest} letters, digits, `-`, `_` and `.`, first and last a letter or digit"
    ))
}

/// A group of this system, by name or number; empty for none. Whether it
/// exists is found out by who asks for its number.
pub(super) fn system_group(text: &str) -> Parsed<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | '/');
    if text.len() > MAX_GROUP || text.starts_with('-') || text.contains(odd) {
        return Err(format!(
            "`{text}` is not a group; write the name or the number of one that `getent group` lists"
        ));
    }
    Ok(Some(text.to_owned()))
}

/// `key=value` of a node.
pub(super) fn node_label(text: &str) -> Parsed<String> {
    let (key, value) = split_label(text)?;
    if key.contains(':') {
        return Err(format!(
            "label `{text}` has a source; labels of nodes have none, write `key=value`"
        ));
    }
    check_label(text, key, value)
}

/// `key=value` or `source:key=value` of an endpoint.
pub(super) fn endpoint_label(text: &str) -> Parsed<String> {
    let (key, value) = split_label(text)?;
    let Some((source, key)) = key.split_once(':') else {
        return check_label(text, key, value);
    };
    match source {
        "reserved" => Err(format!(
            "label `{text}` has the source of Sextant's own labels; use another, such as `k8s:`"
        )),
        _ if is_identifier(source) => check_label(text, key, value),
        _ => Err(format!(
            "label `{text}` has no valid source; write `key=value` or `source:key=value`"
        )),
    }
}

/// The key of a label, with its source: what may be there only once.
pub(super) fn label_key(label: &str) -> &str {
    label.split_once('=').map_or(label, |(key, _)| key)
}

fn split_label(text: &str) -> Parsed<(&str, &str)> {
    text.split_once('=').ok_or_else(|| {
        format!("label `{text}` has no `=`; write `key=value`, or `key=` without a value")
    })
}

fn check_label(label: &str, key: &str, value: &str) -> Parsed<String> {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("x", key));
    let key_fits = name.len() <= MAX_PART && is_identifier(name);
    if !key_fits || prefix.len() > MAX_NAME || !is_identifier(prefix) {
        return Err(format!(
            "label `{label}` has no valid key; use at most {MAX_PART} letters, digits, `-`, `_` and `.`, after an optional `prefix/`"
        ));
    }
    if value.len() > MAX_PART || !(value.is_empty() || is_identifier(value)) {
        return Err(format!(
            "label `{label}` has no valid value; use at most {MAX_PART} letters, digits, `-`, `_` and `.`, first and last a letter or digit"
        ));
    }
    Ok(label.to_owned())
}

fn is_identifier(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inner)
}
