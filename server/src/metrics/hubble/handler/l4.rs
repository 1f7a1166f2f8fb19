//! What is counted of packets: all flows, drops, TCP, ICMP, SCTP, ports, policies, what
//! goes to the world.

use sextant_proto::flow::{self as pb, SctpChunkType, Verdict, layer7::Record};

use super::{Counted, Switches};
use crate::metrics::hubble::kind::Kind;
use crate::{
    flow::{Flow, L4, TcpFlags, icmp4_text, icmp6_text},
    identity::reserved,
    metrics::hubble::names::{
        direction, event, event_kind, observation_point, policy_match, protocol, record, transport,
        verdict, was_forwarded,
    },
};

pub(super) fn counters(
    kind: Kind,
    switches: Switches,
) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let (name, help, mut labels) = match kind {
        Kind::Drop => ("drop", "Number of drops", vec!["reason", "protocol"]),
        Kind::Flow => (
            "flows_processed",
            "Total number of flows processed",
            vec!["protocol", "type", "subtype", "verdict"],
        ),
        Kind::FlowsToWorld => (
            "flows_to_world",
            "Total number of flows to reserved:world",
            vec!["protocol", "verdict"],
        ),
        Kind::Icmp => ("icmp", "Number of ICMP messages", vec!["family", "type"]),
        Kind::Policy => (
            "policy_verdicts",
            "Total number of Cilium network policy verdicts",
            vec!["direction", "match", "action"],
        ),
        Kind::PortDistribution => (
            "port_distribution",
            "Numbers of packets distributed by destination port",
            vec!["protocol", "port"],
        ),
        Kind::Sctp => (
            "sctp_chunk_types",
            "SCTP chunk type occurrences",
            vec!["chunk_type", "family"],
        ),
        Kind::Tcp => ("tcp_flags", "TCP flag occurrences", vec!["flag", "family"]),
        _ => return Vec::new(),
    };
    if kind == Kind::FlowsToWorld && switches.port {
        labels.push("port");
    }
    vec![(name, help, labels)]
}

/// Whether a metric counts the flow, but for its filters.
pub(super) fn is_wanted(kind: Kind, switches: Switches, flow: &Flow) -> bool {
    match kind {
        Kind::Drop => verdict(flow) == Some(Verdict::Dropped),
        Kind::Flow => true,
        Kind::FlowsToWorld => is_to_world(switches, flow),
        Kind::Icmp => matches!(flow.l4, Some(L4::Icmp4 { .. } | L4::Icmp6 { .. })),
        Kind::Policy => match event_kind(flow) {
            // The host may reach every endpoint of its own.
            event::POLICY_VERDICT => {
                let source = flow.source.as_ref();
                source.is_none_or(|source| source.identity != reserved::HOST)
            }
            event::L7 => true,
            _ => false,
        },
        // Where it is not known whether it is a reply, the port may be a client's.
        Kind::PortDistribution => was_forwarded(flow) && flow.is_reply == Some(false),
        Kind::Sctp => was_forwarded(flow) && flow.ip.is_some(),
        Kind::Tcp => was_forwarded(flow) && flow.ip.is_some(),
        _ => false,
    }
}

fn is_to_world(switches: Switches, flow: &Flow) -> bool {
    const WORLD: [&str; 3] = [
        "reserved:world",
        "reserved:world-ipv4",
        "reserved:world-ipv6",
    ];
    let (Some(destination), Some(_), Some(l4)) = (&flow.destination, flow.event_type, &flow.l4)
    else {
        return false;
    };
    let mut labels = destination.labels.iter();
    if !labels.any(|label| WORLD.contains(&label.as_str())) {
        return false;
    }
    let (is_dropped, is_reply) = (
        verdict(flow) == Some(Verdict::Dropped),
        flow.is_reply == Some(true),
    );
    let by_policy = flow.drop_reason_desc == pb::DropReason::PolicyDenied as i32;
    if is_dropped && !switches.any_drop && !by_policy {
        return false;
    }
    // Ports of what is answered to would be those of clients.
    if !is_dropped && is_reply {
        return false;
    }
    !switches.syn_only || (is_syn(l4) && !is_reply)
}

fn is_syn(l4: &L4) -> bool {
    matches!(l4, L4::Tcp { flags: Some(flags), .. } if flags.contains(TcpFlags::SYN))
}

