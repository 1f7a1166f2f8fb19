//! What Hubble calls things in labels: protocols, types, codes.

use sextant_proto::flow::{self as pb, layer7::Record};

use crate::{
    flow::{Flow, L4},
    metrics::labels::Labels,
};

/// Monitor events by their type.
pub(super) mod event {
    pub(crate) const DROP: i32 = 1;
    pub(crate) const CAPTURE: i32 = 3;
    pub(crate) const TRACE: i32 = 4;
    pub(crate) const POLICY_VERDICT: i32 = 5;
    pub(crate) const L7: i32 = 129;
}

/// Type of the flow's event; 0 where there is none.
pub(super) fn event_kind(flow: &Flow) -> i32 {
    flow.event_type.map_or(0, |event| event.kind)
}

/// The application-layer record.
pub(super) fn record(flow: &Flow) -> Option<&Record> {
    flow.l7()?.record.as_ref()
}

/// Protocol of a flow.
pub(super) fn protocol(flow: &Flow) -> &'static str {
    match event_kind(flow) {
        event::L7 => match record(flow) {
            Some(Record::Dns(_)) => "DNS",
            Some(Record::Http(_)) => "HTTP",
            _ => "Unknown L7",
        },
        event::DROP | event::TRACE | event::POLICY_VERDICT | event::CAPTURE => {
            flow.l4.as_ref().and_then(transport).unwrap_or("Unknown L4")
        }
        _ => "Unknown flow",
    }
}

/// Protocol of a transport layer that Hubble knows.
pub(super) fn transport(l4: &L4) -> Option<&'static str> {
    Some(match l4 {
        L4::Empty | L4::Other { .. } => return None,
        L4::Tcp { .. } => "TCP",
        L4::Udp { .. } => "UDP",
        L4::Icmp4 { .. } => "ICMPv4",
        L4::Icmp6 { .. } => "ICMPv6",
        L4::Sctp { .. } => "SCTP",
        L4::Vrrp { .. } => "VRRP",
        L4::Igmp { .. } => "IGMP",
    })
}

/// Observation point of a trace event; empty for an unknown one. Hubble looks at eight bits.
pub(super) fn observation_point(sub_type: i32) -> &'static str {
    match sub_type as u8 {
        0 => "to-endpoint",
        1 => "to-proxy",
        2 => "to-host",
        3 => "to-stack",
        4 => "to-overlay",
        5 => "from-endpoint",
        6 => "from-proxy",
        7 => "from-host",
        8 => "from-stack",
        9 => "from-overlay",
        10 => "from-network",
        11 => "to-network",
        12 => "from-crypto",
        13 => "to-crypto",
        _ => "",
    }
}

/// How a policy matched.
pub(super) fn policy_match(kind: u32) -> &'static str {
    match kind {
        0 => "none",
        1 => "l3-only",
        2 => "l3-l4",
        3 => "l4-only",
        4 => "all",
        5 => "l3-proto",
        6 => "proto-only",
        _ => "unknown",
    }
}

/// DNS response codes (RFC 6895); empty for an unknown one.
pub(super) fn response_code(code: u32) -> &'static str {
    match code {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Not Authorized",
        10 => "Name not contained in zone",
        11 => "DSO-TYPE Not Implemented",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        23 => "Bad/missing Server Cookie",
        _ => "",
    }
}

/// Which side tells of a request.
pub(super) fn reporter(flow: &Flow) -> &'static str {
    match direction(flow) {
        Some(pb::TrafficDirection::Egress) => "client",
        Some(pb::TrafficDirection::Ingress) => "server",
        _ => "unknown",
    }
}

/// Direction as an enumeration; none for a number that is none.
pub(super) fn direction(flow: &Flow) -> Option<pb::TrafficDirection> {
    pb::TrafficDirection::try_from(flow.traffic_direction).ok()
}

/// Verdict as an enumeration; none for a number that is none.
pub(super) fn verdict(flow: &Flow) -> Option<pb::Verdict> {
    pb::Verdict::try_from(flow.verdict).ok()
}

/// Whether it was let through.
pub(super) fn was_forwarded(flow: &Flow) -> bool {
    let verdict = verdict(flow);
    matches!(
        verdict,
        Some(pb::Verdict::Forwarded | pb::Verdict::Redirected)
    )
}

impl Labels {
    pub(super) fn verdict(&mut self, flow: &Flow) {
        let name = verdict(flow).map(|verdict| verdict.as_str_name());
        self.named(name, flow.verdict);
    }

    /// Version of IP.
    pub(super) fn family(&mut self, version: i32) {
        let known = pb::IpVersion::try_from(version).ok();
        self.named(known.map(|version| version.as_str_name()), version);
    }
}
