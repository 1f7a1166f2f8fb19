//! Values of the flags that are more than text.

use std::net::Ipv6Addr;

use sextant_proto::flow::{
    DropReason, EventTypeFilter, HttpHeader, IpVersion, TcpFlags, TrafficDirection, Verdict,
    Workload,
};

use super::{FilterError, services};
use crate::observe::names;

/// What event types are called.
const TYPES: [(&str, i32); 8] = [
    ("drop", 1),
    ("debug", 2),
    ("capture", 3),
    ("trace", TRACE),
    ("policy-verdict", 5),
    ("trace-sock", 7),
    ("l7", 129),
    ("agent", AGENT),
];
/// Ports of a range: a value each, in a request whose size is bounded.
const MAX_PORTS: usize = 1024;
const TRACE: i32 = 4;
const AGENT: i32 = 130;

/// Names of the agent's events; their numbers are those of the filter, which are
/// not those of `AgentEventType`.
const AGENT_EVENTS: [&str; 11] = [
    "unspecified",
    "message",
    "agent-started",
    "endpoint-regenerate-success",
    "endpoint-regenerate-failure",
    "policy-updated",
    "policy-deleted",
    "endpoint-created",
    "endpoint-deleted",
    "ipcache-upserted",
    "ipcache-deleted",
];

fn wrong(flag: &'static str, value: &str, takes: impl Into<String>) -> FilterError {
    FilterError::Value {
        flag,
        value: value.into(),
        takes: takes.into(),
    }
}

/// An IPv6 address as a network of one: addresses are compared as texts, networks as
/// numbers, and `2001:DB8::1` means `2001:db8:0::1`. An IPv4 address in IPv6 is meant as
/// either. Everything else stays as it is.
pub(super) fn addresses(value: &str) -> Vec<String> {
    let Ok(address) = value.parse::<Ipv6Addr>() else {
        return vec![value.into()];
    };
    let network = format!("{address}/128");
    match address.to_ipv4_mapped() {
        Some(inner) => vec![network, inner.to_string()],
        None => vec![network],
    }
}

/// A port, a service such as `https`, or a range such as `8000-8100`, as the ports that
/// are meant: a filter has single ports only.
pub(super) fn ports(flag: &'static str, value: &str) -> Result<Vec<String>, FilterError> {
    let takes = || {
        format!(
            "a port, a service such as https, or a range of at most {MAX_PORTS} ports such as 8000-8100"
        )
    };
    let port = |text: &str| text.parse::<u16>().ok();
    if let Some((first, last)) = value.split_once('-')
        && let (Some(first), Some(last)) = (port(first), port(last))
    {
        if first > last || usize::from(last - first) >= MAX_PORTS {
            return Err(wrong(flag, value, takes()));
        }
        return Ok((first..=last).map(|port| port.to_string()).collect());
    }
    if !value.starts_with(|first: char| first.is_ascii_alphabetic()) {
        // A number, or what the server refuses.
        return Ok(vec![value.into()]);
    }
    let port = services::port(value).ok_or_else(|| wrong(flag, value, takes()))?;
    Ok(vec![port.to_string()])
}

pub(super) fn verdict(value: &str) -> Result<i32, FilterError> {
    Verdict::from_str_name(value)
        .map(Into::into)
        .ok_or_else(|| {
            wrong(
                "verdict",
                value,
                "FORWARDED, DROPPED, ERROR, AUDIT, REDIRECTED, TRACED, TRANSLATED",
            )
        })
}

pub(super) fn drop_reason(value: &str) -> Result<i32, FilterError> {
    DropReason::from_str_name(value)
        .map(Into::into)
        .ok_or_else(|| wrong("drop-reason-desc", value, "names such as POLICY_DENIED"))
}

pub(super) fn direction(value: &str) -> Result<i32, FilterError> {
    match value.to_lowercase().as_str() {
        "ingress" => Ok(TrafficDirection::Ingress.into()),
        "egress" => Ok(TrafficDirection::Egress.into()),
        _ => Err(wrong("traffic-direction", value, "ingress or egress")),
    }
}

