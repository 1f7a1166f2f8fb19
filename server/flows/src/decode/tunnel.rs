//! VXLAN and Geneve, told by the UDP port of the receiver. One level: a tunnel
//! within a tunnel is the flow that the outer one carries.

use super::{Link, Packet, Transport, Tunnel, TunnelProtocol};

const PORTS_VXLAN: [u16; 2] = [4789, 8472];
const PORT_GENEVE: u16 = 6081;

/// The flag that says that the VXLAN header has a network number.
const VXLAN_HAS_VNI: u8 = 0x08;

/// Protocols that Geneve can carry and that are looked into.
const GENEVE_ETHERNET: u16 = 0x6558;
const GENEVE_IP: [u16; 2] = [0x0800, 0x86dd];

/// What is inside a tunnel.
pub(super) struct Inner<'a> {
    pub(super) tunnel: Tunnel,
    pub(super) link: Link,
    pub(super) frame: &'a [u8],
}

/// Looks into what a UDP datagram carries; `None` if that is no tunnel.
pub(super) fn open<'a>(outer: &Packet, payload: &'a [u8]) -> Option<Inner<'a>> {
    let Transport::Udp {
        source_port,
        destination_port,
    } = outer.transport
    else {
        return None;
    };
    let (protocol, vni, link, frame) = match destination_port {
        port if PORTS_VXLAN.contains(&port) => vxlan(payload)?,
        PORT_GENEVE => geneve(payload)?,
        _ => return None,
    };
    let tunnel = Tunnel {
        protocol,
        vni,
        ip: outer.ip,
        ports: (source_port, destination_port),
    };
    Some(Inner {
        tunnel,
        link,
        frame,
    })
}

type Opened<'a> = (TunnelProtocol, u32, Link, &'a [u8]);

fn vxlan(payload: &[u8]) -> Option<Opened<'_>> {
    let (&[flags, _, _, _, v0, v1, v2, _], frame) = payload.split_first_chunk()?;
    let vni = u32::from_be_bytes([0, v0, v1, v2]);
    (flags & VXLAN_HAS_VNI != 0).then_some((TunnelProtocol::Vxlan, vni, Link::Ethernet, frame))
}

fn geneve(payload: &[u8]) -> Option<Opened<'_>> {
    let (&[version_and_options, _, p0, p1, v0, v1, v2, _], rest) = payload.split_first_chunk()?;
    if version_and_options >> 6 != 0 {
        return None;
    }
    let link = match u16::from_be_bytes([p0, p1]) {
        GENEVE_ETHERNET => Link::Ethernet,
        protocol if GENEVE_IP.contains(&protocol) => Link::Ip,
        _ => return None,
    };
    let frame = rest.get(usize::from(version_and_options & 0x3f) * 4..)?;
    let vni = u32::from_be_bytes([0, v0, v1, v2]);
    Some((TunnelProtocol::Geneve, vni, link, frame))
}
