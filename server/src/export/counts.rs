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
    grouped: AtomicU64,
    overflows: AtomicU64,
    retries: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    spool_bytes: AtomicU64,
    damaged: [AtomicU64; Damage::ALL.len()],
    standing: Mutex<Standing>,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    kind: &'static str,
    target: String,
    end: Option<Time>,
    is_failing: bool,
    has_spool: bool,
    /// Why the spool takes nothing.
    spool_error: Option<String>,
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
    /// The oldest of a spool that was full.
    Spool,
    /// In a part of a spool that cannot be read.
    Damaged,
    /// Spans of the daemon's own work that found no room.
    Queue,
}

/// What went wrong with a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It could not be written.
    Write,
    /// The end of what an earlier daemon wrote was cut off.
    Torn,
    /// A file of it could not be read, and was set aside.
    Segment,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Write, Self::Torn, Self::Segment];

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Torn => "torn",
            Self::Segment => "damaged",
        }
    }
}

/// The spool of an exporter at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolState {
    /// Bytes of its files.
    pub bytes: u64,
    /// What went wrong, as `Damage::ALL`.
    pub damaged: [u64; Damage::ALL.len()],
    /// Why it takes nothing.
    pub error: Option<String>,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Lapped,
        Self::TooLong,
        Self::Refused,
        Self::Unjudged,
        Self::Unwritten,
        Self::Spool,
        Self::Damaged,
        Self::Queue,
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
            Self::Spool => "spool_full",
            Self::Damaged => "spool_damaged",
            Self::Queue => "queue_full",
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
    /// Flows that were counted in groups, each of which is written as one event.
    pub grouped: u64,
    /// Times that groups were written before their interval, since there were too many.
    pub overflows: u64,
    /// Writes that were tried again.
    pub retries: u64,
    /// Events that were dropped, as `Dropped::ALL`.
    pub dropped: [u64; Dropped::ALL.len()],
    /// Stored events that it has not read or not written yet.
    pub lag: u64,
    /// Its spool, if it has one.
    pub spool: Option<SpoolState>,
    /// When something went wrong last, and what.
    pub last_error: Option<(SystemTime, String)>,
    /// When an event was dropped last.
    pub last_drop: Option<SystemTime>,
}

impl State {
    /// Whether it is at work, for people and metrics: it can write, and is to.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.is_up && !self.is_over
    }
}

impl Counts {
    /// Of an exporter that begins at this position.
    pub(super) fn new(setting: &Setting, ring: Ring, position: u64) -> Self {
        let counts = Self(Arc::new(Inner {
            name: setting.name.clone(),
            ring,
            position: position.into(),
            held: 0.into(),
            sent: 0.into(),
            sent_bytes: 0.into(),
            filtered: 0.into(),
            grouped: 0.into(),
            overflows: 0.into(),
            retries: 0.into(),
            dropped: Default::default(),
            spool_bytes: 0.into(),
            damaged: Default::default(),
            standing: Mutex::default(),
        }));
        counts.aim(setting);
        counts
    }

    pub(super) fn name(&self) -> String {
        self.0.name.clone()
    }

    pub(super) fn move_to(&self, position: u64) {
        self.0.position.store(position, Relaxed);
    }

    /// So many events were read and are not written.
    pub(super) fn hold(&self, events: u64) {
        self.0.held.store(events, Relaxed);
    }

    /// The files of its spool have so many bytes.
    pub(super) fn spool(&self, bytes: u64) {
        self.0.spool_bytes.store(bytes, Relaxed);
    }

    pub(super) fn damage(&self, what: Damage) {
        self.0.damaged[what as usize].fetch_add(1, Relaxed);
    }

    /// How often.
    #[cfg(test)]
    pub(super) fn damaged(&self, what: Damage) -> u64 {
        self.0.damaged[what as usize].load(Relaxed)
    }

    /// Its spool takes nothing; whether that is new.
    pub(super) fn unsettle(&self, error: String) -> bool {
        self.lock().spool_error.replace(error).is_none()
    }

    /// Its spool takes what comes; whether it did not before.
    pub(super) fn settle(&self) -> bool {
        self.lock().spool_error.take().is_some()
    }

    /// So many events of so many bytes are done with, some of them refused.
    /// An exporter of metrics counts their points.
    pub(super) fn finish(&self, events: u64, refused: u64, bytes: u64) {
        let sent = events - refused;
        if sent > 0 {
            self.0.sent.fetch_add(sent, Relaxed);
            self.0.sent_bytes.fetch_add(bytes, Relaxed);
        }
        if refused > 0 {
            self.drop_events(Dropped::Refused, refused);
        }
    }

    pub(super) fn filter(&self, events: u64) {
        self.0.filtered.fetch_add(events, Relaxed);
    }

    pub(super) fn group(&self, flows: u64) {
        self.0.grouped.fetch_add(flows, Relaxed);
    }

    /// There are too many groups.
    pub(super) fn overflow(&self) {
        self.0.overflows.fetch_add(1, Relaxed);
        self.complain(
            "there were too many groups, which are written before their interval; aggregate by fewer fields"
                .into(),
        );
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
        standing.has_spool = setting.target.spool().is_some();
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
            grouped: of(&self.0.grouped),
            overflows: of(&self.0.overflows),
            retries: of(&self.0.retries),
            dropped: self.0.dropped.each_ref().map(of),
            lag: self.0.ring.next_seq().saturating_sub(position) + of(&self.0.held),
            spool: standing.has_spool.then(|| SpoolState {
                bytes: of(&self.0.spool_bytes),
                damaged: self.0.damaged.each_ref().map(of),
                error: standing.spool_error,
            }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::FileTarget, store::Room};

    #[test]
    fn one_whose_end_has_passed_is_not_at_work_though_nothing_failed() {
        let (ring, _writer) = Ring::new(Room {
            events: 1023,
            bytes: 1 << 20,
        });
        let mut setting = Setting::file("f".into(), FileTarget::new("stdout".into()));
        let counts = Counts::new(&setting, ring, 0);
        assert!(counts.state().is_at_work());
        setting.selected.end = Some(Time::from_nanos(1));
        counts.aim(&setting);
        let state = counts.state();
        assert!(state.is_up && state.is_over && !state.is_at_work());
        setting.selected.end = None;
        counts.aim(&setting);
        counts.fail("no".into());
        assert!(!counts.state().is_at_work());
    }
}
