//! Glob patterns of DNS names and node names.
//!
//! `*` stands for any run of `-`, `.`, digits and lower-case letters (not of
//! underscores, as upstream). Patterns are anchored and lower-cased, names are
//! taken as they come.

use super::{FilterError, text};

/// One element of a pattern.
#[derive(Debug, PartialEq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any run of name bytes.
    Star,
}

/// A pattern of a DNS name.
#[derive(Debug)]
pub(super) struct Glob(Vec<Token>);

impl Glob {
    /// Compiles a pattern: spaces are trimmed, one trailing dot is cut.
    pub(super) fn compile(pattern: &str) -> Result<Self, FilterError> {
        let pattern = pattern.trim();
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
        if pattern.is_empty() {
            return Err(FilterError::EmptyPattern);
        }
        if pattern.ends_with('.') {
            return Err(FilterError::TrailingDots);
        }
        let tokens: Result<_, _> = text::to_lower(pattern).chars().map(token).collect();
        tokens.map(Self)
    }

    /// Whether the whole name is matched. Costs pattern times name at worst.
    pub(super) fn matches(&self, name: &str) -> bool {
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        self.close(&mut reached);
        for byte in name.bytes() {
            let mut next = vec![false; reached.len()];
            for (i, token) in self.0.iter().enumerate().filter(|(i, _)| reached[*i]) {
                match token {
                    Token::Byte(wanted) => next[i + 1] |= *wanted == byte,
                    Token::Star => next[i] |= is_starred(byte),
                }
            }
            self.close(&mut next);
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    /// A star may stand for nothing.
    fn close(&self, reached: &mut [bool]) {
        for (i, token) in self.0.iter().enumerate() {
            reached[i + 1] |= reached[i] && *token == Token::Star;
        }
    }
}

fn token(c: char) -> Result<Token, FilterError> {
    match c {
        '*' => Ok(Token::Star),
        '.' | '-' | '_' | '0'..='9' | 'a'..='z' => Ok(Token::Byte(c as u8)),
        _ => Err(FilterError::InvalidRune(c)),
    }
}

fn is_starred(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z')
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
            Self::Glob(glob) => glob.matches(name),
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
        let (cluster, node) = name.split_once('/').unwrap_or(("default", name));
        self.cluster.matches(cluster) && self.node.matches(node)
    }
}
