//! Counts of a flow of our own datapath; they travel in `Flow.extensions` as
//! a `google.protobuf.Struct`, since Hubble has no fields for them.

use super::{Interface, Interned, Nat, Process, TcpQuality};

/// Packets and bytes of one direction since the flow began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounters {
    /// Packets as they go on the wire (GSO packets count as their segments).
    pub packets: u64,
    /// Bytes of the frames, link header and VLAN tags included.
    pub bytes: u64,
    /// TCP control bits seen, or-ed.
    pub tcp_flags: u16,
    /// Of the packets, those that the kernel dropped after they were counted.
    pub dropped: u64,
}

impl DirectionCounters {
    /// Whether packets came and none went on.
    #[must_use]
    pub fn is_all_dropped(&self) -> bool {
        self.packets > 0 && self.dropped >= self.packets
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Both sides closed (FIN).
    Fin,
    /// Reset.
    Rst,
    /// Nothing came for the idle time.
    Idle,
    /// The daemon stopped watching it.
    Shutdown,
}

impl EndReason {
    /// Name in the extensions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Idle => "idle",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Totals of a flow at the time of the event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// From the initiator.
    pub forward: DirectionCounters,
    /// To the initiator.
    pub reverse: DirectionCounters,
    /// Nanoseconds from the first to the last packet.
    pub duration_ns: u64,
    /// Nanoseconds from the last packet to the time of the event, of its last event; not
    /// told on the wire.
    pub silent_ns: u64,
    /// Set on the last event of a flow.
    pub end: Option<EndReason>,
    /// The initiator was guessed, since the flow was first met in the middle.
    pub initiator_guessed: bool,
    /// VLAN tags, outer first; 0 where there is none.
    pub vlan: [u16; 2],
    /// Name of the kernel's drop reason, for dropped packets and for the end of
    /// a flow all of whose packets were dropped.
    pub kernel_drop_reason: Option<Interned<String>>,
    /// Packets that this event stands for beyond the first, for drops.
    pub drops: u64,
    /// All points at which packets of the flow were seen, if any.
    pub observation_points: Option<Interned<Points>>,
    /// The kernel's cookie of the socket that sends, if it is on this host; else 0.
    pub socket_cookie: u64,
    /// The process that sends, if it is on this host.
    pub source_process: Option<Interned<Process>>,
    /// The process that receives, if it is on this host.
    pub destination_process: Option<Interned<Process>>,
    /// How well it does, of TCP, if anything is known of that.
    pub tcp: Option<Box<TcpQuality>>,
    /// How its addresses are translated, if they are.
    pub nat: Option<Box<Nat>>,
}

impl Counters {
    /// Whether this tells dropped packets alone: those have no totals of their
    /// own, since they count in their flow.
    #[must_use]
    pub fn is_drop(&self) -> bool {
        self.kernel_drop_reason.is_some() && self.end.is_none()
    }
}

/// Where packets of a flow were seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// The interface.
    pub interface: Interned<Interface>,
    /// On their way out.
    pub egress: bool,
    /// The sub-type that a trace event of there has (`EventType`).
    pub sub_type: i32,
}

/// Observation points of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Points(pub Vec<Point>);

impl Points {
    /// Each as `interface:direction`, in another network namespace than the
    /// daemon's own as `namespace/interface:direction`.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|point| {
            let direction = if point.egress { "egress" } else { "ingress" };
            let interface = &point.interface;
            match interface.namespace.as_str() {
                "" => format!("{}:{direction}", interface.name),
                namespace => format!("{namespace}/{}:{direction}", interface.name),
            }
        })
    }
}
