//! The metrics of Hubble, by their names in configurations.

use std::fmt;

/// A metric by its name in configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// DNS.
    Dns,
    /// What was dropped.
    Drop,
    /// All flows.
    Flow,
    /// What goes out of what is known.
    FlowsToWorld,
    /// Requests and responses, each by itself.
    Http,
    /// Requests as their responses tell of them.
    HttpV2,
    /// ICMP.
    Icmp,
    /// Kafka, as earlier versions of Hubble had it.
    Kafka,
    /// Lost events, which are there whenever any metric is.
    LostEvents,
    /// Verdicts of policies.
    Policy,
    /// Destination ports.
    PortDistribution,
    /// SCTP.
    Sctp,
    /// TCP.
    Tcp,
}

impl Kind {
    pub(super) const ALL: [Self; 13] = [
        Self::Dns,
        Self::Drop,
        Self::Flow,
        Self::FlowsToWorld,
        Self::Http,
        Self::HttpV2,
        Self::Icmp,
        Self::Kafka,
        Self::LostEvents,
        Self::Policy,
        Self::PortDistribution,
        Self::Sctp,
        Self::Tcp,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Drop => "drop",
            Self::Flow => "flow",
            Self::FlowsToWorld => "flows-to-world",
            Self::Http => "http",
            Self::HttpV2 => "httpV2",
            Self::Icmp => "icmp",
            Self::Kafka => "kafka",
            Self::LostEvents => "lost-events",
            Self::Policy => "policy",
            Self::PortDistribution => "port-distribution",
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
        }
    }

    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// All options, for people.
    pub(super) fn options(self) -> String {
        let of_context = "sourceContext, destinationContext, sourceIngressContext, sourceEgressContext, \
                          destinationIngressContext, destinationEgressContext, labelsContext";
        let more = match self {
            Self::Dns => ", query, ignoreAAAA",
            Self::FlowsToWorld => ", any-drop, port, syn-only",
            Self::Http | Self::HttpV2 => ", exemplars",
            _ => "",
        };
        format!("{of_context}{more}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
