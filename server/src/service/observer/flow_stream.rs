//! The stream of one GetFlows request: cursor, filter, mask, encode; many
//! responses at once.
//!
//! Pulled by the transport, so a client that does not read costs a cursor and
//! its transport window, and is told what it lost when it reads again.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;
use sextant_proto::flow as pb;
use tokio::{sync::watch, time::Instant};
use tonic::Status;

use super::{
    query::Query,
    wire::{put_flow, put_lost},
};
use crate::{
    envelope::lost_somewhere,
    filter::Overrun,
    flow::Time,
    service::{
        error::RequestError,
        limits::{Limits, shutting_down},
        stream::{
            chunks::{CHUNK, Chunks, ROOMY},
            lapped::{Lapped, Loss},
            position::{End, InRange},
            runs::{EncodedRun, Runs},
            turn::Turn,
        },
    },
    store::{Cursor, Deliveries, Event, Ring, Run, Stamped},
};

/// Least time between two chunks of a stream that has caught up. Where events
/// come in their thousands, each chunk is worth its wake-up and its system call.
const PACE: Duration = Duration::from_millis(4);

/// A stream that sent nothing for so long needs no large buffer.
const IDLE: Duration = Duration::from_secs(1);

/// What the streams of a server have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) limits: Limits,
    /// Between two reports of losses.
    pub(super) lost_interval: Duration,
    pub(super) node_name: String,
    pub(super) deliveries: Deliveries,
    pub(super) runs: Runs,
}

/// A running request.
pub(super) struct FlowStream {
    query: Query,
    cursor: Cursor,
    end: End,
    sent: u64,
    lost: Lapped,
    common: Common,
    published: watch::Receiver<u64>,
    scratch: Vec<u8>,
    chunk: Vec<u8>,
    /// Where the chunk begins: sequence number, and flows sent before; none if
    /// it has more than stored events.
    begin: Option<(u64, u64)>,
    chunks: Chunks,
    /// When the latest chunk was sent.
    sent_at: Instant,
    is_over: bool,
}

impl FlowStream {
    /// Finds the place to begin at.
    pub(super) async fn start(
        mut query: Query,
        ring: &Ring,
        common: Common,
    ) -> Result<Self, Status> {
        // Before the position is taken, so that no wake-up is missed.
        let published = ring.subscribe();
        let selection = &mut query.selection;
        let cursor = query
            .range
            .start(ring, &query.sieve, selection.is_slow(), |event| {
                let Some(flow) = event.as_flow() else {
                    return Ok(false);
                };
                selection.show(flow).map(|shown| shown.is_some())
            })
            .await
            .map_err(RequestError::from)?;
        Ok(Self {
            query,
            cursor,
            end: End::default(),
            sent: 0,
            lost: Lapped::new(common.lost_interval),
            common,
            published,
            scratch: Vec::new(),
            chunk: Vec::new(),
            begin: None,
            chunks: Chunks::default(),
            sent_at: Instant::now(),
            is_over: false,
        })
    }

