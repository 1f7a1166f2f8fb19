//! The stream of one GetFlows request: cursor, filter, mask, encode; many
//! responses at once.
//!
//! Pulled by the transport, so a client that does not read costs a cursor and
//! its transport window, and is told what it lost when it reads again.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;
use sextant_proto::{flow as pb, observer::GetFlowsRequest};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};
use tonic::Status;

use super::{
    deliveries::Deliveries,
    limits::{Limits, shutting_down},
    mask::Mask,
    position::{InRange, Range},
    status::{RequestError, check_time},
    wire::{put_flow, put_lost},
};
use crate::{
    filter::Filters,
    flow::Time,
    store::{Cursor, Event, Ring, Run, Stamped},
};

/// Events looked at before others get a turn.
const TURN: u64 = 4096;
/// Bytes collected before they are sent.
const CHUNK: usize = 64 << 10;
/// Room for the first responses of a stream.
const SMALL_CHUNK: usize = 2 << 10;

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
    deliveries: Deliveries,
    scratch: Vec<u8>,
    chunk: Vec<u8>,
    /// Length of the chunk before, for the room that the next one is given.
    last_chunk: usize,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl FlowStream {
    /// Finds the place to begin at.
    pub(super) async fn start(
        mut query: Query,
        ring: &Ring,
        limits: Limits,
        lost_interval: Duration,
        node_name: String,
        deliveries: Deliveries,
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
            deliveries,
            scratch: Vec::new(),
            chunk: Vec::new(),
            last_chunk: 0,
            is_over: false,
            _place: place,
        })
    }

    /// The next responses, as gRPC messages one behind the other; `None` at the
    /// end, whose status is OK.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        let mut turn = TURN;
        while !self.is_over {
            if let Some(lost) = self.lost.due() {
                self.put_lapped(lost);
            }
            if self.chunk.len() >= CHUNK {
                break;
            }
            match self.look() {
                Run::Events(seen) => turn = turn.saturating_sub(seen),
                Run::Lost(count) => {
                    self.deliveries.lapped(count);
                    self.lost.add(count);
                }
                Run::Empty if !self.query.range.follow => self.is_over = true,
                // What there is goes out before we wait for more.
                Run::Empty if !self.chunk.is_empty() => break,
                Run::Empty => {
                    if let Some(end) = self.wait().await {
                        return Some(Err(end));
                    }
                }
            }
            if turn == 0 {
                turn = TURN;
                tokio::task::yield_now().await;
            }
        }
        if self.is_over
            && let Some(lost) = self.lost.take()
        {
            self.put_lapped(lost);
        }
        (!self.chunk.is_empty()).then(|| {
            self.last_chunk = self.chunk.len();
            Ok(std::mem::take(&mut self.chunk).into())
        })
    }

    /// Looks at a run of events and puts what is wanted of them into the chunk.
    fn look(&mut self) -> Run {
        if self.chunk.capacity() == 0 {
            // A stream that was behind will be so again; one that follows sends little.
            let room = self.last_chunk.clamp(SMALL_CHUNK, CHUNK) * 5 / 4;
            self.chunk.reserve(room);
        }
        let Query {
            range,
            filters,
            mask,
        } = &mut self.query;
        let limit = range.limit();
        let (chunk, scratch) = (&mut self.chunk, &mut self.scratch);
        let (sent, is_over) = (&mut self.sent, &mut self.is_over);
        let before = *sent;
        let run = self.cursor.run(|event| {
            match event {
                // A loss is for everyone: no filter, no range, no counting.
                Event::Lost(lost) => put_lost(&lost_here(lost, &self.node_name), chunk),
                _ => match range.place(event) {
                    InRange::After => *is_over = true,
                    InRange::Before => {}
                    InRange::Within => {
                        if let Event::Flow(flow) = event
                            && filters.matches(flow)
                        {
                            put_flow(flow, mask.as_ref(), scratch, chunk);
                            *sent += 1;
                            *is_over = limit.is_some_and(|limit| *sent >= limit);
                        }
                    }
                },
            }
            if *is_over || chunk.len() >= CHUNK {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Run::Events(seen) = run {
            self.deliveries.read(seen, *sent - before);
        }
        run
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

    /// Tells of events that this reader was too slow for.
    fn put_lapped(&mut self, lost: Loss) {
        let message = Stamped {
            time: Some(Time::now()),
            node_name: self.node_name.clone(),
            event: pb::LostEvent {
                source: pb::LostEventSource::HubbleRingBuffer.into(),
                num_events_lost: lost.count,
                cpu: None,
                first: Some(lost.first.into()),
                last: Some(lost.last.into()),
            },
        };
        put_lost(&message, &mut self.chunk);
    }
}

/// A client that left without reading on lost what it was overtaken by.
impl Drop for FlowStream {
    fn drop(&mut self) {
        self.deliveries.lapped(self.cursor.overtaken());
    }
}

/// A loss that was stored, under this server's name.
fn lost_here(lost: &Stamped<pb::LostEvent>, node_name: &str) -> Stamped<pb::LostEvent> {
    Stamped {
        node_name: node_name.to_owned(),
        ..lost.clone()
    }
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
