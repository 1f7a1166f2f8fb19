//! Answers a process at once whose connection by TCP a policy denies: else it waits until
//! its attempts time out. By the same tables, before there is a packet, so it is told here
//! as well, as if the first one had been denied. What is judged for certain is packets:
//! what passes here is judged again.
//!
//! A process may be interrupted here by packets on its CPU, or by another process that
//! connects, so nothing is put together in what is there once for a CPU.

use aya_ebpf::{
    bindings::bpf_sock_addr,
    helpers::generated::{bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_set_retval},
};
use sextant_ebpf_common::{
    Cause, Event, Kind, Side, Tally, initiator,
    policy::{
        DENIED_BY_POLICY, Decision, HOST_CLASS, NO_SUBJECT, deny_error, remembered, verdict,
        verdict_of,
    },
    protocol::TCP,
    reason,
};

use super::{class, entries, host::Near, tables::Part};
use crate::{
    clock::precise_now,
    maps::{self, DENIED},
    owner,
    packet::SYN,
    ring,
};

/// What who connects gets of us.
const GOES_ON: i32 = 1;
const DENIED_HERE: i32 = 0;
/// asm-generic/errno.h
const ECONNREFUSED: i32 = 111;
/// The first words of an IPv4 address in an IPv6 one (RFC 4291, 2.5.5.2), in host order.
const MAPPED: u64 = 0xffff;

/// A `deny_error`; set by the loader.
#[unsafe(no_mangle)]
static DENY_ERROR: u32 = deny_error::SILENT;

/// Cookie of the daemon's network namespace, the only one with policies; set by the loader.
#[unsafe(no_mangle)]
static OWN_NETNS: u64 = 0;

/// Where it goes to.
struct Peer {
    family: u8,
    address: [u32; 4],
    port: u16,
    class: u32,
}

/// By IPv4.
#[inline(always)]
pub unsafe fn by_ipv4(ctx: *mut bpf_sock_addr) -> i32 {
    let Some((part, cgroup)) = begin(ctx) else {
        return GOES_ON;
    };
    let word = (&raw const (*ctx).user_ip4).read_volatile();
    answer(ctx, part, cgroup, &ipv4(part, word, port(ctx)))
}

/// By IPv6, or by IPv4 with a socket of IPv6.
#[inline(always)]
pub unsafe fn by_ipv6(ctx: *mut bpf_sock_addr) -> i32 {
    let Some((part, cgroup)) = begin(ctx) else {
        return GOES_ON;
    };
    let words = &raw const (*ctx).user_ip6;
    let address = [0, 1, 2, 3].map(|n| (&raw const (*words)[n]).read_volatile());
    let [a, b, c, d] = address.map(u32::from_be);
    let upper = u64::from(a) << 32 | u64::from(b);
    let lower = u64::from(c) << 32 | u64::from(d);
    let peer = if upper == 0 && lower >> 32 == MAPPED {
        ipv4(part, address[3], port(ctx))
    } else {
        let is_own = upper == 0 && lower <= 1;
        Peer {
            family: 6,
            address,
            port: port(ctx),
            class: if is_own {
                HOST_CLASS
            } else {
                class::sextant_class6(part.generation, upper, lower)
            },
        }
    };
    answer(ctx, part, cgroup, &peer)
}

#[inline(always)]
fn ipv4(part: Part, word: u32, port: u16) -> Peer {
    let address = u32::from_be(word);
    // The loopback, which "any address" leads to as well.
    let is_own = address == 0 || address >> 24 == 127;
    Peer {
        family: 4,
        address: [word, 0, 0, 0],
        port,
        class: if is_own {
            HOST_CLASS
        } else {
            class::sextant_class4(part.generation, address)
        },
    }
}

#[inline(always)]
unsafe fn port(ctx: *mut bpf_sock_addr) -> u16 {
    u16::from_be((&raw const (*ctx).user_port).read_volatile() as u16)
}

/// Who connects has the socket from now on. What is in force, and the cgroup that the socket
/// was made in, as its packets have it, if it is to be answered.
#[inline(always)]
unsafe fn begin(ctx: *mut bpf_sock_addr) -> Option<(Part, u64)> {
    let judging = match judging(ctx) {
        Some(part) => Some((part, cgroup(ctx))),
        None => None,
    };
    if maps::tells_who() {
        owner::connects((*ctx).__bindgen_anon_1.sk.cast());
    }
    judging
}

