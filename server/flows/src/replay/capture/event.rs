//! From a decoded packet to the flow event that Hubble would give without
//! aggregation: a trace event of the network, with endpoints, connection state
//! and the counts of this one packet.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use sextant_proto::flow as pb;

use super::{Frame, dns::Dns, fragments::Fragments, l4, vlans::Vlans};
use crate::{
    decode::{Direction, Ip, Packet, Transport, Tunnel, TunnelProtocol},
    dns,
    event::Event,
    flow::{
        Counters, DirectionCounters, Ethernet, EventType, Flow, Interface, Interned, Summary, Time,
        Uuid, proto,
    },
    replay::{
        Context,
        tracker::{Tracked, Tracker},
    },
};

/// Hubble's `CiliumEventType` of trace events, and of drops.
const EVENT_TRACE: i32 = 4;
const EVENT_DROP: i32 = 1;

/// Connections that are remembered.
const MAX_CONNECTIONS: usize = 262_144;

/// What is known of a packet beside its headers.
#[derive(Clone)]
struct Seen {
    number: u64,
    time: Option<Time>,
    wire_length: u32,
    interface: Option<Interned<Interface>>,
    direction: Option<Direction>,
    /// Address space.
    space: u16,
}

/// Makes the events of one file.
pub(super) struct EventMaker {
    vlans: Vlans,
    tracker: Tracker,
    fragments: Fragments<Seen>,
    dns: Dns,
    /// What can be made of fragments by now; empty between two packets.
    ready: Vec<(Packet, Seen)>,
    /// What the ids of this file's events are made from.
    seed: u64,
}

impl EventMaker {
    pub(super) fn new(path: &Path, vlan_in_key: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        Self {
            vlans: Vlans::new(vlan_in_key),
            tracker: Tracker::new(MAX_CONNECTIONS),
            fragments: Fragments::default(),
            dns: Dns::default(),
            ready: Vec::new(),
            seed: hasher.finish(),
        }
    }

    /// Connections, fragments, what is of DNS, and VLANs that the bounded tables forgot.
    pub(super) fn forgotten(&self) -> u64 {
        let (connections, fragments) = (self.tracker.forgotten(), self.fragments.forgotten());
        connections + fragments + self.dns.forgotten() + self.vlans.forgotten()
    }

    /// Makes the event of packet `number` of the file, at once or, of a fragment
    /// that comes before the first one, behind that.
    pub(super) fn make(
        &mut self,
        number: u64,
        frame: &Frame<'_>,
        packet: Packet,
        context: &mut Context<'_>,
        sink: &mut dyn FnMut(Event),
    ) {
        let seen = Seen {
            number,
            time: frame.time,
            wire_length: frame.wire_length,
            interface: frame.interface.cloned(),
            direction: frame.direction,
            space: self.vlans.space(packet.vlan),
        };
        let (seconds, space) = (seconds(frame.time), seen.space);
        let again = seen.clone();
        let ready = &mut self.ready;
        self.fragments.take(packet, seconds, seen, ready);
        self.deliver(context, sink);
        let messages = self.dns.take(frame, &packet, space);
        for (place, message) in messages.into_iter().enumerate() {
            let mut flow = self.flow(packet, again.clone(), context);
            flow.uuid = self.uuid(number, place as u64 + 1);
            dns::mark(&mut flow, &message);
            sink(Event::Flow(flow));
        }
    }

    /// Makes the events of fragments that waited in vain.
    pub(super) fn finish(&mut self, context: &mut Context<'_>, sink: &mut dyn FnMut(Event)) {
        self.fragments.rest(&mut self.ready);
        self.ready.sort_by_key(|(_, seen)| seen.number);
        self.deliver(context, sink);
    }

    fn deliver(&mut self, context: &mut Context<'_>, sink: &mut dyn FnMut(Event)) {
        let mut ready = std::mem::take(&mut self.ready);
        for (packet, seen) in ready.drain(..) {
            sink(Event::Flow(self.flow(packet, seen, context)));
        }
        self.ready = ready;
    }

