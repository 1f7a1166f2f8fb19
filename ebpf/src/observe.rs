//! From a socket buffer to its flow.

use aya_ebpf::programs::TcContext;
use sextant_ebpf_common::{Cause, Key4, Key6, interface_number, point};

use crate::{
    clock,
    flows::{Ipv4, Ipv6},
    gso, link,
    link::{ETHERNET, IPV4, IPV6},
    maps, namespace,
    packet::Packet,
    parse::{self, Stop},
    policy,
    read::{Copied, Linear, Read},
    table, vlan,
};

/// Observes one packet; tells whether it is let through.
///
/// It is taken apart in a map, not on the stack, which is too small for it.
/// Also, what the verifier reads back from a map it knows nothing of, so the
/// many ways through the parser join again behind it.
#[inline(always)]
pub fn packet<const EGRESS: bool, const MAC: bool>(ctx: &TcContext) -> bool {
    let Some(scratch) = maps::SCRATCH.get_ptr_mut(0) else {
        return true;
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
        Some(link::protocol(ctx))
    };
    let parsed = match ethertype {
        Some(IPV4) => parse::ipv4(&linear, l3, packet),
        Some(IPV6) => parse::ipv6(&linear, l3, packet),
        _ => Err(Stop::Slow),
    };
    if parsed.is_ok() || slow(ctx, packet) {
        account(ctx, packet)
    } else {
        policy::lets_pass(packet)
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
    packet.segment = skb.gso_size;
    packet.jumbo = 0;
}

/// Any layout: tags in the frame, options, extension headers, fragments,
/// headers beyond the linear part; and what is no IP packet at all. Tells whether
/// there is a packet to count in a flow; else whether it goes on is in its judgement.
#[inline(never)]
fn slow(ctx: &TcContext, packet: &mut Packet) -> bool {
    match slow_parse(&Copied(ctx), packet) {
        Ok(()) => true,
        Err(cause) => {
            let bytes = u64::from(packet.len);
            maps::add_to_totals(packet.point, 1, bytes);
            maps::count(cause, 1, bytes);
            // SAFETY: the packet of this CPU.
            unsafe { policy::unknown::judge(packet, cause, 1, bytes) };
            false
        }
    }
}

#[inline(always)]
fn slow_parse(reader: &Copied, packet: &mut Packet) -> Result<(), Cause> {
    let ethertype = link::skip(reader, packet)?;
    // The address space is part of a fragment's key.
    packet.zone = vlan::space(maps::zone(packet.point), packet.vlan);
    let l3 = packet.l3;
    let parsed = match ethertype {
        IPV4 => parse::ipv4(reader, l3, packet),
        _ => parse::ipv6(reader, l3, packet),
    };
    parsed.map_err(|stop| match stop {
        Stop::Cause(cause) => cause,
        Stop::Slow => Cause::MalformedIp,
    })
}

/// Counts a parsed packet: in its interface and in its flow.
#[inline(always)]
fn account(ctx: &TcContext, packet: &mut Packet) -> bool {
    gso::wire(ctx, packet);
    let zone = maps::add_to_totals(packet.point, packet.packets, packet.bytes);
    packet.zone = vlan::space(zone, packet.vlan);
    if packet.family == 4 {
        flow4(ctx, packet)
    } else {
        flow6(ctx, packet)
    }
}

#[inline(always)]
fn flow4(ctx: &TcContext, packet: &mut Packet) -> bool {
    let (key, direction) = Key4::of(packet.source[0], packet.destination[0], &packet.ends());
    packet.direction = direction;
    table::record::<Ipv4>(&key, ctx.skb.skb, packet)
}

#[inline(always)]
fn flow6(ctx: &TcContext, packet: &mut Packet) -> bool {
    let (key, direction) = Key6::of(&packet.source, &packet.destination, &packet.ends());
    packet.direction = direction;
    table::record::<Ipv6>(&key, ctx.skb.skb, packet)
}
