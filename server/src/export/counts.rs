//! What became of the events that an exporter read. It counts; status and metrics read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use super::setting::Setting;
use crate::{flow::Time, store::Ring};

/// Counters of an exporter; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Counts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    ring: Ring,
    /// Sequence number of the next event that it reads.
    position: AtomicU64,
    /// Events that were read and are not written.
    held: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    filtered: AtomicU64,
    retries: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    standing: Mutex<Standing>,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    kind: &'static str,
    target: String,
    end: Option<Time>,
    is_failing: bool,
    last_error: Option<(SystemTime, String)>,
    last_drop: Option<SystemTime>,
}

/// Why an event was not exported though it was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Overwritten in the store before it was read.
    Lapped,
    /// A line that Hubble cannot read back, for its length.
    TooLong,
    /// Where it was sent it was not wanted.
    Refused,
    /// Filters took too much to judge it.
    Unjudged,
    /// Still not written when the exporter ended.
    Unwritten,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lapped,
        Self::TooLong,
        Self::Refused,
        Self::Unjudged,
        Self::Unwritten,
    ];

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lapped => "lapped",
            Self::TooLong => "too_long",
            Self::Refused => "refused",
            Self::Unjudged => "unjudged",
            Self::Unwritten => "unwritten",
        }
    }
}

/// An exporter at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What it is called.
    pub name: String,
    /// `file`, `http`, `otlp_logs`, `otlp_metrics` or `otlp_traces`.
    pub kind: &'static str,
    /// Where it writes.
    pub target: String,
    /// Whether what is written last was, and nothing is tried again.
    pub is_up: bool,
    /// Whether its `end` has passed: it exports nothing new.
    pub is_over: bool,
    /// Events that were written.
    pub sent: u64,
    /// Bytes of their lines.
    pub sent_bytes: u64,
    /// Events that lists leave out.
    pub filtered: u64,
    /// Writes that were tried again.
    pub retries: u64,
    /// Events that were dropped, as `Dropped::ALL`.
    pub dropped: [u64; Dropped::ALL.len()],
    /// Stored events that it has not read or not written yet.
    pub lag: u64,
    /// When something went wrong last, and what.
    pub last_error: Option<(SystemTime, String)>,
    /// When an event was dropped last.
    pub last_drop: Option<SystemTime>,
}

impl Counts {
    pub(super) fn new(name: String, ring: Ring, position: u64) -> Self {
        Self(Arc::new(Inner {
            name,
            ring,
            position: position.into(),
            held: 0.into(),
            sent: 0.into(),
            sent_bytes: 0.into(),
            filtered: 0.into(),
            retries: 0.into(),
            dropped: Default::default(),
            standing: Mutex::default(),
        }))
    }

    pub(super) fn move_to(&self, position: u64) {
        self.0.position.store(position, Relaxed);
    }

    /// So many events were read and are not written.
    pub(super) fn hold(&self, events: usize) {
        self.0.held.store(events as u64, Relaxed);
    }

    /// So many events of so many bytes are done with, some of them refused.
    pub(super) fn finish(&self, events: usize, refused: usize, bytes: u64) {
        let sent = events - refused;
        if sent > 0 {
            self.0.sent.fetch_add(sent as u64, Relaxed);
            self.0.sent_bytes.fetch_add(bytes, Relaxed);
        }
        if refused > 0 {
            self.drop_events(Dropped::Refused, refused as u64);
        }
    }

    pub(super) fn filter(&self, events: u64) {
        self.0.filtered.fetch_add(events, Relaxed);
    }

    pub(super) fn drop_events(&self, why: Dropped, events: u64) {
        self.0.dropped[why as usize].fetch_add(events, Relaxed);
        self.lock().last_drop = Some(SystemTime::now());
    }

    /// Where it writes from now on, and until when.
    pub(super) fn aim(&self, setting: &Setting) {
        let mut standing = self.lock();
        standing.kind = setting.target.kind();
        standing.target = setting.target.shown();
        standing.end = setting.selected.end;
    }

    /// It could not write, and tries again; whether that is new.
    pub(super) fn fail(&self, error: String) -> bool {
        self.0.retries.fetch_add(1, Relaxed);
        let mut standing = self.lock();
        standing.last_error = Some((SystemTime::now(), error));
        !std::mem::replace(&mut standing.is_failing, true)
    }

    /// Something went wrong that keeps it from nothing.
    pub(super) fn complain(&self, error: String) {
        self.lock().last_error = Some((SystemTime::now(), error));
    }

    /// It wrote; whether it could not before.
    pub(super) fn recover(&self) -> bool {
        std::mem::replace(&mut self.lock().is_failing, false)
    }

    pub(super) fn state(&self) -> State {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let position = of(&self.0.position);
        let standing = self.lock().clone();
        State {
            name: self.0.name.clone(),
            kind: standing.kind,
            target: standing.target,
            is_up: !standing.is_failing,
            is_over: standing.end.is_some_and(|end| end < Time::now()),
            sent: of(&self.0.sent),
            sent_bytes: of(&self.0.sent_bytes),
            filtered: of(&self.0.filtered),
            retries: of(&self.0.retries),
            dropped: self.0.dropped.each_ref().map(of),
            lag: self.0.ring.next_seq().saturating_sub(position) + of(&self.0.held),
            last_error: standing.last_error,
            last_drop: standing.last_drop,
        }
    }

    /// Whoever died with the lock had written one value.
    fn lock(&self) -> std::sync::MutexGuard<'_, Standing> {
        let standing = &self.0.standing;
        standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
