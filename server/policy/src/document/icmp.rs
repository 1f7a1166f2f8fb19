//! ICMP types of documents, by number or name.

use serde::Deserialize;

use super::{
    List, NumberOrText, decimal,
    problem::{Found, Path, Problem},
};
use crate::ports::{Ports, Which, protocol};

/// Types of a list.
const MAX_TYPES: usize = 40;

/// A part of `icmps`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IcmpRule {
    fields: List<Field>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    #[serde(default)]
    family: String,
    #[serde(rename = "type")]
    kind: NumberOrText,
}

/// Adds the types of a list to ports.
pub(super) fn add_to(
    icmps: &List<IcmpRule>,
    found: &mut Vec<Ports>,
    path: &Path,
    problems: &mut Found,
) {
    for (n, rule) in icmps.iter().flatten().enumerate() {
        let path = path.item(n).field("fields");
        let fields = rule.fields.as_deref().unwrap_or_default();
        if fields.len() > MAX_TYPES {
            let what = format!("{} types are more than {MAX_TYPES}", fields.len());
            problems.push(path.problem(what, "write another part of icmps"));
        }
        for (n, field) in fields.iter().enumerate() {
            match field.ports(&path.item(n)) {
                Ok(ports) => found.push(ports),
                Err(problem) => problems.push(problem),
            }
        }
    }
}

impl Field {
    fn ports(&self, path: &Path) -> Result<Ports, Problem> {
        let (protocol, names) = match self.family.as_str() {
            "" | "IPv4" => (protocol::ICMP, IPV4),
            "IPv6" => (protocol::ICMPV6, IPV6),
            other => {
                let what = format!("`{other}` is no family");
                return Err(path.field("family").problem(what, "write IPv4 or IPv6"));
            }
        };
        let text = self.kind.to_string();
        let by_name = names.iter().find(|(name, _)| *name == text);
        let by_name = by_name.map(|(_, number)| *number);
        let Some(number) = by_name.or_else(|| decimal(&text)) else {
            let what = format!("`{text}` is no type of ICMP");
            let remedy = "write a number from 0 to 255, or a name of this family";
            return Err(path.field("type").problem(what, remedy));
        };
        let number = u16::from(number);
        Ok(Ports {
            protocol,
            which: Which::Range(number, number),
        })
    }
}

/// Names of types (IANA), as Cilium's format has them.
const IPV4: &[(&str, u8)] = &[
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEchoRequest", 42),
    ("ExtendedEchoReply", 43),
];

const IPV6: &[(&str, u8)] = &[
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEchoReply", 161),
];
