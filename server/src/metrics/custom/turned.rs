//! A flow as seen from its other side: the packets that went the other way.

use crate::flow::{Ethernet, Flow, L4};

/// The same with source and destination changed.
pub(super) fn turned(flow: &Flow) -> Flow {
    let mut flow = flow.clone();
    std::mem::swap(&mut flow.source, &mut flow.destination);
    std::mem::swap(&mut flow.source_names, &mut flow.destination_names);
    if let Some(ip) = &mut flow.ip {
        std::mem::swap(&mut ip.source, &mut ip.destination);
    }
    if let Some(
        L4::Tcp {
            source_port,
            destination_port,
            ..
        }
        | L4::Udp {
            source_port,
            destination_port,
        }
        | L4::Sctp {
            source_port,
            destination_port,
            ..
        },
    ) = &mut flow.l4
    {
        std::mem::swap(source_port, destination_port);
    }
    if let Some(Ethernet::Mac {
        source,
        destination,
    }) = &mut flow.ethernet
    {
        std::mem::swap(source, destination);
    }
    if let Some(counters) = &mut flow.counters {
        std::mem::swap(
            &mut counters.source_process,
            &mut counters.destination_process,
        );
    }
    if let Some(cold) = &mut flow.cold {
        std::mem::swap(&mut cold.source_service, &mut cold.destination_service);
    }
    if let Some(is_reply) = &mut flow.is_reply {
        *is_reply = !*is_reply;
        flow.reply = *is_reply;
    }
    flow
}
