//! The only conversion between `Flow` and protobuf.
//!
//! `to_proto(from_proto(x)) == x` for every message, so a flow that is
//! replayed or recorded comes out as it went in; but extensions that clients
//! cannot print are put into a form that they can (`any`). `extensions` puts
//! counters into `Flow.extensions`.
#![expect(deprecated, reason = "Hubble UI reads drop_reason, reply and Summary")]

mod any;
mod extensions;

use any::printable;
pub(crate) use any::{STRUCT, is_known, name_of, of_struct};
pub(crate) use extensions::STRUCT_URL;

use pb::layer4::Protocol;
use prost_types::Timestamp;
use sextant_proto::flow as pb;

use super::{
    Address, Cold, Endpoint, Ethernet, EventType, Flow, Interface, Interned, Interner, Interners,
    Ip, L4, Names, Origin, Summary, TcpFlags, Time, Uuid, Workload,
};

/// Converts a message, sharing what it has in common with others.
#[must_use]
pub fn from_proto(flow: pb::Flow, interners: &mut Interners) -> Flow {
    let cold = cold_from(&flow);
    Flow {
        time: flow.time.map(Into::into),
        uuid: Uuid::from_text(&flow.uuid),
        verdict: flow.verdict,
        drop_reason: flow.drop_reason,
        drop_reason_desc: flow.drop_reason_desc,
        flow_type: flow.r#type,
        traffic_direction: flow.traffic_direction,
        trace_observation_point: flow.trace_observation_point,
        trace_reason: flow.trace_reason,
        policy_match_type: flow.policy_match_type,
        reply: flow.reply,
        is_reply: flow.is_reply,
        event_type: flow.event_type.map(|event| EventType {
            kind: event.r#type,
            sub_type: event.sub_type,
        }),
        ethernet: flow
            .ethernet
            .map(|mac| Ethernet::from_text(mac.source, mac.destination)),
        ip: flow.ip.map(|ip| Ip {
            source: Address::from_text(&ip.source),
            destination: Address::from_text(&ip.destination),
            version: ip.ip_version,
            encrypted: ip.encrypted,
        }),
        l4: flow.l4.map(l4_from),
        source: flow.source.map(|side| endpoint_from(side, interners)),
        destination: flow.destination.map(|side| endpoint_from(side, interners)),
        origin: interners.origins.intern(Origin {
            node_name: flow.node_name,
            node_labels: flow.node_labels,
            emitter: flow.emitter.map(|emitter| (emitter.name, emitter.version)),
        }),
        source_names: names_from(flow.source_names, &mut interners.names),
        destination_names: names_from(flow.destination_names, &mut interners.names),
        interface: flow.interface.map(|interface| {
            interners.interfaces.intern(Interface {
                index: interface.index,
                name: interface.name,
                namespace: String::new(),
            })
        }),
        summary: match flow.summary {
            text if text.is_empty() => Summary::None,
            text => Summary::Text(interners.texts.intern(text)),
        },
        counters: None,
        cold: (cold != Cold::default()).then(|| Box::new(cold)),
    }
}

/// The message of a flow.
#[must_use]
pub fn to_proto(flow: &Flow) -> pb::Flow {
    let cold = flow.cold.as_deref().cloned().unwrap_or_default();
    pb::Flow {
        time: flow.time.map(Into::into),
        uuid: flow.uuid.to_text().into_owned(),
        emitter: emitter_to(&flow.origin),
        verdict: flow.verdict,
        drop_reason: flow.drop_reason,
        auth_type: cold.auth_type,
        ethernet: flow.ethernet.as_ref().map(ethernet_to),
        ip: flow
            .ip
            .as_ref()
            .map(|ip| ip_to(ip, cold.source_xlated.clone())),
        l4: flow.l4.as_ref().map(l4_to),
        tunnel: cold.tunnel.map(|boxed| *boxed),
        source: flow.source.as_deref().map(endpoint_to),
        destination: flow.destination.as_deref().map(endpoint_to),
        r#type: flow.flow_type,
        node_name: flow.origin.node_name.clone(),
        node_labels: flow.origin.node_labels.clone(),
        source_names: names_to(flow.source_names.as_ref()),
        destination_names: names_to(flow.destination_names.as_ref()),
        l7: cold.l7,
        reply: flow.reply,
        event_type: flow.event_type.map(|event| pb::CiliumEventType {
            r#type: event.kind,
            sub_type: event.sub_type,
        }),
        source_service: cold.source_service.map(|boxed| *boxed),
        destination_service: cold.destination_service.map(|boxed| *boxed),
        traffic_direction: flow.traffic_direction,
        policy_match_type: flow.policy_match_type,
        trace_observation_point: flow.trace_observation_point,
        trace_reason: flow.trace_reason,
        file: cold.file.map(|boxed| *boxed),
        ip_trace_id: cold.ip_trace_id,
        drop_reason_desc: flow.drop_reason_desc,
        is_reply: flow.is_reply,
        debug_capture_point: cold.debug_capture_point,
        interface: flow.interface.as_deref().map(interface_to),
        proxy_port: cold.proxy_port,
        trace_context: cold.trace_context,
        sock_xlate_point: cold.sock_xlate_point,
        socket_cookie: flow.socket_cookie(),
        cgroup_id: flow.cgroup_id(),
        summary: flow.summary.to_text(flow),
        extensions: cold.extensions.map(|boxed| *boxed).or_else(|| {
            let counters = flow.counters.as_deref()?;
            Some(extensions::of(counters, flow))
        }),
        egress_allowed_by: cold.egress_allowed_by,
        ingress_allowed_by: cold.ingress_allowed_by,
        egress_denied_by: cold.egress_denied_by,
        ingress_denied_by: cold.ingress_denied_by,
        policy_log: cold.policy_log,
        aggregate: cold.aggregate,
    }
}

