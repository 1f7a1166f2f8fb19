//! Packets and bytes by flow and direction: what captures and the daemon are
//! compared by.

use std::{collections::BTreeMap, net::IpAddr};

use prost::Message as _;
use prost_types::{Struct, value::Kind};
use sextant_proto::flow::{Flow, Verdict, layer4::Protocol};

/// Sender and receiver of one direction of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Direction {
    /// IP protocol name.
    pub protocol: &'static str,
    /// Address and port of the sender; for ICMP the query's type for a port.
    pub from: (IpAddr, u32),
    /// Address and port of the receiver.
    pub to: (IpAddr, u32),
}

impl Direction {
    /// The other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            protocol: self.protocol,
            from: self.to,
            to: self.from,
        }
    }
}

impl Direction {
    /// Whether it is the test's own traffic: what the kernel sends of itself to
    /// find its neighbours comes whenever it likes.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        [self.from.0, self.to.0]
            .iter()
            .all(|address| match address {
                IpAddr::V4(ip) => !ip.is_multicast(),
                IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unicast_link_local(),
            })
            && !(self.protocol == "icmp6" && (133..=143).contains(&self.from.1))
    }
}

/// Packets and bytes of each direction that had any.
pub type Totals = BTreeMap<Direction, (u64, u64)>;

/// A number in the extensions of a flow; 0 when it is absent.
#[must_use]
pub fn number(flow: &Flow, key: &str) -> u64 {
    match value(flow, key) {
        Some(Kind::NumberValue(number)) => number as u64,
        _ => 0,
    }
}

/// A text in the extensions of a flow.
#[must_use]
pub fn text(flow: &Flow, key: &str) -> Option<String> {
    match value(flow, key)? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The texts of a list in the extensions of a flow.
#[must_use]
pub fn texts(flow: &Flow, key: &str) -> Vec<String> {
    let Some(Kind::ListValue(list)) = value(flow, key) else {
        return Vec::new();
    };
    list.values
        .into_iter()
        .filter_map(|value| match value.kind {
            Some(Kind::StringValue(text)) => Some(text),
            _ => None,
        })
        .collect()
}

/// A value in the extensions of a flow.
#[must_use]
pub fn value(flow: &Flow, key: &str) -> Option<Kind> {
    let any = flow.extensions.as_ref()?;
    let fields = Struct::decode(any.value.as_slice()).unwrap();
    fields.fields.get(key)?.kind.clone()
}

/// Whether it tells dropped packets; the end of a flow that was dropped does not.
#[must_use]
pub fn is_drop(flow: &Flow) -> bool {
    flow.verdict() == Verdict::Dropped && text(flow, "end_reason").is_none()
}

/// What the CLI prints in parentheses.
#[must_use]
#[expect(deprecated, reason = "it is what users see")]
pub fn summary(flow: &Flow) -> &str {
    &flow.summary
}

/// The direction of a flow event's packet.
#[must_use]
pub fn direction(flow: &Flow) -> Option<Direction> {
    let ip = flow.ip.as_ref()?;
    let (protocol, from, to) = match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => ("tcp", tcp.source_port, tcp.destination_port),
        Protocol::Udp(udp) => ("udp", udp.source_port, udp.destination_port),
        Protocol::Sctp(sctp) => ("sctp", sctp.source_port, sctp.destination_port),
        Protocol::IcmPv4(icmp) => {
            let query = if icmp.r#type == 0 { 8 } else { icmp.r#type };
            ("icmp", query, query)
        }
        Protocol::IcmPv6(icmp) => {
            let query = if icmp.r#type == 129 { 128 } else { icmp.r#type };
            ("icmp6", query, query)
        }
        Protocol::Vrrp(_) | Protocol::Igmp(_) => return None,
    };
    Some(Direction {
        protocol,
        from: (ip.source.parse().ok()?, from),
        to: (ip.destination.parse().ok()?, to),
    })
}

/// Totals of all flows that have ended, by their last events.
#[must_use]
pub fn ended(flows: &[Flow]) -> Totals {
    let mut totals = Totals::new();
    for flow in flows
        .iter()
        .filter(|flow| text(flow, "end_reason").is_some())
    {
        let Some(forward) = direction(flow) else {
            continue;
        };
        let reverse = forward.reversed();
        for (direction, packets, bytes) in [
            (forward, "packets", "bytes"),
            (reverse, "reverse_packets", "reverse_bytes"),
        ] {
            let (packets, bytes) = (number(flow, packets), number(flow, bytes));
            if packets > 0 {
                let sum = totals.entry(direction).or_default();
                sum.0 += packets;
                sum.1 += bytes;
            }
        }
    }
    totals
}
