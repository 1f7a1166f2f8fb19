//! A flow as the texts that all formats are made of.

use sextant_proto::flow::{
    self as pb, AuthType, Flow, Policy, TrafficDirection, Verdict, layer4::Protocol, layer7::Record,
};

use super::{columns::Column, names};
use crate::{
    color::{Color, Paint},
    text::{harmless, value_name},
    time,
};

/// Numbers of `event_type.type`.
mod event {
    pub(super) const DROP: i32 = 1;
    pub(super) const CAPTURE: i32 = 3;
    pub(super) const TRACE: i32 = 4;
    pub(super) const POLICY_VERDICT: i32 = 5;
    pub(super) const TRACE_SOCK: i32 = 7;
}

/// How flows are shown.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub(crate) paint: Paint,
    pub(crate) time_format: time::Format,
    pub(crate) node_name: bool,
    pub(crate) policy_names: bool,
    /// Names rather than addresses.
    pub(crate) translate: bool,
    pub(crate) columns: Vec<Column>,
}

/// Source and destination: each with its host and port.
pub(super) fn hosts(style: &Style, flow: &Flow) -> (String, String) {
    let paint = |host: &str| style.paint.paint(Color::Cyan, host);
    let Some(ip) = &flow.ip else {
        return match &flow.ethernet {
            Some(ethernet) => (
                paint(&harmless(&ethernet.source)),
                paint(&harmless(&ethernet.destination)),
            ),
            None => (String::new(), String::new()),
        };
    };
    let (source_port, destination_port) = ports(flow);
    let side = |ip: &str,
                port,
                endpoint: &Option<pb::Endpoint>,
                service: &Option<pb::Service>,
                dns: &[String]| {
        let host = match style.translate {
            true => name(endpoint.as_ref(), service.as_ref(), dns).unwrap_or_else(|| ip.to_owned()),
            false => ip.to_owned(),
        };
        paint(&with_port(style, &harmless(&host), port))
    };
    (
        side(
            &ip.source,
            source_port,
            &flow.source,
            &flow.source_service,
            &flow.source_names,
        ),
        side(
            &ip.destination,
            destination_port,
            &flow.destination,
            &flow.destination_service,
            &flow.destination_names,
        ),
    )
}

/// A service gives the namespace even where the pod gives the name.
fn name(
    endpoint: Option<&pb::Endpoint>,
    service: Option<&pb::Service>,
    dns: &[String],
) -> Option<String> {
    let namespace = match (service, endpoint) {
        (Some(service), _) => &service.namespace,
        (None, Some(endpoint)) => &endpoint.namespace,
        (None, None) => "",
    };
    let pod = endpoint.map_or("", |endpoint| &endpoint.pod_name);
    let service = service.map_or("", |service| &service.name);
    match (pod, service, dns) {
        ("", "", []) => None,
        ("", "", dns) => Some(dns.join(",")),
        ("", name, _) | (name, ..) => Some(match namespace {
            "" => name.to_owned(),
            namespace => format!("{namespace}/{name}"),
        }),
    }
}

fn ports(flow: &Flow) -> (u32, u32) {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(l4)) => (l4.source_port, l4.destination_port),
        Some(Protocol::Udp(l4)) => (l4.source_port, l4.destination_port),
        Some(Protocol::Sctp(l4)) => (l4.source_port, l4.destination_port),
        _ => (0, 0),
    }
}

fn with_port(style: &Style, host: &str, port: u32) -> String {
    let shown = || style.paint.paint(Color::Yellow, &port.to_string());
    match (port, host.contains(':')) {
        (0, _) => host.into(),
        (_, true) => format!("[{host}]:{}", shown()),
        (_, false) => format!("{host}:{}", shown()),
    }
}

/// Identities of source and destination.
pub(super) fn identities(style: &Style, flow: &Flow) -> (String, String) {
    let of = |endpoint: &Option<pb::Endpoint>| {
        let number = endpoint.as_ref().map_or(0, |endpoint| endpoint.identity);
        style.paint.paint(Color::Magenta, &names::identity(number))
    };
    (of(&flow.source), of(&flow.destination))
}

