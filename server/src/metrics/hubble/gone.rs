//! Endpoints that are gone, until their series are removed.
//!
//! Hubble waits a minute, so that a last scrape finds what was counted. Bound: `MOST`
//! of them; the oldest of more is not waited for.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use sextant_proto::flow::{
    AgentEvent, AgentEventType, EndpointUpdateNotification, agent_event::Notification,
};

/// Between the end of an endpoint and that of its series.
const GRACE: Duration = Duration::from_secs(60);
/// Endpoints that wait.
const MOST: usize = 65_536;

/// Namespace and name.
pub(super) type Named = (String, String);

/// Those that wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Gone(VecDeque<(Instant, Named)>);

impl Gone {
    /// Takes note of what an event says of an endpoint.
    pub(super) fn hear(&mut self, event: &AgentEvent, now: Instant) {
        let Some(Notification::EndpointUpdate(endpoint)) = &event.notification else {
            return;
        };
        let EndpointUpdateNotification {
            namespace,
            pod_name,
            ..
        } = endpoint;
        match event.r#type() {
            AgentEventType::EndpointDeleted => {
                self.leave((namespace.clone(), pod_name.clone()), now)
            }
            AgentEventType::EndpointCreated => self.come_back((namespace, pod_name)),
            _ => {}
        }
    }

    /// One is gone.
    pub(super) fn leave(&mut self, named: Named, now: Instant) {
        self.0.push_back((now + GRACE, named));
    }

    /// One is back under its name, and goes on.
    pub(super) fn come_back(&mut self, (namespace, name): (&str, &str)) {
        self.0
            .retain(|(_, (space, known))| (space.as_str(), known.as_str()) != (namespace, name));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.front().map(|(due, _)| *due)
    }

    /// All that are due.
    pub(super) fn due(&mut self, now: Instant) -> HashSet<Named> {
        let over = self.0.len().saturating_sub(MOST);
        let due = self.0.partition_point(|(due, _)| *due <= now);
        let due = self.0.drain(..due.max(over));
        due.map(|(_, named)| named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: AgentEventType, name: &str) -> AgentEvent {
        AgentEvent {
            r#type: kind.into(),
            notification: Some(Notification::EndpointUpdate(EndpointUpdateNotification {
                namespace: "shop".into(),
                pod_name: name.into(),
                ..EndpointUpdateNotification::default()
            })),
        }
    }

    #[test]
    fn one_that_is_gone_for_a_minute_is_due_unless_it_came_back() {
        let (mut gone, now) = (Gone::default(), Instant::now());
        for name in ["web", "db"] {
            gone.hear(&event(AgentEventType::EndpointDeleted, name), now);
        }
        gone.hear(&event(AgentEventType::EndpointCreated, "web"), now);
        assert_eq!(gone.due(now + GRACE / 2), HashSet::new());
        let due = gone.due(now + GRACE);
        assert_eq!(due, HashSet::from([("shop".into(), "db".into())]));
        assert_eq!((gone.due(now + GRACE).len(), gone.next()), (0, None));
    }

    #[test]
    fn of_too_many_the_oldest_are_not_waited_for() {
        let (mut gone, now) = (Gone::default(), Instant::now());
        for number in 0..=MOST {
            let name = number.to_string();
            gone.hear(&event(AgentEventType::EndpointDeleted, &name), now);
        }
        let due = HashSet::from([("shop".into(), "0".into())]);
        assert_eq!(gone.due(now), due);
        assert_eq!(gone.due(now), HashSet::new());
    }
}
