//! The flow inside the daemon: one compact type, with interned parts.
//!
//! What many flows share (endpoints, names, interface, node) is interned and
//! shared by `Arc`; what few flows have sits in a boxed cold part. Protobuf
//! appears in `flow::proto` alone, apart from the cold messages that are kept
//! as they came. A flow that is converted from protobuf and back is the same
//! flow. This module never awaits, locks, logs or touches the system.

mod address;
mod counters;
pub mod heap;
mod intern;
mod interners;
pub mod ip_protocol;
mod nat;
mod process;
pub mod proto;
mod quality;
pub mod redaction;
pub mod sketch;
mod summary;
mod transport;
pub mod wire;

#[cfg(test)]
mod tests;

use sextant_proto::flow as pb;

pub use address::{Address, Ethernet, Uuid};
pub use counters::{Counters, DirectionCounters, EndReason, Point, Points};
pub(crate) use intern::HeldKey;
pub use intern::{Interned, Interner};
pub use interners::Interners;
pub use nat::Nat;
pub use process::Process;
pub use quality::{Figures, ResetBy, TcpQuality};
pub use summary::{Summary, icmp4_text, icmp6_text};
pub use transport::{L4, TcpFlags};

/// Seconds and nanoseconds since the Unix epoch, as protobuf's `Timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds of the second; 0..1_000_000_000 when the time is valid.
    pub nanos: i32,
}

impl Time {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Self {
        Self {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: nanos.rem_euclid(1_000_000_000) as i32,
        }
    }

    /// Nanoseconds since the Unix epoch; saturates outside the years 1678 to 2262.
    #[must_use]
    pub fn as_nanos(self) -> i64 {
        self.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(self.nanos))
    }

    /// The present, by the wall clock.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seconds: since.as_secs() as i64,
            nanos: since.subsec_nanos() as i32,
        }
    }
}

/// The monitor event behind a flow: type and sub-type (Hubble's `CiliumEventType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventType {
    /// 1 drop, 3 capture, 4 trace, 5 policy verdict, 7 socket, 129 L7.
    pub kind: i32,
    /// Drop reason, observation point, ...: depends on the type.
    pub sub_type: i32,
}

/// Network layer of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ip {
    /// Sender.
    pub source: Address,
    /// Receiver.
    pub destination: Address,
    /// 1 IPv4, 2 IPv6 (Hubble's `IPVersion`).
    pub version: i32,
    /// Sent through an encrypting tunnel.
    pub encrypted: bool,
}

/// One side of a flow, shared by all flows of the same endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Local endpoint number; 0 for endpoints that are not local.
    pub id: u32,
    /// Numeric security identity.
    pub identity: u32,
    /// Cluster that the endpoint belongs to.
    pub cluster_name: String,
    /// Namespace; empty for reserved identities.
    pub namespace: String,
    /// Labels as `source:key=value`, sorted.
    pub labels: Vec<String>,
    /// Name within the namespace.
    pub pod_name: String,
    /// Controllers, units or containers behind it.
    pub workloads: Vec<Workload>,
}

/// A controller, unit or container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Its kind, such as `Deployment`.
    pub kind: String,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Network namespace that it is in; empty for the daemon's own.
    pub namespace: String,
}

/// Where a flow was observed: the node and the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `node` or `cluster/node`.
    pub node_name: String,
    /// Labels of the node as `key=value`, sorted.
    pub node_labels: Vec<String>,
    /// Name and version of the emitting program.
    pub emitter: Option<(String, String)>,
}

/// DNS names of one side.
pub type Names = Vec<String>;

