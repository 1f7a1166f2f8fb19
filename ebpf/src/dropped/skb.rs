//! Whose a dropped packet is, and where it is in memory.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use sextant_ebpf_common::{Cause, interface_number, is_xdp, point, point_parts};

use super::{Dropped, layout};
use crate::{
    maps,
    namespace::{self, load},
    vlan,
};

/// A header's offset that is not set.
const UNSET: u16 = u16::MAX;
/// Bytes of an Ethernet header.
const ETHERNET: u64 = 14;
/// Types of devices whose frames have one: Ethernet and the loopback.
const ETHERNET_TYPES: [u16; 2] = [1, 772];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Copies the kernel's description of the packet.
#[inline(always)]
pub(super) unsafe fn copy(it: *mut Dropped, skb: u64) -> Result<(), Cause> {
    let to = (&raw mut (*it).skb).cast();
    match bpf_probe_read_kernel(to, layout!(skb_bytes), skb as *const _) {
        0 => Ok(()),
        _ => Err(Cause::DropUnreadable),
    }
}

/// A field of it. Its offset is a constant to the verifier, which checks it.
#[inline(always)]
pub(super) unsafe fn field<T: Copy>(it: *mut Dropped, offset: u32) -> T {
    (&raw const (*it).skb)
        .byte_add(offset as usize)
        .cast::<T>()
        .read_volatile()
}

/// The version of IP that the packet claims to be.
#[inline(always)]
unsafe fn family(it: *mut Dropped) -> u8 {
    match u16::from_be(field(it, layout!(skb_protocol))) {
        IPV4 => 4,
        IPV6 => 6,
        _ => 0,
    }
}

/// The id of the VLAN tag that is not in the frame itself; 0 for none.
#[inline(always)]
unsafe fn tag(it: *mut Dropped) -> u16 {
    if layout!(skb_vlan) == 0 {
        return 0;
    }
    // Type and tag.
    let [_, tag]: [u16; 2] = field(it, layout!(skb_vlan));
    tag & 0xfff
}

/// Whether the packet is IP of an observed namespace. If so, its family, point,
/// namespace and zone are known from here on.
///
/// The receiving socket's namespace is surest; the device is next. Sockets keep
/// other things in the place of the device of what they queue, and the sender's
/// socket stays with a packet that goes to another namespace, so that it counts
/// only where there is no device.
#[inline(always)]
pub(super) unsafe fn is_observed(it: *mut Dropped, receiver: u64) -> Result<bool, Cause> {
    let family = family(it);
    let mut device: u64 = field(it, layout!(net.skb_dev));
    // Addresses of the kernel have the highest bit.
    if device >> 63 == 0 {
        device = 0;
    }
    let device_net: u64 = load(device, layout!(net.dev_net)).unwrap_or(0);
    let mut net = device_net;
    let socket = match (receiver, device) {
        (0, 0) => field(it, layout!(skb_sk)),
        (receiver, _) => receiver,
    };
    if socket != 0 {
        net = load(socket, layout!(sock_net)).unwrap_or(0);
    }
    if net == 0 {
        // Not a packet of a network at all, most of the time.
        return match family {
            0 => Ok(false),
            _ => Err(Cause::DropWithoutDevice),
        };
    }
    let layout = layout!(net);
    let Some(namespace) = namespace::number(net, &layout) else {
        return Ok(false);
    };
    if family == 0 {
        return Err(Cause::DropNotIp);
    }
    let iif: u32 = field(it, layout!(skb_iif));
    let (mut ifindex, mut kind) = (iif, 0_u16);
    if device_net == net {
        ifindex = load(device, layout!(dev_ifindex)).unwrap_or(iif);
        kind = load(device, layout!(dev_type)).unwrap_or(0);
    }
    // What was received has the interface that it came in by.
    let egress = iif == 0 || iif != ifindex;
    (*it).first.point = point(interface_number(namespace, ifindex), egress);
    // Whether there can be one; `locate` looks for it.
    (*it).first.no_mac = u8::from(!ETHERNET_TYPES.contains(&kind));
    (*it).first.frame_len = field(it, layout!(skb_len));
    (*it).key.namespace = namespace as u16;
    (*it).key.zone = vlan::space(maps::zone((*it).first.point), [tag(it), 0]);
    (*it).key.family = family;
    Ok(true)
}

/// Whether our programs saw the packet before it was dropped: it came in, or
/// was on its way out of a device, both of which set its link header. XDP is
/// ahead of us.
#[inline(always)]
pub(super) unsafe fn was_seen(it: *mut Dropped) -> bool {
    let mac: u16 = field(it, layout!(skb_mac));
    mac != UNSET && !is_xdp((*it).key.reason)
}

/// Where the packet is.
pub(super) struct Place {
    /// Its IP header.
    pub(super) l3: u64,
    /// Where what can be read ends: the tail of the linear part.
    pub(super) end: u64,
    /// Bytes behind, in page fragments.
    pub(super) beyond: u64,
}

/// Finds the packet; reads its MAC addresses if it has a link header.
///
/// Only what lies between the first header that is set and the tail is the
/// packet's. What is before has no meaning, what is behind was another's.
#[inline(always)]
pub(super) unsafe fn locate(it: *mut Dropped) -> Result<Place, Cause> {
    let head: u64 = field(it, layout!(skb_head));
    let data: u64 = field(it, layout!(skb_data));
    let len = u64::from(field::<u32>(it, layout!(skb_len)));
    let beyond = u64::from(field::<u32>(it, layout!(skb_data_len)));
    let tail = head + u64::from(field::<u32>(it, layout!(skb_tail)));
    let buffer_end = head + u64::from(field::<u32>(it, layout!(skb_end)));
    if data < head || data > tail || tail > buffer_end || beyond > len {
        return Err(Cause::DropWithoutHeader);
    }
    let end = tail.min(data + (len - beyond));
    let network: u16 = field(it, layout!(skb_network));
    let mac: u16 = field(it, layout!(skb_mac));
    let link = head + u64::from(mac);
    let has_link = mac != UNSET && link <= end;
    let behind_link = if (*it).first.no_mac == 0 {
        link + ETHERNET
    } else {
        link
    };
    let mut l3 = head + u64::from(network);
    if network == UNSET || l3 < data {
        // The stack has gone on to a later header; else it has not come to the
        // network header yet, and that is where the data begins.
        let is_passed = network != UNSET && l3 >= behind_link;
        if !has_link || (!is_passed && data != behind_link) {
            return Err(Cause::DropWithoutHeader);
        }
        if !is_passed {
            l3 = data;
        }
    }
    // With its link header before it, or to an interface that has none.
    let (_, egress) = point_parts((*it).first.point);
    let is_sent = data < l3 || (egress && (*it).first.no_mac != 0);
    (*it).is_sent = u32::from(is_sent);
    let has_mac = (*it).first.no_mac == 0 && has_link && behind_link <= l3 && behind_link <= end;
    let mac = (&raw mut (*it).first.mac).cast();
    (*it).first.no_mac = 1;
    if has_mac && bpf_probe_read_kernel(mac, 12, link as *const _) == 0 {
        (*it).first.no_mac = 0;
    }
    Ok(Place { l3, end, beyond })
}
