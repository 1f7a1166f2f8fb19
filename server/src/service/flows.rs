//! The stream of one GetFlows request: cursor, filter, mask, encode.
//!
//! Pulled by the transport, so a client that does not read costs a cursor and
//! its transport window, and is told what it lost when it reads again.

use std::time::Duration;

use sextant_proto::{flow as pb, observer::GetFlowsRequest};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};
use tonic::Status;

use super::{
    limits::{Limits, shutting_down},
    mask::Mask,
    position::{InRange, Range},
    status::{RequestError, check_time},
    wire::Encoded,
};
use crate::{
    filter::Filters,
    flow::Time,
    store::{Cursor, Event, Read, Ring, Stamped},
};

/// Events looked at before others get a turn.
const TURN: u32 = 1024;

/// A request that was checked and compiled.
pub(super) struct Query {
    range: Range,
    filters: Filters,
    mask: Option<Mask>,
}

impl Query {
    /// Checks in Hubble's order; the first mistake is the answer.
    pub(super) fn compile(request: GetFlowsRequest) -> Result<Self, RequestError> {
        if request.first && request.follow {
            return Err(RequestError::FirstWithFollow);
        }
        let filters = Filters::compile(&request.whitelist, &request.blacklist)?;
        check_time(request.since.as_ref())?;
        check_time(request.until.as_ref())?;
        let paths = request
            .field_mask
            .map(|mask| mask.paths)
            .unwrap_or_default();
        Ok(Self {
            range: Range {
                number: request.number,
                first: request.first,
                follow: request.follow,
                since: request.since.map(Into::into),
                until: request.until.map(Into::into),
            },
            filters,
            mask: Mask::compile(&paths)?,
        })
    }
}

/// A running request.
pub(super) struct FlowStream {
    query: Query,
    cursor: Cursor,
    sent: u64,
    lost: Lapped,
    node_name: String,
    published: watch::Receiver<u64>,
    limits: Limits,
    scratch: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

/// What to do after a look at the ring.
enum Next {
    Send(Encoded),
    Skip,
    Lost(u64),
    Wait,
    End,
}

impl FlowStream {
    /// Finds the place to begin at.
    pub(super) async fn start(
        mut query: Query,
        ring: &Ring,
        limits: Limits,
        lost_interval: Duration,
        node_name: String,
    ) -> Result<Self, Status> {
        let place = limits.admit()?;
        // Before the position is taken, so that no wake-up is missed.
        let published = ring.subscribe();
        let filters = &mut query.filters;
        let cursor = query
            .range
            .start(ring, |event| {
                event.as_flow().is_some_and(|flow| filters.matches(flow))
            })
            .await;
        Ok(Self {
            query,
            cursor,
            sent: 0,
            lost: Lapped::new(lost_interval),
            node_name,
            published,
            limits,
            scratch: Vec::new(),
            _place: place,
        })
    }

    /// The next response; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Encoded, Status>> {
        let mut turn = TURN;
        loop {
            if let Some(lost) = self.lost.due() {
                return Some(Ok(self.lapped(lost)));
            }
            match self.look() {
                Next::Send(response) => return Some(Ok(response)),
                Next::Skip => {}
                Next::Lost(count) => self.lost.add(count),
                Next::End => return self.lost.take().map(|lost| Ok(self.lapped(lost))),
                Next::Wait => {
                    if let Some(end) = self.wait().await {
                        return Some(Err(end));
                    }
                }
            }
            turn -= 1;
            if turn == 0 {
                turn = TURN;
                tokio::task::yield_now().await;
            }
        }
    }

    fn look(&mut self) -> Next {
        if self
            .query
            .range
            .limit()
            .is_some_and(|limit| self.sent >= limit)
        {
            return Next::End;
        }
        let Query {
            range,
            filters,
            mask,
        } = &mut self.query;
        let (scratch, node_name) = (&mut self.scratch, &self.node_name);
        let read = self.cursor.next(|event| match event {
            // A loss is for everyone: no filter, no range, no counting.
            Event::Lost(lost) => (Next::Send(lost_here(lost, node_name)), false),
            _ if range.place(event) == InRange::After => (Next::End, false),
            _ if range.place(event) == InRange::Before => (Next::Skip, false),
            Event::Flow(flow) if filters.matches(flow) => {
                let response = Encoded::flow(flow, mask.as_ref(), scratch);
                (Next::Send(response), true)
            }
            Event::Flow(_) | Event::Agent(_) | Event::Debug(_) => (Next::Skip, false),
        });
        match read {
            Read::Event((next, counted)) => {
                self.sent += u64::from(counted);
                next
            }
            Read::Lost(count) => Next::Lost(count),
            Read::Empty if self.query.range.follow => Next::Wait,
            Read::Empty => Next::End,
        }
    }

    /// Waits for new events; the status to end with when there will be none.
    async fn wait(&mut self) -> Option<Status> {
        let lost_due = self.lost.deadline();
        tokio::select! {
            changed = self.published.changed() => changed.err().map(|_| shutting_down()),
            () = self.limits.drained() => Some(shutting_down()),
            () = tokio::time::sleep_until(lost_due.unwrap_or_else(Instant::now)), if lost_due.is_some() => None,
        }
    }

    /// The message for events that this reader was too slow for.
    fn lapped(&self, lost: Loss) -> Encoded {
        Encoded::lost(&Stamped {
            time: Some(Time::now()),
            node_name: self.node_name.clone(),
            event: pb::LostEvent {
                source: pb::LostEventSource::HubbleRingBuffer.into(),
                num_events_lost: lost.count,
                cpu: None,
                first: Some(lost.first.into()),
                last: Some(lost.last.into()),
            },
        })
    }
}

/// A loss that was stored, under this server's name.
fn lost_here(lost: &Stamped<pb::LostEvent>, node_name: &str) -> Encoded {
    Encoded::lost(&Stamped {
        node_name: node_name.to_owned(),
        ..lost.clone()
    })
}

/// Losses not yet told.
#[derive(Clone, Copy)]
struct Loss {
    count: u64,
    first: Time,
    last: Time,
    since: Instant,
}

/// Collects losses, so that they are told at most once in an interval.
struct Lapped {
    interval: Duration,
    pending: Option<Loss>,
}

impl Lapped {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            pending: None,
        }
    }

    fn add(&mut self, count: u64) {
        let now = Time::now();
        let loss = self.pending.get_or_insert(Loss {
            count: 0,
            first: now,
            last: now,
            since: Instant::now(),
        });
        loss.count += count;
        loss.last = now;
    }

    fn deadline(&self) -> Option<Instant> {
        self.pending.map(|loss| loss.since + self.interval)
    }

    fn due(&mut self) -> Option<Loss> {
        let due = self.deadline().is_some_and(|at| at <= Instant::now());
        if due { self.take() } else { None }
    }

    fn take(&mut self) -> Option<Loss> {
        self.pending.take()
    }
}
