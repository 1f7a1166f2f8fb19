//! Which network namespace a packet is in, by its device.
//!
//! Not by `bpf_get_netns_cookie`: for a packet that helper takes the socket,
//! which is still the sender's when the packet comes out of the other end of a
//! veth pair.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_probe_read_kernel};
use sextant_ebpf_common::NetLayout;

use crate::maps;

/// Where the namespace is found in this kernel's structures.
#[unsafe(no_mangle)]
static NET_LAYOUT: NetLayout = NetLayout::ABSENT;

/// The number of the namespace of a packet's device; 0 is the daemon's own.
#[inline(always)]
pub fn of_packet(skb: *mut __sk_buff) -> u32 {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    let layout = unsafe { core::ptr::read_volatile(&raw const NET_LAYOUT) };
    // The context of a classifier is the kernel's own `sk_buff`.
    let net = load::<u64>(skb as u64, layout.skb_dev)
        .and_then(|device| load::<u64>(device, layout.dev_net));
    net.and_then(|net| number(net, &layout)).unwrap_or(0)
}

/// The number of a namespace; `None` when it is not observed.
#[inline(always)]
pub fn number(net: u64, layout: &NetLayout) -> Option<u32> {
    let cookie: u64 = load(net, layout.net_cookie)?;
    if cookie == layout.own {
        return Some(0);
    }
    let number = maps::namespace(cookie);
    (number != 0).then_some(number)
}

/// Reads kernel memory.
#[inline(always)]
pub fn load<T>(base: u64, offset: u32) -> Option<T> {
    let address = (base + u64::from(offset)) as *const T;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}
