//! Fields of messages as expressions see them, read from the compact flow.
//!
//! Fields that many filters ask for are read where they lie. The others are
//! read from the flow's protobuf form, made for the purpose.

use std::borrow::Cow;

use pb::layer7::Record;
use sextant_proto::flow as pb;

use super::{
    super::meter::Meter,
    dynamic,
    making::DYNAMIC_STEPS,
    value::{Failure, Instant, List, Message, Outcome, Transport, Value},
};
use crate::flow::{Endpoint, Flow, L4, TcpFlags};

impl<'a> Message<'a> {
    /// The value of a field.
    pub(super) fn get(&self, number: u32, meter: &Meter) -> Outcome<'a> {
        Ok(match (self, number) {
            (Self::Flow(flow), _) => return flow_field(flow, number, meter),
            (Self::Dynamic(message), _) => {
                meter.spend(dynamic::copying(message))?;
                return dynamic::get(message, number);
            }
            (Self::Empty, _) => return Err(Failure),
            (Self::Ip(flow), _) => ip_field(flow, number),
            (Self::Endpoint(endpoint), _) => endpoint_field(*endpoint, number),
            (Self::Workload(workload), 1) => Value::text(&workload.name),
            (Self::Workload(workload), _) => Value::text(&workload.kind),
            (Self::Layer4(l4), _) => return layer4_field(*l4, number, meter),
            (Self::Transport(kind, l4), _) => transport_field(*kind, *l4, number),
            (Self::TcpFlags(flags), _) => Value::Bool(has_flag(*flags, number)),
            (Self::EventType(event), 1) => Value::Int(event.map_or(0, |e| e.kind.into())),
            (Self::EventType(event), _) => Value::Int(event.map_or(0, |e| e.sub_type.into())),
            (Self::Interface(interface), 1) => {
                Value::Uint(interface.map_or(0, |interface| interface.index.into()))
            }
            (Self::Interface(interface), _) => {
                Value::text(interface.map_or("", |interface| &interface.name))
            }
            (Self::Layer7(l7), _) => return layer7_field(*l7, number, meter),
            (Self::Dns(dns), _) => dns_field(*dns, number),
            (Self::Http(http), _) => http_field(*http, number),
            (Self::Header(header), 1) => Value::text(&header.key),
            (Self::Header(header), _) => Value::text(&header.value),
            (Self::Service(service), 1) => Value::text(service.map_or("", |s| &s.name)),
            (Self::Service(service), _) => Value::text(service.map_or("", |s| &s.namespace)),
        })
    }

    /// Whether a field is set: present, or not its default.
    pub(super) fn has(&self, number: u32, meter: &Meter) -> bool {
        let dynamic = || meter.spend(DYNAMIC_STEPS).is_ok();
        match self {
            Self::Dynamic(message) => dynamic::has(message, number),
            Self::Flow(flow) => flow_has(flow, number, meter),
            Self::Layer4(l4) if number > 5 => dynamic() && dynamic::layer4_has(*l4, number),
            Self::Layer7(l7) if number > 101 => dynamic() && dynamic::layer7_has(*l7, number),
            _ => self.get(number, meter).is_ok_and(|value| is_set(&value)),
        }
    }
}

/// Whether a message stands behind the view, or a scalar is not the default.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Int(value) => *value != 0,
        Value::Uint(value) => *value != 0,
        Value::String(value) => !value.is_empty(),
        Value::List(list) => list.len() > 0,
        Value::Message(message) => is_present(message),
        _ => true,
    }
}

fn is_present(message: &Message) -> bool {
    match message {
        Message::Endpoint(of) => of.is_some(),
        Message::Ip(flow) => flow.ip.is_some(),
        Message::Layer4(of) | Message::Transport(_, of) => of.is_some(),
        Message::TcpFlags(of) => of.is_some(),
        Message::EventType(of) => of.is_some(),
        Message::Interface(of) => of.is_some(),
        Message::Layer7(of) => of.is_some(),
        Message::Dns(of) => of.is_some(),
        Message::Http(of) => of.is_some(),
        Message::Service(of) => of.is_some(),
        _ => true,
    }
}

