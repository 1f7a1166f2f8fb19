//! Debug events as text: where they are from, their kind, and the message.

use prost_types::Timestamp;
use sextant_proto::{
    flow::{DebugEventType, Endpoint},
    observer::{ExportEvent, GetDebugEventsResponse, export_event::ResponseTypes},
};

use super::events::{Event, Shown};
use crate::{
    text::{harmless, value_name},
    time::Format,
};

impl Event for GetDebugEventsResponse {
    const RESPONSE: &'static str = "observer.GetDebugEventsResponse";
    /// Hubble's table has an empty column too.
    const HEAD: &'static [&'static str] = &["FROM", "", "TYPE", "CPU/MARK", "MESSAGE"];

    fn of(event: ExportEvent) -> Option<Self> {
        let Some(ResponseTypes::DebugEvent(debug_event)) = event.response_types else {
            return None;
        };
        Some(Self {
            debug_event: Some(debug_event),
            node_name: event.node_name,
            time: event.time,
        })
    }

    fn stamp(&self) -> (Option<&Timestamp>, &str) {
        (self.time.as_ref(), &self.node_name)
    }

    fn shown(&self, _format: Format) -> Option<Shown> {
        let event = self.debug_event.as_ref()?;
        let kind = value_name(event.r#type, DebugEventType::as_str_name);
        let from = harmless(&endpoint(event.source.as_ref()));
        let none = || "N/A".to_owned();
        let mark = event.hash.map_or_else(none, |mark| format!("0x{mark:x}"));
        let cpu = event.cpu.map_or_else(none, |cpu| format!("{cpu:02}"));
        let message = harmless(&event.message);
        Some(Shown {
            line: format!("{from} {kind} MARK: {mark} CPU: {cpu} ({message})"),
            cells: vec![
                from.clone(),
                String::new(),
                kind.clone(),
                format!("{cpu} {mark}"),
                message.clone(),
            ],
            fields: vec![
                ("TYPE", kind),
                ("FROM", from),
                ("MARK", mark),
                ("CPU", cpu),
                ("MESSAGE", message),
            ],
        })
    }
}

/// By its name, else by its only label if that is a reserved one.
fn endpoint(endpoint: Option<&Endpoint>) -> String {
    let Some(endpoint) = endpoint else {
        return "N/A".into();
    };
    let id = format!("ID: {}", endpoint.id);
    match (endpoint.namespace.as_str(), endpoint.pod_name.as_str()) {
        ("", _) | (_, "") => match endpoint.labels.as_slice() {
            [label] if label.starts_with("reserved:") => format!("{label} ({id})"),
            _ => id,
        },
        (namespace, pod) => format!("{namespace}/{pod} ({id})"),
    }
}
