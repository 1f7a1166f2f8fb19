//! Flows that were seen, as connections that policies judge.

use std::{fmt, net::IpAddr};

use sextant_flows::flow::{self, Address, Flow, L4};
use sextant_proto::flow::{DropReason, FlowType, Verdict};

use crate::{
    endpoint::Endpoint,
    exempt::{is_dhcp, is_exempt},
    label::{Label, NAMESPACE, RESERVED},
    ports::protocol,
};

/// A connection, or what stands for one, that a flow was of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Who opened it.
    pub client: Party,
    /// To whom.
    pub server: Party,
    /// IP protocol number.
    pub protocol: u8,
    /// The server's port, or the type of an ICMP message.
    pub port: u16,
    /// What became of the packet.
    pub fate: Fate,
}

/// An end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What it is called.
    pub name: String,
    /// What policies know of it.
    pub endpoint: Endpoint,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It was let through.
    Forwarded,
    /// A policy denied it.
    Denied,
    /// It was dropped for another reason, which no policy changes.
    Dropped,
}

/// Why a flow is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotJudged {
    /// It is a message within a connection, which has flows of its own.
    Layer7,
    /// It has no addresses.
    NoAddress,
    /// It does not tell its protocol.
    NoProtocol,
    /// Who opened the connection is not known.
    NoInitiator,
    /// It tells of something else than a packet that went or was dropped.
    NoPacket,
    /// No policy judges it: see `exempt`.
    Exempt,
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layer7 => "messages within connections",
            Self::NoAddress => "without addresses",
            Self::NoProtocol => "without a protocol",
            Self::NoInitiator => "whose initiator is not known",
            Self::NoPacket => "of no packet",
            Self::Exempt => {
                "that no policy judges (this host with itself, errors of ICMP, neighbour discovery, DHCP)"
            }
        })
    }
}

impl Traffic {
    /// What a flow was of.
    ///
    /// # Errors
    ///
    /// It does not say enough.
    pub fn of(flow: &Flow) -> Result<Self, NotJudged> {
        if flow.flow_type == i32::from(FlowType::L7) {
            return Err(NotJudged::Layer7);
        }
        let fate = fate(flow).ok_or(NotJudged::NoPacket)?;
        let ip = flow.ip.as_ref().ok_or(NotJudged::NoAddress)?;
        let (Some(source), Some(destination)) = (address(&ip.source), address(&ip.destination))
        else {
            return Err(NotJudged::NoAddress);
        };
        let l4 = flow.l4.as_ref().ok_or(NotJudged::NoProtocol)?;
        let is_reply = match flow.is_reply {
            Some(is_reply) => is_reply,
            // Drops do not tell; what is dropped most often is what opens a connection.
            None if fate != Fate::Forwarded => false,
            None => return Err(NotJudged::NoInitiator),
        };
        let (protocol, port) = protocol_and_port(l4, is_reply).ok_or(NotJudged::NoProtocol)?;
        if let L4::Udp {
            source_port: from,
            destination_port: to,
        } = *l4
            && let (Ok(from), Ok(to)) = (u16::try_from(from), u16::try_from(to))
            && is_dhcp(if source.is_ipv4() { 4 } else { 6 }, from, to)
        {
            return Err(NotJudged::Exempt);
        }
        let source = party(flow.source.as_deref(), source);
        let destination = party(flow.destination.as_deref(), destination);
        let (client, server) = if is_reply {
            (destination, source)
        } else {
            (source, destination)
        };
        if is_exempt(&client.endpoint, &server.endpoint, protocol, port) {
            return Err(NotJudged::Exempt);
        }
        Ok(Self {
            client,
            server,
            protocol,
            port,
            fate,
        })
    }
}

impl Traffic {
    /// With what else is known of its ends.
    ///
    /// # Errors
    ///
    /// By that no policy judges it.
    pub fn known_as(self, known: impl Fn(Party) -> Party) -> Result<Self, NotJudged> {
        let traffic = Self {
            client: known(self.client),
            server: known(self.server),
            ..self
        };
        let (client, server) = (&traffic.client.endpoint, &traffic.server.endpoint);
        match is_exempt(client, server, traffic.protocol, traffic.port) {
            true => Err(NotJudged::Exempt),
            false => Ok(traffic),
        }
    }
}