/// Fields that few flows have. Messages are kept in protobuf form, so that a
/// replayed flow comes out exactly as it went in; large ones that are rare
/// here too are boxed once more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cold {
    /// Hubble's `AuthType`.
    pub auth_type: i32,
    /// Source address after translation; empty when not translated.
    pub source_xlated: String,
    /// Outer headers of an encapsulated flow.
    pub tunnel: Option<Box<pb::Tunnel>>,
    /// Application-layer record.
    pub l7: Option<pb::Layer7>,
    /// Service of the source address.
    pub source_service: Option<Box<pb::Service>>,
    /// Service of the destination address.
    pub destination_service: Option<Box<pb::Service>>,
    /// Source line that raised a drop.
    pub file: Option<Box<pb::FileInfo>>,
    /// Trace id of an IP option.
    pub ip_trace_id: Option<pb::IpTraceId>,
    /// Hubble's `DebugCapturePoint`.
    pub debug_capture_point: i32,
    /// Port of the proxy that handled the flow.
    pub proxy_port: u32,
    /// Distributed-tracing context.
    pub trace_context: Option<pb::TraceContext>,
    /// Hubble's `SocketTranslationPoint`.
    pub sock_xlate_point: i32,
    /// Kernel's socket cookie.
    pub socket_cookie: u64,
    /// Kernel's cgroup id.
    pub cgroup_id: u64,
    /// Anything else; replaces the counters when set.
    pub extensions: Option<Box<prost_types::Any>>,
    /// Policies that allowed egress.
    pub egress_allowed_by: Vec<pb::Policy>,
    /// Policies that allowed ingress.
    pub ingress_allowed_by: Vec<pb::Policy>,
    /// Policies that denied egress.
    pub egress_denied_by: Vec<pb::Policy>,
    /// Policies that denied ingress.
    pub ingress_denied_by: Vec<pb::Policy>,
    /// Log texts of policies.
    pub policy_log: Vec<String>,
    /// Counts of an aggregated record.
    pub aggregate: Option<pb::Aggregate>,
}

/// One observed flow event. Field meanings are those of Hubble's `flow.Flow`;
/// enumerations are kept as numbers, so that unknown ones survive.
///
/// What filters look at most comes first: a scan of the store is bound by the
/// memory that it touches.
#[repr(C)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// Deprecated copy of `is_reply`, which the UI reads.
    pub reply: bool,
    /// Whether the packet answers the connection's initiator, where known.
    pub is_reply: Option<bool>,
    /// `flow.Verdict`.
    pub verdict: i32,
    /// Transport layer.
    pub l4: Option<L4>,
    /// Sender.
    pub source: Option<Interned<Endpoint>>,
    /// Receiver.
    pub destination: Option<Interned<Endpoint>>,
    /// Node and emitter.
    pub origin: Interned<Origin>,
    /// What few flows have.
    pub cold: Option<Box<Cold>>,
    /// When it was observed.
    pub time: Option<Time>,
    /// The monitor event behind the flow.
    pub event_type: Option<EventType>,
    /// `flow.DropReason`.
    pub drop_reason_desc: i32,
    /// Network layer.
    pub ip: Option<Ip>,
    /// Deprecated copy of `drop_reason_desc`, which the UI reads.
    pub drop_reason: u32,
    /// `flow.FlowType`.
    pub flow_type: i32,
    /// `flow.TrafficDirection`.
    pub traffic_direction: i32,
    /// `flow.TraceObservationPoint`.
    pub trace_observation_point: i32,
    /// `flow.TraceReason`.
    pub trace_reason: i32,
    /// How specific the policy match was.
    pub policy_match_type: u32,
    /// Unique id of this event.
    pub uuid: Uuid,
    /// Interface at which it was observed.
    pub interface: Option<Interned<Interface>>,
    /// DNS names of the source.
    pub source_names: Option<Interned<Names>>,
    /// DNS names of the destination.
    pub destination_names: Option<Interned<Names>>,
    /// Packets, bytes and TCP totals, for flows of our own datapath.
    pub counters: Option<Box<Counters>>,
    /// MAC addresses.
    pub ethernet: Option<Ethernet>,
    /// Text in parentheses of the CLI.
    pub summary: Summary,
}

impl Flow {
    /// The cgroup of the sender's process, by its number in the unified hierarchy, where
    /// the flow or that process has it; else 0.
    #[must_use]
    pub fn cgroup_id(&self) -> u64 {
        let said = self.cold.as_ref().map_or(0, |cold| cold.cgroup_id);
        let sender = || self.counters.as_ref()?.source_process.as_ref();
        match said {
            0 => sender().map_or(0, |process| process.cgroup_id),
            said => said,
        }
    }

    /// The kernel's cookie of the socket that sends (`SO_COOKIE`), where the flow or what
    /// was seen of it has it; else 0.
    #[must_use]
    pub fn socket_cookie(&self) -> u64 {
        let said = self.cold.as_ref().map_or(0, |cold| cold.socket_cookie);
        match (said, &self.counters) {
            (0, Some(counters)) => counters.socket_cookie,
            (said, _) => said,
        }
    }

    /// The cold part, made when absent.
    pub fn cold_mut(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// The application-layer record, if there is one.
    #[must_use]
    pub fn l7(&self) -> Option<&pb::Layer7> {
        self.cold.as_ref().and_then(|cold| cold.l7.as_ref())
    }

    /// The node name, `node` or `cluster/node`.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.origin.node_name
    }
}

const _: () = assert!(size_of::<Flow>() <= 272);
