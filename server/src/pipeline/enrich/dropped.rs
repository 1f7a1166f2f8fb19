//! What is different about a packet that the kernel dropped.

use sextant_ebpf_common::Event;
use sextant_proto::flow::{self as pb, DropReason};

use super::Context;
use crate::flow::{EventType, Flow, L4};

mod reason;

use reason::hubble_reason;

/// Monitor event type of drops.
const DROP: i32 = 1;

/// Makes a drop of a flow. Whether a dropped packet is a reply is not known.
pub(super) fn mark(flow: &mut Flow, event: &Event, context: &mut Context<'_>) {
    dropped(flow, event, context);
    flow.l4 = flow.l4.take().map(|l4| as_far_as_there(l4, event));
    flow.is_reply = None;
    flow.reply = false;
    if let Some(counters) = &mut flow.counters {
        counters.drops = u64::from(event.drops);
    }
}

/// Makes the end of a flow of which no packet went on, in no direction, the end
/// of a dropped one. If some did it was forwarded; its counters tell the others.
pub(super) fn mark_end(flow: &mut Flow, event: &Event, context: &mut Context<'_>) {
    let Some(counters) = &flow.counters else {
        return;
    };
    let mut used = [counters.forward, counters.reverse]
        .into_iter()
        .filter(|direction| direction.packets > 0);
    if used.clone().count() > 0 && used.all(|direction| direction.is_all_dropped()) {
        dropped(flow, event, context);
    }
}

fn dropped(flow: &mut Flow, event: &Event, context: &mut Context<'_>) {
    let kernel = context.drop_reasons.get(&event.drop_reason);
    let reason = kernel.map_or(DropReason::Unknown, |name| hubble_reason(name));
    flow.verdict = pb::Verdict::Dropped.into();
    flow.drop_reason = reason as u32;
    flow.drop_reason_desc = reason.into();
    flow.event_type = Some(EventType {
        kind: DROP,
        sub_type: reason.into(),
    });
    flow.trace_observation_point = 0;
    flow.trace_reason = 0;
    if let Some(counters) = &mut flow.counters {
        let name = kernel.cloned();
        let name = name.unwrap_or_else(|| event.drop_reason.to_string());
        counters.kernel_drop_reason = Some(context.interners.texts.intern(name));
    }
}

/// The transport layer as far as it was in the packet. What is not there is not
/// told: without ports, or type and code, there is the protocol's number alone.
fn as_far_as_there(l4: L4, event: &Event) -> L4 {
    let there = event.l4_len;
    let needed = match l4 {
        L4::Tcp { .. } | L4::Udp { .. } | L4::Sctp { .. } => 4,
        L4::Icmp4 { .. } | L4::Icmp6 { .. } => 2,
        L4::Vrrp { .. } => 3,
        L4::Igmp { .. } => 1,
        L4::Empty | L4::Other { .. } => 0,
    };
    match l4 {
        _ if there < needed => L4::Other {
            protocol: event.protocol,
        },
        L4::Tcp {
            source_port,
            destination_port,
            ..
        } if there < 14 => L4::Tcp {
            source_port,
            destination_port,
            flags: None,
        },
        whole => whole,
    }
}
