//! The tree of a parsed pattern, and how it is written for the crate `regex`.

use std::fmt::Write as _;

/// A part of a pattern.
#[derive(Debug)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// Characters in a row. A surrogate matches nothing.
    Literal {
        /// Code points.
        runes: Vec<u32>,
        /// Whether case is ignored.
        fold: bool,
    },
    /// A piece of the crate's syntax: a class, a dot or an assertion.
    Atom(String),
    /// A capturing group.
    Group(Box<Node>),
    /// One after the other.
    Concat(Vec<Node>),
    /// One of them.
    Alternate(Vec<Node>),
    /// Again and again.
    Repeat(Box<Repeat>),
}

/// A repeated part.
#[derive(Debug)]
pub(super) struct Repeat {
    /// What is repeated.
    pub(super) node: Node,
    /// At least so often.
    pub(super) min: u32,
    /// At most so often.
    pub(super) max: Option<u32>,
    /// Written as `{min,max}`, which Go bounds.
    pub(super) counted: bool,
}

/// A class that matches nothing.
pub(super) const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

impl Node {
    /// Levels of nesting.
    pub(super) fn height(&self) -> usize {
        match self {
            Self::Empty | Self::Literal { .. } | Self::Atom(_) => 1,
            Self::Group(node) => 1 + node.height(),
            Self::Repeat(repeat) => 1 + repeat.node.height(),
            Self::Concat(nodes) | Self::Alternate(nodes) => {
                1 + nodes.iter().map(Self::height).max().unwrap_or(0)
            }
        }
    }

    /// Whether nested counts stay within `bound` copies of the innermost part.
    pub(super) fn counts_within(&self, mut bound: u32) -> bool {
        match self {
            Self::Empty | Self::Literal { .. } | Self::Atom(_) => true,
            Self::Group(node) => node.counts_within(bound),
            Self::Concat(nodes) | Self::Alternate(nodes) => {
                nodes.iter().all(|node| node.counts_within(bound))
            }
            Self::Repeat(repeat) => {
                if repeat.counted {
                    if repeat.max == Some(0) {
                        return true;
                    }
                    let count = repeat.max.unwrap_or(repeat.min);
                    if count > bound {
                        return false;
                    }
                    bound = bound.checked_div(count).unwrap_or(bound);
                }
                repeat.node.counts_within(bound)
            }
        }
    }

    /// Without what may be empty at the ends, as `.*` in `.*name.*`: it changes
    /// nothing about whether a text has a match, and makes many a pattern a
    /// plain text, which is compiled and found much faster.
    pub(super) fn without_optional_ends(self) -> Self {
        match self {
            Self::Concat(mut nodes) => {
                while nodes.last().is_some_and(Self::is_optional) {
                    nodes.pop();
                }
                let begin = nodes.iter().take_while(|node| node.is_optional()).count();
                nodes.drain(..begin);
                Self::Concat(nodes)
            }
            node if node.is_optional() => Self::Empty,
            node => node,
        }
    }

    fn is_optional(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Group(node) => node.is_optional(),
            Self::Repeat(repeat) => repeat.min == 0,
            Self::Literal { .. } | Self::Atom(_) | Self::Concat(_) | Self::Alternate(_) => false,
        }
    }

    /// The pattern in the crate's syntax.
    pub(super) fn to_pattern(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("(?:)"),
            Self::Literal { runes, fold } => write_literal(out, runes, *fold),
            Self::Atom(text) => out.push_str(text),
            // What needs to be grouped groups itself.
            Self::Group(node) => node.write(out),
            Self::Concat(nodes) => nodes.iter().for_each(|node| node.write(out)),
            Self::Alternate(nodes) => group(out, |out| {
                for (i, node) in nodes.iter().enumerate() {
                    if i > 0 {
                        out.push('|');
                    }
                    node.write(out);
                }
            }),
            Self::Repeat(repeat) => {
                group(out, |out| repeat.node.write(out));
                write_count(out, repeat.min, repeat.max);
            }
        }
    }
}

fn group(out: &mut String, write: impl FnOnce(&mut String)) {
    out.push_str("(?:");
    write(out);
    out.push(')');
}

fn write_count(out: &mut String, min: u32, max: Option<u32>) {
    let written = match (min, max) {
        (0, None) => out.write_char('*'),
        (1, None) => out.write_char('+'),
        (0, Some(1)) => out.write_char('?'),
        (min, None) => write!(out, "{{{min},}}"),
        (min, Some(max)) => write!(out, "{{{min},{max}}}"),
    };
    written.expect("writing to a string cannot fail");
}

fn write_literal(out: &mut String, runes: &[u32], fold: bool) {
    if fold {
        out.push_str("(?i:");
    }
    for rune in runes {
        match char::from_u32(*rune) {
            Some(c) if c.is_ascii_alphanumeric() || !c.is_ascii() => out.push(c),
            Some(c) => write_rune(out, u32::from(c)),
            None => out.push_str(NOTHING),
        }
    }
    if fold {
        out.push(')');
    }
}

/// A code point as `\x{...}`.
pub(super) fn write_rune(out: &mut String, rune: u32) {
    write!(out, "\\x{{{rune:X}}}").expect("writing to a string cannot fail");
}
