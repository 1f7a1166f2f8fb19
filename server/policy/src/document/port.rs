//! Ports and protocols of documents.

use serde::Deserialize;
use serde_json::Value;

use super::{
    List, decimal, icmp,
    problem::{Found, Path, Problem},
};
use crate::ports::{Layer4, NAMED, Ports, Which, protocol};

/// Ports of a list; ICMP types of a list.
const MAX_PORTS: usize = 40;
/// Letters of a port's name (RFC 6335, 5.1).
const MAX_NAME: usize = 15;

/// A part of `toPorts`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PortRule {
    ports: List<PortProtocol>,
    #[serde(rename = "terminatingTLS")]
    terminating_tls: Option<Value>,
    #[serde(rename = "originatingTLS")]
    originating_tls: Option<Value>,
    server_names: Option<Value>,
    listener: Option<Value>,
    rules: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortProtocol {
    #[serde(default)]
    port: String,
    #[serde(default)]
    end_port: i64,
    #[serde(default)]
    protocol: String,
}

/// What `toPorts` and `icmps` say.
pub(super) fn layer4(
    to_ports: &List<PortRule>,
    icmps: &List<icmp::IcmpRule>,
    path: &Path,
    problems: &mut Found,
) -> Layer4 {
    let is_empty = |ports: &List<PortRule>| ports.as_ref().is_none_or(Vec::is_empty);
    if is_empty(to_ports) && icmps.as_ref().is_none_or(Vec::is_empty) {
        return Layer4::All;
    }
    if !is_empty(to_ports) && icmps.as_ref().is_some_and(|icmps| !icmps.is_empty()) {
        let what = "cannot stand beside toPorts";
        problems.push(path.field("icmps").problem(what, "write a rule for each"));
    }
    let mut found = Vec::new();
    for (n, rule) in to_ports.iter().flatten().enumerate() {
        let path = path.field("toPorts").item(n);
        rule.refuse_unsupported(&path, problems);
        rule.add_to(&mut found, &path, problems);
    }
    icmp::add_to(icmps, &mut found, &path.field("icmps"), problems);
    Layer4::Ports(found)
}

impl PortRule {
    fn refuse_unsupported(&self, path: &Path, problems: &mut Found) {
        for (field, name) in [
            (&self.terminating_tls, "terminatingTLS"),
            (&self.originating_tls, "originatingTLS"),
            (&self.server_names, "serverNames"),
            (&self.listener, "listener"),
            (&self.rules, "rules"),
        ] {
            if field.is_some() {
                problems.push(path.field(name).not_supported());
            }
        }
    }

    fn add_to(&self, found: &mut Vec<Ports>, path: &Path, problems: &mut Found) {
        let path = path.field("ports");
        let ports = self.ports.as_deref().unwrap_or_default();
        if ports.len() > MAX_PORTS {
            let what = format!("{} ports are more than {MAX_PORTS}", ports.len());
            problems.push(path.problem(what, "write a range, or another part of toPorts"));
        }
        for (n, port) in ports.iter().enumerate() {
            match port.ports(&path.item(n)) {
                Ok(more) => found.extend(more),
                Err(problem) => problems.push(problem),
            }
        }
    }
}

impl PortProtocol {
    fn ports(&self, path: &Path) -> Result<Vec<Ports>, Problem> {
        let protocols = protocols(&self.protocol, path)?;
        let which = which(&self.port, self.end_port, path)?;
        let has_ports = protocols.iter().all(|number| ANY.contains(number));
        if !has_ports && which != Which::Every {
            let what = format!("{} has no ports", self.protocol);
            return Err(path.field("port").problem(what, "write \"0\""));
        }
        Ok(protocols
            .into_iter()
            .map(|protocol| Ports {
                protocol,
                which: which.clone(),
            })
            .collect())
    }
}

/// The protocols with ports, which `ANY` stands for.
const ANY: [u8; 3] = [protocol::TCP, protocol::UDP, protocol::SCTP];

/// The numbers of a protocol. ICMP has a field of its own.
fn protocols(name: &str, path: &Path) -> Result<Vec<u8>, Problem> {
    if matches!(name, "" | "ANY") {
        return Ok(ANY.to_vec());
    }
    let is_meant = |(number, known): &&(u8, &str)| {
        *known == name && !matches!(*number, protocol::ICMP | protocol::ICMPV6)
    };
    let found = NAMED.iter().find(is_meant);
    found.map(|(number, _)| vec![*number]).ok_or_else(|| {
        let what = format!("`{name}` is no protocol");
        let remedy = "write TCP, UDP, SCTP, ANY, IGMP, IPIP, IPV6, GRE, ESP, AH or VRRP";
        path.field("protocol").problem(what, remedy)
    })
}

/// The ports from `port` to `end`, 0 for that one alone; no text is each port, as 0 is.
pub(super) fn which(port: &str, end: i64, path: &Path) -> Result<Which, Problem> {
    let Ok(end) = u16::try_from(end) else {
        let what = format!("{end} is no port");
        return Err(path.field("endPort").problem(what, "write 1 to 65535"));
    };
    if port.is_empty() {
        return which("0", i64::from(end), path);
    }
    if is_name(port) {
        if end != 0 {
            let what = "cannot stand beside a port's name";
            return Err(path.field("endPort").problem(what, "leave it out"));
        }
        return Ok(Which::Named(port.to_ascii_lowercase()));
    }
    match decimal(port) {
        Some(0) if end == 0 || end == u16::MAX => Ok(Which::Every),
        // Cilium passes over the end, and allows or denies each port.
        Some(0) => {
            let what = "cannot stand beside port 0, which is each port";
            let remedy = "leave it out, or write 1 as port";
            Err(path.field("endPort").problem(what, remedy))
        }
        Some(first) => Ok(Which::Range(first, end.max(first))),
        None => {
            let what = format!("`{port}` is no port");
            let remedy = "write a number from 0 (each port) to 65535 in quotes, or a name";
            Err(path.field("port").problem(what, remedy))
        }
    }
}

/// A name of a service (RFC 6335, 5.1).
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}
