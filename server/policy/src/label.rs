//! Labels: `source:key=value`, as Cilium writes them.

use std::fmt;

/// Source of labels that are not somebody's choice: `reserved:host`.
pub const RESERVED: &str = "reserved";
/// What a selector's key has that matches labels of each source.
pub const ANY: &str = "any";
/// Key of the label that tells an endpoint's namespace.
pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Who gave it: `k8s`, `sextant`, `reserved`, ...
    pub source: String,
    /// Its value; may be empty.
    pub value: String,
}

impl Label {
    /// A label of its parts.
    #[must_use]
    pub fn new(source: &str, key: &str, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            source: source.to_owned(),
            value: value.to_owned(),
        }
    }

    /// From its text; without a source it is `unspec`, as in Cilium.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (source, key) = split_source(name).unwrap_or(("unspec", name));
        Self::new(source, key, value)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        Ok(())
    }
}

/// Source and key of what may have both.
pub(crate) fn split_source(name: &str) -> Option<(&str, &str)> {
    if let Some(key) = name.strip_prefix('$') {
        return Some((RESERVED, key));
    }
    name.split_once(':')
        .filter(|(source, _)| !source.is_empty())
}

/// The labels of an endpoint, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// Those with a key, of one source or of any.
    pub fn with(&self, source: &str, key: &str) -> impl Iterator<Item = &Label> {
        let first = self.0.partition_point(|label| label.key.as_str() < key);
        let same = self.0[first..]
            .iter()
            .take_while(move |label| label.key == key);
        same.filter(move |label| source == ANY || label.source == source)
    }

    /// Whether there is such a reserved label.
    #[must_use]
    pub fn has_reserved(&self, key: &str) -> bool {
        self.with(RESERVED, key).next().is_some()
    }

    /// Whether any of them is reserved.
    #[must_use]
    pub fn are_reserved(&self) -> bool {
        self.0.iter().any(|label| label.source == RESERVED)
    }

    /// The namespace that they tell.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.with(ANY, NAMESPACE)
            .next()
            .map(|label| label.value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort_unstable();
        labels.dedup();
        Self(labels)
    }
}

impl<'a> FromIterator<&'a str> for Labels {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        texts.into_iter().map(Label::parse).collect()
    }
}
