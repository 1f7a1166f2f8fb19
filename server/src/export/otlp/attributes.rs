//! Names of the fields of a flow in OpenTelemetry, and a flow's attributes under them.
//!
//! What has a name in the semantic conventions, or in those that are in the making, has
//! that; all else is `hubble.` and its path in `flow.Flow`, and `flow.` and its path in
//! the extensions. So nothing is lost, and a flow can be made of its attributes again.
//! A field is one attribute; lists and messages in lists are values of it.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use sextant_flows::{
    parts::Parts,
    shape::{Shape, WellKnown},
    view::{Encoded, Unreadable, Value, View},
};

use super::any::{attribute, several, text, uint};

/// The flow of this encoded `ExportEvent`.
pub(super) fn flow_of(encoded: &[u8]) -> Result<View<'_>, Unreadable> {
    match event_of(encoded)?.get("flow") {
        Some(Value::Message(flow)) => flow.view(),
        _ => Err(Unreadable::Malformed),
    }
}

/// An encoded `ExportEvent`, to be looked at.
pub(super) fn event_of(encoded: &[u8]) -> Result<View<'_>, Unreadable> {
    let shape = Shape::named("observer.ExportEvent").ok_or(Unreadable::Malformed)?;
    View::new(shape, encoded)
}

/// Paths in `flow.Flow`, and what they are called. Ports are found again by
/// `network.transport`.
pub(super) const NAMES: [(&str, &str); 50] = [
    ("IP.destination", "destination.address"),
    ("IP.ipVersion", "network.type"),
    ("IP.source", "source.address"),
    ("destination.cluster_name", "destination.k8s.cluster.name"),
    ("destination.namespace", "destination.k8s.namespace.name"),
    ("destination.pod_name", "destination.k8s.pod.name"),
    ("ethernet.destination", "destination.mac"),
    ("ethernet.source", "source.mac"),
    (
        "extensions.destination_process.cgroup",
        "destination.process.linux.cgroup",
    ),
    (
        "extensions.destination_process.command_line",
        "destination.process.command_line",
    ),
    (
        "extensions.destination_process.container",
        "destination.container.id",
    ),
    (
        "extensions.destination_process.container_name",
        "destination.container.name",
    ),
    (
        "extensions.destination_process.exe",
        "destination.process.executable.path",
    ),
    (
        "extensions.destination_process.name",
        "destination.process.executable.name",
    ),
    (
        "extensions.destination_process.pid",
        "destination.process.pid",
    ),
    (
        "extensions.destination_process.ppid",
        "destination.process.parent_pid",
    ),
    (
        "extensions.destination_process.start_time",
        "destination.process.creation.time",
    ),
    (
        "extensions.destination_process.uid",
        "destination.process.user.id",
    ),
    (
        "extensions.destination_process.user",
        "destination.process.user.name",
    ),
    (
        "extensions.source_process.cgroup",
        "source.process.linux.cgroup",
    ),
    (
        "extensions.source_process.command_line",
        "source.process.command_line",
    ),
    ("extensions.source_process.container", "source.container.id"),
    (
        "extensions.source_process.container_name",
        "source.container.name",
    ),
    (
        "extensions.source_process.exe",
        "source.process.executable.path",
    ),
    (
        "extensions.source_process.name",
        "source.process.executable.name",
    ),
    ("extensions.source_process.pid", "source.process.pid"),
    (
        "extensions.source_process.ppid",
        "source.process.parent_pid",
    ),
    (
        "extensions.source_process.start_time",
        "source.process.creation.time",
    ),
    ("extensions.source_process.uid", "source.process.user.id"),
    ("extensions.source_process.user", "source.process.user.name"),
    ("interface.name", "network.interface.name"),
    ("l4.ICMPv4.code", "icmp.code"),
    ("l4.ICMPv4.type", "icmp.type"),
    ("l4.ICMPv6.code", "icmp.code"),
    ("l4.ICMPv6.type", "icmp.type"),
    ("l4.SCTP.destination_port", "destination.port"),
    ("l4.SCTP.source_port", "source.port"),
    ("l4.TCP.destination_port", "destination.port"),
    ("l4.TCP.source_port", "source.port"),
    ("l4.UDP.destination_port", "destination.port"),
    ("l4.UDP.source_port", "source.port"),
    ("l7.dns.ips", "dns.answers"),
    ("l7.dns.query", "dns.question.name"),
    ("l7.http.code", "http.response.status_code"),
    ("l7.http.method", "http.request.method"),
    ("l7.http.url", "url.full"),
    ("source.cluster_name", "source.k8s.cluster.name"),
    ("source.namespace", "source.k8s.namespace.name"),
    ("source.pod_name", "source.k8s.pod.name"),
    ("uuid", "log.record.uid"),
];

