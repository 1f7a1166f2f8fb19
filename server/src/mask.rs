//! Field masks of GetFlows and of exporters, applied to encoded flows.
//!
//! A mask is compiled once a request, against the descriptors of `flow.Flow`,
//! into a small tree of field numbers; applying it copies byte ranges of an
//! encoded flow and decodes nothing. It is not a filter: it never decides
//! whether a flow is sent. Called by streams and exporters. Bound: the tree has
//! at most one node for each message field of the schema, whatever was asked.
//!
//! The rules are upstream's: a selected field is copied if it is set; a message
//! of which only parts are selected is present in the result even if the flow
//! lacks it, its parents too; a member of a oneof is there only if the flow has
//! just that member.

use std::collections::BTreeMap;

use sextant_flows::shape::{self, Kind, Shape};

use crate::{field::Field, flow::wire::put};

/// Message type that the paths of a mask refer to.
const FLOW: &str = "flow.Flow";

/// Field numbers below this are found by index, the others by search.
const DIRECT: usize = 64;

/// Why a mask was refused. The text is upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// A path names no field of `flow.Flow`, or goes into a repeated one.
    #[error("invalid fieldmask")]
    Invalid,
}

/// A compiled mask. Masks that select the same are equal, whatever the order
/// and the redundancy of their paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mask(Node);

/// What is selected of one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    /// Ascending by field number.
    fields: Box<[Selected]>,
    /// The places, as bits, of the messages that must be in the result.
    required: u64,
    /// For each low field number its place in `fields` plus one, or 0.
    direct: [u8; DIRECT],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Selected {
    number: u32,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// The field as it is.
    Whole,
    /// Parts of a message.
    Within {
        node: Node,
        /// The encoded field where the flow lacks it; empty in a oneof.
        absent: Box<[u8]>,
    },
}

impl Mask {
    /// Compiles the paths of a request; `None` means that nothing is masked.
    ///
    /// # Errors
    /// A path that `flow.Flow` does not have makes the whole mask invalid.
    pub fn compile(paths: &[String]) -> Result<Option<Self>, MaskError> {
        if paths.is_empty() {
            return Ok(None);
        }
        let flow = Shape::named(FLOW).ok_or(MaskError::Invalid)?;
        let mut tree = Tree::default();
        for path in paths {
            tree.add(path, flow)?;
        }
        Ok(Some(Self(tree.into_node())))
    }

    /// Appends the selected fields of an encoded `flow.Flow` to `out`.
    ///
    /// `flow` is expected as an encoder writes it, each singular field once.
    /// Nothing is taken from the point on where it is not protobuf.
    pub fn apply(&self, flow: &[u8], out: &mut Vec<u8>) {
        self.0.apply(flow, out);
    }

    /// Whether the result can hold field `number` of `flow.Flow`. What is not
    /// selected need not be encoded in the first place.
    #[must_use]
    pub fn selects(&self, number: u32) -> bool {
        self.0.find(number).is_some()
    }
}

impl Node {
    fn new(fields: Vec<Selected>) -> Self {
        let mut direct = [0; DIRECT];
        let mut required = 0;
        for (place, field) in fields.iter().enumerate() {
            if let Some(slot) = direct.get_mut(field.number as usize) {
                *slot = place as u8 + 1;
            }
            if matches!(&field.part, Part::Within { absent, .. } if !absent.is_empty()) {
                required |= 1 << place;
            }
        }
        Self {
            fields: fields.into(),
            required,
            direct,
        }
    }

    fn find(&self, number: u32) -> Option<(usize, &Part)> {
        let place = match self.direct.get(number as usize) {
            Some(0) => return None,
            Some(place) => usize::from(*place) - 1,
            None => self
                .fields
                .binary_search_by_key(&number, |field| field.number)
                .ok()?,
        };
        Some((place, &self.fields[place].part))
    }

    /// Fields come out in the order in which they come in, what is absent in its place: of
    /// flows that are equal in these fields the same bytes, if their fields ascend.
    fn apply(&self, wire: &[u8], out: &mut Vec<u8>) {
        let mut required = self.required;
        // Fields that follow each other are copied at once.
        let mut run = 0..0;
        let mut at = 0;
        while let Ok(Some(field)) = Field::next(&wire[at..]) {
            let start = at;
            at += field.whole.len();
            let Some((place, part)) = self.find(field.number) else {
                continue;
            };
            let absent = required & ((1 << place) - 1);
            if absent != 0 {
                out.extend_from_slice(&wire[std::mem::take(&mut run)]);
                self.add_absent(absent, out);
                required &= !absent;
            }
            match (part, field.message) {
                (Part::Whole, _) if run.end == start => run.end = at,
                (Part::Whole, _) => {
                    out.extend_from_slice(&wire[run]);
                    run = start..at;
                }
                (Part::Within { node, .. }, Some(message)) => {
                    out.extend_from_slice(&wire[std::mem::take(&mut run)]);
                    required &= !(1 << place);
                    put::message(field.number, out, |out| node.apply(message, out));
                }
                (Part::Within { .. }, None) => {}
            }
        }
        out.extend_from_slice(&wire[run]);
        self.add_absent(required, out);
    }

    /// Appends the partly selected messages that the flow lacks.
    fn add_absent(&self, mut missing: u64, out: &mut Vec<u8>) {
        while missing != 0 {
            let place = missing.trailing_zeros() as usize;
            missing &= missing - 1;
            if let Part::Within { absent, .. } = &self.fields[place].part {
                out.extend_from_slice(absent);
            }
        }
    }
}

/// A mask on its way to a `Node`: the paths, merged.
#[derive(Default)]
struct Tree {
    fields: BTreeMap<u32, Branch>,
}

struct Branch {
    in_oneof: bool,
    /// `None`: the whole field.
    within: Option<Tree>,
}

impl Tree {
    fn add(&mut self, path: &str, message: &Shape) -> Result<(), MaskError> {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let field = message.field_named(name).ok_or(MaskError::Invalid)?;
        let branch = self.fields.entry(field.number).or_insert_with(|| Branch {
            in_oneof: field.oneof.is_some(),
            within: rest.map(|_| Self::default()),
        });
        let Some(rest) = rest else {
            branch.within = None;
            return Ok(());
        };
        let inner = message_of(field).ok_or(MaskError::Invalid)?;
        match &mut branch.within {
            Some(tree) => tree.add(rest, inner),
            // The whole field is selected already; the path must be valid all the same.
            None => Self::default().add(rest, inner),
        }
    }

    fn into_node(self) -> Node {
        let fields = self.fields.into_iter().map(|(number, branch)| Selected {
            number,
            part: match branch.within {
                None => Part::Whole,
                Some(tree) => within(number, branch.in_oneof, tree.into_node()),
            },
        });
        Node::new(fields.collect())
    }
}

fn within(number: u32, in_oneof: bool, node: Node) -> Part {
    let mut absent = Vec::new();
    if !in_oneof {
        put::message(number, &mut absent, |out| node.apply(&[], out));
    }
    Part::Within {
        node,
        absent: absent.into(),
    }
}

/// The type of a field that a path may enter.
fn message_of(field: &shape::Field) -> Option<&'static Shape> {
    match field.kind {
        Kind::Message(place) if !field.is_repeated => Some(Shape::at(place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
