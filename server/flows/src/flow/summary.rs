//! The text that the CLI prints in parentheses (Hubble's `Flow.Summary`).
//!
//! Texts follow Hubble v1.20. A replayed flow keeps its own text; flows of our
//! own derive it from the packet, which costs nothing until somebody reads it.

use std::fmt::{self, Write};

use sextant_proto::flow as pb;

use super::{Flow, Interned, L4, TcpFlags, ip_protocol};
use crate::dns;

/// The summary of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Summary {
    /// No text.
    #[default]
    None,
    /// Made from the transport header.
    Derived,
    /// As it came.
    Text(Interned<String>),
}

impl Summary {
    /// The text for `flow`.
    #[must_use]
    pub fn to_text(&self, flow: &Flow) -> String {
        let mut text = String::new();
        self.write(flow, &mut text);
        text
    }

    /// Writes the text for `flow`; `out` must be one that cannot fail.
    pub(super) fn write(&self, flow: &Flow, out: &mut impl Write) {
        let written = match self {
            Self::None => Ok(()),
            Self::Text(text) => out.write_str(text),
            Self::Derived => derive(flow, out).and_then(|()| totals(flow, out)),
        };
        debug_assert!(written.is_ok(), "memory takes any text");
    }
}

/// What the last event of a flow and a repeated drop add, so that the CLI's
/// users see it, who have no column for it.
fn totals(flow: &Flow, out: &mut impl Write) -> fmt::Result {
    let Some(counters) = flow.counters.as_deref() else {
        return Ok(());
    };
    let (forward, reverse) = (counters.forward, counters.reverse);
    match counters.end {
        Some(end) => {
            write!(
                out,
                "; ended ({}): {}+{} packets, {}+{} bytes",
                end.name(),
                forward.packets,
                reverse.packets,
                forward.bytes,
                reverse.bytes
            )?;
            match (forward.dropped, reverse.dropped) {
                (0, 0) => Ok(()),
                (there, back) => write!(out, ", {there}+{back} packets dropped"),
            }
        }
        None if counters.drops > 1 => write!(out, "; {} drops", counters.drops),
        None => Ok(()),
    }
}

fn derive(flow: &Flow, out: &mut impl Write) -> fmt::Result {
    if let Some(pb::Layer7 {
        r#type,
        record: Some(pb::layer7::Record::Dns(record)),
        ..
    }) = flow.l7()
    {
        let kind = pb::L7FlowType::try_from(*r#type).unwrap_or_default();
        return dns::text(kind, record, out);
    }
    match &flow.l4 {
        Some(L4::Tcp { flags: None, .. }) => out.write_str("TCP"),
        Some(L4::Tcp {
            flags: Some(flags), ..
        }) => tcp(*flags, out),
        Some(L4::Udp { .. }) => out.write_str("UDP"),
        Some(L4::Sctp { .. }) => out.write_str("SCTP"),
        Some(L4::Icmp4 { kind, code }) => write!(out, "ICMPv4 {}", icmp4(*kind, *code)),
        Some(L4::Icmp6 { kind, code }) => write!(out, "ICMPv6 {}", icmp6(*kind, *code)),
        Some(L4::Vrrp { .. }) => out.write_str("VRRP VRRPv2 Advertisement"),
        Some(L4::Igmp { kind, .. }) => write!(out, "IGMP {}", igmp(*kind)),
        Some(L4::Other { protocol }) => match ip_protocol::keyword(*protocol) {
            Some(keyword) => write!(out, "{keyword}, protocol {protocol}"),
            None => write!(out, "Protocol {protocol}"),
        },
        Some(L4::Empty) | None => out.write_str(match flow.ip.as_ref().map(|ip| ip.version) {
            Some(1) => "IPv4",
            Some(2) => "IPv6",
            _ => "Ethernet",
        }),
    }
}

fn tcp(flags: TcpFlags, out: &mut impl Write) -> fmt::Result {
    out.write_str("TCP Flags: ")?;
    for (index, name) in flags.names().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        out.write_str(name)?;
    }
    Ok(())
}

