//! Packets that the kernel drops, from the raw tracepoint `kfree_skb`.
//!
//! Drops of one flow for one reason share an entry: the first raises an event,
//! later ones are counted and told at most once in an interval, so that a storm
//! costs little. The daemon finds the kernel's field offsets when it loads us.

use aya_ebpf::{bindings::BPF_NOEXIST, programs::RawTracePointContext};
use sextant_ebpf_common::{
    Cause, DropCount, DropKey, DropLayout, Event, Kind, Tally, interface_number, point, reason,
};

use crate::{
    atomic,
    clock::precise_now,
    maps::{self, DENIED, DROPS},
    namespace::{self, load},
    parse::{FRAGMENT, MAX_EXTENSIONS, extension_length, is_extension},
};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Where things are in this kernel's structures.
#[unsafe(no_mangle)]
static DROP_LAYOUT: DropLayout = DropLayout::ABSENT;

#[inline(always)]
fn layout() -> DropLayout {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    unsafe { core::ptr::read_volatile(&raw const DROP_LAYOUT) }
}

/// Observes one dropped packet.
#[inline(always)]
pub fn observe(ctx: &RawTracePointContext) {
    let layout = layout();
    let why: u32 = ctx.arg(2);
    // Frees that are no drops, and drops without a reason, are left out.
    if why <= layout.first_reason || why >= 256 || is_quiet(&layout, why) {
        return;
    }
    let skb: u64 = ctx.arg(0);
    let Some(mut dropped) = read(skb, &layout) else {
        return;
    };
    if why == layout.no_socket && is_echo_reply(&dropped) {
        return;
    }
    dropped.key.reason = why as u16;
    record(&dropped);
}

/// The kernel frees an echo reply in this way after `ping` got its copy through
/// a raw socket.
#[inline(always)]
fn is_echo_reply(dropped: &Dropped) -> bool {
    matches!(
        (dropped.key.protocol, dropped.l4[0]),
        (ICMP, 0) | (ICMP6, 129)
    ) && dropped.l4_len != 0
}

/// Reasons that are part of a healthy connection (old TCP data and the like).
#[inline(always)]
fn is_quiet(layout: &DropLayout, why: u32) -> bool {
    layout.quiet[((why >> 6) & 3) as usize] >> (why & 63) & 1 == 1
}

/// A dropped packet.
struct Dropped {
    key: DropKey,
    point: u32,
    len: u32,
    tcp_flags: u16,
    mac: [u8; 12],
    has_mac: bool,
    l4: [u8; 16],
    l4_len: u8,
}

/// Reads the packet; `None` when its namespace is not observed or it is not IP.
#[inline(always)]
fn read(skb: u64, layout: &DropLayout) -> Option<Dropped> {
    let device: u64 = load(skb, layout.net.skb_dev)?;
    let iif: u32 = load(skb, layout.skb_iif)?;
    let namespace = namespace_of(skb, device, layout)?;
    let ifindex: u32 = if device == 0 {
        iif
    } else {
        load(device, layout.dev_ifindex)?
    };
    let head: u64 = load(skb, layout.skb_head)?;
    let network: u16 = load(skb, layout.skb_network)?;
    let mac: u16 = load(skb, layout.skb_mac)?;
    let ethertype: u16 = load(skb, layout.skb_protocol)?;
    let mut dropped = Dropped {
        key: DropKey::default(),
        // What was received has the interface that it came in by.
        point: point(interface_number(namespace, ifindex), iif == 0),
        len: load(skb, layout.skb_len)?,
        tcp_flags: 0,
        mac: [0; 12],
        has_mac: mac < network,
        l4: [0; 16],
        l4_len: 0,
    };
    if dropped.has_mac {
        dropped.mac = load(head + u64::from(mac), 0)?;
    }
    let l3 = head + u64::from(network);
    let l4 = match u16::from_be(ethertype) {
        IPV4 => ipv4(l3, &mut dropped.key)?,
        IPV6 => ipv6(l3, &mut dropped.key)?,
        _ => return None,
    };
    if let Some(l4) = l4 {
        transport(l4, &mut dropped);
    }
    Some(dropped)
}

/// The number of the packet's network namespace, if it is an observed one.
#[inline(always)]
fn namespace_of(skb: u64, device: u64, layout: &DropLayout) -> Option<u32> {
    let net: u64 = if device == 0 {
        let socket = load::<u64>(skb, layout.skb_sk).filter(|socket| *socket != 0)?;
        load(socket, layout.sock_net)?
    } else {
        load(device, layout.net.dev_net)?
    };
    namespace::number(net, &layout.net)
}

/// Addresses and protocol; the address of the transport header, if it is here.
#[inline(always)]
fn ipv4(l3: u64, key: &mut DropKey) -> Option<Option<u64>> {
    let header: [u32; 5] = load(l3, 0)?;
    let [first, fragment, third, source, destination] = header.map(u32::to_ne_bytes);
    if first[0] >> 4 != 4 {
        return unreadable();
    }
    key.family = 4;
    key.protocol = third[1];
    key.source[0] = u32::from_ne_bytes(source);
    key.destination[0] = u32::from_ne_bytes(destination);
    let offset = u16::from_be_bytes([fragment[2], fragment[3]]) & 0x1fff;
    let length = u64::from(first[0] & 0xf) * 4;
    Some((offset == 0).then_some(l3 + length))
}