fn flow_field<'a>(flow: &'a Flow, number: u32, meter: &Meter) -> Outcome<'a> {
    let int = |value: i32| Value::Int(value.into());
    Ok(match number {
        1 => {
            let time = flow.time.unwrap_or_default();
            Value::Timestamp(Instant::new(time.seconds, time.nanos.into()))
        }
        34 => match flow.uuid.to_text() {
            Cow::Borrowed(text) => Value::text(text),
            Cow::Owned(text) => Value::owned(text),
        },
        2 => int(flow.verdict),
        3 => Value::Uint(flow.drop_reason.into()),
        5 => Value::Message(Message::Ip(flow)),
        6 => Value::Message(Message::Layer4(flow.l4.as_ref())),
        8 => Value::Message(Message::Endpoint(flow.source.as_deref())),
        9 => Value::Message(Message::Endpoint(flow.destination.as_deref())),
        10 => int(flow.flow_type),
        11 => Value::text(&flow.origin.node_name),
        37 => Value::List(List::Strings(&flow.origin.node_labels)),
        13 => Value::List(List::Strings(
            flow.source_names.as_deref().map_or(&[], |n| n),
        )),
        14 => Value::List(List::Strings(
            flow.destination_names.as_deref().map_or(&[], |n| n),
        )),
        15 => Value::Message(Message::Layer7(flow.l7())),
        16 => Value::Bool(flow.reply),
        19 => Value::Message(Message::EventType(flow.event_type)),
        22 => int(flow.traffic_direction),
        23 => Value::Uint(flow.policy_match_type.into()),
        24 => int(flow.trace_observation_point),
        25 => int(flow.drop_reason_desc),
        26 => flow.is_reply.map_or(Value::Null, Value::Bool),
        28 => Value::Message(Message::Interface(flow.interface.as_deref())),
        36 => int(flow.trace_reason),
        20 | 21 | 27 | 29 | 31 | 32 | 33 | 35 => cold_field(flow, number),
        100_000 => Value::owned(flow.summary.to_text(flow)),
        _ => {
            meter.spend(DYNAMIC_STEPS)?;
            return dynamic::flow_field(flow, number);
        }
    })
}

fn cold_field(flow: &Flow, number: u32) -> Value<'_> {
    let cold = flow.cold.as_deref();
    let int = |value: Option<i32>| Value::Int(value.unwrap_or(0).into());
    match number {
        20 => Value::Message(Message::Service(
            cold.and_then(|cold| cold.source_service.as_deref()),
        )),
        21 => Value::Message(Message::Service(
            cold.and_then(|cold| cold.destination_service.as_deref()),
        )),
        27 => int(cold.map(|cold| cold.debug_capture_point)),
        29 => Value::Uint(cold.map_or(0, |cold| cold.proxy_port.into())),
        31 => int(cold.map(|cold| cold.sock_xlate_point)),
        32 => Value::Uint(flow.socket_cookie()),
        33 => Value::Uint(flow.cgroup_id()),
        _ => int(cold.map(|cold| cold.auth_type)),
    }
}

fn flow_has(flow: &Flow, number: u32, meter: &Meter) -> bool {
    match number {
        1 => flow.time.is_some(),
        26 => flow.is_reply.is_some(),
        4 | 30 | 38..=41 | 21_001..=21_007 | 150_000 => {
            meter.spend(DYNAMIC_STEPS).is_ok() && dynamic::flow_has(flow, number)
        }
        _ => flow_field(flow, number, meter).is_ok_and(|value| is_set(&value)),
    }
}

fn ip_field(flow: &Flow, number: u32) -> Value<'_> {
    let address = |text: Cow<'_, str>| Value::owned(text.into_owned());
    match (&flow.ip, number) {
        (Some(ip), 1) => address(ip.source.to_text()),
        (Some(ip), 2) => address(ip.destination.to_text()),
        (Some(ip), 3) => Value::Int(ip.version.into()),
        (Some(ip), 4) => Value::Bool(ip.encrypted),
        (Some(_), 5) => Value::text(flow.cold.as_ref().map_or("", |cold| &cold.source_xlated)),
        (None, 3) => Value::Int(0),
        (None, 4) => Value::Bool(false),
        _ => Value::text(""),
    }
}

fn endpoint_field(endpoint: Option<&Endpoint>, number: u32) -> Value<'_> {
    match number {
        1 => Value::Uint(endpoint.map_or(0, |endpoint| endpoint.id.into())),
        2 => Value::Uint(endpoint.map_or(0, |endpoint| endpoint.identity.into())),
        3 => Value::text(endpoint.map_or("", |endpoint| &endpoint.namespace)),
        4 => Value::List(List::Strings(
            endpoint.map_or(&[], |endpoint| &endpoint.labels),
        )),
        5 => Value::text(endpoint.map_or("", |endpoint| &endpoint.pod_name)),
        6 => Value::List(List::Workloads(
            endpoint.map_or(&[], |endpoint| &endpoint.workloads),
        )),
        _ => Value::text(endpoint.map_or("", |endpoint| &endpoint.cluster_name)),
    }
}

