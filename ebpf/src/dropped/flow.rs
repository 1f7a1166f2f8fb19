//! Tells a flow that a packet of it was dropped, so that its end does not claim
//! what did not get through, and learns from it who is behind the packet.

use sextant_ebpf_common::{
    Ends, ICMP_MESSAGE, Key4, Key6,
    protocol::{ICMP, ICMP6},
};

use super::{Dropped, skb};
use crate::{
    atomic,
    flows::{self, Family, Ipv4, Ipv6},
};

/// Counts the drop in the flow, if the packet counted there before.
#[inline(always)]
pub(super) unsafe fn tell(it: *mut Dropped) {
    let key = &(*it).key;
    let ends = Ends {
        source_port: key.source_port,
        destination_port: key.destination_port,
        sided: !matches!(key.protocol, ICMP | ICMP6),
        answer: key.destination_port != ICMP_MESSAGE && matches!((*it).first.l4[0], 0 | 14 | 129),
        protocol: key.protocol,
        zone: key.zone,
    };
    if key.family == 4 {
        let (flow, direction) = Key4::of(key.source[0], key.destination[0], &ends);
        count::<Ipv4>(&flow, direction, it);
    } else {
        let (flow, direction) = Key6::of(&key.source, &key.destination, &ends);
        count::<Ipv6>(&flow, direction, it);
    }
}

#[inline(always)]
unsafe fn count<F: Family>(key: &F::Key, direction: usize, it: *mut Dropped) {
    let Some(entry) = flows::find::<F>(key, flows::hash::<F>(key)) else {
        return;
    };
    (*it).first.sides[0] = (*entry).sides[direction & 1];
    (*it).first.sides[1] = (*entry).sides[1 - (direction & 1)];
    if !skb::was_seen(it) {
        return;
    }
    atomic::add32_up_to_full(&raw mut (*entry).dropped[direction & 1], 1);
    (*entry).drop_reason = (*it).key.reason;
}
