//! What a packet is on the wire. One that the kernel has not cut yet, or has put
//! together from several, passes as one and is counted as many, each with its own
//! copy of the headers, those of a tunnel and of what is in it included.

use aya_ebpf::programs::TcContext;
use sextant_ebpf_common::{
    GENEVE_PORT, VXLAN_PORTS, point_parts,
    protocol::{TCP, UDP},
};

use crate::{
    link::{IPV4, IPV6},
    packet::Packet,
    read::{Copied, Read},
};

const IPIP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;
/// An Ethernet frame as a payload.
const BRIDGED: u16 = 0x6558;

/// Sets packets and bytes on the wire.
#[inline(always)]
pub fn wire(ctx: &TcContext, packet: &mut Packet) {
    packet.packets = 1;
    packet.bytes = u64::from(packet.len);
    if packet.segment != 0 {
        segments(ctx, packet);
    }
}

#[inline(never)]
fn segments(ctx: &TcContext, packet: &mut Packet) {
    // SAFETY: the kernel gives a valid context.
    let skb = unsafe { &*ctx.skb.skb };
    let size = packet.segment;
    if size == 0 {
        return;
    }
    let headers = headers(&Copied(ctx), packet) as u32;
    let payload = packet.len.saturating_sub(packet.tag_len + headers);
    // The kernel leaves the number of segments open for packets of guests.
    let segments = match skb.gso_segs {
        0 => payload.div_ceil(size).max(1),
        segments => segments,
    };
    packet.packets = u64::from(segments);
    let jumbo = u64::from(segments) * u64::from(packet.jumbo);
    // On egress the kernel knows the bytes on the wire, headers of tunnels too,
    // but not the tag in the metadata.
    if point_parts(packet.point).1 && skb.wire_len != 0 {
        let tags = u64::from(segments) * u64::from(packet.tag_len);
        packet.bytes = (u64::from(skb.wire_len) + tags).saturating_sub(jumbo);
        return;
    }
    packet.bytes += u64::from(segments - 1) * u64::from(headers + packet.tag_len);
    packet.bytes = packet.bytes.saturating_sub(jumbo);
}

/// Bytes of all headers that each segment has. Payload of protocols that are
/// not known here is cut behind their IP header.
#[inline(always)]
fn headers(reader: &Copied, packet: &Packet) -> usize {
    let plain = match packet.protocol {
        TCP | UDP => packet.headers as usize,
        _ => packet.l4,
    };
    inside(reader, packet)
        .and_then(|(ethertype, at)| inner(reader, ethertype, at))
        .unwrap_or(plain)
}

/// The type of the packet in a tunnel, and where it begins.
#[inline(always)]
fn inside(reader: &Copied, packet: &Packet) -> Option<(u16, usize)> {
    let l4 = packet.l4;
    match packet.protocol {
        // RFC 7348.
        UDP if VXLAN_PORTS.contains(&packet.destination_port) => Some((BRIDGED, l4 + 16)),
        // RFC 8926.
        UDP if packet.destination_port == GENEVE_PORT => {
            let header: [u8; 4] = reader.read(l4 + 8)?;
            let ethertype = u16::from_be_bytes([header[2], header[3]]);
            Some((ethertype, l4 + 16 + usize::from(header[0] & 0x3f) * 4))
        }
        IPIP => Some((IPV4, l4)),
        IPV6_IN_IP => Some((IPV6, l4)),
        // RFC 2890: checksum, key and sequence number where a bit says so.
        GRE => {
            let header: [u8; 4] = reader.read(l4)?;
            let options = (header[0] & 0xb0).count_ones() as usize;
            let ethertype = u16::from_be_bytes([header[2], header[3]]);
            Some((ethertype, l4 + 4 + options * 4))
        }
        _ => None,
    }
}

/// Where the payload of the packet in a tunnel begins.
#[inline(always)]
fn inner(reader: &Copied, mut ethertype: u16, mut at: usize) -> Option<usize> {
    if ethertype == BRIDGED {
        ethertype = u16::from_be(reader.read(at + 12)?);
        at += 14;
    }
    if matches!(ethertype, 0x8100 | 0x88a8) {
        ethertype = u16::from_be(reader.read(at + 2)?);
        at += 4;
    }
    let protocol = match ethertype {
        IPV4 => {
            let header: [u8; 10] = reader.read(at)?;
            at += usize::from(header[0] & 0xf) * 4;
            header[9]
        }
        IPV6 => {
            let header: [u8; 8] = reader.read(at)?;
            at += 40;
            header[6]
        }
        _ => return None,
    };
    match protocol {
        TCP => {
            let offset: u8 = reader.read(at + 12)?;
            Some(at + usize::from(offset >> 4) * 4)
        }
        UDP => Some(at + 8),
        _ => None,
    }
}
