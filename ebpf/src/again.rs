//! A socket of this host sends a segment of TCP again: the next packet of its flow then
//! is news, once for each direction, so that a connection in trouble is told while it is
//! in trouble; later ones are told with the next event. Costs nothing where nothing is lost.
//!
//! Found by the addresses of the socket: not where they are translated on the way, nor in
//! a zone other than 0; there the next event tells.

use sextant_ebpf_common::{Ends, EndsLayout, Key4, Key6, SENT_AGAIN, protocol::TCP, ticks};

use crate::{
    atomic,
    flows::{self, Family, Ipv4, Ipv6},
    maps::tuning,
    process::read,
};

/// Address families (linux/socket.h).
const INET: u16 = 2;
const INET6: u16 = 10;

/// Set when the programs are loaded.
#[unsafe(no_mangle)]
static ENDS_LAYOUT: EndsLayout = EndsLayout::ABSENT;

/// The socket at this address of the kernel's memory sent one.
#[inline(always)]
pub unsafe fn sent(socket: u64) {
    let layout = core::ptr::read_volatile(&raw const ENDS_LAYOUT);
    let other_port: u16 = read(socket, layout.other_port);
    let ends = Ends {
        source_port: read(socket, layout.own_port),
        destination_port: u16::from_be(other_port),
        sided: true,
        answer: false,
        protocol: TCP,
        zone: 0,
    };
    match read(socket, layout.family) {
        INET => sent4(socket, &layout, &ends),
        INET6 => sent6(socket, &layout, &ends),
        _ => {}
    }
}

#[inline(always)]
unsafe fn sent4(socket: u64, layout: &EndsLayout, ends: &Ends) {
    let (own, other) = (read(socket, layout.own4), read(socket, layout.other4));
    let (key, direction) = Key4::of(own, other, ends);
    mark::<Ipv4>(&key, direction);
}

/// A socket for both families has its IPv4 addresses where others have them, too.
#[inline(always)]
unsafe fn sent6(socket: u64, layout: &EndsLayout, ends: &Ends) {
    let own: [u32; 4] = read(socket, layout.own6);
    let other: [u32; 4] = read(socket, layout.other6);
    if other[0] | other[1] == 0 && other[2] == 0xffff_u32.to_be() {
        sent4(socket, layout, ends);
        return;
    }
    let (key, direction) = Key6::of(&own, &other, ends);
    mark::<Ipv6>(&key, direction);
}

/// The next event is due, as if an interval had passed since the one before.
#[inline(always)]
unsafe fn mark<F: Family>(key: &F::Key, direction: usize) {
    let Some(entry) = flows::find::<F>(key, flows::hash::<F>(key)) else {
        return;
    };
    let bit = u32::from(SENT_AGAIN) << (16 * (direction & 1));
    if (*entry).tcp_flags & bit == 0
        && atomic::set_bits(&raw mut (*entry).tcp_flags, bit) & bit == 0
    {
        let interval = ticks(tuning().active_interval_ns);
        (*entry).due = (*entry).due.wrapping_sub(interval);
    }
}
