//! Headers of a packet: from the network layer to the ports.

use sextant_ebpf_common::{
    Cause, ICMP_MESSAGE, ZERO_WINDOW,
    protocol::{DCCP, FRAGMENT, ICMP, ICMP6, IGMP, SCTP, TCP, UDP, UDP_LITE},
};

use crate::{
    fragment,
    packet::{Packet, RST, SYN},
    read::Read,
};

const AUTHENTICATION: u8 = 51;

/// Option of a hop-by-hop header (RFC 2675).
const JUMBO: u8 = 0xc2;

/// Extension headers of an IPv6 packet that are followed at most.
pub const MAX_EXTENSIONS: usize = 8;

/// Why a packet could not be parsed here.
pub enum Stop {
    /// Not a plain layout: parse it with the other reader.
    Slow,
    /// It is in no flow.
    Cause(Cause),
}

/// RFC 791.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv4 {
    version_ihl: u8,
    tos: u8,
    length: u16,
    id: u16,
    fragment: u16,
    ttl: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

/// RFC 8200.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv6 {
    version: u8,
    class_flow: [u8; 3],
    length: u16,
    next: u8,
    hops: u8,
    source: [u32; 4],
    destination: [u32; 4],
}

/// IPv4: addresses and transport of the packet whose IP header is at `l3`.
#[inline(always)]
pub fn ipv4<R: Read>(reader: &R, l3: usize, packet: &mut Packet) -> Result<(), Stop> {
    let header: Ipv4 = read(reader, l3, Cause::MalformedIp)?;
    let ihl = usize::from(header.version_ihl & 0xf) * 4;
    if header.version_ihl >> 4 != 4 || ihl < 20 {
        return Err(Stop::Cause(Cause::MalformedIp));
    }
    let fragment = u16::from_be(header.fragment);
    if R::FAST && (ihl != 20 || fragment & 0x3fff != 0) {
        return Err(Stop::Slow);
    }
    let header_length = if R::FAST { 20 } else { ihl };
    let length = length(usize::from(u16::from_be(header.length)), packet);
    if length < header_length {
        return Err(Stop::Cause(Cause::MalformedIp));
    }
    packet.family = 4;
    packet.l3 = l3;
    packet.protocol = header.protocol;
    packet.source[0] = header.source;
    packet.destination[0] = header.destination;
    let mut there = Room {
        at: l3 + header_length,
        left: length - header_length,
    };
    if R::FAST {
        packet.fragment = false;
        return transport(reader, there, packet);
    }
    packet.fragment = fragment & 0x3fff != 0;
    let later = fragment & 0x1fff != 0;
    let id = u32::from(u16::from_be(header.id));
    if packet.protocol == AUTHENTICATION && !later {
        let read = walk_extensions(reader, &mut there, packet, |next| next == AUTHENTICATION);
        read?;
    }
    if packet.fragment {
        return fragmented(reader, there, packet, id, header.protocol, !later);
    }
    transport(reader, there, packet)
}

/// Where something begins, and how many bytes of the packet are from there on.
#[derive(Clone, Copy)]
struct Room {
    at: usize,
    left: usize,
}

/// The length that an IP header tells. Beyond 64 KiB it is 0, which only packets
/// have that are not cut yet.
#[inline(always)]
fn length(told: usize, packet: &Packet) -> usize {
    if told == 0 && packet.segment != 0 {
        return packet.len as usize;
    }
    told
}

/// IPv6: addresses and transport of the packet whose IP header is at `l3`.
#[inline(always)]
pub fn ipv6<R: Read>(reader: &R, l3: usize, packet: &mut Packet) -> Result<(), Stop> {
    let header: Ipv6 = read(reader, l3, Cause::MalformedIp)?;
    if header.version >> 4 != 6 {
        return Err(Stop::Cause(Cause::MalformedIp));
    }
    packet.family = 6;
    packet.l3 = l3;
    packet.fragment = false;
    packet.protocol = header.next;
    // Word by word: copied as a whole they go through the stack by bytes.
    for word in 0..4 {
        packet.source[word] = header.source[word];
        packet.destination[word] = header.destination[word];
    }
    let mut there = Room {
        at: l3 + 40,
        left: length(usize::from(u16::from_be(header.length)), packet),
    };
    if R::FAST {
        if is_extension(header.next) {
            return Err(Stop::Slow);
        }
        return transport(reader, there, packet);
    }
    // A length of 0 may stand for that of a jumbo payload option (RFC 2675).
    if there.left == 0 && header.next == 0 {
        there.left = packet.len as usize;
    }
    match walk_extensions(reader, &mut there, packet, is_extension)? {
        Some(Fragment { first, id, next }) => {
            packet.fragment = true;
            fragmented(reader, there, packet, id, next, first)
        }
        None => transport(reader, there, packet),
    }
}

