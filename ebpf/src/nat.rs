//! Tells of connections whose addresses the kernel translates, by what connection
//! tracking left in the packet: on its way out, when an event is raised anyway.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_probe_read_kernel};
use sextant_ebpf_common::{
    NO_FIELD, NatLayout, Tally, Translation, Tuple, point_parts,
    protocol::{SCTP, TCP, UDP},
    reason,
};

use crate::{
    maps::{self, OBSERVED},
    namespace::load,
    packet::Packet,
    ring,
};

/// Of `_nfct`, those that are no address.
const NFCT_INFO: u64 = 7;
/// Of them, those from here on are of packets of the answering side.
const REPLIES: u64 = 3;
/// `IPS_SRC_NAT` and `IPS_DST_NAT` (linux/netfilter/nf_conntrack_common.h).
const TRANSLATED: u64 = 1 << 4 | 1 << 5;

/// Where it is found in this kernel's structures.
#[unsafe(no_mangle)]
static NAT_LAYOUT: NatLayout = NatLayout::ABSENT;

/// Tells the translation that a packet is subject to, if there is one, and not with
/// each event of a connection.
#[inline(always)]
pub unsafe fn tell(skb: *mut __sk_buff, packet: &Packet, reasons: u8) {
    let layout = core::ptr::read_volatile(&raw const NAT_LAYOUT);
    let (_, egress) = point_parts(packet.point);
    if layout.skb_nfct == NO_FIELD || !egress || reasons & (reason::FIRST | reason::ACTIVE) == 0 {
        return;
    }
    if matches!(packet.protocol, TCP | UDP | SCTP) && !packet.later_fragment {
        look(skb);
    }
}

/// Addresses and ports with which a packet came that was translated since; the ports in
/// network order. `nfct` is of its `sk_buff`, at `skb_nfct`.
#[inline(always)]
pub unsafe fn came_as(nfct: u64, to: *mut Tuple) -> bool {
    let layout = core::ptr::read_volatile(&raw const NAT_LAYOUT);
    let connection = nfct & !NFCT_INFO;
    if connection == 0 {
        return false;
    }
    let status = load::<u64>(connection, layout.conn_status).unwrap_or(0);
    if status & TRANSLATED == 0 {
        return false;
    }
    let offset = if nfct & NFCT_INFO < REPLIES {
        layout.conn_original
    } else {
        layout.conn_reply
    };
    read(to, connection, offset);
    true
}

/// Where an `sk_buff` has what connection tracking knows of it; `NO_FIELD` if nowhere.
#[inline(always)]
pub fn skb_nfct() -> u32 {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    unsafe { core::ptr::read_volatile(&raw const NAT_LAYOUT.skb_nfct) }
}

#[inline(never)]
unsafe fn look(skb: *mut __sk_buff) {
    let layout = core::ptr::read_volatile(&raw const NAT_LAYOUT);
    // The context of a classifier is the kernel's own `sk_buff`.
    let connection = load::<u64>(skb as u64, layout.skb_nfct).unwrap_or(0) & !NFCT_INFO;
    if connection == 0 {
        return;
    }
    let status = load::<u64>(connection, layout.conn_status).unwrap_or(0);
    if status & TRANSLATED == 0 {
        return;
    }
    let Some(mut record) = OBSERVED.reserve::<Translation>(0) else {
        maps::tally(Tally::TranslationLost, 1, 0);
        return;
    };
    let told = record.as_mut_ptr();
    read(&raw mut (*told).original, connection, layout.conn_original);
    read(&raw mut (*told).reply, connection, layout.conn_reply);
    maps::tally(Tally::Translated, 1, 0);
    ring::submit_quietly(&OBSERVED, record, maps::observed_level());
}

/// What cannot be read is zero, which the helper sees to.
#[inline(always)]
unsafe fn read(to: *mut Tuple, connection: u64, offset: u32) {
    let from = connection.wrapping_add(u64::from(offset)) as *const core::ffi::c_void;
    bpf_probe_read_kernel(to.cast(), size_of::<Tuple>() as u32, from);
}