#[inline(always)]
fn ipv6(l3: u64, key: &mut DropKey) -> Option<Option<u64>> {
    let header: [u32; 10] = load(l3, 0)?;
    let (first, second) = (header[0].to_ne_bytes(), header[1].to_ne_bytes());
    if first[0] >> 4 != 6 {
        return unreadable();
    }
    key.family = 6;
    key.protocol = second[2];
    key.source = [header[2], header[3], header[4], header[5]];
    key.destination = [header[6], header[7], header[8], header[9]];
    let Transport { protocol, offset } =
        Transport::unpack(walk_extensions(l3 + 40, u64::from(key.protocol)));
    key.protocol = protocol;
    Some(offset.map(|offset| l3 + 40 + offset))
}

/// Where an IPv6 packet's transport is.
struct Transport {
    protocol: u8,
    /// Bytes after the fixed header; `None` when the transport header is not here.
    offset: Option<u64>,
}

impl Transport {
    const ABSENT: u64 = 1 << 8;

    #[inline(always)]
    fn pack(&self) -> u64 {
        let offset = self.offset.map_or(Self::ABSENT, |offset| offset << 16);
        u64::from(self.protocol) | offset
    }

    #[inline(always)]
    fn unpack(packed: u64) -> Self {
        Self {
            protocol: packed as u8,
            offset: (packed & Self::ABSENT == 0).then_some(packed >> 16),
        }
    }
}

/// Follows the extension headers of an IPv6 packet, the first of them at `at`
/// and of this number. A program of its own, for its stack; so one packed value.
#[inline(never)]
fn walk_extensions(at: u64, first: u64) -> u64 {
    let (mut protocol, mut offset) = (first as u8, 0);
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(protocol) {
            return Transport {
                protocol,
                offset: Some(offset),
            }
            .pack();
        }
        let Some([next, length, field @ ..]) = load::<[u8; 4]>(at + offset, 0) else {
            break;
        };
        let later_fragment = protocol == FRAGMENT && u16::from_be_bytes(field) & 0xfff8 != 0;
        offset += extension_length(protocol, length) as u64;
        protocol = next;
        if later_fragment {
            break;
        }
    }
    Transport {
        protocol,
        offset: None,
    }
    .pack()
}

#[inline(always)]
fn unreadable() -> Option<Option<u64>> {
    maps::count(Cause::DropUnreadable, 1, 0);
    None
}

#[inline(always)]
fn transport(l4: u64, dropped: &mut Dropped) {
    let Some(header) = load::<[u8; 16]>(l4, 0) else {
        return;
    };
    dropped.l4 = header;
    dropped.l4_len = 16;
    if matches!(dropped.key.protocol, TCP | UDP | SCTP) {
        dropped.key.source_port = u16::from_be_bytes([header[0], header[1]]);
        dropped.key.destination_port = u16::from_be_bytes([header[2], header[3]]);
    }
    if dropped.key.protocol == TCP {
        dropped.tcp_flags = u16::from_be_bytes([header[12], header[13]]) & 0x1ff;
    }
}

#[inline(always)]
fn record(dropped: &Dropped) {
    // The coarse clock is for network programs only.
    let now = precise_now();
    let Some(entry) = DROPS.get_ptr_mut(&dropped.key) else {
        let first = DropCount {
            drops: 1,
            told: 1,
            event_ns: now,
            point: dropped.point,
            pad: 0,
        };
        match DROPS.insert(&dropped.key, first, u64::from(BPF_NOEXIST)) {
            Ok(()) => raise(dropped, 1),
            Err(_) => maps::count(Cause::DropTableFull, 1, u64::from(dropped.len)),
        }
        return;
    };
    // SAFETY: a value of the map; counters are added to atomically.
    unsafe {
        let drops = atomic::fetch_add(&raw mut (*entry).drops, 1) + 1;
        if now.saturating_sub((*entry).event_ns) >= maps::tuning().active_interval_ns {
            (*entry).event_ns = now;
            let told = (*entry).told;
            (*entry).told = drops;
            raise(dropped, drops.saturating_sub(told) as u32);
        }
    }
}

#[inline(always)]
fn raise(dropped: &Dropped, drops: u32) {
    maps::tally(Tally::Raised, 1, 0);
    let Some(mut record) = DENIED.reserve::<Event>(0) else {
        maps::count(Cause::DeniedRingFull, 1, u64::from(dropped.len));
        return;
    };
    let key = &dropped.key;
    let now = precise_now();
    record.write(Event {
        time_ns: now,
        first_ns: now,
        last_ns: now,
        source: key.source,
        destination: key.destination,
        l4: dropped.l4,
        mac: dropped.mac,
        point: dropped.point,
        drop_reason: u32::from(key.reason),
        drops,
        frame_len: dropped.len,
        source_port: key.source_port,
        destination_port: key.destination_port,
        tcp_flags: dropped.tcp_flags,
        kind: Kind::Dropped as u8,
        reasons: reason::FIRST,
        family: key.family,
        protocol: key.protocol,
        l4_len: dropped.l4_len,
        no_mac: u8::from(!dropped.has_mac),
        ..Event::default()
    });
    record.submit(0);
}
