//! The streams of agent and debug events: as flows, without filters and masks.

use sextant_proto::{flow as pb, observer as api};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    flow::{Time, sketch::Sieve},
    service::{
        error::{RequestError, check_time},
        limits::{Limits, shutting_down},
        stream::position::{End, InRange, Range},
    },
    store::{Cursor, Event, Read, Ring},
};

/// Events looked at before others get a turn.
const TURN: u32 = 1024;

/// What the two requests have in common.
pub(super) struct EventQuery {
    pub(super) number: u64,
    pub(super) first: bool,
    pub(super) follow: bool,
    pub(super) since: Option<prost_types::Timestamp>,
    pub(super) until: Option<prost_types::Timestamp>,
}

impl EventQuery {
    fn range(&self) -> Result<Range, RequestError> {
        if self.first && self.follow {
            return Err(RequestError::FirstWithFollow);
        }
        check_time(self.since.as_ref())?;
        check_time(self.until.as_ref())?;
        Ok(Range {
            number: self.number,
            first: self.first,
            follow: self.follow,
            since: self.since.map(Into::into),
            until: self.until.map(Into::into),
        })
    }
}

/// A kind of event that has a response of its own.
pub(super) trait Kind: Sized {
    /// The response, if the event is of this kind.
    fn response(event: &Event) -> Option<Self>;
}

impl Kind for api::GetAgentEventsResponse {
    fn response(event: &Event) -> Option<Self> {
        match event {
            Event::Agent(agent) => Some(Self {
                agent_event: Some(pb::AgentEvent::clone(&agent.event)),
                node_name: agent.node_name.clone(),
                time: agent.time.map(Time::into),
            }),
            _ => None,
        }
    }
}

impl Kind for api::GetDebugEventsResponse {
    fn response(event: &Event) -> Option<Self> {
        match event {
            Event::Debug(debug) => Some(Self {
                debug_event: Some(pb::DebugEvent::clone(&debug.event)),
                node_name: debug.node_name.clone(),
                time: debug.time.map(Time::into),
            }),
            _ => None,
        }
    }
}

/// A running request.
pub(super) struct EventStream {
    range: Range,
    cursor: Cursor,
    end: End,
    sent: u64,
    published: watch::Receiver<u64>,
    limits: Limits,
}

impl EventStream {
    /// Finds the place to begin at: `number` counts events of this kind.
    pub(super) async fn start<T: Kind>(
        query: &EventQuery,
        ring: &Ring,
        limits: Limits,
    ) -> Result<Self, Status> {
        let range = query.range()?;
        let published = ring.subscribe();
        let cursor = range
            .start(ring, &Sieve::default(), false, |event| {
                Ok::<_, Status>(T::response(event).is_some())
            })
            .await?;
        Ok(Self {
            range,
            cursor,
            end: End::default(),
            sent: 0,
            published,
            limits,
        })
    }

    /// The next response; `None` at the end.
    pub(super) async fn next<T: Kind>(&mut self) -> Option<Result<T, Status>> {
        let mut turn = TURN;
        loop {
            if self.range.limit().is_some_and(|limit| self.sent >= limit) {
                return None;
            }
            let range = self.range;
            match self
                .cursor
                .next(|event| (range.place(event), T::response(event)))
            {
                Read::Event((InRange::After, _)) if self.end.is_here(&self.cursor, range.until) => {
                    return None;
                }
                Read::Event((InRange::Within, Some(response))) => {
                    self.sent += 1;
                    return Some(Ok(response));
                }
                Read::Event(_) | Read::Lost(_) => {}
                Read::Empty if self.range.follow => tokio::select! {
                    changed = self.published.changed() => if changed.is_err() {
                        return Some(Err(shutting_down()));
                    },
                    () = self.limits.drained() => return Some(Err(shutting_down())),
                },
                Read::Empty => return None,
            }
            turn -= 1;
            if turn == 0 {
                turn = TURN;
                tokio::task::yield_now().await;
            }
        }
    }
}
