//! Ports of fragmented datagrams: the first fragment has them, the later ones
//! have not. A later fragment that comes before the first is counted by cause.

use sextant_ebpf_common::{FragmentKey, FragmentPorts};

use crate::{event::address, maps::FRAGMENTS, packet::Packet};

/// Keeps the ports of the first fragment for the later ones.
#[inline(never)]
pub fn remember(packet: &Packet, id: u32) {
    let ports = FragmentPorts {
        source: packet.source_port,
        destination: packet.destination_port,
    };
    // An LRU map makes room by itself; a failure shows as FragmentUnknown.
    let _ = FRAGMENTS.insert(key(packet, id), ports, 0);
}

/// Gives a later fragment the ports of the first; tells whether it was known.
#[inline(never)]
pub fn recall(packet: &mut Packet, id: u32) -> bool {
    // SAFETY: copied at once.
    let Some(ports) = (unsafe { FRAGMENTS.get(key(packet, id)) }) else {
        return false;
    };
    packet.source_port = ports.source;
    packet.destination_port = ports.destination;
    true
}

#[inline(always)]
fn key(packet: &Packet, id: u32) -> FragmentKey {
    FragmentKey {
        source: address(&packet.source, packet.family),
        destination: address(&packet.destination, packet.family),
        id,
        protocol: packet.protocol,
        pad: 0,
        zone: packet.zone,
    }
}