fn fate(flow: &Flow) -> Option<Fate> {
    match Verdict::try_from(flow.verdict).ok()? {
        Verdict::Forwarded | Verdict::Redirected | Verdict::Audit => Some(Fate::Forwarded),
        Verdict::Dropped | Verdict::Error => {
            let reason = DropReason::try_from(flow.drop_reason_desc);
            let is_policy = matches!(
                reason,
                Ok(DropReason::PolicyDenied | DropReason::PolicyDeny | DropReason::AuthRequired)
            );
            Some(if is_policy {
                Fate::Denied
            } else {
                Fate::Dropped
            })
        }
        _ => None,
    }
}

fn address(address: &Address) -> Option<IpAddr> {
    address.ip().or_else(|| address.to_text().parse().ok())
}

/// Of the direction in which the connection was opened.
fn protocol_and_port(l4: &L4, is_reply: bool) -> Option<(u8, u16)> {
    let server = |source, destination| {
        let port: u32 = if is_reply { source } else { destination };
        u16::try_from(port).ok()
    };
    Some(match *l4 {
        L4::Tcp {
            source_port,
            destination_port,
            ..
        } => (protocol::TCP, server(source_port, destination_port)?),
        L4::Udp {
            source_port,
            destination_port,
        } => (protocol::UDP, server(source_port, destination_port)?),
        L4::Sctp {
            source_port,
            destination_port,
            ..
        } => (protocol::SCTP, server(source_port, destination_port)?),
        L4::Icmp4 { kind, .. } => (protocol::ICMP, asked(kind, is_reply, 0, 8)?),
        L4::Icmp6 { kind, .. } => (protocol::ICMPV6, asked(kind, is_reply, 129, 128)?),
        L4::Vrrp { .. } => (112, 0),
        L4::Igmp { .. } => (2, 0),
        L4::Other { protocol } => (protocol, 0),
        L4::Empty => return None,
    })
}

/// The type of the message that was answered: a policy is about what was asked.
fn asked(kind: u32, is_reply: bool, answer: u32, question: u32) -> Option<u16> {
    let kind = if is_reply && kind == answer {
        question
    } else {
        kind
    };
    u16::try_from(kind).ok()
}

/// Who is at an address, of whom this is known.
#[must_use]
pub fn party(endpoint: Option<&flow::Endpoint>, address: IpAddr) -> Party {
    let known = endpoint.map(endpoint_of).unwrap_or_default();
    let is_nobody = known.labels.iter().next().is_none();
    if is_nobody || known.is_world() && !known.labels.has_reserved("kube-apiserver") {
        return Party {
            name: address.to_string(),
            endpoint: Endpoint::outside(address),
        };
    }
    Party {
        name: name(endpoint, address),
        endpoint: known,
    }
}

/// Kind of the workload of systemd's units, which use the network of the host.
const UNIT: &str = "Unit";

/// What a process executes, which a policy is not about: its cgroup is judged.
const EXECUTABLE: &str = "sextant:exe=";

/// An endpoint with its namespace among its labels, whoever gave it that; a unit of
/// systemd is a part of the host.
#[must_use]
pub fn endpoint_of(endpoint: &flow::Endpoint) -> Endpoint {
    let labels = endpoint.labels.iter();
    let labels = labels.filter(|text| !text.starts_with(EXECUTABLE));
    let labels = labels.map(|text| Label::parse(text));
    let namespace = Label::new("k8s", NAMESPACE, &endpoint.namespace);
    let namespace = Some(namespace).filter(|label| !label.value.is_empty());
    let is_unit = endpoint.workloads.iter().any(|one| one.kind == UNIT);
    let known = Endpoint::new(labels.chain(namespace).collect());
    if is_unit {
        let host = [Label::new(RESERVED, "host", "")];
        known.on_host(&host.into_iter().collect())
    } else {
        known
    }
}

fn name(endpoint: Option<&flow::Endpoint>, address: IpAddr) -> String {
    let Some(endpoint) = endpoint else {
        return address.to_string();
    };
    if !endpoint.pod_name.is_empty() {
        return format!("{}/{}", endpoint.namespace, endpoint.pod_name);
    }
    let mut labels = endpoint.labels.iter();
    let reserved = labels.find_map(|label| label.strip_prefix("reserved:"));
    reserved.map_or_else(|| address.to_string(), str::to_owned)
}
