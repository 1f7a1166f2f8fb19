//! Tells a flow that a packet of it was dropped, so that its end does not claim
//! what did not get through, and learns from it who is behind the packet.
//!
//! A packet counted with the addresses with which it came. Where they were translated
//! since, connection tracking has them, until the packet is sent.

use sextant_ebpf_common::{
    Ends, ICMP_MESSAGE, Key4, Key6, NO_FIELD,
    protocol::{ICMP, ICMP6, SCTP, TCP, UDP},
};

use super::{Dropped, skb};
use crate::{
    atomic,
    flows::{self, Family, Ipv4, Ipv6},
    nat,
};

/// Counts the drop in the flow, if the packet counted there before.
#[inline(always)]
pub(super) unsafe fn tell(it: *mut Dropped) {
    if as_it_came(it) && count(it) {
        return;
    }
    let (key, flow) = (&(*it).key, &raw mut (*it).flow);
    for word in 0..4 {
        (*flow).source[word] = key.source[word];
        (*flow).destination[word] = key.destination[word];
    }
    (*flow).source_port = key.source_port;
    (*flow).destination_port = key.destination_port;
    count(it);
}

/// Whether it is translated and not sent yet; then its flow has the addresses of before.
#[inline(always)]
unsafe fn as_it_came(it: *mut Dropped) -> bool {
    let offset = nat::skb_nfct();
    let (protocol, destination_port) = ((*it).key.protocol, (*it).key.destination_port);
    let is_query = matches!(protocol, ICMP | ICMP6) && destination_port != ICMP_MESSAGE;
    if offset == NO_FIELD
        || (*it).is_sent != 0
        || !(is_query || matches!(protocol, TCP | UDP | SCTP))
    {
        return false;
    }
    if !nat::came_as(skb::field(it, offset), &raw mut (*it).flow) {
        return false;
    }
    // The id of a query is in the place of the sender's port.
    (*it).flow.source_port = u16::from_be((*it).flow.source_port);
    (*it).flow.destination_port = if is_query {
        destination_port
    } else {
        u16::from_be((*it).flow.destination_port)
    };
    true
}

/// Counts it in the flow with these addresses; tells whether there is one.
#[inline(never)]
unsafe fn count(it: *mut Dropped) -> bool {
    let (key, flow) = (&(*it).key, &(*it).flow);
    let ends = Ends {
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        sided: !matches!(key.protocol, ICMP | ICMP6),
        answer: key.destination_port != ICMP_MESSAGE && matches!((*it).first.l4[0], 0 | 14 | 129),
        protocol: key.protocol,
        zone: key.zone,
    };
    if key.family == 4 {
        let (key, direction) = Key4::of(flow.source[0], flow.destination[0], &ends);
        count_in::<Ipv4>(&key, direction, it)
    } else {
        let (key, direction) = Key6::of(&flow.source, &flow.destination, &ends);
        count_in::<Ipv6>(&key, direction, it)
    }
}

#[inline(always)]
unsafe fn count_in<F: Family>(key: &F::Key, direction: usize, it: *mut Dropped) -> bool {
    let Some(entry) = flows::find::<F>(key, flows::hash::<F>(key)) else {
        return false;
    };
    (*it).first.sides[0] = (*entry).sides[direction & 1];
    (*it).first.sides[1] = (*entry).sides[1 - (direction & 1)];
    if skb::was_seen(it) {
        atomic::add32_up_to_full(&raw mut (*entry).dropped[direction & 1], 1);
        (*entry).drop_reason = (*it).key.reason;
    }
    true
}
