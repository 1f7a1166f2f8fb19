//! From a socket buffer to its flow.

use aya_ebpf::programs::TcContext;
use sextant_ebpf_common::{Cause, Ends, Key4, Key6, interface_number, point, point_parts};

use crate::{
    clock,
    maps::{self, FLOWS4, FLOWS6},
    namespace,
    parse::{self, Stop, TCP, UDP},
    read::{Copied, Linear, Read},
    table,
};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// A packet, filled in step by step: in place, for the sake of the stack. Of
/// IPv4 addresses only the first word is set.
pub struct Packet {
    /// Coarse time.
    pub now: u64,
    /// Packets on the wire.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Sender; IPv4 in the first word, the others are left over.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
    /// Offset of the transport header.
    pub l4: usize,
    /// Direction in the key.
    pub direction: usize,
    /// Length of all headers up to the payload, for GSO.
    pub headers: u32,
    /// Bytes of the frame, a VLAN tag in the metadata included, before GSO.
    pub len: u32,
    /// Length of the VLAN tag in the metadata.
    pub tag_len: u32,
    /// Length of a jumbo payload option (RFC 2675), with which the kernel marks GSO
    /// packets beyond 64 KiB and which their segments do not have.
    pub jumbo: u32,
    /// Observation point.
    pub point: u32,
    /// VLAN ids, outer first.
    pub vlan: [u16; 2],
    /// Port of the sender, or the ICMP id.
    pub source_port: u16,
    /// Port of the receiver, or the ICMP class.
    pub destination_port: u16,
    /// TCP control bits.
    pub tcp_flags: u16,
    /// Address space.
    pub zone: u16,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// The ports belong to the sides (not so for ICMP).
    pub sided: bool,
    /// For ICMP: the message answers another.
    pub answer: bool,
    /// A fragment but not the first: there is no transport header.
    pub later_fragment: bool,
    /// The link has a MAC header.
    pub has_mac: bool,
    /// Of a new flow: as in `Entry`.
    pub initiator: u8,
}

/// Observes one packet.
///
/// It is taken apart in a map, not on the stack, which is too small for it.
/// Also, what the verifier reads back from a map it knows nothing of, so the
/// many ways through the parser join again behind it.
#[inline(always)]
pub fn observe<const EGRESS: bool, const MAC: bool>(ctx: &TcContext) {
    let Some(scratch) = maps::SCRATCH.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a per-CPU slot, and programs of a hook are not re-entered on a
    // CPU before they return. Any bytes are a valid packet but for the bools,
    // which only we write.
    let packet = unsafe { &mut *scratch };
    begin::<EGRESS, MAC>(ctx, packet);
    let l3 = if MAC { ETHERNET } else { 0 };
    let linear = Linear::new(ctx);
    let ethertype = if MAC {
        linear.read::<u16>(12).map(u16::from_be)
    } else {
        Some(protocol(ctx))
    };
    let parsed = match ethertype {
        Some(IPV4) => parse::ipv4(&linear, l3, packet),
        Some(IPV6) => parse::ipv6(&linear, l3, packet),
        _ => Err(Stop::Slow),
    };
    if parsed.is_ok() {
        account(ctx, packet);
    } else {
        slow(ctx, packet);
    }
}

/// Sets what is known before the headers are read. The parser sets the rest,
/// each field once: clearing it all first costs as much as the look-up.
#[inline(always)]
fn begin<const EGRESS: bool, const MAC: bool>(ctx: &TcContext, packet: &mut Packet) {
    // SAFETY: the kernel gives a valid context; loads of it are rewritten.
    let skb = unsafe { &*ctx.skb.skb };
    packet.now = clock::coarse_now();
    let tagged = skb.vlan_present != 0;
    packet.tag_len = if tagged { 4 } else { 0 };
    packet.vlan[0] = if tagged {
        skb.vlan_tci as u16 & 0xfff
    } else {
        0
    };
    packet.vlan[1] = 0;
    packet.len = skb.len + packet.tag_len;
    let namespace = if maps::has_several_namespaces() {
        namespace::of_packet(ctx.skb.skb)
    } else {
        0
    };
    packet.point = point(interface_number(namespace, skb.ifindex), EGRESS);
    packet.has_mac = MAC;
    packet.jumbo = 0;
}

