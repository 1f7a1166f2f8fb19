//! Network headers: IPv4 with options and authentication, IPv6 with extension headers, fragments.
//! Bound: sixteen extension headers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Fragment, Ip, Malformed, link::Network};

const MAX_EXTENSIONS: usize = 16;

const MORE_FRAGMENTS_V4: u16 = 0x2000;
const OFFSET_V4: u16 = 0x1fff;
const MORE_FRAGMENTS_V6: u16 = 1;

/// Extension headers whose second byte is their length in units of 8 bytes less
/// one: hop-by-hop, routing, destination options, mobility, HIP, shim6.
const EXTENSIONS: [u8; 6] = [0, 43, 60, 135, 139, 140];
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;

/// Takes the network header off a packet; the rest ends where the header says,
/// so that the padding of a frame is left out.
pub(super) fn parse(network: Network, packet: &[u8]) -> Result<(Ip, &[u8]), Malformed> {
    let version = packet.first().ok_or(Malformed::IpTruncated)? >> 4;
    match (network, version) {
        (Network::V4 | Network::Either, 4) => v4(packet),
        (Network::V6 | Network::Either, 6) => v6(packet),
        _ => Err(Malformed::IpVersion),
    }
}

fn v4(packet: &[u8]) -> Result<(Ip, &[u8]), Malformed> {
    let head = packet.first_chunk::<20>().ok_or(Malformed::IpTruncated)?;
    let header_length = usize::from(head[0] & 0x0f) * 4;
    if header_length < head.len() {
        return Err(Malformed::IpLength);
    }
    let rest = packet.get(header_length..).ok_or(Malformed::IpTruncated)?;
    let rest = match usize::from(u16::from_be_bytes([head[2], head[3]])) {
        // Segmentation is left to the hardware: the length is not yet known.
        0 => rest,
        total if total < header_length => return Err(Malformed::IpLength),
        total => rest.get(..total - header_length).unwrap_or(rest),
    };
    let place = u16::from_be_bytes([head[6], head[7]]);
    let fragment = Fragment {
        id: u32::from(u16::from_be_bytes([head[4], head[5]])),
        protocol: head[9],
        offset: (place & OFFSET_V4) << 3,
        more: place & MORE_FRAGMENTS_V4 != 0,
    };
    let ip = Ip {
        source: Ipv4Addr::new(head[12], head[13], head[14], head[15]).into(),
        destination: Ipv4Addr::new(head[16], head[17], head[18], head[19]).into(),
        protocol: head[9],
        fragment: (fragment.more || fragment.offset != 0).then_some(fragment),
    };
    authentication(ip, rest)
}

/// Looks through IPv4's one extension header (RFC 4302).
fn authentication(mut ip: Ip, mut rest: &[u8]) -> Result<(Ip, &[u8]), Malformed> {
    if ip.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Ok((ip, rest));
    }
    for _ in 0..=MAX_EXTENSIONS {
        if ip.protocol != AUTHENTICATION {
            return Ok((ip, rest));
        }
        let length = rest.get(1).map(|length| (usize::from(*length) + 2) * 4);
        let (head, behind) = length
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(Malformed::ExtensionTruncated)?;
        ip.protocol = head[0];
        rest = behind;
    }
    Err(Malformed::TooManyExtensions)
}

fn v6(packet: &[u8]) -> Result<(Ip, &[u8]), Malformed> {
    let (head, rest) = packet
        .split_first_chunk::<40>()
        .ok_or(Malformed::IpTruncated)?;
    let rest = match usize::from(u16::from_be_bytes([head[4], head[5]])) {
        // A jumbogram, or segmentation that is left to the hardware.
        0 => rest,
        length => rest.get(..length).unwrap_or(rest),
    };
    let ip = Ip {
        source: address(&head[8..24]),
        destination: address(&head[24..]),
        protocol: head[6],
        fragment: None,
    };
    extensions(ip, rest)
}

fn address(octets: &[u8]) -> std::net::IpAddr {
    let octets: [u8; 16] = octets.try_into().unwrap_or_default();
    Ipv6Addr::from(octets).into()
}

/// Looks through extension headers, up to the transport protocol or, in a later
/// fragment, up to the fragment header.
fn extensions(mut ip: Ip, mut rest: &[u8]) -> Result<(Ip, &[u8]), Malformed> {
    for _ in 0..=MAX_EXTENSIONS {
        let is_fragment = ip.protocol == FRAGMENT;
        let units = |rest: &[u8]| rest.get(1).map(|length| usize::from(*length));
        let length = match ip.protocol {
            FRAGMENT => Some(8),
            AUTHENTICATION => units(rest).map(|length| (length + 2) * 4),
            protocol if EXTENSIONS.contains(&protocol) => units(rest).map(|n| (n + 1) * 8),
            _ => return Ok((ip, rest)),
        };
        let (head, behind) = length
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(Malformed::ExtensionTruncated)?;
        ip.protocol = head[0];
        rest = behind;
        if is_fragment {
            ip.fragment = fragment_v6(head);
            if ip.fragment.is_some_and(|fragment| fragment.offset != 0) {
                return Ok((ip, rest));
            }
        }
    }
    Err(Malformed::TooManyExtensions)
}

/// `None` for an atomic fragment, which is the whole packet.
fn fragment_v6(head: &[u8]) -> Option<Fragment> {
    let &[protocol, _, p0, p1, i0, i1, i2, i3] = head.first_chunk::<8>()?;
    let place = u16::from_be_bytes([p0, p1]);
    let fragment = Fragment {
        id: u32::from_be_bytes([i0, i1, i2, i3]),
        protocol,
        offset: place & !7,
        more: place & MORE_FRAGMENTS_V6 != 0,
    };
    (fragment.more || fragment.offset != 0).then_some(fragment)
}
