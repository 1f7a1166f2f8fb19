//! Transport headers: TCP, UDP (and UDP-Lite, which has its ports), SCTP, ICMP, ICMPv6, IGMP, VRRP.
//!
//! Only what a flow needs has to be there, so that captures with short frames
//! can be used.

use super::{Ip, Malformed};

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const VRRP: u8 = 112;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Shortest TCP header, in words of 4 bytes.
const TCP_MIN_WORDS: u8 = 5;

/// ICMP types that carry an id: echo, timestamp, information, address mask.
const ICMP_WITH_ID: [u8; 8] = [0, 8, 13, 14, 15, 16, 17, 18];

/// ICMPv6 types that carry an id: echo.
const ICMP6_WITH_ID: [u8; 2] = [128, 129];

/// What a flow needs of a transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A later fragment: the header went with the first one.
    Fragment,
    /// TCP.
    Tcp {
        /// Port of the sender.
        source_port: u16,
        /// Port of the receiver.
        destination_port: u16,
        /// Control bits as in the header, NS on top; none where a first fragment
        /// is too short for them.
        flags: u16,
        /// Sequence number; 0 where a first fragment is too short for it.
        sequence: u32,
    },
    /// UDP or UDP-Lite.
    Udp {
        /// Port of the sender.
        source_port: u16,
        /// Port of the receiver.
        destination_port: u16,
    },
    /// SCTP.
    Sctp {
        /// Port of the sender.
        source_port: u16,
        /// Port of the receiver.
        destination_port: u16,
        /// Type of the first chunk as on the wire, where the capture has it.
        chunk: Option<u8>,
    },
    /// ICMP.
    Icmp4 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Id of a query or its answer.
        id: Option<u16>,
    },
    /// ICMPv6.
    Icmp6 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Id of a query or its answer.
        id: Option<u16>,
    },
    /// VRRP, of any version.
    Vrrp {
        /// Type.
        kind: u8,
        /// Virtual router.
        vrid: u8,
        /// Priority.
        priority: u8,
    },
    /// IGMP.
    Igmp {
        /// Type.
        kind: u8,
        /// Multicast group.
        group: [u8; 4],
    },
    /// Any other protocol, by its number.
    Other(u8),
}

/// Takes the transport header off; the rest is told for UDP alone.
pub(super) fn parse<'a>(ip: &Ip, bytes: &'a [u8]) -> Result<(Transport, &'a [u8]), Malformed> {
    if ip.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Ok((Transport::Fragment, &[]));
    }
    let transport = match ip.protocol {
        TCP => tcp(bytes, ip.fragment.is_some())?,
        UDP | UDP_LITE => {
            let (source_port, destination_port) = ports(bytes)?;
            let udp = Transport::Udp {
                source_port,
                destination_port,
            };
            return Ok((udp, bytes.get(8..).unwrap_or_default()));
        }
        SCTP => {
            let (source_port, destination_port) = ports(bytes)?;
            Transport::Sctp {
                source_port,
                destination_port,
                chunk: bytes.get(12).copied(),
            }
        }
        ICMP => {
            let [kind, code] = *head(bytes)?;
            let id = icmp_id(&ICMP_WITH_ID, kind, bytes);
            Transport::Icmp4 { kind, code, id }
        }
        ICMP6 => {
            let [kind, code] = *head(bytes)?;
            let id = icmp_id(&ICMP6_WITH_ID, kind, bytes);
            Transport::Icmp6 { kind, code, id }
        }
        VRRP => {
            let [version_and_kind, vrid, priority] = *head(bytes)?;
            Transport::Vrrp {
                kind: version_and_kind & 0x0f,
                vrid,
                priority,
            }
        }
        IGMP => {
            let [kind, _, _, _, group @ ..] = *head::<8>(bytes)?;
            Transport::Igmp { kind, group }
        }
        other => Transport::Other(other),
    };
    Ok((transport, &[]))
}

/// What is behind the header of TCP or UDP.
pub(super) fn carried<'a>(ip: &Ip, bytes: &'a [u8]) -> Option<(&'a [u8], usize)> {
    if ip.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return None;
    }
    match ip.protocol {
        TCP => {
            let header = usize::from(bytes.get(12)? >> 4) * 4;
            Some((bytes.get(header..)?, 0))
        }
        UDP => {
            let length = u16::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
            let length = usize::from(length).checked_sub(8)?;
            let carried = bytes.get(8..)?;
            let carried = carried.get(..length).unwrap_or(carried);
            Some((carried, length - carried.len()))
        }
        _ => None,
    }
}

/// Eight bytes are enough of a first fragment (RFC 791): they have the ports.
fn tcp(bytes: &[u8], is_fragment: bool) -> Result<Transport, Malformed> {
    let (source_port, destination_port) = ports(bytes)?;
    let flags = match bytes.first_chunk::<14>() {
        Some(head) if head[12] >> 4 < TCP_MIN_WORDS => return Err(Malformed::TcpLength),
        Some(head) => u16::from_be_bytes([head[12] & 1, head[13]]),
        None if is_fragment => 0,
        None => return Err(Malformed::TransportTruncated),
    };
    let sequence = bytes.get(4..).and_then(<[u8]>::first_chunk);
    Ok(Transport::Tcp {
        source_port,
        destination_port,
        flags,
        sequence: sequence.map_or(0, |bytes| u32::from_be_bytes(*bytes)),
    })
}

fn ports(bytes: &[u8]) -> Result<(u16, u16), Malformed> {
    let [s0, s1, d0, d1] = *head(bytes)?;
    Ok((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

fn icmp_id(with_id: &[u8], kind: u8, bytes: &[u8]) -> Option<u16> {
    let &[_, _, _, _, i0, i1] = bytes.first_chunk()?;
    with_id
        .contains(&kind)
        .then_some(u16::from_be_bytes([i0, i1]))
}

fn head<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], Malformed> {
    bytes.first_chunk().ok_or(Malformed::TransportTruncated)
}