/// Name of a type, and the names of its codes.
type IcmpType = (u32, &'static str, &'static [&'static str]);

const UNREACHABLE4: &[&str] = &[
    "Net",
    "Host",
    "Protocol",
    "Port",
    "FragmentationNeeded",
    "SourceRoutingFailed",
    "NetUnknown",
    "HostUnknown",
    "SourceIsolated",
    "NetAdminProhibited",
    "HostAdminProhibited",
    "NetTOS",
    "HostTOS",
    "CommAdminProhibited",
    "HostPrecedence",
    "PrecedenceCutoff",
];

const ICMP4: &[IcmpType] = &[
    (0, "EchoReply", &[]),
    (3, "DestinationUnreachable", UNREACHABLE4),
    (4, "SourceQuench", &[]),
    (5, "Redirect", &["Net", "Host", "TOS+Net", "TOS+Host"]),
    (8, "EchoRequest", &[]),
    (9, "RouterAdvertisement", &[]),
    (10, "RouterSolicitation", &[]),
    (
        11,
        "TimeExceeded",
        &["TTLExceeded", "FragmentReassemblyTimeExceeded"],
    ),
    (
        12,
        "ParameterProblem",
        &["PointerIndicatesError", "MissingOption", "BadLength"],
    ),
    (13, "TimestampRequest", &[]),
    (14, "TimestampReply", &[]),
    (15, "InfoRequest", &[]),
    (16, "InfoReply", &[]),
    (17, "AddressMaskRequest", &[]),
    (18, "AddressMaskReply", &[]),
];

const UNREACHABLE6: &[&str] = &[
    "NoRouteToDst",
    "AdminProhibited",
    "BeyondScopeOfSrc",
    "AddressUnreachable",
    "PortUnreachable",
    "SrcAddressFailedPolicy",
    "RejectRouteToDst",
];

const ICMP6: &[IcmpType] = &[
    (1, "DestinationUnreachable", UNREACHABLE6),
    (2, "PacketTooBig", &[]),
    (
        3,
        "TimeExceeded",
        &["HopLimitExceeded", "FragmentReassemblyTimeExceeded"],
    ),
    (
        4,
        "ParameterProblem",
        &[
            "ErroneousHeaderField",
            "UnrecognizedNextHeader",
            "UnrecognizedIPv6Option",
        ],
    ),
    (128, "EchoRequest", &[]),
    (129, "EchoReply", &[]),
    (133, "RouterSolicitation", &[]),
    (134, "RouterAdvertisement", &[]),
    (135, "NeighborSolicitation", &[]),
    (136, "NeighborAdvertisement", &[]),
    (137, "Redirect", &[]),
];

/// What Hubble calls an ICMP message.
#[must_use]
pub fn icmp4_text(kind: u8, code: u8) -> String {
    icmp4(kind.into(), code.into())
}

/// The same for ICMPv6.
#[must_use]
pub fn icmp6_text(kind: u8, code: u8) -> String {
    icmp6(kind.into(), code.into())
}

fn icmp4(kind: u32, code: u32) -> String {
    icmp(ICMP4, kind, code)
}

fn icmp6(kind: u32, code: u32) -> String {
    icmp(ICMP6, kind, code)
}

fn icmp(types: &[IcmpType], kind: u32, code: u32) -> String {
    let Some((_, name, codes)) = types.iter().find(|(number, ..)| *number == kind) else {
        return format!("{kind}({code})");
    };
    let mut text = String::from(*name);
    match codes.get(code as usize) {
        Some(code) => {
            let _ = write!(text, "({code})");
        }
        None if code == 0 => {}
        None => {
            let _ = write!(text, "(Code: {code})");
        }
    }
    text
}

fn igmp(kind: u32) -> &'static str {
    match kind {
        0x11 => "IGMP Membership Query",
        0x12 => "IGMPv1 Membership Report",
        0x16 => "IGMPv2 Membership Report",
        0x22 => "IGMPv3 Membership Report",
        0x17 => "Leave Group",
        _ => "Unknown",
    }
}
