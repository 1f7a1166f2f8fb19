//! Agent events as text: their kind, and what it is about.

use std::fmt::Write as _;

use prost_types::Timestamp;
use sextant_proto::{
    flow::{
        AgentEvent, AgentEventType, EndpointRegenNotification, EndpointUpdateNotification,
        IpCacheNotification, ServiceUpsertNotification, ServiceUpsertNotificationAddr,
        agent_event::Notification,
    },
    observer::{ExportEvent, GetAgentEventsResponse, export_event::ResponseTypes},
};

use super::events::{Event, Shown};
use crate::{
    text::{harmless, value_name},
    time::Format,
};

impl Event for GetAgentEventsResponse {
    const RESPONSE: &'static str = "observer.GetAgentEventsResponse";
    const HEAD: &'static [&'static str] = &["TYPE", "DETAILS"];

    fn of(event: ExportEvent) -> Option<Self> {
        let Some(ResponseTypes::AgentEvent(agent_event)) = event.response_types else {
            return None;
        };
        Some(Self {
            agent_event: Some(agent_event),
            node_name: event.node_name,
            time: event.time,
        })
    }

    fn stamp(&self) -> (Option<&Timestamp>, &str) {
        (self.time.as_ref(), &self.node_name)
    }

    fn shown(&self, format: Format) -> Option<Shown> {
        let event = self.agent_event.as_ref()?;
        let kind = value_name(event.r#type, AgentEventType::as_str_name);
        let details = details(event, format).unwrap_or_else(|| "UNKNOWN".into());
        let details = harmless(&details);
        Some(Shown {
            line: format!("{kind} ({details})"),
            fields: vec![("TYPE", kind.clone()), ("DETAILS", details.clone())],
            cells: vec![kind, details],
        })
    }
}

/// What the event is about; nothing where kind and notification do not go together.
#[expect(deprecated, reason = "older agents tell of services")]
fn details(event: &AgentEvent, format: Format) -> Option<String> {
    use AgentEventType as Kind;
    let kind = AgentEventType::try_from(event.r#type).ok()?;
    match (kind, event.notification.as_ref()?) {
        (Kind::AgentEventUnknown, Notification::Unknown(unknown)) => Some(format!(
            "type: {}, notification: {}",
            unknown.r#type, unknown.notification
        )),
        (Kind::AgentStarted, Notification::AgentStart(start)) => {
            Some(format!("start time: {}", format.print(start.time.as_ref())))
        }
        (Kind::PolicyUpdated | Kind::PolicyDeleted, Notification::PolicyUpdate(policy)) => {
            Some(format!(
                "labels: [{}], revision: {}, count: {}",
                policy.labels.join(","),
                policy.revision,
                policy.rule_count
            ))
        }
        (
            Kind::EndpointRegenerateSuccess | Kind::EndpointRegenerateFailure,
            Notification::EndpointRegenerate(endpoint),
        ) => Some(regeneration(endpoint)),
        (Kind::EndpointCreated | Kind::EndpointDeleted, Notification::EndpointUpdate(endpoint)) => {
            Some(endpoint_update(endpoint))
        }
        (Kind::IpcacheUpserted | Kind::IpcacheDeleted, Notification::IpcacheUpdate(update)) => {
            Some(ipcache(update))
        }
        (Kind::ServiceUpserted, Notification::ServiceUpsert(service)) => {
            Some(service_upsert(service))
        }
        (Kind::ServiceDeleted, Notification::ServiceDelete(service)) => {
            Some(format!("id: {}", service.id))
        }
        _ => None,
    }
}

fn regeneration(endpoint: &EndpointRegenNotification) -> String {
    let mut text = format!(
        "id: {}, labels: [{}]",
        endpoint.id,
        endpoint.labels.join(",")
    );
    add(&mut text, "error", &endpoint.error);
    text
}

fn endpoint_update(endpoint: &EndpointUpdateNotification) -> String {
    let mut text = format!("id: {}", endpoint.id);
    add(&mut text, "namespace", &endpoint.namespace);
    add(&mut text, "pod name", &endpoint.pod_name);
    text
}

fn ipcache(update: &IpCacheNotification) -> String {
    let mut text = format!("cidr: {}, identity: {}", update.cidr, update.identity);
    if let Some(identity) = update.old_identity {
        let _ = write!(text, ", old identity: {identity}");
    }
    add(&mut text, "host ip", &update.host_ip);
    add(&mut text, "old host ip", &update.old_host_ip);
    let _ = write!(text, ", encrypt key: {}", update.encrypt_key);
    text
}

#[expect(deprecated, reason = "older agents tell of services")]
fn service_upsert(service: &ServiceUpsertNotification) -> String {
    let mut text = format!("id: {}", service.id);
    if let Some(frontend) = &service.frontend_address {
        add(&mut text, "frontend", &address(frontend));
    }
    if !service.backend_addresses.is_empty() {
        let backends: Vec<String> = service.backend_addresses.iter().map(address).collect();
        let _ = write!(text, ", backends: [{}]", backends.join(","));
    }
    add(&mut text, "type", &service.r#type);
    add(&mut text, "traffic policy", &service.traffic_policy);
    add(&mut text, "namespace", &service.namespace);
    add(&mut text, "name", &service.name);
    text
}

fn address(address: &ServiceUpsertNotificationAddr) -> String {
    match address.ip.contains(':') {
        true => format!("[{}]:{}", address.ip, address.port),
        false => format!("{}:{}", address.ip, address.port),
    }
}

/// What is empty is left out.
fn add(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = write!(text, ", {name}: {value}");
    }
}
