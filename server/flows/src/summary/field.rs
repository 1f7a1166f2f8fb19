//! Values of a field, as keys that are cheap to compare, and their texts.
//!
//! What an interned value gives (labels, names, endpoints) is worked out once
//! for each value. Bound: 65,536 remembered values, then they are forgotten; 16 MiB
//! of texts, then other values have no place.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use sextant_proto::{flow as pb, sextant::flow::v1::FlowField};

use crate::flow::{Address, Endpoint, Flow, Interface, Interned, L4, Names, Origin, Process};

const MAX_REMEMBERED: usize = 65_536;
/// Most bytes of texts, with what each takes beside itself.
const MAX_TEXT_BYTES: usize = 16 << 20;
const TEXT: usize = 64;

/// A value of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// The flow has none.
    #[default]
    None,
    V4([u8; 4]),
    V6([u8; 16]),
    /// A number, or that of an enumeration.
    Number(i64),
    /// Place in `Texts`.
    Text(u32),
    /// A text that found no place.
    Unplaced,
}

/// Texts, each once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, u32>,
    bytes: usize,
}

impl Texts {
    fn key(&mut self, text: &str) -> Key {
        if text.is_empty() {
            return Key::None;
        }
        if let Some(place) = self.places.get(text) {
            return Key::Text(*place);
        }
        // It is held twice.
        let bytes = self.bytes + TEXT + 2 * text.len();
        if bytes > MAX_TEXT_BYTES {
            return Key::Unplaced;
        }
        self.bytes = bytes;
        let place = self.texts.len() as u32;
        self.texts.push(text.into());
        self.places.insert(text.into(), place);
        Key::Text(place)
    }

    fn get(&self, place: u32) -> &str {
        self.texts.get(place as usize).map_or("", |text| text)
    }
}

