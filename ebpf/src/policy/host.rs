//! Who of this host sends or receives a packet: the unit or container whose process has
//! the socket, by its cgroup, else the host itself.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release, bpf_skb_cgroup_id},
};
use sextant_ebpf_common::{
    point_parts,
    policy::{HOST_CLASS, NO_SUBJECT, PLACES, first_place},
    protocol::{TCP, UDP},
};

use super::{class, tables::Part};
use crate::{
    owner,
    packet::Packet,
    who::{self, CURRENT},
};

/// Somebody of this host.
#[derive(Clone, Copy)]
pub struct Near {
    /// His number as one who is judged; none if the packet is not this host's.
    pub subject: u32,
    /// His class as a peer; 0 for that of his address.
    pub class: u32,
}

impl Near {
    const NOBODY: Self = Self {
        subject: NO_SUBJECT,
        class: 0,
    };

    /// Whose processes are in this cgroup: somebody of this host.
    #[inline(always)]
    pub unsafe fn of_cgroup(cgroup: u64, part: Part) -> Self {
        let mut near = Self {
            subject: part.host(),
            class: 0,
        };
        if part.has_groups() {
            find_group(part, cgroup, &mut near, true);
        }
        near
    }

    /// At egress the sender, unless the packet is forwarded: then it may still be known by
    /// its socket who he is to others. At ingress the receiver, if it is one of this
    /// host's addresses.
    #[inline(always)]
    pub unsafe fn find(skb: *mut __sk_buff, packet: &Packet, part: Part) -> Self {
        let (_, egress) = point_parts(packet.point);
        let is_here = if egress {
            (*skb).ingress_ifindex == 0
        } else {
            class::of_receiver(part) == HOST_CLASS
        };
        let mut near = Self::NOBODY;
        if is_here {
            near.subject = part.host();
        }
        if part.has_groups() && (is_here || egress) {
            let cgroup = if egress {
                bpf_skb_cgroup_id(skb)
            } else {
                receiver(skb, packet)
            };
            find_group(part, cgroup, &mut near, is_here);
        }
        near
    }
}

/// The cgroup of the socket that a packet goes to; 0 if there is none.
#[inline(never)]
unsafe fn receiver(skb: *mut __sk_buff, packet: &Packet) -> u64 {
    if packet.later_fragment || packet.protocol != TCP && packet.protocol != UDP {
        return 0;
    }
    let Some(tuple) = who::tuple_of(packet) else {
        return 0;
    };
    let size = who::size_of_tuple(packet);
    let socket = if packet.protocol == UDP {
        bpf_sk_lookup_udp(skb.cast(), tuple.cast(), size, CURRENT, 0)
    } else {
        bpf_sk_lookup_tcp(skb.cast(), tuple.cast(), size, CURRENT, 0)
    };
    if socket.is_null() {
        return 0;
    }
    let owner = owner::behind(socket.cast());
    let cgroup = if owner.is_null() { 0 } else { (*owner).cgroup };
    bpf_sk_release(socket.cast());
    cgroup
}

#[inline(always)]
unsafe fn find_group(part: Part, cgroup: u64, near: &mut Near, is_here: bool) {
    let mask = part.groups_mask();
    let first = first_place(cgroup, mask);
    for n in 0..PLACES {
        let Some(group) = part.group(first.wrapping_add(n) & mask) else {
            return;
        };
        if group.cgroup == 0 {
            return;
        }
        if group.cgroup == cgroup {
            if is_here {
                near.subject = group.subject;
            }
            near.class = group.class;
            return;
        }
    }
}
