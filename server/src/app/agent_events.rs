//! What Hubble tells of an agent: that it started, and endpoints of this host that come and
//! go: of the inventory with a new configuration, pods, units and containers.

use std::collections::BTreeMap;

use sextant_proto::flow::{
    AgentEvent, AgentEventType, EndpointUpdateNotification, TimeNotification,
    agent_event::Notification,
};

use crate::{config::Endpoint, flow::Time, identity::News};

/// The daemon started now.
pub(super) fn started() -> AgentEvent {
    let now = TimeNotification {
        time: Some(Time::now().into()),
    };
    AgentEvent {
        r#type: AgentEventType::AgentStarted.into(),
        notification: Some(Notification::AgentStart(now)),
    }
}

/// What is to be told where the one inventory takes the place of the other.
pub(super) fn changes(before: &[Endpoint], after: &[Endpoint]) -> Vec<AgentEvent> {
    let (before, after) = (by_name(before), by_name(after));
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let gone = gone.map(|(_, endpoint)| event(AgentEventType::EndpointDeleted, endpoint));
    let new = after.iter().filter(|(name, _)| !before.contains_key(*name));
    let new = new.map(|(_, endpoint)| event(AgentEventType::EndpointCreated, endpoint));
    gone.chain(new).collect()
}

/// An endpoint that was found came or went.
pub(super) fn of(
    News {
        endpoint, is_gone, ..
    }: News,
) -> AgentEvent {
    let kind = match is_gone {
        true => AgentEventType::EndpointDeleted,
        false => AgentEventType::EndpointCreated,
    };
    let endpoint = EndpointUpdateNotification {
        id: endpoint.id.into(),
        pod_name: endpoint.pod_name,
        namespace: endpoint.namespace,
        labels: endpoint.labels,
        ..EndpointUpdateNotification::default()
    };
    AgentEvent {
        r#type: kind.into(),
        notification: Some(Notification::EndpointUpdate(endpoint)),
    }
}

fn by_name(endpoints: &[Endpoint]) -> BTreeMap<(&str, &str), &Endpoint> {
    let named = endpoints
        .iter()
        .filter(|endpoint| !endpoint.name.is_empty());
    named
        .map(|endpoint| {
            (
                (endpoint.namespace.as_str(), endpoint.name.as_str()),
                endpoint,
            )
        })
        .collect()
}

fn event(kind: AgentEventType, endpoint: &Endpoint) -> AgentEvent {
    AgentEvent {
        r#type: kind.into(),
        notification: Some(Notification::EndpointUpdate(EndpointUpdateNotification {
            pod_name: endpoint.name.clone(),
            namespace: endpoint.namespace.clone(),
            labels: endpoint.labels.clone(),
            ..EndpointUpdateNotification::default()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_come_or_go_are_told() {
        let endpoint = |namespace: &str, name: &str, label: &str| Endpoint {
            namespace: namespace.into(),
            name: name.into(),
            labels: vec![label.into()],
            ..Endpoint::default()
        };
        let before = [
            endpoint("shop", "web", "a=1"),
            endpoint("shop", "db", "a=1"),
            endpoint("", "", "range=1"),
        ];
        let after = [endpoint("shop", "web", "a=2"), endpoint("new", "db", "a=1")];
        let told: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|event| {
                let kind = event.r#type();
                match event.notification {
                    Some(Notification::EndpointUpdate(is)) => (kind, is.namespace, is.pod_name),
                    _ => (kind, String::new(), String::new()),
                }
            })
            .collect();
        let expected = [
            (AgentEventType::EndpointDeleted, "shop".into(), "db".into()),
            (AgentEventType::EndpointCreated, "new".into(), "db".into()),
        ];
        assert_eq!(told, expected);
    }
}