/// Keys by interned value. It holds on to the values, so that a key never
/// names two of them.
#[derive(Debug)]
struct Memo<T>(HashMap<usize, (Interned<T>, Box<[Key]>)>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Memo<T> {
    fn keys(&mut self, value: &Interned<T>, make: impl FnOnce(&T) -> Vec<Key>) -> &[Key] {
        if self.0.len() >= MAX_REMEMBERED && !self.0.contains_key(&value.key()) {
            self.0.clear();
        }
        let entry = self.0.entry(value.key());
        &entry
            .or_insert_with(|| (value.clone(), make(value).into()))
            .1
    }
}

/// Reads one field of flows.
#[derive(Debug)]
pub(super) struct Field {
    /// That of a flow from the client, and that of a reply; equal where the
    /// field does not care.
    fields: (FlowField, FlowField),
    endpoints: Memo<Endpoint>,
    names: Memo<Names>,
    interfaces: Memo<Interface>,
    origins: Memo<Origin>,
    processes: Memo<Process>,
}

impl Field {
    pub(super) fn new(field: FlowField) -> Self {
        Self {
            fields: sides(field),
            endpoints: Memo::default(),
            names: Memo::default(),
            interfaces: Memo::default(),
            origins: Memo::default(),
            processes: Memo::default(),
        }
    }

    /// Appends the values that the flow has: at least one, `Key::None` if it
    /// has none.
    pub(super) fn read(&mut self, flow: &Flow, texts: &mut Texts, out: &mut Vec<Key>) {
        use FlowField as F;
        let before = out.len();
        let field = match self.fields {
            (asked, replied) if asked != replied && is_reply(flow) => replied,
            (asked, _) => asked,
        };
        match field {
            F::SourceLabel
            | F::SourceEndpoint
            | F::SourceNamespace
            | F::SourceWorkload
            | F::SourceIdentity => self.endpoint(field, flow.source.as_ref(), texts, out),
            F::DestinationLabel
            | F::DestinationEndpoint
            | F::DestinationNamespace
            | F::DestinationWorkload
            | F::DestinationIdentity => self.endpoint(field, flow.destination.as_ref(), texts, out),
            F::SourceName => self.names(flow.source_names.as_ref(), texts, out),
            F::DestinationName => self.names(flow.destination_names.as_ref(), texts, out),
            F::SourceProcess | F::SourceUnit | F::SourceContainer | F::SourceUser => {
                let counters = flow.counters.as_deref();
                let process = counters.and_then(|counters| counters.source_process.as_ref());
                self.process(field, process, texts, out);
            }
            F::DestinationProcess
            | F::DestinationUnit
            | F::DestinationContainer
            | F::DestinationUser => {
                let counters = flow.counters.as_deref();
                let process = counters.and_then(|counters| counters.destination_process.as_ref());
                self.process(field, process, texts, out);
            }
            F::Interface => {
                if let Some(interface) = &flow.interface {
                    let keys = self
                        .interfaces
                        .keys(interface, |value| vec![texts.key(&value.name)]);
                    out.extend_from_slice(keys);
                }
            }
            F::NodeName => {
                let keys = self
                    .origins
                    .keys(&flow.origin, |value| vec![texts.key(&value.node_name)]);
                out.extend_from_slice(keys);
            }
            _ => out.push(plain(field, flow, texts)),
        }
        if out.len() == before {
            out.push(Key::None);
        }
    }

    fn endpoint(
        &mut self,
        field: FlowField,
        side: Option<&Interned<Endpoint>>,
        texts: &mut Texts,
        out: &mut Vec<Key>,
    ) {
        if let Some(side) = side {
            let make = |side: &Endpoint| endpoint_keys(field, side, texts);
            out.extend_from_slice(self.endpoints.keys(side, make));
        }
    }

    fn process(
        &mut self,
        field: FlowField,
        process: Option<&Interned<Process>>,
        texts: &mut Texts,
        out: &mut Vec<Key>,
    ) {
        if let Some(process) = process {
            let make = |process: &Process| vec![texts.key(&process_text(field, process))];
            let keys = self.processes.keys(process, make);
            out.extend(keys.iter().filter(|key| **key != Key::None));
        }
    }

    fn names(&mut self, names: Option<&Interned<Names>>, texts: &mut Texts, out: &mut Vec<Key>) {
        if let Some(names) = names {
            let make = |names: &Names| distinct(names.iter().map(|name| texts.key(name)));
            out.extend_from_slice(self.names.keys(names, make));
        }
    }

    /// The text of a value; empty for none.
    pub(super) fn text(&self, key: Key, texts: &Texts) -> String {
        match key {
            Key::None | Key::Unplaced => String::new(),
            Key::V4(octets) => Ipv4Addr::from(octets).to_string(),
            Key::V6(octets) => Ipv6Addr::from(octets).to_string(),
            Key::Text(place) => texts.get(place).to_owned(),
            Key::Number(number) => self.number_text(number),
        }
    }

    fn number_text(&self, number: i64) -> String {
        let known = i32::try_from(number)
            .ok()
            .and_then(|n| match self.fields.0 {
                FlowField::Verdict => Some(pb::Verdict::try_from(n).ok()?.as_str_name()),
                FlowField::TrafficDirection => {
                    Some(pb::TrafficDirection::try_from(n).ok()?.as_str_name())
                }
                FlowField::DropReason => Some(pb::DropReason::try_from(n).ok()?.as_str_name()),
                _ => None,
            });
        known.map_or_else(|| number.to_string(), str::to_owned)
    }
}

/// The field as it is for a flow from the client, and for a reply.
fn sides(field: FlowField) -> (FlowField, FlowField) {
    use FlowField as F;
    match field {
        F::ClientIp => (F::SourceIp, F::DestinationIp),
        F::ServerIp => (F::DestinationIp, F::SourceIp),
        F::ClientPort => (F::SourcePort, F::DestinationPort),
        F::ServerPort => (F::DestinationPort, F::SourcePort),
        F::ClientEndpoint => (F::SourceEndpoint, F::DestinationEndpoint),
        F::ServerEndpoint => (F::DestinationEndpoint, F::SourceEndpoint),
        F::ClientNamespace => (F::SourceNamespace, F::DestinationNamespace),
        F::ServerNamespace => (F::DestinationNamespace, F::SourceNamespace),
        F::ClientWorkload => (F::SourceWorkload, F::DestinationWorkload),
        F::ServerWorkload => (F::DestinationWorkload, F::SourceWorkload),
        F::ClientLabel => (F::SourceLabel, F::DestinationLabel),
        F::ServerLabel => (F::DestinationLabel, F::SourceLabel),
        F::ClientIdentity => (F::SourceIdentity, F::DestinationIdentity),
        F::ServerIdentity => (F::DestinationIdentity, F::SourceIdentity),
        F::ClientName => (F::SourceName, F::DestinationName),
        F::ServerName => (F::DestinationName, F::SourceName),
        F::ClientProcess => (F::SourceProcess, F::DestinationProcess),
        F::ServerProcess => (F::DestinationProcess, F::SourceProcess),
        F::ClientUnit => (F::SourceUnit, F::DestinationUnit),
        F::ServerUnit => (F::DestinationUnit, F::SourceUnit),
        F::ClientContainer => (F::SourceContainer, F::DestinationContainer),
        F::ServerContainer => (F::DestinationContainer, F::SourceContainer),
        F::ClientUser => (F::SourceUser, F::DestinationUser),
        F::ServerUser => (F::DestinationUser, F::SourceUser),
        _ => (field, field),
    }
}

/// Whether the server speaks: as the flow says, else as the lower port says.
fn is_reply(flow: &Flow) -> bool {
    flow.is_reply.unwrap_or_else(|| {
        let ports = flow.l4.as_ref().and_then(L4::ports);
        ports.is_some_and(|(source, destination)| source > 0 && source < destination)
    })
}

fn plain(field: FlowField, flow: &Flow, texts: &mut Texts) -> Key {
    let ports = || flow.l4.as_ref().and_then(L4::ports);
    let port = |port: u32| Key::Number(port.into());
    let ip = flow.ip.as_ref();
    match field {
        FlowField::SourceIp => ip.map_or(Key::None, |ip| address(&ip.source, texts)),
        FlowField::DestinationIp => ip.map_or(Key::None, |ip| address(&ip.destination, texts)),
        FlowField::SourcePort => ports().map_or(Key::None, |(source, _)| port(source)),
        FlowField::DestinationPort => ports().map_or(Key::None, |(_, to)| port(to)),
        FlowField::Protocol => texts.key(flow.l4.as_ref().map_or("", L4::protocol)),
        FlowField::Verdict => Key::Number(flow.verdict.into()),
        FlowField::TrafficDirection if flow.traffic_direction != 0 => {
            Key::Number(flow.traffic_direction.into())
        }
        FlowField::DropReason
            if flow.verdict == pb::Verdict::Dropped as i32 || flow.drop_reason_desc != 0 =>
        {
            Key::Number(flow.drop_reason_desc.into())
        }
        _ => Key::None,
    }
}

fn address(address: &Address, texts: &mut Texts) -> Key {
    match address {
        Address::None => Key::None,
        Address::V4(octets) => Key::V4(*octets),
        Address::V6(octets) => Key::V6(*octets),
        Address::Text(text) => texts.key(text),
    }
}

fn endpoint_keys(field: FlowField, side: &Endpoint, texts: &mut Texts) -> Vec<Key> {
    use FlowField as F;
    match field {
        F::SourceLabel | F::DestinationLabel => {
            distinct(side.labels.iter().map(|label| texts.key(label)))
        }
        F::SourceNamespace | F::DestinationNamespace => vec![texts.key(&side.namespace)],
        F::SourceIdentity | F::DestinationIdentity => vec![Key::Number(side.identity.into())],
        F::SourceWorkload | F::DestinationWorkload => {
            let first = side.workloads.first();
            let text = first.map(|first| format!("{}/{}", first.kind, first.name));
            vec![texts.key(&text.unwrap_or_default())]
        }
        _ => vec![texts.key(&endpoint_name(side))],
    }
}

fn process_text(field: FlowField, process: &Process) -> String {
    use FlowField as F;
    match field {
        F::SourceProcess | F::DestinationProcess => process.file_name().to_owned(),
        F::SourceUnit | F::DestinationUnit => process.unit.clone(),
        F::SourceContainer | F::DestinationContainer => match process.container_name.as_str() {
            "" => process.container.clone(),
            name => name.to_owned(),
        },
        _ => match (&process.user, process.uid) {
            (user, Some(uid)) if user.is_empty() => uid.to_string(),
            (user, _) => user.clone(),
        },
    }
}

/// `namespace/name`, else the reserved identity's label.
fn endpoint_name(side: &Endpoint) -> String {
    match (side.namespace.as_str(), side.pod_name.as_str()) {
        (_, "") => {
            let reserved = |label: &&String| label.starts_with("reserved:");
            side.labels
                .iter()
                .find(reserved)
                .cloned()
                .unwrap_or_default()
        }
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

/// Each value once, so that a flow counts once for it.
fn distinct(keys: impl Iterator<Item = Key>) -> Vec<Key> {
    let mut keys: Vec<Key> = keys.filter(|key| *key != Key::None).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
