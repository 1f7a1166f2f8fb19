//! One raw event to one flow: direction, reply, endpoints, observation point.

use std::net::IpAddr;

use sextant_ebpf_common::{self as common, Kind, initiator, point_parts, reason};
use sextant_proto::flow as pb;

use super::{
    places::{Places, observation_point, trace_sub_type},
    quality::Qualities,
};
use crate::{
    datapath::{DropReasons, Role},
    flow::{
        Address, Counters, DirectionCounters, EndReason, Ethernet, EventType, Flow, Interned,
        Interners, Ip, Origin, Summary, TcpFlags,
    },
    identity::Snapshot,
    process::{Known, Processes},
};

mod dropped;
mod sides;
mod transport;

use sides::Sides;

/// Monitor event type of trace events.
const TRACE: i32 = 4;

/// What an event is enriched with.
pub(super) struct Context<'a> {
    pub(super) identities: &'a Snapshot,
    pub(super) origin: &'a Interned<Origin>,
    pub(super) drop_reasons: &'a DropReasons,
    pub(super) places: &'a mut Places,
    pub(super) processes: Option<&'a mut Processes>,
    pub(super) interners: &'a mut Interners,
    pub(super) qualities: &'a mut Qualities,
}

/// The flow of an event, without time and id.
pub(super) fn flow(event: &common::Event, context: &mut Context<'_>) -> Flow {
    let (number, egress) = point_parts(event.point);
    let (interface, role) = context.places.interface(number, context.interners);
    let (source, destination) = addresses(event);
    let opened_by = event.initiator & initiator::B;
    let is_reply = event.direction != opened_by;
    let observed = observation_point(role, egress);
    let processes = behind(event, context);
    let sides = Sides::resolve(
        source,
        destination,
        &interface,
        egress,
        is_reply,
        context.identities,
        &processes,
    )
    .or_by_points(
        || sides::behind_interfaces(event, role == Role::Endpoint, context.places),
        is_reply,
    );
    let mut flow = Flow {
        verdict: pb::Verdict::Forwarded.into(),
        flow_type: pb::FlowType::L3L4.into(),
        traffic_direction: sides.direction(is_reply).into(),
        trace_observation_point: observed.into(),
        trace_reason: trace_reason(event, is_reply).into(),
        reply: is_reply,
        is_reply: Some(is_reply),
        event_type: Some(EventType {
            kind: TRACE,
            sub_type: trace_sub_type(observed),
        }),
        ethernet: ethernet(event),
        ip: Some(Ip {
            source: source.into(),
            destination: destination.into(),
            version: if event.family == 4 { 1 } else { 2 },
            encrypted: false,
        }),
        l4: Some(transport::l4(event)),
        source: Some(sides.source),
        destination: Some(sides.destination),
        origin: context.origin.clone(),
        interface: Some(interface),
        summary: Summary::Derived,
        counters: Some(Box::new(counters(event, processes, context))),
        ..Flow::default()
    };
    if event.kind == Kind::Dropped as u8 {
        dropped::mark(&mut flow, event, context);
    } else if event.kind == Kind::Ended as u8 {
        dropped::mark_end(&mut flow, event, context);
    }
    if let Some(tunnel) = transport::tunnel(event, &flow) {
        flow.cold_mut().tunnel = Some(Box::new(tunnel));
    }
    flow
}

/// The processes of source and destination.
fn behind(event: &common::Event, context: &mut Context<'_>) -> [Option<Known>; 2] {
    let Some(processes) = context.processes.as_deref_mut() else {
        return [None, None];
    };
    if event.kind == Kind::Ended as u8 {
        processes.ended(event.sides);
    }
    let source = usize::from(event.direction & 1);
    [source, 1 - source].map(|side| processes.behind(event.sides[side], context.interners))
}

/// Of the sender and of the receiver.
pub(super) fn addresses(event: &common::Event) -> (IpAddr, IpAddr) {
    let of = |words: [u32; 4]| {
        let [a, b, c, d] = words.map(u32::to_ne_bytes);
        if event.family == 4 {
            return IpAddr::from(a);
        }
        let mut bytes = [0_u8; 16];
        for (place, word) in bytes.chunks_exact_mut(4).zip([a, b, c, d]) {
            place.copy_from_slice(&word);
        }
        IpAddr::from(bytes)
    };
    (of(event.source), of(event.destination))
}

fn trace_reason(event: &common::Event, is_reply: bool) -> pb::TraceReason {
    if is_reply {
        pb::TraceReason::Reply
    } else if event.reasons & reason::FIRST != 0 && event.initiator & initiator::GUESSED == 0 {
        pb::TraceReason::New
    } else {
        pb::TraceReason::Established
    }
}

fn ethernet(event: &common::Event) -> Option<Ethernet> {
    if event.no_mac != 0 {
        return None;
    }
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = event.mac;
    Some(Ethernet::Mac {
        source: [s0, s1, s2, s3, s4, s5],
        destination: [d0, d1, d2, d3, d4, d5],
    })
}

fn counters(
    event: &common::Event,
    [source, destination]: [Option<Known>; 2],
    context: &mut Context<'_>,
) -> Counters {
    let forward = usize::from(event.initiator & initiator::B);
    let direction = |index: usize| DirectionCounters {
        packets: event.packets[index],
        bytes: event.bytes[index],
        tcp_flags: (event.tcp_flags_seen >> (16 * index)) as u16 & TcpFlags::ALL,
        dropped: u64::from(event.dropped[index]),
    };
    let ended = event.kind == Kind::Ended as u8;
    let last = if ended { event.last_ns } else { event.time_ns };
    Counters {
        forward: direction(forward),
        reverse: direction(1 - forward),
        duration_ns: last.saturating_sub(event.first_ns),
        silent_ns: event.time_ns.saturating_sub(last),
        end: ended.then(|| end_reason(event)),
        initiator_guessed: event.initiator & initiator::GUESSED != 0,
        vlan: event.vlan,
        kernel_drop_reason: None,
        drops: 0,
        observation_points: context.places.points(event, context.interners),
        socket_cookie: event.socket_cookie,
        source_process: source.map(|known| known.process),
        destination_process: destination.map(|known| known.process),
        tcp: context.qualities.of(event),
        nat: None,
    }
}

fn end_reason(event: &common::Event) -> EndReason {
    let (forward, reverse) = (
        event.tcp_flags_seen as u16,
        (event.tcp_flags_seen >> 16) as u16,
    );
    if (forward | reverse) & TcpFlags::RST != 0 {
        EndReason::Rst
    } else if forward & reverse & TcpFlags::FIN != 0 {
        EndReason::Fin
    } else {
        EndReason::Idle
    }
}

/// The transport header's text of the address, for `Tunnel`.
fn text(address: &Address) -> String {
    address.to_text().into_owned()
}
