//! VXLAN and Geneve, told by the UDP port of the receiver.

use super::{Transport, Tunnel, TunnelProtocol};

const PORTS_VXLAN: [u16; 2] = [4789, 8472];
const PORT_GENEVE: u16 = 6081;

/// The flag that says that the VXLAN header has a network number (RFC 7348).
const VXLAN_HAS_VNI: u8 = 0x08;

/// The tunnel whose header a UDP datagram carries; `None` if that is none.
pub(super) fn of(transport: &Transport, payload: &[u8]) -> Option<Tunnel> {
    let Transport::Udp {
        destination_port, ..
    } = *transport
    else {
        return None;
    };
    let &[first, _, _, _, v0, v1, v2, _] = payload.first_chunk()?;
    let protocol = match destination_port {
        port if PORTS_VXLAN.contains(&port) && first & VXLAN_HAS_VNI != 0 => TunnelProtocol::Vxlan,
        // Version 0 (RFC 8926).
        PORT_GENEVE if first >> 6 == 0 => TunnelProtocol::Geneve,
        _ => return None,
    };
    let vni = u32::from_be_bytes([0, v0, v1, v2]);
    Some(Tunnel { protocol, vni })
}
