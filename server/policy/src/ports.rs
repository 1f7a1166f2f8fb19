//! Protocols and ports of rules.

use std::fmt;

/// IP protocol numbers that rules may name.
pub mod protocol {
    /// Internet Control Message Protocol.
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
}

/// What a rule says of the connection, beside who is at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer4 {
    /// Nothing: each protocol.
    All,
    /// One of these; none of them matches if there is none.
    Ports(Vec<Ports>),
}

/// Ports of a protocol; of ICMP types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// IP protocol number.
    pub protocol: u8,
    /// Which.
    pub which: Which,
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Each, also where the protocol has none.
    Every,
    /// From the first to the last.
    Range(u16, u16),
    /// What the server's endpoint calls so.
    Named(String),
}

impl Ports {
    /// How many of the port's bits the rule tells for this port, if it matches:
    /// a range is taken apart into those that begin with the same bits. As Cilium
    /// does, so that of two rules the more specific one is known.
    #[must_use]
    pub fn matched_bits(
        &self,
        protocol: u8,
        port: u16,
        named: impl Fn(&str) -> Option<u16>,
    ) -> Option<u8> {
        if self.protocol != protocol {
            return None;
        }
        match &self.which {
            Which::Every => Some(0),
            Which::Named(name) => (named(name) == Some(port)).then_some(16),
            Which::Range(first, last) => (*first..=*last)
                .contains(&port)
                .then(|| bits_of_block(*first, *last, port)),
        }
    }
}

/// Bits that all ports of the largest aligned block share that has this port and
/// lies within the range.
fn bits_of_block(first: u16, last: u16, port: u16) -> u8 {
    let mut bits = 16;
    while bits > 0 {
        let size = 1_u32 << (17 - bits);
        let start = u32::from(port) & !(size - 1);
        if start < u32::from(first) || start + size - 1 > u32::from(last) {
            break;
        }
        bits -= 1;
    }
    bits
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Every => f.write_str("*")?,
            Which::Named(name) => f.write_str(name)?,
            Which::Range(first, last) if first == last => write!(f, "{first}")?,
            Which::Range(first, last) => write!(f, "{first}-{last}")?,
        }
        write!(f, "/{}", name_of(self.protocol))
    }
}

/// Protocols that have a name here.
pub(crate) const NAMED: [(u8, &str); 12] = [
    (protocol::ICMP, "ICMP"),
    (2, "IGMP"),
    (4, "IPIP"),
    (protocol::TCP, "TCP"),
    (protocol::UDP, "UDP"),
    (41, "IPV6"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (protocol::ICMPV6, "ICMPv6"),
    (112, "VRRP"),
    (protocol::SCTP, "SCTP"),
];

/// What a protocol is called here.
#[must_use]
pub fn name_of(number: u8) -> &'static str {
    let named = NAMED.iter().find(|(known, _)| *known == number);
    named.map_or("another protocol", |(_, name)| name)
}

/// A port, or type of ICMP, with its protocol: `443`, `53/UDP`, `8/ICMP`, `0/112`.
///
/// # Errors
///
/// In words, for who typed it.
pub fn port_and_protocol(text: &str) -> Result<(u16, u8), String> {
    let (port, name) = text.split_once('/').unwrap_or((text, "TCP"));
    let port = port
        .parse()
        .map_err(|_| format!("`{port}` is no port; write 0 to 65535"))?;
    let is_called = |(_, known): &&(u8, &str)| known.eq_ignore_ascii_case(name);
    let by_name = NAMED.iter().find(is_called).map(|(number, _)| *number);
    let protocol = by_name.or_else(|| name.parse().ok());
    protocol.map_or_else(
        || {
            Err(format!(
                "`{name}` is no protocol; write TCP, UDP, SCTP, ICMP, ICMPv6 or a number"
            ))
        },
        |protocol| Ok((port, protocol)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_typed_with_its_protocol_or_is_of_tcp() {
        assert_eq!(port_and_protocol("443"), Ok((443, 6)));
        assert_eq!(port_and_protocol("53/udp"), Ok((53, 17)));
        assert_eq!(port_and_protocol("128/ICMPv6"), Ok((128, 58)));
        assert_eq!(port_and_protocol("0/89"), Ok((0, 89)));
        for bad in ["", "x", "70000", "1/x", "1/another protocol/", "-1"] {
            assert!(port_and_protocol(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_is_as_specific_as_its_block_around_the_port() {
        assert_eq!(bits_of_block(80, 80, 80), 16);
        assert_eq!(bits_of_block(0, 65_535, 80), 0);
        assert_eq!(bits_of_block(16, 31, 20), 12);
        assert_eq!(bits_of_block(1, 3, 1), 16);
        assert_eq!(bits_of_block(1, 3, 3), 15);
    }
}
