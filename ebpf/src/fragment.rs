//! Ports of fragmented datagrams: the first fragment has them, the later ones
//! have not. A later fragment that comes before the first is counted by cause.

use sextant_ebpf_common::{FragmentKey, FragmentPorts, since_tick, tick};

use crate::{maps::FRAGMENTS, packet::Packet};

/// For so long the fragments of a datagram belong together: the kernel's own
/// time for putting it together (`ipfrag_time`).
const LIFETIME_NS: u64 = 30_000_000_000;

/// Keeps the ports of the first fragment for the later ones.
#[inline(never)]
pub fn remember(packet: &Packet, id: u32, next: u8) {
    let ports = FragmentPorts {
        source: packet.source_port,
        destination: packet.destination_port,
        seen: tick(packet.now),
        protocol: packet.protocol,
        answer: u8::from(packet.answer),
        pad: [0; 2],
    };
    // An LRU map makes room by itself; a failure shows as FragmentUnknown.
    let _ = FRAGMENTS.insert(key(packet, id, next), ports, 0);
}

/// Gives a later fragment the ports of the first; tells whether it was known.
#[inline(never)]
pub fn recall(packet: &mut Packet, id: u32, next: u8) -> bool {
    // SAFETY: copied at once.
    let Some(ports) = (unsafe { FRAGMENTS.get(key(packet, id, next)) }) else {
        return false;
    };
    // Identifications are used again.
    if since_tick(ports.seen, packet.now) > LIFETIME_NS {
        return false;
    }
    packet.source_port = ports.source;
    packet.destination_port = ports.destination;
    packet.protocol = ports.protocol;
    packet.answer = ports.answer != 0;
    true
}

#[inline(always)]
fn key(packet: &Packet, id: u32, next: u8) -> FragmentKey {
    FragmentKey {
        source: packet.source_address(),
        destination: packet.destination_address(),
        id,
        protocol: next,
        pad: 0,
        zone: packet.zone,
    }
}
