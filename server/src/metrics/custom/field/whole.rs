//! What labels tell of a flow as a whole: what happened, packet, application, policies.

use sextant_proto::flow::{self as pb, layer7::Record};

use crate::{
    flow::{Address, Flow, L4},
    metrics::labels::Labels,
};

/// A field of the flow as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfFlow {
    Verdict,
    DropReason,
    Direction,
    IsReply,
    Type,
    EventType,
    EventSubType,
    ObservationPoint,
    TraceReason,
    Node,
    Interface,
    IpSource,
    IpDestination,
    IpVersion,
    Protocol,
    SourcePort,
    DestinationPort,
    SourceNames,
    DestinationNames,
    SourceService,
    DestinationService,
    L7Type,
    DnsQuery,
    DnsRcode,
    HttpMethod,
    HttpCode,
    EgressAllowedBy,
    IngressAllowedBy,
    EgressDeniedBy,
    IngressDeniedBy,
}

pub(super) const OF_FLOW: [(&str, OfFlow); 30] = [
    ("verdict", OfFlow::Verdict),
    ("drop_reason_desc", OfFlow::DropReason),
    ("traffic_direction", OfFlow::Direction),
    ("is_reply", OfFlow::IsReply),
    ("Type", OfFlow::Type),
    ("event_type.type", OfFlow::EventType),
    ("event_type.sub_type", OfFlow::EventSubType),
    ("trace_observation_point", OfFlow::ObservationPoint),
    ("trace_reason", OfFlow::TraceReason),
    ("node_name", OfFlow::Node),
    ("interface.name", OfFlow::Interface),
    ("IP.source", OfFlow::IpSource),
    ("IP.destination", OfFlow::IpDestination),
    ("IP.ipVersion", OfFlow::IpVersion),
    ("protocol", OfFlow::Protocol),
    ("source_port", OfFlow::SourcePort),
    ("destination_port", OfFlow::DestinationPort),
    ("source_names", OfFlow::SourceNames),
    ("destination_names", OfFlow::DestinationNames),
    ("source_service.name", OfFlow::SourceService),
    ("destination_service.name", OfFlow::DestinationService),
    ("l7.type", OfFlow::L7Type),
    ("l7.dns.query", OfFlow::DnsQuery),
    ("l7.dns.rcode", OfFlow::DnsRcode),
    ("l7.http.method", OfFlow::HttpMethod),
    ("l7.http.code", OfFlow::HttpCode),
    ("egress_allowed_by.name", OfFlow::EgressAllowedBy),
    ("ingress_allowed_by.name", OfFlow::IngressAllowedBy),
    ("egress_denied_by.name", OfFlow::EgressDeniedBy),
    ("ingress_denied_by.name", OfFlow::IngressDeniedBy),
];

impl OfFlow {
    pub(super) fn put(self, flow: &Flow, labels: &mut Labels) {
        match self {
            Self::Verdict => {
                named::<pb::Verdict>(flow.verdict, pb::Verdict::as_str_name, labels);
            }
            Self::DropReason => {
                let is_dropped =
                    flow.verdict == pb::Verdict::Dropped as i32 || flow.drop_reason_desc != 0;
                match is_dropped {
                    true => named(flow.drop_reason_desc, pb::DropReason::as_str_name, labels),
                    false => labels.end(),
                }
            }
            Self::Direction => named(
                flow.traffic_direction,
                pb::TrafficDirection::as_str_name,
                labels,
            ),
            Self::IsReply => labels.value(match flow.is_reply {
                Some(true) => "true",
                Some(false) => "false",
                None => "",
            }),
            Self::Type => named(flow.flow_type, pb::FlowType::as_str_name, labels),
            Self::EventType => labels.shown(flow.event_type.unwrap_or_default().kind),
            Self::EventSubType => labels.shown(flow.event_type.unwrap_or_default().sub_type),
            Self::ObservationPoint => named(
                flow.trace_observation_point,
                pb::TraceObservationPoint::as_str_name,
                labels,
            ),
            Self::TraceReason => named(flow.trace_reason, pb::TraceReason::as_str_name, labels),
            Self::Node => labels.value(flow.node_name()),
            Self::Interface => {
                labels.value(flow.interface.as_ref().map_or("", |found| &found.name));
            }
            _ => self.put_packet(flow, labels),
        }
    }

