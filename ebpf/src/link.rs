//! What lies between a link's header and the network header: VLAN tags, MPLS
//! labels, PPPoE, LLC/SNAP, NSH, MACsec, the tags of provider networks, frames within
//! frames. Bound: as many of them as are followed.

use aya_ebpf::programs::TcContext;
use sextant_ebpf_common::Cause;

use crate::{
    packet::Packet,
    read::{Copied, Read},
};

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
const NSH: u16 = 0x894f;

/// Shims and labels of a frame that are followed at most.
const MAX_SHIMS: usize = 8;

/// The kernel's notion of the network protocol.
#[inline(always)]
pub fn protocol(ctx: &TcContext) -> u16 {
    // SAFETY: the kernel gives a valid context.
    u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
}

/// Moves `packet.l3` to the network header; returns its EtherType. The way is
/// kept in the packet, which is in a map, so that the verifier has little to
/// remember between two steps.
#[inline(always)]
pub fn skip(reader: &Copied, packet: &mut Packet) -> Result<u16, Cause> {
    packet.tags = u8::from(packet.tag_len != 0);
    if packet.has_mac {
        packet.l3 = ETHERNET;
        packet.ethertype = field(reader, 12)?;
    } else {
        packet.l3 = 0;
        packet.ethertype = protocol(reader.0);
    }
    for _ in 0..MAX_SHIMS {
        if matches!(packet.ethertype, IPV4 | IPV6) {
            break;
        }
        step(reader, packet)?;
    }
    match packet.ethertype {
        ip @ (IPV4 | IPV6) => Ok(ip),
        _ => Err(Cause::TooManyTags),
    }
}

#[inline(always)]
fn step(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    match packet.ethertype {
        // 802.1Q, 802.1ad and the types that QinQ had before it.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
            let id = field(reader, packet.l3)? & 0xfff;
            // The outer two are kept.
            match packet.tags {
                0 => packet.vlan[0] = id,
                1 => packet.vlan[1] = id,
                _ => {}
            }
            packet.tags += 1;
            typed(reader, packet, 2)
        }
        MPLS | MPLS_MULTICAST => label(reader, packet),
        PPPOE_SESSION => ppp(reader, packet),
        NSH => service(reader, packet),
        // VN-tag, HSR, 802.1CB.
        0x8926 | 0x892f | 0xf1c1 => typed(reader, packet, 4),
        // 802.1BR, Cisco's security groups.
        0x893f | 0x8909 => typed(reader, packet, 6),
        // 802.1ah: a service identifier and the customer's addresses. FabricPath: a tag
        // and those. A frame at once.
        0x88e7 => typed(reader, packet, 16),
        0x8903 => typed(reader, packet, 14),
        0x6558 => typed(reader, packet, 12),
        0x22f3 => trill(reader, packet),
        0x88e5 => macsec(reader, packet),
        length if length <= 1500 && packet.has_mac => llc(reader, packet),
        _ => Err(Cause::NotIp),
    }
}

/// Moves past a shim of so many bytes, the EtherType behind it not included.
#[inline(always)]
fn typed(reader: &Copied, packet: &mut Packet, length: usize) -> Result<(), Cause> {
    packet.ethertype = field(reader, packet.l3 + length)?;
    packet.l3 += length + 2;
    Ok(())
}

/// RFC 3032: what is behind the last label is told by its first bits.
#[inline(always)]
fn label(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let Some([_, _, bottom, _, version]) = reader.read::<[u8; 5]>(packet.l3) else {
        return Err(Cause::TruncatedLink);
    };
    packet.l3 += 4;
    if bottom & 1 == 1 {
        packet.ethertype = match version >> 4 {
            4 => IPV4,
            6 => IPV6,
            _ => return pseudowire(reader, packet, version),
        };
    }
    Ok(())
}

/// RFC 4448: a whole frame, behind a control word or not, which nothing tells; with one
/// the first byte is 0. Addresses that begin as IP does are taken for that.
#[inline(always)]
fn pseudowire(reader: &Copied, packet: &mut Packet, first: u8) -> Result<(), Cause> {
    let word = match first {
        0 if matches!(field(reader, packet.l3 + 16)?, IPV4 | IPV6 | 0x8100) => 4,
        _ => 0,
    };
    typed(reader, packet, word + 12)
}

/// RFC 6325: names of switches, options, and a whole frame.
#[inline(always)]
fn trill(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let first = field(reader, packet.l3)?;
    if first >> 14 != 0 {
        return Err(Cause::NotIp);
    }
    typed(reader, packet, 18 + usize::from(first >> 6 & 0x1f) * 4)
}

/// IEEE 802.1AE, with an identifier of its channel or without. What is protected but not
/// encrypted is read.
#[inline(always)]
fn macsec(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let control = field(reader, packet.l3)? >> 8;
    match control & 0x0c {
        0 => typed(reader, packet, if control & 0x20 == 0 { 6 } else { 14 }),
        _ => Err(Cause::Encrypted),
    }
}

/// RFC 2516, with the protocol field whole or compressed (RFC 1661).
#[inline(always)]
fn ppp(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let Some([_, code, _, _, _, _, high, low]) = reader.read::<[u8; 8]>(packet.l3) else {
        return Err(Cause::TruncatedLink);
    };
    (packet.ethertype, packet.l3) = match (code, high, low) {
        (0, 0, 0x21) => (IPV4, packet.l3 + 8),
        (0, 0, 0x57) => (IPV6, packet.l3 + 8),
        (0, 0x21, _) => (IPV4, packet.l3 + 7),
        (0, 0x57, _) => (IPV6, packet.l3 + 7),
        (0, 2, 0x81) => (MPLS, packet.l3 + 8),
        _ => return Err(Cause::NotIp),
    };
    Ok(())
}

/// RFC 8300.
#[inline(always)]
fn service(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let Some([_, length, _, protocol]) = reader.read::<[u8; 4]>(packet.l3) else {
        return Err(Cause::TruncatedLink);
    };
    let words = usize::from(length & 0x3f);
    if words < 2 {
        return Err(Cause::NotIp);
    }
    packet.l3 += words * 4;
    packet.ethertype = match protocol {
        1 => IPV4,
        2 => IPV6,
        // A frame in the frame.
        3 => return typed(reader, packet, 12),
        4 => NSH,
        5 => MPLS,
        _ => return Err(Cause::NotIp),
    };
    Ok(())
}

/// IEEE 802.2: SNAP with an EtherType (RFC 1042), or IP's own service point.
#[inline(always)]
fn llc(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let Some([target, source, control, o0, o1, o2]) = reader.read::<[u8; 6]>(packet.l3) else {
        return Err(Cause::TruncatedLink);
    };
    match (target, source, control) {
        // Of other organisations the type means something else.
        (0xaa, 0xaa, 3) if o0 | o1 == 0 && matches!(o2, 0 | 0xf8) => typed(reader, packet, 6),
        (6, 6, 3) => {
            packet.ethertype = IPV4;
            packet.l3 += 3;
            Ok(())
        }
        _ => Err(Cause::NotIp),
    }
}

#[inline(always)]
fn field(reader: &Copied, at: usize) -> Result<u16, Cause> {
    match reader.read::<u16>(at) {
        Some(bytes) => Ok(u16::from_be(bytes)),
        None => Err(Cause::TruncatedLink),
    }
}
