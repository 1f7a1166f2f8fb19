//! Glob patterns of DNS names and node names.
//!
//! `*` stands for any run of `-`, `.`, digits and lower-case letters. Patterns are
//! anchored and lower-cased. DNS names are taken as they come and `*` has no
//! underscores, as upstream. Names of nodes are matched whatever their case, and `*` takes
//! underscores there: upstream finds a node with either by no pattern at all, but a host's
//! name may have them, and so may those of a file that is replayed.

use super::{FilterError, text};

/// A pattern of a DNS name.
#[derive(Debug)]
pub struct Glob(String);

impl Glob {
    /// Compiles a pattern: spaces are trimmed, one trailing dot is cut.
    ///
    /// # Errors
    /// It is empty or has a character that no name has.
    pub fn compile(pattern: &str) -> Result<Self, FilterError> {
        let pattern = pattern.trim();
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
        if pattern.is_empty() {
            return Err(FilterError::EmptyPattern);
        }
        if pattern.ends_with('.') {
            return Err(FilterError::TrailingDots);
        }
        let pattern = text::to_lower(pattern);
        if let Some(wrong) = pattern.chars().find(|c| !is_pattern_char(*c)) {
            return Err(FilterError::InvalidRune(wrong));
        }
        Ok(Self(pattern))
    }

    /// Whether the whole name is matched. Each part between stars is taken at the
    /// first place where it is: a later one leaves less to the stars behind it.
    /// Costs pattern and name once.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.matches_with(name, is_starred)
    }

    fn matches_with(&self, name: &str, is_starred: fn(u8) -> bool) -> bool {
        let Some((first, others)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        let (parts, last) = others.rsplit_once('*').unwrap_or(("", others));
        let inner = name.strip_prefix(first);
        let Some(mut rest) = inner.and_then(|inner| inner.strip_suffix(last)) else {
            return false;
        };
        for part in parts.split('*') {
            let Some(at) = rest.find(part) else {
                return false;
            };
            if !rest[..at].bytes().all(is_starred) {
                return false;
            }
            rest = &rest[at + part.len()..];
        }
        rest.bytes().all(is_starred)
    }
}

fn is_pattern_char(c: char) -> bool {
    matches!(c, '*' | '.' | '-' | '_' | '0'..='9' | 'a'..='z')
}

fn is_starred(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z')
}

fn is_starred_of_node(byte: u8) -> bool {
    byte == b'_' || is_starred(byte)
}

/// A cluster or node in a node name pattern.
#[derive(Debug)]
enum Part {
    /// Anything that looks like a DNS name.
    Any,
    /// What the pattern matches.
    Glob(Glob),
}

impl Part {
    fn compile(pattern: &str) -> Result<Self, FilterError> {
        match pattern {
            "" => Ok(Self::Any),
            pattern => Glob::compile(pattern).map(Self::Glob),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => is_fqdn(name),
            Self::Glob(glob) => glob.matches_with(name, is_starred_of_node),
        }
    }
}

/// Labels of lower-case letters, digits, `-` and `_`, none of them empty.
fn is_fqdn(name: &str) -> bool {
    let in_label = |b| matches!(b, b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z');
    name.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(in_label))
}

/// A pattern of a node name: `[cluster/]node`.
#[derive(Debug)]
pub(super) struct NodePattern {
    cluster: Part,
    node: Part,
}

impl NodePattern {
    /// Compiles a pattern; an empty cluster or node stands for any.
    pub(super) fn compile(pattern: &str) -> Result<Self, FilterError> {
        if pattern.is_empty() {
            return Err(FilterError::EmptyPattern);
        }
        let (cluster, node) = pattern.split_once('/').unwrap_or(("", pattern));
        if node.contains('/') {
            return Err(FilterError::TooManySlashes);
        }
        Ok(Self {
            cluster: Part::compile(cluster)?,
            node: Part::compile(node)?,
        })
    }

    /// Whether a node name is matched; one without cluster is in `default`.
    pub(super) fn matches(&self, name: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        let name = &text::to_lower(name);
        let (cluster, node) = name.split_once('/').unwrap_or(("default", name));
        self.cluster.matches(cluster) && self.node.matches(node)
    }
}
