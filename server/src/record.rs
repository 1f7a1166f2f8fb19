//! What a recorded flow must be like: the checks of `RecordFlows`.
//!
//! Pure, over the protobuf form, before anything is interned. What is checked
//! is what the store, the filters and clients rely on; numbers of enumerations
//! that are not known are kept, as replay keeps them. Bound: a flow of at most
//! 64 KiB, and no list longer than `MAX_LIST`.

mod layer7;
mod normal;

use std::{
    fmt::Display,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use pb::layer4::Protocol;
use prost_types::Timestamp;
use sextant_proto::flow as pb;

/// Longest flow, encoded.
const MAX_FLOW_BYTES: usize = 64 << 10;
/// Longest id; a UUID has 36.
const MAX_UUID: usize = 128;
/// Longest name or label.
const MAX_TEXT: usize = 1024;
/// Longest summary or log text.
const MAX_LINE: usize = 4096;
/// Most labels, names, workloads or policies.
const MAX_LIST: usize = 256;
/// Years 1 to 9999, in seconds since the epoch, as protobuf allows.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Why a flow is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {description}")]
pub struct Invalid {
    /// The field, as its path in `flow.Flow`.
    pub field: String,
    /// What is wrong with it, and what is right.
    pub description: String,
}

/// How many flows were handed in since the start; shared by who counts and
/// who tells.
#[derive(Debug, Default)]
pub struct RecordCounts {
    recorded: AtomicU64,
    refused: AtomicU64,
}

impl RecordCounts {
    /// Flows that were stored.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Flows that were not.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(crate) fn add(&self, recorded: u64, refused: u64) {
        self.recorded.fetch_add(recorded, Relaxed);
        self.refused.fetch_add(refused, Relaxed);
    }
}

pub(crate) use normal::normalise;

/// A check's answer.
pub(crate) type Checked = Result<(), Invalid>;

/// Whether a flow of this encoded length can be stored.
///
/// # Errors
///
/// It is too long.
pub(crate) fn check_length(length: usize) -> Checked {
    if length > MAX_FLOW_BYTES {
        let text = format!("the flow has {length} bytes; at most {MAX_FLOW_BYTES} are stored");
        return Err(wrong("", text));
    }
    Ok(())
}

/// Whether the fields of a flow can be stored, but for its endpoints.
///
/// # Errors
///
/// The first field that is wrong.
#[expect(deprecated, reason = "the summary is what the CLI prints")]
pub(crate) fn check(flow: &pb::Flow) -> Checked {
    time(flow.time.as_ref())?;
    text("uuid", &flow.uuid, MAX_UUID)?;
    text("node_name", &flow.node_name, MAX_TEXT)?;
    texts("node_labels", &flow.node_labels, MAX_TEXT)?;
    text("Summary", &flow.summary, MAX_LINE)?;
    texts("policy_log", &flow.policy_log, MAX_LINE)?;
    if let Some(ethernet) = &flow.ethernet {
        mac("ethernet.source", &ethernet.source)?;
        mac("ethernet.destination", &ethernet.destination)?;
    }
    if let Some(addresses) = &flow.ip {
        ip("IP", addresses)?;
    }
    if let Some(l4) = &flow.l4 {
        transport("l4", l4)?;
    }
    if let Some(tunnel) = &flow.tunnel {
        if let Some(addresses) = &tunnel.ip {
            ip("tunnel.IP", addresses)?;
        }
        if let Some(l4) = &tunnel.l4 {
            transport("tunnel.l4", l4)?;
        }
    }
    port("proxy_port", flow.proxy_port)?;
    texts("source_names", &flow.source_names, MAX_TEXT)?;
    texts("destination_names", &flow.destination_names, MAX_TEXT)?;
    if let Some(interface) = &flow.interface {
        text("interface.name", &interface.name, MAX_TEXT)?;
    }
    for (field, policies) in [
        ("egress_allowed_by", &flow.egress_allowed_by),
        ("ingress_allowed_by", &flow.ingress_allowed_by),
        ("egress_denied_by", &flow.egress_denied_by),
        ("ingress_denied_by", &flow.ingress_denied_by),
    ] {
        list(field, policies.len())?;
        for policy in policies {
            texts(format_args!("{field}.labels"), &policy.labels, MAX_TEXT)?;
        }
    }
    flow.l7.as_ref().map_or(Ok(()), layer7::layer7)
}

fn wrong(field: impl Display, description: impl Into<String>) -> Invalid {
    Invalid {
        field: field.to_string(),
        description: description.into(),
    }
}

fn time(time: Option<&Timestamp>) -> Checked {
    let Some(time) = time else {
        return Ok(());
    };
    if !SECONDS.contains(&time.seconds) {
        let text = format!("{} s is not within the years 1 to 9999", time.seconds);
        return Err(wrong("time.seconds", text));
    }
    if !(0..1_000_000_000).contains(&time.nanos) {
        let text = format!("{} is not within 0 to 999999999", time.nanos);
        return Err(wrong("time.nanos", text));
    }
    Ok(())
}