static BY_PATH: LazyLock<FxHashMap<&str, &str>> = LazyLock::new(|| NAMES.into_iter().collect());

/// The path of the extensions.
const EXTENSIONS: &str = "extensions";

/// Attributes of the two ends of flows: the larger part of them, and the same in many. Of
/// one kind of message.
#[derive(Debug, Default)]
pub(in crate::export) struct Ends {
    source: Parts<[u8]>,
    destination: Parts<[u8]>,
}

impl Ends {
    /// Of the end at this path in a flow.
    fn of(&mut self, path: &str) -> Option<&mut Parts<[u8]>> {
        match path {
            "source" => Some(&mut self.source),
            "destination" => Some(&mut self.destination),
            _ => None,
        }
    }
}

/// Writes attributes as one field of a message.
pub(super) struct Attributes<'o> {
    field: u32,
    out: &'o mut Vec<u8>,
    path: String,
    /// Before paths that have no name.
    prefix: &'o str,
    /// Room for a name.
    name: String,
    /// What is remembered of flows before, if these are of a flow.
    ends: Option<&'o mut Ends>,
}

impl<'o> Attributes<'o> {
    /// Those of a flow.
    pub(super) fn of_flow(field: u32, ends: &'o mut Ends, out: &'o mut Vec<u8>) -> Self {
        Self {
            ends: Some(ends),
            ..Self::new(field, "hubble.", out)
        }
    }

    /// Those of something else, under this prefix.
    pub(super) fn new(field: u32, prefix: &'o str, out: &'o mut Vec<u8>) -> Self {
        Self {
            field,
            out,
            path: String::with_capacity(64),
            prefix,
            name: String::with_capacity(64),
            ends: None,
        }
    }

    /// One that no field has.
    pub(super) fn also(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        attribute(self.field, name, self.out, value);
    }

    /// Those of all fields of a message but its time.
    pub(super) fn fields(&mut self, view: &View<'_>) -> Result<(), Unreadable> {
        let begin = self.path.len();
        for (field, values) in view.fields() {
            if begin == 0 && field.name == "time" {
                continue;
            }
            if begin > 0 {
                self.path.push('.');
            }
            self.path.push_str(&field.name);
            match (field.is_repeated, values[0].1) {
                (false, Value::Message(encoded)) => self.part(encoded)?,
                (is_repeated, _) => {
                    self.put(|out| several(field.is_map, is_repeated, values, out))?;
                }
            }
            self.path.truncate(begin);
        }
        Ok(())
    }

    /// A message, unless it is an end of a flow that is known.
    fn part(&mut self, encoded: Encoded<'_>) -> Result<(), Unreadable> {
        if let Some(parts) = self.ends.as_mut().and_then(|ends| ends.of(&self.path))
            && let Some(attributes) = parts.get(encoded.bytes())
        {
            self.out.extend_from_slice(attributes);
            return Ok(());
        }
        let begin = self.out.len();
        self.message(&encoded.view()?)?;
        if let Some(parts) = self.ends.as_mut().and_then(|ends| ends.of(&self.path)) {
            parts.keep(encoded.bytes(), &self.out[begin..]);
        }
        Ok(())
    }

    fn message(&mut self, view: &View<'_>) -> Result<(), Unreadable> {
        match view.shape.known {
            Some(WellKnown::Any) => self.extensions(view),
            Some(_) => self.put(|out| super::any::message(view, out)),
            // That it is there says something: which protocol it is.
            None if view.fields().next().is_none() => {
                self.put(|out| super::any::message(view, out))
            }
            None => self.fields(view),
        }
    }

    /// Those of our own are a `Struct`, each key of which is an attribute. Others, and what
    /// cannot be told from its paths, are said as a whole.
    fn extensions(&mut self, view: &View<'_>) -> Result<(), Unreadable> {
        let (begin, path) = (self.out.len(), self.path.len());
        let inner = own_extensions(view).filter(|_| self.path == EXTENSIONS);
        if inner.is_some_and(|inner| self.entries(&inner) == Ok(true)) {
            return Ok(());
        }
        self.out.truncate(begin);
        self.path.truncate(path);
        self.put(|out| super::any::message(view, out))
    }