fn layer4_field<'a>(l4: Option<&'a L4>, number: u32, meter: &Meter) -> Outcome<'a> {
    let view = |kind, wanted: bool| Value::Message(Message::Transport(kind, l4.filter(|_| wanted)));
    Ok(match number {
        1 => view(Transport::Tcp, matches!(l4, Some(L4::Tcp { .. }))),
        2 => view(Transport::Udp, matches!(l4, Some(L4::Udp { .. }))),
        3 => view(Transport::Icmp4, matches!(l4, Some(L4::Icmp4 { .. }))),
        4 => view(Transport::Icmp6, matches!(l4, Some(L4::Icmp6 { .. }))),
        5 => view(Transport::Sctp, matches!(l4, Some(L4::Sctp { .. }))),
        _ => {
            meter.spend(DYNAMIC_STEPS)?;
            return dynamic::layer4_field(l4, number);
        }
    })
}

fn transport_field(kind: Transport, l4: Option<&L4>, number: u32) -> Value<'_> {
    let (first, second) = match l4 {
        Some(L4::Icmp4 { kind, code } | L4::Icmp6 { kind, code }) => (*kind, *code),
        other => other.and_then(L4::ports).unwrap_or_default(),
    };
    match (number, kind) {
        (1, _) => Value::Uint(first.into()),
        (2, _) => Value::Uint(second.into()),
        (_, Transport::Tcp) => Value::Message(Message::TcpFlags(match l4 {
            Some(L4::Tcp { flags, .. }) => *flags,
            _ => None,
        })),
        _ => Value::Int(match l4 {
            Some(L4::Sctp { chunk_type, .. }) => (*chunk_type).into(),
            _ => 0,
        }),
    }
}

/// Flags are numbered as their bits, from 1 on.
fn has_flag(flags: Option<TcpFlags>, number: u32) -> bool {
    let bit = 1_u16.checked_shl(number.saturating_sub(1)).unwrap_or(0);
    bit != 0 && flags.unwrap_or_default().contains(bit)
}

fn layer7_field<'a>(l7: Option<&'a pb::Layer7>, number: u32, meter: &Meter) -> Outcome<'a> {
    let record = l7.and_then(|l7| l7.record.as_ref());
    Ok(match number {
        1 => Value::Int(l7.map_or(0, |l7| l7.r#type.into())),
        2 => Value::Uint(l7.map_or(0, |l7| l7.latency_ns)),
        100 => Value::Message(Message::Dns(match record {
            Some(Record::Dns(dns)) => Some(dns),
            _ => None,
        })),
        101 => Value::Message(Message::Http(match record {
            Some(Record::Http(http)) => Some(http),
            _ => None,
        })),
        _ => {
            meter.spend(DYNAMIC_STEPS)?;
            return dynamic::layer7_field(l7, number);
        }
    })
}

fn dns_field(dns: Option<&pb::Dns>, number: u32) -> Value<'_> {
    let strings = |of: fn(&pb::Dns) -> &Vec<String>| {
        Value::List(List::Strings(dns.map_or(&[], |dns| of(dns))))
    };
    match number {
        1 => Value::text(dns.map_or("", |dns| &dns.query)),
        2 => strings(|dns| &dns.ips),
        3 => Value::Uint(dns.map_or(0, |dns| dns.ttl.into())),
        4 => strings(|dns| &dns.cnames),
        5 => Value::text(dns.map_or("", |dns| &dns.observation_source)),
        6 => Value::Uint(dns.map_or(0, |dns| dns.rcode.into())),
        7 => strings(|dns| &dns.qtypes),
        _ => strings(|dns| &dns.rrtypes),
    }
}

fn http_field(http: Option<&pb::Http>, number: u32) -> Value<'_> {
    match number {
        1 => Value::Uint(http.map_or(0, |http| http.code.into())),
        2 => Value::text(http.map_or("", |http| &http.method)),
        3 => Value::text(http.map_or("", |http| &http.url)),
        4 => Value::text(http.map_or("", |http| &http.protocol)),
        _ => Value::List(List::Headers(http.map_or(&[], |http| &http.headers))),
    }
}
