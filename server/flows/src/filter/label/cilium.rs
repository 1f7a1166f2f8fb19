//! Cilium's labels: `source:key=value`, and selectors that name a source.

use crate::filter::netip::{self, Prefix};

const ANY: &str = "any";
const CIDR: &str = "cidr";
const RESERVED: &str = "reserved";
const UNSPECIFIED: &str = "unspec";

/// A label of a flow.
#[derive(Debug)]
pub(super) struct Label<'a> {
    source: &'a str,
    key: &'a str,
    /// What it is set to; empty where nothing is given.
    pub(super) value: &'a str,
    /// The network, for the source `cidr`.
    network: Option<Prefix>,
}

/// The key of a selector: which label is meant.
#[derive(Debug)]
pub(super) struct Key {
    source: String,
    key: String,
    /// The network, for the source `cidr`.
    network: Option<Prefix>,
}

impl Key {
    /// From the translated form: the source ends at the first dot.
    pub(super) fn parse(text: &str) -> Self {
        let label = parse_label(text, '.');
        let source = match label.source {
            UNSPECIFIED => ANY,
            source => source,
        };
        Self {
            source: source.into(),
            key: label.key.into(),
            network: label.network,
        }
    }

    /// The first label that is meant, of labels sorted by key. `any` takes every
    /// source; with `cidr` on both sides the label's network must lie in the
    /// selector's.
    pub(super) fn find<'a, 'b>(&self, labels: &'b [Label<'a>]) -> Option<&'b Label<'a>> {
        if self.source == CIDR {
            let wanted = self.network?;
            let inside = |label: &&Label| label.network.is_some_and(|net| wanted.covers(net));
            return labels.iter().find(inside);
        }
        let begin = labels.partition_point(|label| label.key < self.key.as_str());
        let mut same = labels[begin..]
            .iter()
            .take_while(|label| label.key == self.key);
        same.find(|label| self.source == ANY || self.source == label.source)
    }
}

/// A key of source `cidr` as a network; colons are written as dashes.
fn network(key: &str) -> Option<Prefix> {
    netip::parse_prefix(&key.replace('-', ":")).ok()
}

/// Labels of a flow, sorted by key, so that the first of equal keys counts.
pub(super) fn parse_labels(labels: &[String]) -> Vec<Label<'_>> {
    let mut labels: Vec<_> = labels.iter().map(|text| parse_label(text, ':')).collect();
    labels.sort_by_key(|label| label.key);
    labels
}

fn parse_label(text: &str, delimiter: char) -> Label<'_> {
    let (source, rest) = match text.strip_prefix('$') {
        Some(rest) => (RESERVED, rest),
        None => text.split_once(delimiter).unwrap_or(("", text)),
    };
    let (key, value) = match rest.split_once('=') {
        Some(("", key)) if source == RESERVED => (key, ""),
        Some(both) => both,
        None => (rest, ""),
    };
    Label {
        source: if source.is_empty() {
            UNSPECIFIED
        } else {
            source
        },
        key,
        value,
        network: (source == CIDR).then(|| network(key)).flatten(),
    }
}

/// Brings a selector to the form that Kubernetes can parse: each key gets its
/// source in front, with a dot for the colon, `any` where none is given.
pub(super) fn translate(selector: &str) -> String {
    let mut out = String::with_capacity(selector.len() + 16);
    let mut rest = selector;
    while !rest.is_empty() {
        let key_at = rest.find(|c: char| !c.is_whitespace() && c != '!');
        let (before, from_key) = rest.split_at(key_at.unwrap_or(rest.len()));
        out.push_str(before);
        let ends_key = |c: char| c.is_whitespace() || matches!(c, '=' | '!' | ',');
        let (key, after) = from_key.split_at(from_key.find(ends_key).unwrap_or(from_key.len()));
        if key.contains(':') {
            out.push_str(&key.replacen(':', ".", 1));
        } else {
            out.push_str("any.");
            out.push_str(key);
        }
        let (values, next) = after.split_at(requirement_end(after));
        out.push_str(values);
        rest = next;
    }
    out
}

/// Length up to and with the first comma outside parentheses.
fn requirement_end(text: &str) -> usize {
    let mut nesting = 0_i64;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => nesting += 1,
            b')' => nesting -= 1,
            b',' if nesting == 0 => return i + 1,
            _ => {}
        }
    }
    text.len()
}