    /// Puts the entries of a `Struct`; whether their paths tell them: there are some, and
    /// all have keys without dots.
    fn entries(&mut self, view: &View<'_>) -> Result<bool, Unreadable> {
        let begin = self.path.len();
        let entries = view.fields().flat_map(|(_, values)| values);
        let mut has_any = false;
        for (_, entry) in entries {
            let Value::Message(entry) = entry else {
                return Ok(false);
            };
            let (Some(Value::Text(key)), Some(Value::Message(value))) = entry.view()?.entry()
            else {
                return Ok(false);
            };
            if key.is_empty() || key.contains('.') {
                return Ok(false);
            }
            has_any = true;
            self.path.push('.');
            self.path.push_str(key);
            let value = value.view()?;
            match nested(&value)? {
                None => self.put(|out| super::any::message(&value, out))?,
                Some(inner) if self.entries(&inner)? => {}
                Some(_) => return Ok(false),
            }
            self.path.truncate(begin);
        }
        Ok(has_any)
    }

    /// Puts the attribute of the path.
    fn put(
        &mut self,
        value: impl FnOnce(&mut Vec<u8>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut written = Ok(());
        let is_flow = self.prefix == "hubble.";
        let named = BY_PATH.get(self.path.as_str()).filter(|_| is_flow);
        let extension = self.path.strip_prefix("extensions.").filter(|_| is_flow);
        let name = match named {
            Some(name) => *name,
            None => {
                self.name.clear();
                self.name.push_str(match extension {
                    Some(_) => "flow.",
                    None => self.prefix,
                });
                self.name.push_str(extension.unwrap_or(&self.path));
                &self.name
            }
        };
        if name == "network.type" {
            attribute(self.field, name, self.out, |out| {
                let mut as_named = Vec::new();
                written = value(&mut as_named);
                // `IPv4` is `ipv4` there; the names have the same length.
                out.extend(as_named.iter().map(u8::to_ascii_lowercase));
            });
        } else {
            attribute(self.field, name, self.out, |out| written = value(out));
        }
        written
    }
}

/// What an `Any` has, if that is a `Struct`.
fn own_extensions<'a>(view: &View<'a>) -> Option<View<'a>> {
    let shape = Shape::named("google.protobuf.Struct")?;
    match (view.get("type_url"), view.get("value")) {
        (Some(Value::Text(url)), Some(Value::Bytes(content))) if url.ends_with(&shape.name) => {
            view.inside(shape, content).ok()
        }
        _ => None,
    }
}

/// The `Struct` that a value is, unless it is empty.
fn nested<'a>(value: &View<'a>) -> Result<Option<View<'a>>, Unreadable> {
    let Some(Value::Message(inner)) = value.get("struct_value") else {
        return Ok(None);
    };
    let inner = inner.view()?;
    let is_empty = inner.fields().next().is_none();
    Ok((!is_empty).then_some(inner))
}

/// What a flow is carried by, as OpenTelemetry calls it.
pub(super) fn transport(l4: &crate::flow::L4) -> Option<&'static str> {
    use crate::flow::L4;
    match l4 {
        L4::Tcp { .. } => Some("tcp"),
        L4::Udp { .. } => Some("udp"),
        L4::Sctp { .. } => Some("sctp"),
        L4::Icmp4 { .. } => Some("icmp"),
        L4::Icmp6 { .. } => Some("icmpv6"),
        _ => None,
    }
}

/// The same by the field of `flow.Layer4`.
pub(super) fn transport_named(field: &str) -> Option<&'static str> {
    match field {
        "TCP" => Some("tcp"),
        "UDP" => Some("udp"),
        "SCTP" => Some("sctp"),
        "ICMPv4" => Some("icmp"),
        "ICMPv6" => Some("icmpv6"),
        _ => None,
    }
}

/// Appends the text of an attribute.
pub(super) fn say(attributes: &mut Attributes<'_>, name: &str, value: &str) {
    attributes.also(name, |out| text(value, out));
}

/// Appends the number of an attribute.
pub(super) fn count(attributes: &mut Attributes<'_>, name: &str, value: u64) {
    attributes.also(name, |out| uint(value, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../../../docs/opentelemetry.md");

    #[test]
    fn the_table_in_the_docs_has_each_name() {
        let rows = DOCS.lines().filter_map(|line| {
            let cells = line.strip_prefix("| `")?.strip_suffix("` |")?;
            cells.split_once("` | `")
        });
        assert_eq!(rows.collect::<Vec<_>>(), NAMES);
    }
}