/// A fragment header.
struct Fragment {
    first: bool,
    id: u32,
    /// Number of the header behind it.
    next: u8,
}

/// Whether an extension header has this number.
#[inline(always)]
pub fn is_extension(protocol: u8) -> bool {
    // Hop-by-hop, routing, fragment, authentication, destination options,
    // mobility, HIP, shim6 (RFC 8200 and the IANA registry).
    matches!(
        protocol,
        0 | 43 | FRAGMENT | AUTHENTICATION | 60 | 135 | 139 | 140
    )
}

/// Bytes of the extension header of this number with this length field.
#[inline(always)]
pub fn extension_length(protocol: u8, field: u8) -> usize {
    match protocol {
        FRAGMENT => 8,
        AUTHENTICATION => (usize::from(field) + 2) * 4,
        _ => (usize::from(field) + 1) * 8,
    }
}

/// Moves the packet's protocol and what is `there` past the extension headers of
/// these numbers; tells whether it is a fragment.
#[inline(always)]
fn walk_extensions<R: Read>(
    reader: &R,
    there: &mut Room,
    packet: &mut Packet,
    is_followed: impl Fn(u8) -> bool,
) -> Result<Option<Fragment>, Stop> {
    let mut fragment = None;
    for _ in 0..MAX_EXTENSIONS {
        let later = matches!(fragment, Some(Fragment { first: false, .. }));
        if later || !is_followed(packet.protocol) {
            return Ok(fragment);
        }
        let header: [u8; 8] = read(reader, there.at, Cause::TruncatedTransport)?;
        match packet.protocol {
            0 if header[1] == 0 && header[2] == JUMBO => packet.jumbo = 8,
            FRAGMENT => {
                let field = u16::from_be_bytes([header[2], header[3]]);
                // An atomic fragment (RFC 6946) is a whole packet.
                if field & 0xfff9 != 0 {
                    fragment = Some(Fragment {
                        first: field & 0xfff8 == 0,
                        id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                        next: header[0],
                    });
                }
            }
            _ => {}
        }
        let length = extension_length(packet.protocol, header[1]);
        if length > there.left {
            return Err(Stop::Cause(Cause::TruncatedTransport));
        }
        there.at += length;
        there.left -= length;
        packet.protocol = header[0];
    }
    if is_followed(packet.protocol) {
        return Err(Stop::Cause(Cause::TooManyExtensions));
    }
    Ok(fragment)
}

/// The transport of a fragment: the first one leaves its ports for the others.
/// `next` is what all fragments of the datagram tell of their payload.
#[inline(always)]
fn fragmented<R: Read>(
    reader: &R,
    there: Room,
    packet: &mut Packet,
    id: u32,
    next: u8,
    first: bool,
) -> Result<(), Stop> {
    if first {
        transport(reader, there, packet)?;
        fragment::remember(packet, id, next);
        return Ok(());
    }
    packet.l4 = there.at;
    packet.headers = there.at as u32;
    packet.tcp_flags = 0;
    packet.cut = false;
    packet.later_fragment = true;
    if fragment::recall(packet, id, next) {
        packet.sided = is_sided(packet.protocol);
        Ok(())
    } else {
        Err(Stop::Cause(Cause::FragmentUnknown))
    }
}

/// Whether the ports in the key are those of the sides.
#[inline(always)]
fn is_sided(protocol: u8) -> bool {
    !matches!(protocol, ICMP | ICMP6 | IGMP)
}