/// Whatever is no version means flows without IP.
pub(super) fn ip_version(value: &str) -> i32 {
    let version = match value.to_lowercase().as_str() {
        "4" | "v4" | "ipv4" | "ip4" => IpVersion::IPv4,
        "6" | "v6" | "ipv6" | "ip6" => IpVersion::IPv6,
        _ => IpVersion::IpNotUsed,
    };
    version.into()
}

pub(super) fn ip_trace_id(value: &str) -> Result<u64, FilterError> {
    match value.parse() {
        Ok(0) | Err(_) => Err(wrong("ip-trace-id", value, "numbers from 1")),
        Ok(id) => Ok(id),
    }
}

pub(super) fn identity(flag: &'static str, value: &str) -> Result<u32, FilterError> {
    if let Some(number) = names::reserved_identity(value) {
        return Ok(number);
    }
    value.parse().map_err(|_| {
        wrong(
            flag,
            value,
            format!("a number or one of {}", names::RESERVED.join(", ")),
        )
    })
}

pub(super) fn workload(value: &str) -> Workload {
    let (kind, name) = value.split_once('/').unwrap_or(("", value));
    Workload {
        kind: kind.into(),
        name: name.into(),
    }
}

pub(super) fn header(value: &str) -> Result<HttpHeader, FilterError> {
    let (key, value) = value
        .split_once(':')
        .ok_or_else(|| wrong("http-header", value, "NAME:VALUE"))?;
    Ok(HttpHeader {
        key: key.into(),
        value: value.into(),
    })
}

pub(super) fn tcp_flags(value: &str) -> Result<TcpFlags, FilterError> {
    let mut flags = TcpFlags::default();
    for name in value.split(',') {
        let flag = match name.to_uppercase().as_str() {
            "SYN" => &mut flags.syn,
            "FIN" => &mut flags.fin,
            "RST" => &mut flags.rst,
            "PSH" => &mut flags.psh,
            "ACK" => &mut flags.ack,
            "URG" => &mut flags.urg,
            "ECE" => &mut flags.ece,
            "CWR" => &mut flags.cwr,
            "NS" => &mut flags.ns,
            _ => {
                return Err(wrong(
                    "tcp-flags",
                    name,
                    "syn, ack, rst, fin, psh, urg, ece, cwr, ns",
                ));
            }
        };
        *flag = true;
    }
    Ok(flags)
}

pub(super) fn event_type(value: &str) -> Result<EventTypeFilter, FilterError> {
    let (name, sub) = match value.split_once(':') {
        Some((name, sub)) => (name, Some(sub)),
        None => (value, None),
    };
    let known = TYPES.iter().find(|(known, _)| *known == name);
    let mut filter = EventTypeFilter {
        r#type: match known {
            Some((_, number)) => *number,
            None => number(name).ok_or_else(|| {
                wrong(
                    "type",
                    name,
                    TYPES.map(|(name, _)| name).join(", ") + " or a number",
                )
            })?,
        },
        ..EventTypeFilter::default()
    };
    if let Some(sub) = sub {
        // Numbers of a type have no names for what is below it.
        let named = known.and_then(|(_, number)| sub_type(*number, sub));
        let number = named.or_else(|| number(sub));
        filter.match_sub_type = true;
        filter.sub_type = number
            .ok_or_else(|| wrong("type", value, "TYPE:SUBTYPE with a known name or a number"))?;
    }
    Ok(filter)
}

fn sub_type(kind: i32, name: &str) -> Option<i32> {
    let names: &[&str] = match kind {
        TRACE => &names::OBSERVATION_POINTS,
        AGENT => &AGENT_EVENTS,
        _ => return None,
    };
    let place = names.iter().position(|known| *known == name)?;
    i32::try_from(place).ok()
}

/// 32 bits without a sign, whatever the field takes.
fn number(text: &str) -> Option<i32> {
    text.parse::<u32>().ok().map(u32::cast_signed)
}