    fn flow(&mut self, packet: Packet, seen: Seen, context: &mut Context<'_>) -> Flow {
        let tracked = self.tracker.track(&packet, seen.space, seconds(seen.time));
        let direction = seen.direction.or(packet.direction);
        let point = observation_point(direction) as i32;
        let mut flow = Flow {
            time: seen.time,
            uuid: self.uuid(seen.number, 0),
            verdict: pb::Verdict::Forwarded as i32,
            flow_type: pb::FlowType::L3L4 as i32,
            traffic_direction: traffic_direction(direction, tracked.is_reply) as i32,
            trace_observation_point: point,
            trace_reason: tracked.reason as i32,
            reply: tracked.is_reply,
            is_reply: Some(tracked.is_reply),
            event_type: Some(EventType {
                kind: EVENT_TRACE,
                sub_type: point,
            }),
            ethernet: packet.macs.map(|macs| Ethernet::Mac {
                source: macs.source,
                destination: macs.destination,
            }),
            ip: Some(network(&packet.ip)),
            l4: l4::from(packet.transport),
            source: Some((context.resolve)(packet.ip.source)),
            destination: Some((context.resolve)(packet.ip.destination)),
            origin: context.node.clone(),
            interface: seen.interface,
            summary: Summary::Derived,
            counters: Some(Box::new(counters(seen.wire_length, &packet, tracked))),
            ..Flow::default()
        };
        let interners = &mut *context.interners;
        if packet.is_blocked {
            block(&mut flow);
        }
        self.dns.name(&mut flow, &packet, seen.space, interners);
        if let Some(tunnel) = packet.tunnel {
            let tunnel = tunnel_of(tunnel, &flow);
            flow.cold_mut().tunnel = Some(Box::new(tunnel));
        }
        flow
    }

    /// The same for the same packet, and message in it, of the same file (UUID
    /// version 8).
    fn uuid(&self, number: u64, message: u64) -> Uuid {
        let mut hasher = DefaultHasher::new();
        (self.seed, number, message).hash(&mut hasher);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
        bytes[8..].copy_from_slice(&hasher.finish().to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid::Binary(bytes)
    }
}

fn seconds(time: Option<Time>) -> i64 {
    time.map_or(0, |time| time.seconds)
}

fn observation_point(direction: Option<Direction>) -> pb::TraceObservationPoint {
    match direction {
        Some(Direction::Outgoing) => pb::TraceObservationPoint::ToNetwork,
        Some(Direction::Incoming) | None => pb::TraceObservationPoint::FromNetwork,
    }
}

/// Direction of the connection, of which a reply goes the other way.
fn traffic_direction(direction: Option<Direction>, is_reply: bool) -> pb::TrafficDirection {
    match (direction, is_reply) {
        (None, _) => pb::TrafficDirection::Unknown,
        (Some(Direction::Outgoing), false) | (Some(Direction::Incoming), true) => {
            pb::TrafficDirection::Egress
        }
        (Some(Direction::Outgoing), true) | (Some(Direction::Incoming), false) => {
            pb::TrafficDirection::Ingress
        }
    }
}

/// Makes the flow that of a packet that a firewall blocked.
fn block(flow: &mut Flow) {
    let reason = pb::DropReason::PolicyDenied;
    flow.verdict = pb::Verdict::Dropped.into();
    flow.drop_reason = reason as u32;
    flow.drop_reason_desc = reason.into();
    flow.event_type = Some(EventType {
        kind: EVENT_DROP,
        sub_type: reason.into(),
    });
    flow.trace_observation_point = 0;
    flow.trace_reason = 0;
    (flow.reply, flow.is_reply) = (false, None);
}

fn network(ip: &Ip) -> crate::flow::Ip {
    crate::flow::Ip {
        source: ip.source.into(),
        destination: ip.destination.into(),
        version: match ip.source.is_ipv4() {
            true => pb::IpVersion::IPv4 as i32,
            false => pb::IpVersion::IPv6 as i32,
        },
        encrypted: false,
    }
}

fn counters(wire_length: u32, packet: &Packet, tracked: Tracked) -> Counters {
    let this = DirectionCounters {
        packets: 1,
        bytes: wire_length.into(),
        tcp_flags: match packet.transport {
            Transport::Tcp { flags, .. } => flags,
            _ => 0,
        },
        dropped: 0,
    };
    let other = DirectionCounters::default();
    let (forward, reverse) = match tracked.is_reply {
        false => (this, other),
        true => (other, this),
    };
    Counters {
        forward,
        reverse,
        initiator_guessed: tracked.guessed,
        vlan: packet.vlan,
        ..Counters::default()
    }
}

/// The tunnel that a flow is of, with its own addresses and ports.
fn tunnel_of(tunnel: Tunnel, flow: &Flow) -> pb::Tunnel {
    let protocol = match tunnel.protocol {
        TunnelProtocol::Vxlan => pb::tunnel::Protocol::Vxlan,
        TunnelProtocol::Geneve => pb::tunnel::Protocol::Geneve,
    };
    pb::Tunnel {
        protocol: protocol as i32,
        ip: flow.ip.as_ref().map(|ip| pb::Ip {
            source: ip.source.to_text().into_owned(),
            destination: ip.destination.to_text().into_owned(),
            ip_version: ip.version,
            ..pb::Ip::default()
        }),
        l4: flow.l4.as_ref().map(proto::l4_to),
        vni: tunnel.vni,
    }
}