#[inline(always)]
fn transport<R: Read>(reader: &R, there: Room, packet: &mut Packet) -> Result<(), Stop> {
    let l4 = there.at;
    packet.l4 = l4;
    packet.headers = l4 as u32;
    packet.sided = true;
    packet.answer = false;
    packet.later_fragment = false;
    packet.cut = false;
    match packet.protocol {
        TCP => {
            if there.left < 20 {
                return cut_tcp(reader, there, packet);
            }
            // Ports, sequence, acknowledgement, offset and flags, window (RFC 9293).
            let header: [u16; 8] = read(reader, l4, Cause::TruncatedTransport)?;
            ports(packet, &header);
            let offset_flags = u16::from_be(header[6]);
            packet.tcp_flags = offset_flags & 0x1ff;
            if header[7] == 0 && offset_flags & (SYN | RST) == 0 {
                packet.tcp_flags |= ZERO_WINDOW;
            }
            packet.headers += u32::from(offset_flags >> 12) * 4;
        }
        UDP | UDP_LITE => {
            let header: [u16; 4] = read_within(reader, there)?;
            ports(packet, &header);
            packet.tcp_flags = 0;
            packet.headers += 8;
        }
        SCTP | DCCP => {
            let header: [u16; 6] = read_within(reader, there)?;
            ports(packet, &header);
            packet.tcp_flags = 0;
        }
        ICMP | ICMP6 | IGMP => {
            // Some messages are as short as four bytes; ids are in the next.
            let header: [u8; 4] = read_within(reader, there)?;
            packet.sided = false;
            packet.tcp_flags = 0;
            message(reader, there, packet, header[0], header[1]);
        }
        AUTHENTICATION if R::FAST => return Err(Stop::Slow),
        _ => {
            packet.source_port = 0;
            packet.destination_port = 0;
            packet.tcp_flags = 0;
        }
    }
    Ok(())
}

/// A first fragment may have the ports alone (RFC 1858 warns of them).
#[inline(always)]
fn cut_tcp<R: Read>(reader: &R, there: Room, packet: &mut Packet) -> Result<(), Stop> {
    if R::FAST || !packet.fragment {
        return Err(Stop::Cause(Cause::TruncatedTransport));
    }
    let header: [u16; 2] = read_within(reader, there)?;
    ports(packet, &header);
    packet.tcp_flags = 0;
    packet.cut = true;
    Ok(())
}

#[inline(always)]
fn ports<const N: usize>(packet: &mut Packet, header: &[u16; N]) {
    packet.source_port = u16::from_be(header[0]);
    packet.destination_port = u16::from_be(header[1]);
}

/// Queries and their answers share a flow by id; each other message is a flow
/// by type and code.
#[inline(always)]
fn message<R: Read>(reader: &R, there: Room, packet: &mut Packet, kind: u8, code: u8) {
    let Some(class) = icmp_query(packet.protocol, kind) else {
        // The code of IGMP is a time.
        let code = if packet.protocol == IGMP { 0 } else { code };
        packet.source_port = u16::from_be_bytes([kind, code]);
        packet.destination_port = ICMP_MESSAGE;
        return;
    };
    packet.answer = matches!(kind, 0 | 14 | 129);
    packet.destination_port = class;
    packet.source_port = match there.left < 6 {
        true => 0,
        false => reader.read::<u16>(there.at + 4).map_or(0, u16::from_be),
    };
}

/// Reads what begins `there`, if the packet is so long.
#[inline(always)]
fn read_within<R: Read, T: Copy>(reader: &R, there: Room) -> Result<T, Stop> {
    if there.left < size_of::<T>() {
        return Err(Stop::Cause(Cause::TruncatedTransport));
    }
    read(reader, there.at, Cause::TruncatedTransport)
}

/// The type of the query that an ICMP message is or answers.
#[inline(always)]
pub fn icmp_query(protocol: u8, kind: u8) -> Option<u16> {
    match (protocol, kind) {
        (ICMP, 0 | 8) => Some(8),
        (ICMP, 13 | 14) => Some(13),
        (ICMP6, 128 | 129) => Some(128),
        _ => None,
    }
}

#[inline(always)]
fn read<R: Read, T: Copy>(reader: &R, offset: usize, cause: Cause) -> Result<T, Stop> {
    match reader.read(offset) {
        Some(value) => Ok(value),
        // It may lie beyond the linear part; the other reader will tell.
        None if R::FAST => Err(Stop::Slow),
        None => Err(Stop::Cause(cause)),
    }
}
