//! Community ID, version 1, seed 0: the same for both directions of a connection, and in
//! every tool that knows it (https://github.com/corelight/community-id-spec).

//!
//! Not the event of a connection: a connection as the id, and the trace by it, have it.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};
use sha1::{Digest as _, Sha1};

use crate::flow::{Flow, L4};

/// A connection: one of TCP or SCTP, whose traces others know too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who sends what it is taken from.
    pub source: (IpAddr, u16),
    /// To whom.
    pub destination: (IpAddr, u16),
    /// IP protocol number.
    pub protocol: u8,
}

impl Connection {
    /// That of a flow, if it is one.
    #[must_use]
    pub fn of(flow: &Flow) -> Option<Self> {
        let (l4, ip) = (flow.l4.as_ref()?, flow.ip.as_ref()?);
        let protocol = match l4 {
            L4::Tcp { .. } => 6,
            L4::Sctp { .. } => 132,
            _ => return None,
        };
        let (source_port, destination_port) = l4.ports()?;
        Some(Self {
            source: (ip.source.ip()?, u16::try_from(source_port).ok()?),
            destination: (ip.destination.ip()?, u16::try_from(destination_port).ok()?),
            protocol,
        })
    }

    /// The id, the same in both directions.
    #[must_use]
    pub fn id(&self) -> CommunityId {
        CommunityId::new(self.source, self.destination, self.protocol)
    }
}

/// As an exemplar of a metric: the trace. It is worked out when the page is read, not when
/// something is counted.
impl EncodeLabelSet for Connection {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let trace = u128::from_be_bytes(self.id().trace_id());
        ("trace_id", format!("{trace:032x}")).encode(encoder.encode_label())
    }
}

/// Of a connection of this IP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommunityId([u8; 20]);

impl CommunityId {
    fn new(one: (IpAddr, u16), other: (IpAddr, u16), protocol: u8) -> Self {
        let [first, second] = match one <= other {
            true => [one, other],
            false => [other, one],
        };
        let mut hash = Sha1::new();
        hash.update(0_u16.to_be_bytes());
        for (address, _) in [first, second] {
            match address {
                IpAddr::V4(address) => hash.update(address.octets()),
                IpAddr::V6(address) => hash.update(address.octets()),
            }
        }
        hash.update([protocol, 0]);
        hash.update(first.1.to_be_bytes());
        hash.update(second.1.to_be_bytes());
        Self(hash.finalize().into())
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        format!("1:{}", BASE64_STANDARD.encode(self.0))
    }

    /// The id of a trace, by its first bytes.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        id
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::exemplar::HistogramWithExemplars;
    use prometheus_client::{encoding::text, registry::Registry};

    use super::*;

    #[test]
    fn an_exemplar_is_the_trace_in_openmetrics() {
        let connection = Connection {
            source: ("128.232.110.120".parse().unwrap(), 34855),
            destination: ("66.35.250.204".parse().unwrap(), 80),
            protocol: 6,
        };
        let times = HistogramWithExemplars::new([1.0].into_iter());
        times.observe(0.5, Some(connection), None);
        let mut registry = Registry::default();
        registry.register("x", "X", times);
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        let trace = "2d053da9994af81e45dca0e67afea6e4";
        assert!(
            page.contains(&format!(
                "x_bucket{{le=\"1.0\"}} 1 # {{trace_id=\"{trace}\"}} 0.5"
            )),
            "{page}"
        );
    }

    /// Of the specification's own baseline.
    #[test]
    fn ids_are_those_of_the_specification() {
        for (one, other, protocol, id) in [
            (
                ("128.232.110.120", 34855),
                ("66.35.250.204", 80),
                6,
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                ("192.168.1.52", 54585),
                ("8.8.8.8", 53),
                17,
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
        ] {
            let side = |(address, port): (&str, u16)| (address.parse::<IpAddr>().unwrap(), port);
            let (one, other) = (side(one), side(other));
            assert_eq!(CommunityId::new(one, other, protocol).text(), id);
            assert_eq!(CommunityId::new(other, one, protocol).text(), id);
        }
    }
}