fn text(field: impl Display + Copy, text: &str, longest: usize) -> Checked {
    if text.len() <= longest {
        return Ok(());
    }
    Err(wrong(
        field,
        format!("has {} bytes; give at most {longest}", text.len()),
    ))
}

fn list(field: impl Display + Copy, length: usize) -> Checked {
    if length <= MAX_LIST {
        return Ok(());
    }
    Err(wrong(
        field,
        format!("has {length} values; give at most {MAX_LIST}"),
    ))
}

fn texts(field: impl Display + Copy, values: &[String], longest: usize) -> Checked {
    list(field, values.len())?;
    for (place, value) in values.iter().enumerate() {
        if value.len() > longest {
            return text(format_args!("{field}[{place}]"), value, longest);
        }
    }
    Ok(())
}

/// Six octets in hexadecimal; the separator is `:` or `-`.
fn mac(field: impl Display + Copy, text: &str) -> Checked {
    let octets = text.split([':', '-']).filter(|octet| {
        matches!(octet.len(), 1..=2) && octet.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let parts = text.split([':', '-']).count();
    if text.is_empty() || (parts == 6 && octets.count() == 6) {
        return Ok(());
    }
    let shown: String = text.chars().take(32).collect();
    Err(wrong(
        field,
        format!("`{shown}` is not a MAC address; write `00:00:5e:00:53:01`"),
    ))
}

fn ip(field: impl Display + Copy, ip: &pb::Ip) -> Checked {
    for (part, text) in [
        ("source", &ip.source),
        ("destination", &ip.destination),
        ("source_xlated", &ip.source_xlated),
    ] {
        if text.is_empty() {
            continue;
        }
        let field = format_args!("{field}.{part}");
        let Ok(address) = text.parse::<IpAddr>() else {
            let shown: String = text.chars().take(64).collect();
            return Err(wrong(field, format!("`{shown}` is not an IP address")));
        };
        let version = match address {
            IpAddr::V4(_) => pb::IpVersion::IPv4,
            IpAddr::V6(_) => pb::IpVersion::IPv6,
        };
        let said = pb::IpVersion::try_from(ip.ip_version);
        if matches!(said, Ok(said) if said != version && said != pb::IpVersion::IpNotUsed) {
            return Err(wrong(
                field,
                format!("`{text}` is not of the version that `ipVersion` says"),
            ));
        }
    }
    Ok(())
}

fn transport(field: impl Display + Copy, l4: &pb::Layer4) -> Checked {
    let (name, source, destination) = match &l4.protocol {
        Some(Protocol::Tcp(tcp)) => ("TCP", tcp.source_port, tcp.destination_port),
        Some(Protocol::Udp(udp)) => ("UDP", udp.source_port, udp.destination_port),
        Some(Protocol::Sctp(sctp)) => ("SCTP", sctp.source_port, sctp.destination_port),
        Some(Protocol::IcmPv4(icmp)) => {
            return icmp_numbers(format_args!("{field}.ICMPv4"), icmp.r#type, icmp.code);
        }
        Some(Protocol::IcmPv6(icmp)) => {
            return icmp_numbers(format_args!("{field}.ICMPv6"), icmp.r#type, icmp.code);
        }
        Some(Protocol::Igmp(igmp)) => {
            return text(
                format_args!("{field}.IGMP.group_address"),
                &igmp.group_address,
                MAX_TEXT,
            );
        }
        Some(Protocol::Vrrp(_)) | None => return Ok(()),
    };
    port(format_args!("{field}.{name}.source_port"), source)?;
    port(format_args!("{field}.{name}.destination_port"), destination)
}

fn port(field: impl Display + Copy, port: u32) -> Checked {
    match u16::try_from(port) {
        Ok(_) => Ok(()),
        Err(_) => Err(wrong(field, format!("{port} is not within 0 to 65535"))),
    }
}

fn icmp_numbers(field: impl Display + Copy, kind: u32, code: u32) -> Checked {
    for (part, number) in [("type", kind), ("code", code)] {
        if u8::try_from(number).is_err() {
            let text = format!("{number} is not within 0 to 255");
            return Err(wrong(format_args!("{field}.{part}"), text));
        }
    }
    Ok(())
}

/// Whether an endpoint can be stored.
///
/// # Errors
///
/// The first field that is wrong, under the name of the endpoint's.
pub(crate) fn endpoint(field: impl Display + Copy, side: &pb::Endpoint) -> Checked {
    for (part, value) in [
        ("cluster_name", &side.cluster_name),
        ("namespace", &side.namespace),
        ("pod_name", &side.pod_name),
    ] {
        if value.len() > MAX_TEXT {
            return text(format_args!("{field}.{part}"), value, MAX_TEXT);
        }
    }
    texts(format_args!("{field}.labels"), &side.labels, MAX_TEXT)?;
    list(format_args!("{field}.workloads"), side.workloads.len())?;
    for workload in &side.workloads {
        text(
            format_args!("{field}.workloads.name"),
            &workload.name,
            MAX_TEXT,
        )?;
        text(
            format_args!("{field}.workloads.kind"),
            &workload.kind,
            MAX_TEXT,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
