//! What is to be evaluated: an expression with all names resolved.

use super::declare::Function;
use crate::filter::regexp::Regexp;

/// A part of a checked expression.
#[derive(Debug)]
pub(super) enum Node {
    /// Stands for a part with a mistake; such a plan is never run.
    Mistake,
    Constant(Constant),
    /// The flow.
    Flow,
    /// A variable of a comprehension.
    Slot(usize),
    /// A field of a message, or a value of a map.
    Select {
        operand: Box<Node>,
        field: String,
        /// Number of the field, where the message is known.
        number: Option<u32>,
        /// Only whether it is there.
        test: bool,
    },
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    /// Not false; also where it fails.
    NotStrictlyFalse(Box<Node>),
    /// A constant pattern; none if it does not compile.
    Matches(Box<Node>, Option<Regexp>),
    /// Whether a value is among constants.
    Among(Box<Node>, Vec<Constant>),
    Call(Function, Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Message {
        name: String,
        fields: Vec<(u32, Node)>,
    },
    Fold(Box<Fold>),
}

/// A value that is written in the expression.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// A type by its name.
    Type(String),
}

/// A comprehension: all macros but `has` become one.
#[derive(Debug)]
pub(super) struct Fold {
    /// Slot of the accumulator; the loop variable has the next one.
    pub(super) slot: usize,
    /// Steps of a turn, at least.
    pub(super) turn: usize,
    pub(super) range: Node,
    pub(super) init: Node,
    pub(super) condition: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}

impl Node {
    /// How many parts it has: the steps that evaluating each of them once takes.
    pub(super) fn size(&self) -> usize {
        let of = |nodes: &[Self]| nodes.iter().map(Self::size).sum::<usize>();
        1 + match self {
            Self::Mistake | Self::Constant(_) | Self::Flow | Self::Slot(_) => 0,
            Self::Select { operand, .. } => operand.size(),
            Self::And(sides) | Self::Or(sides) => of(sides.as_slice()),
            Self::Conditional(parts) => of(parts.as_slice()),
            Self::NotStrictlyFalse(argument) | Self::Matches(argument, _) => argument.size(),
            Self::Among(value, wanted) => value.size() + wanted.len() / 4,
            Self::Call(_, nodes) | Self::List(nodes) => of(nodes),
            Self::Map(entries) => entries.iter().map(|(k, v)| k.size() + v.size()).sum(),
            Self::Message { fields, .. } => fields.iter().map(|(_, node)| node.size()).sum(),
            Self::Fold(fold) => fold.range.size() + fold.init.size() + fold.result.size(),
        }
    }

    /// The call of a function; some have nodes of their own.
    pub(super) fn call(function: Function, mut arguments: Vec<Self>) -> Self {
        match function {
            Function::And => pair(arguments, Self::And),
            Function::Or => pair(arguments, Self::Or),
            Function::Conditional => match <[Self; 3]>::try_from(arguments) {
                Ok(three) => Self::Conditional(Box::new(three)),
                Err(_) => Self::Mistake,
            },
            Function::NotStrictlyFalse => match arguments.pop() {
                Some(argument) => Self::NotStrictlyFalse(Box::new(argument)),
                None => Self::Mistake,
            },
            Function::In => match arguments.get(1).and_then(constants) {
                Some(wanted) => Self::Among(Box::new(arguments.swap_remove(0)), wanted),
                None => Self::Call(function, arguments),
            },
            _ => Self::Call(function, arguments),
        }
    }
}

fn pair(arguments: Vec<Node>, node: fn(Box<[Node; 2]>) -> Node) -> Node {
    match <[Node; 2]>::try_from(arguments) {
        Ok(two) => node(Box::new(two)),
        Err(_) => Node::Mistake,
    }
}

/// The elements of a list of constants.
fn constants(node: &Node) -> Option<Vec<Constant>> {
    let Node::List(nodes) = node else { return None };
    let constants = nodes.iter().map(|node| match node {
        Node::Constant(constant) => Some(constant.clone()),
        _ => None,
    });
    constants.collect()
}
