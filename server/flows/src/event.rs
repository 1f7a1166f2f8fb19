//! An event of the store: a flow, or what is told beside flows.
//!
//! Only the type; the daemon's `store` holds events, `replay` makes them of files.

use sextant_proto::flow as pb;

use crate::flow::{Flow, Time, sketch::Sketch};

/// What a store holds and a file has.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are flows; the others are boxed"
)]
pub enum Event {
    /// A flow.
    Flow(Flow),
    /// A loss before the store, told to every reader.
    Lost(Box<Stamped<pb::LostEvent>>),
    /// Something that the daemon did.
    Agent(Box<Stamped<pb::AgentEvent>>),
    /// A debug message of the datapath.
    Debug(Box<Stamped<pb::DebugEvent>>),
}

/// An event that carries time and node beside its message.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped<T> {
    /// When it happened.
    pub time: Option<Time>,
    /// `node` or `cluster/node`.
    pub node_name: String,
    /// The event.
    pub event: T,
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Option<Time> {
        match self {
            Self::Flow(flow) => flow.time,
            Self::Lost(lost) => lost.time,
            Self::Agent(agent) => agent.time,
            Self::Debug(debug) => debug.time,
        }
    }

    /// What a scan knows of it without looking at it.
    #[must_use]
    pub fn sketch(&self) -> Sketch {
        self.as_flow().map_or(Sketch::NOTHING, Sketch::of)
    }

    /// The flow, if it is one.
    #[must_use]
    pub fn as_flow(&self) -> Option<&Flow> {
        match self {
            Self::Flow(flow) => Some(flow),
            _ => None,
        }
    }
}
