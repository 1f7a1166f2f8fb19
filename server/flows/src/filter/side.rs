//! A side of a flow: its sender or its receiver.

use crate::flow::{Endpoint, Flow, Interned, Names};

/// A side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The sender.
    Source,
    /// The receiver.
    Destination,
}

impl Side {
    /// The endpoint of this side.
    pub(super) fn endpoint(self, flow: &Flow) -> Option<&Interned<Endpoint>> {
        match self {
            Self::Source => flow.source.as_ref(),
            Self::Destination => flow.destination.as_ref(),
        }
    }

    pub(super) fn names(self, flow: &Flow) -> Option<&Interned<Names>> {
        match self {
            Self::Source => flow.source_names.as_ref(),
            Self::Destination => flow.destination_names.as_ref(),
        }
    }
}