#[inline(always)]
unsafe fn cgroup(ctx: *mut bpf_sock_addr) -> u64 {
    if maps::tells_who() {
        let owner = owner::of((*ctx).__bindgen_anon_1.sk.cast());
        if !owner.is_null() && (*owner).cgroup != 0 {
            return (*owner).cgroup;
        }
    }
    bpf_get_current_cgroup_id()
}

/// What is in force for it, if it is to be answered.
#[inline(always)]
unsafe fn judging(ctx: *mut bpf_sock_addr) -> Option<Part> {
    if setting() == deny_error::SILENT || (*ctx).protocol != u32::from(TCP) {
        return None;
    }
    let part = Part::in_force()?;
    let own = (&raw const OWN_NETNS).read_volatile();
    (bpf_get_netns_cookie(ctx.cast()) == own).then_some(part)
}

#[inline(always)]
fn setting() -> u32 {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    unsafe { (&raw const DENY_ERROR).read_volatile() }
}

#[inline(always)]
unsafe fn answer(ctx: *mut bpf_sock_addr, part: Part, cgroup: u64, peer: &Peer) -> i32 {
    // To itself it goes by the loopback, which is not judged.
    if peer.class == HOST_CLASS {
        return GOES_ON;
    }
    let near = Near::of_cgroup(cgroup, part);
    if near.subject == NO_SUBJECT {
        return GOES_ON;
    }
    let (subject, port) = (near.subject, u32::from(peer.port));
    let found = entries::sextant_decide_connect(part.generation, subject, peer.class, port);
    if verdict_of(found) != verdict::DENY {
        return GOES_ON;
    }
    maps::tally(Tally::Refused, 1, 0);
    tell(ctx, peer, remembered(found, part.generation));
    if setting() == deny_error::REFUSED {
        bpf_set_retval(-ECONNREFUSED);
    }
    DENIED_HERE
}

/// As the first packet of a flow that is denied, but of no interface. The address that it
/// would have had is not known yet, unless it was chosen; the daemon finds it.
#[inline(always)]
unsafe fn tell(ctx: *mut bpf_sock_addr, peer: &Peer, judged: Decision) {
    maps::tally(Tally::Raised, 1, 0);
    let Some(mut record) = DENIED.reserve::<Event>(0) else {
        maps::count(Cause::DeniedRingFull, 1, 0);
        return;
    };
    let event = record.as_mut_ptr();
    for n in 0..size_of::<Event>() / 8 {
        event.cast::<u64>().add(n).write_volatile(0);
    }
    let now = precise_now();
    (*event).time_ns = now;
    (*event).first_ns = now;
    (*event).last_ns = now;
    let socket = (*ctx).__bindgen_anon_1.sk;
    (*event).source_port = (*socket).src_port as u16;
    if peer.family == 4 {
        (*event).source[0] = (*socket).src_ip4;
    } else {
        for n in 0..4 {
            (*event).source[n] = (*socket).src_ip6[n];
        }
    }
    (*event).destination = peer.address;
    (*event).destination_port = peer.port;
    (*event).family = peer.family;
    (*event).protocol = TCP;
    (*event).tcp_flags = SYN;
    (*event).sides[0] = side(socket.cast());
    (*event).judged[0] = judged;
    (*event).drop_reason = DENIED_BY_POLICY;
    (*event).kind = Kind::Packet as u8;
    (*event).reasons = reason::FIRST | reason::JUDGED_A | reason::DENIED;
    (*event).initiator = initiator::A;
    (*event).no_mac = 1;
    ring::submit(&DENIED, record, maps::denied_level());
}

#[inline(always)]
unsafe fn side(socket: *mut core::ffi::c_void) -> Side {
    if !maps::tells_who() {
        return Side::default();
    }
    let owner = owner::of(socket);
    if owner.is_null() {
        return Side::default();
    }
    Side {
        tgid: (*owner).tgid,
        start: (*owner).start,
    }
}
