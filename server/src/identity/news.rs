//! An endpoint that came or went, as those who find endpoints tell it.

use crate::flow::Endpoint;

/// An endpoint that came or went.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The endpoint, with the number that it has.
    pub endpoint: Endpoint,
    /// Or is there.
    pub is_gone: bool,
    /// Whether it is of this node.
    pub is_here: bool,
}
