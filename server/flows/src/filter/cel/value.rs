//! Values of expressions: what they are, and their order as in cel-go. Equality is in
//! `equality`, fields of messages are in `message`.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use prost_reflect::{DynamicMessage, ReflectMessage as _};
use sextant_proto::flow as pb;

use super::{super::meter::Spent, plan::Constant};
use crate::flow::{Endpoint, EventType, Flow, Interface, L4, TcpFlags, Workload};

/// Evaluation failed; the reason reaches nobody, so it is not kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Failure;

/// Nothing more may be evaluated; whoever makes a failure good fails again.
impl From<Spent> for Failure {
    fn from(_: Spent) -> Self {
        Self
    }
}

/// A value or a failure.
pub(super) type Outcome<'a> = Result<Value<'a>, Failure>;

/// A value; borrows from the flow and from the expression.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Instant),
    /// A type by its name.
    Type(Cow<'a, str>),
    List(List<'a>),
    Map(Arc<Vec<(Value<'a>, Value<'a>)>>),
    Message(Message<'a>),
}

/// Seconds since the epoch and nanoseconds of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant {
    pub(super) seconds: i64,
    pub(super) nanos: i64,
}

impl Instant {
    /// With the nanoseconds brought into the second.
    pub(super) fn new(seconds: i64, nanos: i64) -> Self {
        Self {
            seconds: seconds.saturating_add(nanos.div_euclid(1_000_000_000)),
            nanos: nanos.rem_euclid(1_000_000_000),
        }
    }
}

/// A list, as it lies in the flow or made by the expression.
#[derive(Clone, Debug)]
pub(super) enum List<'a> {
    Values(Arc<Vec<Value<'a>>>),
    Strings(&'a [String]),
    Workloads(&'a [Workload]),
    Headers(&'a [pb::HttpHeader]),
}

/// A message; one that is missing reads as an empty one.
#[derive(Clone, Debug)]
pub(super) enum Message<'a> {
    Flow(&'a Flow),
    Endpoint(Option<&'a Endpoint>),
    Workload(&'a Workload),
    /// The network layer of this flow.
    Ip(&'a Flow),
    Layer4(Option<&'a L4>),
    /// The transport header, if it is that of the message.
    Transport(Transport, Option<&'a L4>),
    TcpFlags(Option<TcpFlags>),
    EventType(Option<EventType>),
    Interface(Option<&'a Interface>),
    Layer7(Option<&'a pb::Layer7>),
    Dns(Option<&'a pb::Dns>),
    Http(Option<&'a pb::Http>),
    Header(&'a pb::HttpHeader),
    Service(Option<&'a pb::Service>),
    Dynamic(Arc<DynamicMessage>),
    /// `google.protobuf.Empty`.
    Empty,
}

/// Messages with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Sctp,
    Icmp4,
    Icmp6,
}

impl Message<'_> {
    /// Full name.
    pub(super) fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Flow(_) => "flow.Flow",
            Self::Endpoint(_) => "flow.Endpoint",
            Self::Workload(_) => "flow.Workload",
            Self::Ip(_) => "flow.IP",
            Self::Layer4(_) => "flow.Layer4",
            Self::Transport(Transport::Tcp, _) => "flow.TCP",
            Self::Transport(Transport::Udp, _) => "flow.UDP",
            Self::Transport(Transport::Sctp, _) => "flow.SCTP",
            Self::Transport(Transport::Icmp4, _) => "flow.ICMPv4",
            Self::Transport(Transport::Icmp6, _) => "flow.ICMPv6",
            Self::TcpFlags(_) => "flow.TCPFlags",
            Self::EventType(_) => "flow.CiliumEventType",
            Self::Interface(_) => "flow.NetworkInterface",
            Self::Layer7(_) => "flow.Layer7",
            Self::Dns(_) => "flow.DNS",
            Self::Http(_) => "flow.HTTP",
            Self::Header(_) => "flow.HTTPHeader",
            Self::Service(_) => "flow.Service",
            Self::Empty => "google.protobuf.Empty",
            Self::Dynamic(message) => {
                return Cow::Owned(message.descriptor().full_name().into());
            }
        })
    }
}

impl<'a> List<'a> {
    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Strings(strings) => strings.len(),
            Self::Workloads(workloads) => workloads.len(),
            Self::Headers(headers) => headers.len(),
        }
    }

    /// The element at `index`.
    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Values(values) => values.get(index).cloned(),
            Self::Strings(strings) => strings.get(index).map(|text| Value::text(text)),
            Self::Workloads(workloads) => workloads
                .get(index)
                .map(|workload| Value::Message(Message::Workload(workload))),
            Self::Headers(headers) => headers
                .get(index)
                .map(|header| Value::Message(Message::Header(header))),
        }
    }

    /// All elements.
    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// Bytes that are copied or compared in a step.
pub(super) const BYTES_A_STEP: usize = 16;

impl<'a> Value<'a> {
    /// Steps that a copy takes, beside the first.
    pub(super) fn copying(&self) -> usize {
        match self {
            Self::String(Cow::Owned(text)) => text.len() / BYTES_A_STEP,
            Self::Bytes(Cow::Owned(bytes)) => bytes.len() / BYTES_A_STEP,
            _ => 0,
        }
    }

    /// Steps that a look at all of it takes, without what is in its elements.
    pub(super) fn looking(&self) -> usize {
        match self {
            Self::String(text) => text.len() / BYTES_A_STEP,
            Self::Bytes(bytes) => bytes.len() / BYTES_A_STEP,
            _ => 0,
        }
    }

    /// A text of the flow or the expression.
    pub(super) fn text(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }

    /// A text made on the way.
    pub(super) fn owned(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }

    /// A list made on the way.
    pub(super) fn list(values: Vec<Self>) -> Self {
        Self::List(List::Values(Arc::new(values)))
    }

    /// A value of the expression.
    pub(super) fn constant(constant: &'a Constant) -> Self {
        match constant {
            Constant::Null => Self::Null,
            Constant::Bool(value) => Self::Bool(*value),
            Constant::Int(value) => Self::Int(*value),
            Constant::Uint(value) => Self::Uint(*value),
            Constant::Double(value) => Self::Double(*value),
            Constant::String(value) => Self::text(value),
            Constant::Bytes(value) => Self::Bytes(Cow::Borrowed(value)),
            Constant::Type(name) => Self::Type(Cow::Borrowed(name)),
        }
    }

    /// Name of the value's type.
    pub(super) fn type_name(&self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Message(message) => return message.name(),
        })
    }

    /// Order; fails for values that have none between them.
    pub(super) fn compare(&self, other: &Value) -> Result<Ordering, Failure> {
        match (self, other) {
            (Self::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
            (Self::String(a), Value::String(b)) => Ok(a.cmp(b)),
            (Self::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
            (Self::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
            (Self::Timestamp(a), Value::Timestamp(b)) => Ok(a.cmp(b)),
            _ => self.compare_numbers(other).ok_or(Failure),
        }
    }

    /// Order of numbers; nothing for others and for NaN.
    pub(super) fn compare_numbers(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
            (Self::Double(a), Value::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            // As in cel-go, integers beyond 2^53 are rounded.
            (Self::Double(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Double(a), Value::Uint(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Int(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Uint(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
            _ => None,
        }
    }
}
