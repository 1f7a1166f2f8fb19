//! What calls may take of the server at one time, shared out among peers, and
//! the signal that ends streams.
//!
//! Each call has a place from its headers to the end of its answer, the bytes of
//! a message that is not complete are counted, and heavy questions take turns.
//! No peer gets more than its share of anything; a part is kept for root's unix
//! socket. What is refused says which limit it was and what to do, and is counted.

mod ahead;
mod answer;
mod calls;
mod line;
mod methods;
mod pool;
mod request;
mod turns;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::watch;
use tonic::Status;

use crate::{config::Server, listener::Caller};

use ahead::Everybody;
pub use calls::limited;
pub(super) use line::Line;
use methods::Method;
use pool::{Caps, Full, Place, Pool};
pub(super) use turns::Turn;
use turns::{HEAVY, SHORT, Turns};

/// Limits and drain signal that all calls share.
#[derive(Clone, Debug)]
pub struct Limits {
    streams: Pool,
    calls: Pool,
    bytes: Pool,
    /// Answers that are on their way.
    ahead: Everybody,
    turns: Turns,
    /// At what takes some milliseconds: not behind what takes seconds.
    short_turns: Turns,
    message_timeout: Duration,
    refused: Arc<Refused>,
    draining: watch::Receiver<bool>,
}

/// What filters take of memory without being counted: those of most clients are smaller.
const FREE: usize = 32 << 10;

/// Bytes that something holds for as long as it goes on.
#[derive(Debug, Default)]
pub(super) struct Kept(#[expect(dead_code, reason = "is given back when dropped")] Option<Place>);

/// What is taken, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Streams that are open.
    pub streams: (usize, usize),
    /// Other calls that are open.
    pub calls: (usize, usize),
    /// Bytes of messages that are not complete or not read, and of filters.
    pub bytes: (usize, usize),
}

/// Calls that were refused or ended, by cause.
#[derive(Debug, Default)]
struct Refused([AtomicU64; Cause::ALL.len()]);

/// Why a call was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Streams,
    PeersStreams,
    Calls,
    PeersCalls,
    Bytes,
    PeersBytes,
    Late,
}

impl Cause {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Streams, "streams"),
        (Self::PeersStreams, "streams_of_peer"),
        (Self::Calls, "calls"),
        (Self::PeersCalls, "calls_of_peer"),
        (Self::Bytes, "bytes"),
        (Self::PeersBytes, "bytes_of_peer"),
        (Self::Late, "message_timeout"),
    ];
}

impl Limits {
    /// The limits of the configuration; streams end when `draining` becomes true.
    #[must_use]
    pub fn new(config: &Server, draining: watch::Receiver<bool>) -> Self {
        let pool = |all: usize| Pool::new(Caps::shared(all, config.peer_share));
        Self {
            streams: pool(config.max_streams),
            calls: pool(config.max_calls),
            bytes: pool(config.max_pending_bytes),
            ahead: Everybody::default(),
            turns: Turns::new(HEAVY),
            short_turns: Turns::new(SHORT),
            message_timeout: config.message_timeout,
            refused: Arc::default(),
            draining,
        }
    }

    /// A place for one more call, given back when dropped.
    fn admit(&self, caller: &Caller, method: Method) -> Result<Place, Status> {
        let (pool, what, all, share) = match method.is_stream {
            true if *self.draining.borrow() => return Err(shutting_down()),
            true => (
                &self.streams,
                "streams",
                Cause::Streams,
                Cause::PeersStreams,
            ),
            false => (&self.calls, "calls", Cause::Calls, Cause::PeersCalls),
        };
        pool.take(caller, 1).map_err(|full| match full {
            Full::All(most) => self.refuse(
                all,
                format!(
                    "all {most} {what} of this server are in use; close some, try again later, or raise server.max_{what}"
                ),
            ),
            Full::Share(most) => self.refuse(
                share,
                format!(
                    "all {most} {what} that this server has for {} are in use; close some, or raise server.peer_share or server.max_{what}",
                    caller.share()
                ),
            ),
        })
    }

    /// Bytes that wait: of a message that is not complete, or of an answer that
    /// is not read.
    fn hold(&self, caller: &Caller, place: &mut Option<Place>, bytes: usize) -> Result<(), Status> {
        let held = match place {
            Some(place) => place.resize(caller, bytes),
            None if bytes == 0 => Ok(()),
            None => self
                .bytes
                .take(caller, bytes)
                .map(|taken| *place = Some(taken)),
        };
        held.map_err(|full| match full {
            Full::All(most) => self.refuse(
                Cause::Bytes,
                format!(
                    "messages on their way and filters hold all {most} bytes of this server; try again later, or raise server.max_pending_bytes"
                ),
            ),
            Full::Share(most) => self.refuse(
                Cause::PeersBytes,
                format!(
                    "messages on their way and filters hold all {most} bytes that this server has for {}; finish some, or raise server.peer_share or server.max_pending_bytes",
                    caller.share()
                ),
            ),
        })
    }

    /// Bytes that the filters of a stream take until it ends.
    pub(super) fn keep(&self, caller: &Caller, bytes: usize) -> Result<Kept, Status> {
        let mut place = None;
        self.hold(caller, &mut place, bytes.saturating_sub(FREE))?;
        Ok(Kept(place))
    }

    /// What a message ends with that does not come.
    fn late(&self) -> Status {
        self.count(Cause::Late);
        Status::deadline_exceeded(format!(
            "the request was not complete after {:?}; send it sooner, or raise server.message_timeout",
            self.message_timeout
        ))
    }

    fn refuse(&self, cause: Cause, text: String) -> Status {
        self.count(cause);
        tracing::debug!(?cause, "refused: {text}");
        Status::resource_exhausted(text)
    }

    fn count(&self, cause: Cause) {
        self.refused.0[cause as usize].fetch_add(1, Relaxed);
    }

    /// Calls that were refused or ended since the start, by cause.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refused.0.iter().map(|count| count.load(Relaxed));
        Cause::ALL.into_iter().map(|(_, name)| name).zip(counts)
    }

    /// Waits for its turn to work on something heavy. Streams that end meanwhile
    /// give it back by being dropped.
    pub(super) async fn turn(&self, caller: &Caller) -> Turn {
        self.turns.take(caller).await
    }

    /// The same for something that takes some milliseconds of a thread.
    pub(super) async fn short_turn(&self, caller: &Caller) -> Turn {
        self.short_turns.take(caller).await
    }

    /// What calls hold now.
    #[must_use]
    pub fn used(&self) -> Used {
        Used {
            streams: self.streams.used(),
            calls: self.calls.used(),
            bytes: self.bytes.used(),
        }
    }

    /// Completes when streams are to end.
    pub(super) async fn drained(&mut self) {
        // A sender that is gone is as good as a signal.
        let _ = self.draining.wait_for(|draining| *draining).await;
    }
}

/// What a stream ends with at shutdown: clients reconnect on this code alone.
pub(super) fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

#[cfg(test)]
mod tests;