fn emitter_to(origin: &Origin) -> Option<pb::Emitter> {
    let (name, version) = origin.emitter.clone()?;
    Some(pb::Emitter { name, version })
}

fn ethernet_to(mac: &Ethernet) -> pb::Ethernet {
    let (source, destination) = mac.to_text();
    pb::Ethernet {
        source,
        destination,
    }
}

fn interface_to(interface: &Interface) -> pb::NetworkInterface {
    pb::NetworkInterface {
        index: interface.index,
        name: interface.name.clone(),
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self {
            seconds: time.seconds,
            nanos: time.nanos,
        }
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self {
            seconds: time.seconds,
            nanos: time.nanos,
        }
    }
}

/// Takes what few flows have; leaves the rest.
fn cold_from(flow: &pb::Flow) -> Cold {
    Cold {
        auth_type: flow.auth_type,
        source_xlated: flow
            .ip
            .as_ref()
            .map(|ip| ip.source_xlated.clone())
            .unwrap_or_default(),
        tunnel: flow.tunnel.clone().map(Box::new),
        l7: flow.l7.clone(),
        source_service: flow.source_service.clone().map(Box::new),
        destination_service: flow.destination_service.clone().map(Box::new),
        file: flow.file.clone().map(Box::new),
        ip_trace_id: flow.ip_trace_id,
        debug_capture_point: flow.debug_capture_point,
        proxy_port: flow.proxy_port,
        trace_context: flow.trace_context.clone(),
        sock_xlate_point: flow.sock_xlate_point,
        socket_cookie: flow.socket_cookie,
        cgroup_id: flow.cgroup_id,
        extensions: flow.extensions.clone().map(|any| Box::new(printable(any))),
        egress_allowed_by: flow.egress_allowed_by.clone(),
        ingress_allowed_by: flow.ingress_allowed_by.clone(),
        egress_denied_by: flow.egress_denied_by.clone(),
        ingress_denied_by: flow.ingress_denied_by.clone(),
        policy_log: flow.policy_log.clone(),
        aggregate: flow.aggregate,
    }
}

fn names_from(names: Names, interner: &mut Interner<Names>) -> Option<Interned<Names>> {
    (!names.is_empty()).then(|| interner.intern(names))
}

fn names_to(names: Option<&Interned<Names>>) -> Names {
    names.map(|names| Names::clone(names)).unwrap_or_default()
}

/// The shared endpoint that is like the message.
pub fn endpoint_from(side: pb::Endpoint, interners: &mut Interners) -> Interned<Endpoint> {
    interners.endpoints.intern(Endpoint {
        id: side.id,
        identity: side.identity,
        cluster_name: side.cluster_name,
        namespace: side.namespace,
        labels: side.labels,
        pod_name: side.pod_name,
        workloads: side
            .workloads
            .into_iter()
            .map(|workload| Workload {
                name: workload.name,
                kind: workload.kind,
            })
            .collect(),
    })
}

fn endpoint_to(side: &Endpoint) -> pb::Endpoint {
    pb::Endpoint {
        id: side.id,
        identity: side.identity,
        cluster_name: side.cluster_name.clone(),
        namespace: side.namespace.clone(),
        labels: side.labels.clone(),
        pod_name: side.pod_name.clone(),
        workloads: side
            .workloads
            .iter()
            .map(|workload| pb::Workload {
                name: workload.name.clone(),
                kind: workload.kind.clone(),
            })
            .collect(),
    }
}

