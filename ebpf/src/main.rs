//! Sextant's eBPF programs; this file has the entry points only.
//!
//! `observe` takes a packet through: `link` and `parse` read headers, `vlan` numbers VLANs, `gso` tells
//! what leaves on the wire, `table` finds or makes the entry of the flow and
//! counts, `event` raises events, `payload` copies what DNS packets carry and, by `hello`, how TLS begins, `dropped`
//! watches the kernel drop packets. `owner` keeps who made a socket, `holders` who
//! has those from before, `who` looks there; `quality` asks TCP's sockets how they fare,
//! `again` learns when they send a segment again, `nat` the connection tracking what it translates, `policy` whether a packet passes.
//! Each early exit increments a per-CPU counter by cause. Kernel 5.8 and later
//! (ring buffer); no packet is changed, and `policy` alone decides on its fate.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(
    internal_features,
    reason = "atomic operations that core lacks for this target"
)]
#![allow(unsafe_op_in_unsafe_fn, reason = "all of it works on kernel pointers")]

mod again;
mod atomic;
mod clock;
mod dropped;
mod event;
mod flows;
mod fragment;
mod gso;
mod hello;
mod holders;
mod initiator;
mod link;
mod listener;
mod maps;
mod namespace;
mod nat;
mod observe;
mod once;
mod opening;
mod owner;
mod packet;
mod parse;
mod payload;
mod policy;
mod process;
mod quality;
mod read;
mod reopen;
mod ring;
mod table;
mod vlan;
mod who;

use aya_ebpf::{
    macros::{cgroup_sock, cgroup_sock_addr, classifier, raw_tracepoint},
    programs::{RawTracePointContext, SockAddrContext, SockContext, TcContext},
};

/// Lets the next program on the hook run; on clsact it means the same.
const NEXT: i32 = -1;
/// Drops the packet (`TC_ACT_SHOT`, linux/pkt_cls.h).
const SHOT: i32 = 2;

/// What becomes of a packet.
#[inline(always)]
const fn fate(passes: bool) -> i32 {
    if passes { NEXT } else { SHOT }
}

/// Ingress of links with an Ethernet header.
#[classifier]
pub fn sextant_in(ctx: TcContext) -> i32 {
    fate(observe::packet::<false, true>(&ctx))
}

/// Egress of links with an Ethernet header.
#[classifier]
pub fn sextant_out(ctx: TcContext) -> i32 {
    fate(observe::packet::<true, true>(&ctx))
}

/// Ingress of links that carry bare IP packets.
#[classifier]
pub fn sextant_in_ip(ctx: TcContext) -> i32 {
    fate(observe::packet::<false, false>(&ctx))
}

/// Egress of links that carry bare IP packets.
#[classifier]
pub fn sextant_out_ip(ctx: TcContext) -> i32 {
    fate(observe::packet::<true, false>(&ctx))
}

/// The kernel frees a packet that it could not deliver. Arguments of the raw
/// tracepoint `kfree_skb`: skb, location, reason (kernel 5.17).
#[raw_tracepoint]
pub fn sextant_drop(ctx: RawTracePointContext) -> i32 {
    dropped::observe(&ctx);
    0
}

/// A socket of TCP sent a segment again. Arguments of the raw tracepoint
/// `tcp_retransmit_skb`: socket, skb.
#[raw_tracepoint]
pub fn sextant_again(ctx: RawTracePointContext) -> i32 {
    // SAFETY: it reads the kernel's memory by helpers alone.
    unsafe { again::sent(ctx.arg(0)) };
    0
}

/// A process makes a socket. It always may.
#[cgroup_sock(sock_create)]
pub fn sextant_sock(ctx: SockContext) -> i32 {
    // SAFETY: the kernel gives a valid socket.
    unsafe { owner::made(ctx.sock.cast()) }
    1
}

/// A process connects a socket by IPv4. It may, unless a policy denies it and it is to
/// hear of it at once.
#[cgroup_sock_addr(connect4)]
pub fn sextant_connect4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel gives a valid context.
    unsafe { policy::connect::by_ipv4(ctx.sock_addr) }
}

/// The same by IPv6.
#[cgroup_sock_addr(connect6)]
pub fn sextant_connect6(ctx: SockAddrContext) -> i32 {
    // SAFETY: as above.
    unsafe { policy::connect::by_ipv6(ctx.sock_addr) }
}

/// A descriptor of a process, in a walk over all. Kernel 5.8 (iterators).
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn sextant_holders(ctx: *mut holders::TaskFile) -> i32 {
    // SAFETY: the kernel gives a valid context.
    unsafe { holders::look(ctx) }
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier rejects a program that could get here.
    unsafe { core::hint::unreachable_unchecked() }
}

/// The helpers that the programs call are reserved for GPL programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