    /// The next responses, as gRPC messages one behind the other; `None` at the
    /// end, whose status is OK.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        let chunk = self.next_chunk().await;
        self.sent_at = Instant::now();
        chunk
    }

    async fn next_chunk(&mut self) -> Option<Result<Bytes, Status>> {
        let mut turn = Turn::begin();
        while !self.is_over {
            if let Some(lost) = self.lost.due() {
                self.put_lapped(lost);
            }
            if let Some(bytes) = self.encoded_by_another() {
                return Some(Ok(bytes));
            }
            if self.chunk.len() >= CHUNK {
                break;
            }
            let run = match self.look(&turn) {
                Ok(run) => run,
                Err(overrun) => {
                    self.is_over = true;
                    return Some(Err(RequestError::from(overrun).into()));
                }
            };
            match run {
                Run::Events(_) => turn.pass_on().await,
                Run::Lost(count) => {
                    self.common.deliveries.lapped(count);
                    self.lost.add(count);
                    self.begin = None;
                }
                Run::Empty if !self.query.range.follow => self.is_over = true,
                // What there is goes out before we wait for more.
                Run::Empty if !self.chunk.is_empty() => break,
                Run::Empty => {
                    turn.rest();
                    if let Some(end) = self.wait().await {
                        return Some(Err(end));
                    }
                }
            }
        }
        if self.is_over
            && let Some(lost) = self.lost.take()
        {
            self.put_lapped(lost);
        }
        if self.scratch.capacity() > ROOMY {
            self.scratch = Vec::new();
        }
        let chunk = std::mem::take(&mut self.chunk);
        (!chunk.is_empty()).then(|| {
            let bytes = self.chunks.send(chunk);
            self.share(&bytes);
            Ok(bytes)
        })
    }

    /// Keeps a chunk for streams that will stand where it began.
    fn share(&mut self, bytes: &Bytes) {
        if let Some((from, sent)) = self.begin.take()
            && self.query.is_plain()
        {
            self.common.runs.keep(EncodedRun {
                mask: self.query.mask.clone(),
                from,
                to: self.cursor.seq(),
                delivered: self.sent - sent,
                bytes: bytes.clone(),
            });
        }
    }

    /// What another stream has encoded from here on, where all is sent.
    fn encoded_by_another(&mut self) -> Option<Bytes> {
        if !self.query.is_plain() || !self.chunk.is_empty() || self.cursor.overtaken() > 0 {
            return None;
        }
        let run = self
            .common
            .runs
            .find(self.query.mask.as_deref(), self.cursor.seq())?;
        self.cursor.move_to(run.to);
        self.common
            .deliveries
            .read(run.to - run.from, run.delivered);
        self.sent += run.delivered;
        Some(run.bytes)
    }

    /// Looks at a run of events and puts what is wanted of them into the chunk.
    /// Ends early where judging takes the whole turn.
    fn look(&mut self, turn: &Turn) -> Result<Run, Overrun> {
        if self.chunk.is_empty() {
            self.begin = Some((self.cursor.seq(), self.sent));
        }
        let Query {
            range,
            selection,
            sieve,
            mask,
            kept: _,
        } = &mut self.query;
        let limit = range.limit();
        let is_slow = selection.is_slow();
        let (mut is_late, mut overrun) = (false, None);
        let (chunk, scratch) = (&mut self.chunk, &mut self.scratch);
        let chunks = &self.chunks;
        let (sent, is_over) = (&mut self.sent, &mut self.is_over);
        let before = *sent;
        let end_is_far = self.end.is_far(&self.cursor);
        let mut is_after = false;
        let run = self.cursor.run(sieve, |_, event| {
            match event {
                // A loss is for everyone: no filter, no range, no counting.
                Event::Lost(lost) => put_lost(&lost_somewhere(lost, &self.common.node_name), chunk),
                _ => match range.place(event) {
                    InRange::After => is_after = !end_is_far,
                    InRange::Before => {}
                    InRange::Within => {
                        let Event::Flow(flow) = event else {
                            return ControlFlow::Continue(());
                        };
                        let shown = selection.show(flow).unwrap_or_else(|error| {
                            overrun = Some(error);
                            None
                        });
                        is_late = is_slow && turn.is_over();
                        if let Some(flow) = shown {
                            if chunk.capacity() == 0 {
                                *chunk = chunks.take();
                            }
                            put_flow(&flow, mask.as_deref(), scratch, chunk);
                            *sent += 1;
                            *is_over = limit.is_some_and(|limit| *sent >= limit);
                        }
                    }
                },
            }
            if *is_over || is_after || is_late || overrun.is_some() || chunk.len() >= CHUNK {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if is_after && self.end.is_here(&self.cursor, range.until) {
            *is_over = true;
        }
        if let Run::Events(seen) = run {
            self.common.deliveries.read(seen, *sent - before);
        }
        match overrun {
            Some(overrun) => Err(overrun),
            None => Ok(run),
        }
    }

    /// Waits for new events; the status to end with when there will be none.
    /// Soon after a chunk it lets more of them come together; long after one it
    /// gives its buffer back.
    async fn wait(&mut self) -> Option<Status> {
        let lost_due = self.lost.deadline();
        let pause = self.sent_at + PACE;
        tokio::select! {
            changed = changed_after(&mut self.published, pause) => {
                changed.err().map(|_| shutting_down())
            }
            () = self.common.limits.drained() => Some(shutting_down()),
            () = tokio::time::sleep_until(lost_due.unwrap_or_else(Instant::now)), if lost_due.is_some() => None,
            () = tokio::time::sleep_until(self.sent_at + IDLE), if self.chunks.is_spare_large() => {
                self.chunks.release();
                None
            }
        }
    }

    /// Tells of events that this reader was too slow for.
    fn put_lapped(&mut self, lost: Loss) {
        let message = Stamped {
            time: Some(Time::now()),
            node_name: self.common.node_name.clone(),
            event: pb::LostEvent {
                source: pb::LostEventSource::HubbleRingBuffer.into(),
                num_events_lost: lost.count,
                cpu: None,
                first: Some(lost.first.into()),
                last: Some(lost.last.into()),
            },
        };
        put_lost(&message, &mut self.chunk);
        self.begin = None;
    }
}

/// Waits for a change, and on until `pause`.
async fn changed_after(
    published: &mut watch::Receiver<u64>,
    pause: Instant,
) -> Result<(), watch::error::RecvError> {
    published.changed().await?;
    tokio::time::sleep_until(pause).await;
    Ok(())
}

/// A client that left without reading on lost what it was overtaken by; one that
/// has all it asked for lost nothing.
impl Drop for FlowStream {
    fn drop(&mut self) {
        if !self.is_over {
            self.common.deliveries.lapped(self.cursor.overtaken());
        }
    }
}