/// What kind of event it is.
pub(super) fn kind(flow: &Flow) -> String {
    if let Some(l7) = &flow.l7 {
        let kind = value_name(l7.r#type, pb::L7FlowType::as_str_name).to_lowercase();
        return match &l7.record {
            Some(Record::Http(_)) => format!("http-{kind}"),
            Some(Record::Dns(dns)) => format!("dns-{kind} {}", harmless(&dns.observation_source)),
            _ => format!("l7-{kind}"),
        };
    }
    let (kind, sub) = flow
        .event_type
        .as_ref()
        .map_or((0, 0), |kind| (kind.r#type, kind.sub_type));
    match kind {
        event::TRACE => names::observation_point(sub),
        event::DROP => names::drop_reason(sub),
        event::POLICY_VERDICT => {
            let direction = value_name(flow.traffic_direction, TrafficDirection::as_str_name);
            format!(
                "policy-verdict:{} {direction}",
                names::policy_match(flow.policy_match_type)
            )
        }
        event::CAPTURE => value_name(flow.debug_capture_point, pb::DebugCapturePoint::as_str_name),
        event::TRACE_SOCK => match sub {
            1 => "pre-xlate-fwd",
            2 => "post-xlate-fwd",
            3 => "pre-xlate-rev",
            4 => "post-xlate-rev",
            _ => "SOCK_XLATE_POINT_UNKNOWN",
        }
        .into(),
        _ => "UNKNOWN".into(),
    }
}

/// What became of it.
pub(super) fn verdict(style: &Style, flow: &Flow) -> String {
    let Ok(verdict) = Verdict::try_from(flow.verdict) else {
        return flow.verdict.to_string();
    };
    let by_policy = flow
        .event_type
        .as_ref()
        .is_some_and(|kind| kind.r#type == event::POLICY_VERDICT);
    let text = |plain: &str, allowed: bool| match by_policy {
        true => plain.to_owned() + &policies(style, flow, allowed),
        false => verdict.as_str_name().to_owned(),
    };
    let (color, text) = match verdict {
        Verdict::Forwarded | Verdict::Redirected => (Color::Green, text("ALLOWED", true)),
        Verdict::Dropped | Verdict::Error => (Color::Red, text("DENIED", false)),
        Verdict::Audit => (Color::Yellow, text("AUDITED", false)),
        Verdict::Traced | Verdict::Translated => (Color::Yellow, verdict.as_str_name().to_owned()),
        Verdict::Unknown => return verdict.as_str_name().into(),
    };
    style.paint.paint(color, &text)
}

fn policies(style: &Style, flow: &Flow, allowed: bool) -> String {
    if !style.policy_names {
        return String::new();
    }
    let list: &[Policy] = match (TrafficDirection::try_from(flow.traffic_direction), allowed) {
        (Ok(TrafficDirection::Egress), true) => &flow.egress_allowed_by,
        (Ok(TrafficDirection::Egress), false) => &flow.egress_denied_by,
        (Ok(TrafficDirection::Ingress), true) => &flow.ingress_allowed_by,
        (Ok(TrafficDirection::Ingress), false) => &flow.ingress_denied_by,
        _ => &[],
    };
    let named = list
        .iter()
        .filter(|policy| !policy.kind.is_empty() && !policy.name.is_empty());
    let texts: Vec<String> = named
        .map(|policy| format!("{} ({})", harmless(&policy.name), harmless(&policy.kind)))
        .collect();
    match texts.is_empty() {
        true => String::new(),
        false => format!(" BY {}", texts.join(", ")),
    }
}

/// What the packet was.
#[expect(deprecated, reason = "Hubble's clients print it")]
pub(super) fn summary(style: &Style, flow: &Flow) -> String {
    let mut text = match &flow.ip_trace_id {
        Some(id) if id.trace_id > 0 => format!("IP Trace ID: {}; ", id.trace_id),
        _ => String::new(),
    };
    text += &harmless(&flow.summary);
    if flow.auth_type != i32::from(AuthType::Disabled) {
        let (color, name) = match AuthType::try_from(flow.auth_type) {
            Ok(AuthType::TestAlwaysFail) => {
                (Color::Red, AuthType::TestAlwaysFail.as_str_name().into())
            }
            Ok(kind) => (Color::Green, kind.as_str_name().to_owned()),
            Err(_) => (Color::Green, flow.auth_type.to_string()),
        };
        text += "; Auth: ";
        text += &style.paint.paint(color, &name);
    }
    text
}