/// Counts a flow that is wanted.
pub(super) fn count(mut counted: Counted<'_>) {
    counted.context(false);
    let (flow, labels) = (counted.flow, &mut *counted.labels);
    match counted.setting.kind {
        Kind::Drop => {
            let reason = pb::DropReason::try_from(flow.drop_reason_desc).ok();
            labels.named(
                reason.map(|reason| reason.as_str_name()),
                flow.drop_reason_desc,
            );
            labels.value(protocol(flow));
        }
        Kind::Flow => {
            labels.value(protocol(flow));
            put_type(&mut counted);
            counted.labels.verdict(flow);
        }
        Kind::FlowsToWorld => {
            labels.value(protocol(flow));
            labels.verdict(flow);
            if counted.setting.switches.port {
                match flow.l4.as_ref().and_then(L4::ports) {
                    Some((_, port)) => labels.shown(port),
                    None => labels.value(""),
                }
            }
        }
        Kind::Policy => put_policy(&mut counted),
        Kind::Icmp => match flow.l4 {
            Some(L4::Icmp4 { kind, code }) => {
                labels.value("IPv4");
                labels.value(&icmp4_text(kind as u8, code as u8));
            }
            Some(L4::Icmp6 { kind, code }) => {
                labels.value("IPv6");
                labels.value(&icmp6_text(kind as u8, code as u8));
            }
            _ => return,
        },
        Kind::PortDistribution => {
            let Some(l4) = &flow.l4 else { return };
            let Some(protocol) = transport(l4) else {
                return;
            };
            labels.value(protocol);
            labels.shown(l4.ports().map_or(0, |(_, port)| port));
        }
        Kind::Sctp => {
            let Some(L4::Sctp { chunk_type, .. }) = flow.l4 else {
                return;
            };
            let known = SctpChunkType::try_from(chunk_type).ok();
            if known == Some(SctpChunkType::Unsupported) {
                return;
            }
            labels.named(known.map(|known| known.as_str_name()), chunk_type);
            labels.family(flow.ip.as_ref().map_or(0, |ip| ip.version));
        }
        Kind::Tcp => return count_tcp(counted),
        _ => return,
    }
    counted.count(0, "");
}

fn put_type(counted: &mut Counted<'_>) {
    let (flow, labels) = (counted.flow, &mut *counted.labels);
    let (kind, sub_type) = match event_kind(flow) {
        event::L7 => {
            let sub_type = match record(flow) {
                Some(Record::Dns(_)) => "DNS",
                Some(Record::Http(_)) => "HTTP",
                _ => "",
            };
            ("L7", sub_type)
        }
        event::DROP => ("Drop", ""),
        event::CAPTURE => ("Capture", ""),
        event::TRACE => {
            let sub_type = flow.event_type.map_or(0, |event| event.sub_type);
            ("Trace", observation_point(sub_type))
        }
        event::POLICY_VERDICT => ("PolicyVerdict", ""),
        other => {
            labels.value("Unknown");
            labels.shown(other);
            return;
        }
    };
    labels.value(kind);
    labels.value(sub_type);
}

fn put_policy(counted: &mut Counted<'_>) {
    let (flow, labels) = (counted.flow, &mut *counted.labels);
    match direction(flow) {
        Some(direction) => labels.lower(direction.as_str_name()),
        None => labels.shown(flow.traffic_direction),
    }
    if event_kind(flow) == event::POLICY_VERDICT {
        labels.value(policy_match(flow.policy_match_type));
    } else {
        labels.value(match record(flow) {
            Some(Record::Dns(_)) => "l7/dns",
            Some(Record::Http(_)) => "l7/http",
            _ => "l7/",
        });
    }
    match verdict(flow) {
        Some(verdict) => labels.lower(verdict.as_str_name()),
        None => labels.shown(flow.verdict),
    }
}

/// One for each flag that opens or ends a connection.
fn count_tcp(mut counted: Counted<'_>) {
    let flow = counted.flow;
    let Some(L4::Tcp {
        flags: Some(flags), ..
    }) = flow.l4
    else {
        return;
    };
    let opens = match flags.contains(TcpFlags::ACK) {
        true => "SYN-ACK",
        false => "SYN",
    };
    let seen = [
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::SYN, opens),
        (TcpFlags::RST, "RST"),
    ];
    let place = counted.labels.place();
    for (_, name) in seen.into_iter().filter(|(bit, _)| flags.contains(*bit)) {
        counted.labels.back_to(place);
        counted.labels.value(name);
        let version = flow.ip.as_ref().map_or(0, |ip| ip.version);
        counted.labels.family(version);
        counted.count(0, "");
    }
}
