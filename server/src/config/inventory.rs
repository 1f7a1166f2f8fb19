//! Endpoints of the file.

use std::collections::BTreeMap;

use sextant_policy::ports::{
    port_and_protocol,
    protocol::{SCTP, TCP, UDP},
};

use super::{
    Endpoint, names,
    report::Once,
    section::Section,
    values::{self, Parsed},
};

/// Ports of an endpoint that have a name.
const MAX_PORTS: usize = 256;
/// Letters of one (RFC 6335).
const MAX_PORT_NAME: usize = 15;

/// All `[[endpoint]]`; each name, address, range and interface once.
pub(super) fn endpoints(top: &mut Section<'_>) -> Vec<Endpoint> {
    let mut once = Once::new(top.report());
    top.sections("endpoint")
        .into_iter()
        .map(|section| endpoint(section, &mut once))
        .collect()
}

fn endpoint(mut section: Section<'_>, once: &mut Once<'_>) -> Endpoint {
    let name = section.required("name").text(names::free);
    let namespace = section.item("namespace").text(names::group);
    if let Some(name) = &name {
        let whole = match &namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.clone(),
        };
        once.see(format!("endpoint `{whole}`"), section.offset());
    }
    let placed = ["addresses", "cidrs", "interfaces"];
    if placed.iter().all(|key| section.item(key).is_empty()) {
        let keys = placed.join("`, `");
        section.wrong(format!("is nowhere; give at least one of `{keys}`"));
    }
    let endpoint = Endpoint {
        name: name.unwrap_or_default(),
        namespace: namespace.unwrap_or_default(),
        labels: section
            .item("labels")
            .labels(names::endpoint_label)
            .unwrap_or_default(),
        workload: workload(&mut section),
        addresses: claimed(&mut section, "addresses", values::address, once),
        cidrs: claimed(&mut section, "cidrs", values::cidr, once),
        interfaces: claimed(&mut section, "interfaces", values::interface, once),
        ports: ports(&mut section),
    };
    section.finish();
    endpoint
}

fn workload(endpoint: &mut Section<'_>) -> Option<(String, String)> {
    let mut section = endpoint.section("workload")?;
    let name = section.required("name").text(names::free);
    let kind = section.required("kind").text(names::group);
    section.finish();
    name.zip(kind)
}

/// Ports by name: `{ http = "80", dns = "53/UDP" }`. In lower case, as policies are read.
fn ports(endpoint: &mut Section<'_>) -> BTreeMap<(String, u8), u16> {
    let port = |name: &str, text: &str| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let has_letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
        if name.len() > MAX_PORT_NAME || !has_letter || !name.bytes().all(is_name) {
            return Err(format!(
                "has the key `{name}`, which names no port; write up to {MAX_PORT_NAME} letters, digits and `-`"
            ));
        }
        let (port, protocol) = port_and_protocol(text)?;
        match (port, protocol) {
            (1.., TCP | UDP | SCTP) => Ok(((name.to_ascii_lowercase(), protocol), port)),
            _ => Err(format!(
                "has `{text}`, which is no port that has a name; write 1 to 65535, and /UDP or /SCTP behind it where it is not TCP"
            )),
        }
    };
    let ports = endpoint.item("ports").named(MAX_PORTS, port);
    ports.unwrap_or_default().into_iter().collect()
}

/// A list of what belongs to one endpoint only.
fn claimed<T: std::fmt::Display>(
    endpoint: &mut Section<'_>,
    key: &'static str,
    parse: fn(&str) -> Parsed<T>,
    once: &mut Once<'_>,
) -> Vec<T> {
    let places = endpoint.item(key).places(parse).unwrap_or_default();
    let mut values = Vec::with_capacity(places.len());
    for (value, offset) in places {
        once.see(format!("endpoint.{key}: `{value}`"), offset);
        values.push(value);
    }
    values
}