    /// Of the network and transport layer.
    fn put_packet(self, flow: &Flow, labels: &mut Labels) {
        let ip = flow.ip.as_ref();
        let ports = || flow.l4.as_ref().and_then(L4::ports);
        match self {
            Self::IpSource => put_address(ip.map(|ip| &ip.source), labels),
            Self::IpDestination => put_address(ip.map(|ip| &ip.destination), labels),
            Self::IpVersion => named(
                ip.map_or(0, |ip| ip.version),
                pb::IpVersion::as_str_name,
                labels,
            ),
            Self::Protocol => labels.value(flow.l4.as_ref().map_or("", L4::protocol)),
            Self::SourcePort => put_port(ports().map(|(source, _)| source), labels),
            Self::DestinationPort => put_port(ports().map(|(_, to)| to), labels),
            Self::SourceNames => put_names(flow.source_names.as_deref(), labels),
            Self::DestinationNames => put_names(flow.destination_names.as_deref(), labels),
            _ => self.put_cold(flow, labels),
        }
    }

    /// What few flows have.
    fn put_cold(self, flow: &Flow, labels: &mut Labels) {
        let Some(cold) = flow.cold.as_deref() else {
            return labels.end();
        };
        let record = cold.l7.as_ref().and_then(|l7| l7.record.as_ref());
        let service = |service: Option<&pb::Service>, labels: &mut Labels| {
            labels.value(service.map_or("", |service| &service.name));
        };
        match (self, record) {
            (Self::SourceService, _) => service(cold.source_service.as_deref(), labels),
            (Self::DestinationService, _) => service(cold.destination_service.as_deref(), labels),
            (Self::L7Type, _) => match &cold.l7 {
                Some(l7) => named(l7.r#type, pb::L7FlowType::as_str_name, labels),
                None => labels.end(),
            },
            (Self::DnsQuery, Some(Record::Dns(dns))) => labels.value(&dns.query),
            (Self::DnsRcode, Some(Record::Dns(dns))) => labels.shown(dns.rcode),
            (Self::HttpMethod, Some(Record::Http(http))) => labels.value(&http.method),
            (Self::HttpCode, Some(Record::Http(http))) => labels.shown(http.code),
            (Self::EgressAllowedBy, _) => put_policies(&cold.egress_allowed_by, labels),
            (Self::IngressAllowedBy, _) => put_policies(&cold.ingress_allowed_by, labels),
            (Self::EgressDeniedBy, _) => put_policies(&cold.egress_denied_by, labels),
            (Self::IngressDeniedBy, _) => put_policies(&cold.ingress_denied_by, labels),
            _ => labels.end(),
        }
    }
}

/// A value of an enumeration: its name, or the number where it has none.
fn named<T: TryFrom<i32>>(number: i32, name: impl Fn(&T) -> &'static str, labels: &mut Labels) {
    labels.named(T::try_from(number).ok().as_ref().map(name), number);
}

fn put_address(address: Option<&Address>, labels: &mut Labels) {
    match address {
        None | Some(Address::None) => labels.end(),
        Some(Address::Text(text)) => labels.value(text),
        Some(address) => match address.ip() {
            Some(ip) => labels.shown(ip),
            None => labels.end(),
        },
    }
}

fn put_port(port: Option<u32>, labels: &mut Labels) {
    match port {
        Some(port) => labels.shown(port),
        None => labels.end(),
    }
}

fn put_names(names: Option<&Vec<String>>, labels: &mut Labels) {
    labels.joined(names.map_or(&[], Vec::as_slice));
    labels.end();
}

/// Names of policies, with commas between them.
fn put_policies(policies: &[pb::Policy], labels: &mut Labels) {
    for (index, policy) in policies.iter().enumerate() {
        labels.part(if index == 0 { "" } else { "," });
        labels.part(&policy.name);
    }
    labels.end();
}