fn ip_to(ip: &Ip, source_xlated: String) -> pb::Ip {
    pb::Ip {
        source: ip.source.to_text().into_owned(),
        source_xlated,
        destination: ip.destination.to_text().into_owned(),
        ip_version: ip.version,
        encrypted: ip.encrypted,
    }
}

fn l4_from(l4: pb::Layer4) -> L4 {
    match l4.protocol {
        None => L4::Empty,
        Some(Protocol::Tcp(tcp)) => L4::Tcp {
            source_port: tcp.source_port,
            destination_port: tcp.destination_port,
            flags: tcp.flags.as_ref().map(flags_from),
        },
        Some(Protocol::Udp(udp)) => L4::Udp {
            source_port: udp.source_port,
            destination_port: udp.destination_port,
        },
        Some(Protocol::IcmPv4(icmp)) => L4::Icmp4 {
            kind: icmp.r#type,
            code: icmp.code,
        },
        Some(Protocol::IcmPv6(icmp)) => L4::Icmp6 {
            kind: icmp.r#type,
            code: icmp.code,
        },
        Some(Protocol::Sctp(sctp)) => L4::Sctp {
            source_port: sctp.source_port,
            destination_port: sctp.destination_port,
            chunk_type: sctp.chunk_type,
        },
        Some(Protocol::Vrrp(vrrp)) => L4::Vrrp {
            kind: vrrp.r#type,
            vrid: vrrp.vrid,
            priority: vrrp.priority,
        },
        Some(Protocol::Igmp(igmp)) => L4::Igmp {
            kind: igmp.r#type,
            group_address: igmp.group_address.into(),
        },
    }
}

/// The message of a transport header.
#[must_use]
pub fn l4_to(l4: &L4) -> pb::Layer4 {
    let protocol = match l4.clone() {
        L4::Empty | L4::Other { .. } => None,
        L4::Tcp {
            source_port,
            destination_port,
            flags,
        } => Some(Protocol::Tcp(pb::Tcp {
            source_port,
            destination_port,
            flags: flags.map(flags_to),
        })),
        L4::Udp {
            source_port,
            destination_port,
        } => Some(Protocol::Udp(pb::Udp {
            source_port,
            destination_port,
        })),
        L4::Icmp4 { kind, code } => Some(Protocol::IcmPv4(pb::IcmPv4 { r#type: kind, code })),
        L4::Icmp6 { kind, code } => Some(Protocol::IcmPv6(pb::IcmPv6 { r#type: kind, code })),
        L4::Sctp {
            source_port,
            destination_port,
            chunk_type,
        } => Some(Protocol::Sctp(pb::Sctp {
            source_port,
            destination_port,
            chunk_type,
        })),
        L4::Vrrp {
            kind,
            vrid,
            priority,
        } => Some(Protocol::Vrrp(pb::Vrrp {
            r#type: kind,
            vrid,
            priority,
        })),
        L4::Igmp {
            kind,
            group_address,
        } => Some(Protocol::Igmp(pb::Igmp {
            r#type: kind,
            group_address: group_address.into(),
        })),
    };
    pb::Layer4 { protocol }
}

/// The control bits of a message.
pub(crate) fn flags_from(flags: &pb::TcpFlags) -> TcpFlags {
    let bits = [
        (flags.fin, TcpFlags::FIN),
        (flags.syn, TcpFlags::SYN),
        (flags.rst, TcpFlags::RST),
        (flags.psh, TcpFlags::PSH),
        (flags.ack, TcpFlags::ACK),
        (flags.urg, TcpFlags::URG),
        (flags.ece, TcpFlags::ECE),
        (flags.cwr, TcpFlags::CWR),
        (flags.ns, TcpFlags::NS),
    ];
    TcpFlags(
        bits.iter()
            .filter(|(set, _)| *set)
            .fold(0, |all, (_, bit)| all | bit),
    )
}

fn flags_to(flags: TcpFlags) -> pb::TcpFlags {
    pb::TcpFlags {
        fin: flags.contains(TcpFlags::FIN),
        syn: flags.contains(TcpFlags::SYN),
        rst: flags.contains(TcpFlags::RST),
        psh: flags.contains(TcpFlags::PSH),
        ack: flags.contains(TcpFlags::ACK),
        urg: flags.contains(TcpFlags::URG),
        ece: flags.contains(TcpFlags::ECE),
        cwr: flags.contains(TcpFlags::CWR),
        ns: flags.contains(TcpFlags::NS),
    }
}