/// Any layout: tags in the frame, options, extension headers, fragments,
/// headers beyond the linear part; and what is no IP packet at all.
#[inline(never)]
fn slow(ctx: &TcContext, packet: &mut Packet) {
    // The zone is part of a fragment's key.
    packet.zone = maps::zone(packet.point);
    match slow_parse(&Copied(ctx), packet) {
        Ok(()) => account(ctx, packet),
        Err(cause) => {
            let bytes = u64::from(packet.len);
            maps::add_to_totals(packet.point, 1, bytes);
            maps::count(cause, 1, bytes);
        }
    }
}

#[inline(always)]
fn slow_parse(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let (ethertype, l3) = if packet.has_mac {
        tags(reader, packet)?
    } else {
        (protocol(reader.0), 0)
    };
    let parsed = match ethertype {
        IPV4 => parse::ipv4(reader, l3, packet),
        IPV6 => parse::ipv6(reader, l3, packet),
        _ => return Err(Cause::NotIp),
    };
    parsed.map_err(|stop| match stop {
        Stop::Cause(cause) => cause,
        Stop::Slow => Cause::MalformedIp,
    })
}

/// The kernel's notion of the network protocol.
#[inline(always)]
fn protocol(ctx: &TcContext) -> u16 {
    // SAFETY: the kernel gives a valid context.
    u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
}

/// Skips VLAN tags in the frame, of which there may be two in all; returns
/// the type behind them and where the network header begins.
#[inline(always)]
fn tags(reader: &Copied, packet: &mut Packet) -> Result<(u16, usize), Cause> {
    let mut seen = usize::from(packet.tag_len != 0);
    let mut at = 12;
    for _ in 0..3 {
        let Some(bytes) = reader.read::<u16>(at) else {
            return Err(Cause::TruncatedLink);
        };
        let ethertype = u16::from_be(bytes);
        // 802.1Q, 802.1ad and the type that QinQ had before it.
        if !matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
            return Ok((ethertype, at + 2));
        }
        let Some(tci) = reader.read::<u16>(at + 2) else {
            return Err(Cause::TruncatedLink);
        };
        if seen >= 2 {
            return Err(Cause::TooManyTags);
        }
        packet.vlan[seen & 1] = u16::from_be(tci) & 0xfff;
        seen += 1;
        at += 4;
    }
    Err(Cause::TooManyTags)
}

/// Counts a parsed packet: in its interface and in its flow.
#[inline(always)]
fn account(ctx: &TcContext, packet: &mut Packet) {
    wire(ctx, packet);
    packet.zone = maps::add_to_totals(packet.point, packet.packets, packet.bytes);
    if packet.family == 4 {
        flow4(ctx, packet);
    } else {
        flow6(ctx, packet);
    }
}

/// Packets and bytes on the wire. A GSO packet leaves as several, each with
/// its own copy of the headers.
#[inline(always)]
fn wire(ctx: &TcContext, packet: &mut Packet) {
    // SAFETY: the kernel gives a valid context.
    let skb = unsafe { &*ctx.skb.skb };
    packet.packets = 1;
    packet.bytes = u64::from(packet.len);
    let size = skb.gso_size;
    if size == 0 {
        return;
    }
    // Payload of other protocols is cut behind headers that are not known here.
    let headers = match packet.protocol {
        TCP | UDP => packet.headers,
        _ => packet.l4 as u32,
    };
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

#[inline(always)]
fn flow4(ctx: &TcContext, packet: &mut Packet) {
    let (key, direction) = Key4::of(packet.source[0], packet.destination[0], &ends(packet));
    packet.direction = direction;
    table::record(&FLOWS4, &key, ctx.skb.skb, packet, Cause::Table4Full);
}

#[inline(always)]
fn flow6(ctx: &TcContext, packet: &mut Packet) {
    let (key, direction) = Key6::of(&packet.source, &packet.destination, &ends(packet));
    packet.direction = direction;
    table::record(&FLOWS6, &key, ctx.skb.skb, packet, Cause::Table6Full);
}

#[inline(always)]
fn ends(packet: &Packet) -> Ends {
    Ends {
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        sided: packet.sided,
        answer: packet.answer,
        protocol: packet.protocol,
        zone: packet.zone,
    }
}
