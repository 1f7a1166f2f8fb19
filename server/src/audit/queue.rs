//! What calls, the writer and readers of the log share: the entries in memory
//! and those that wait to be written.
//!
//! The lock is held for a look into a table, never for the disk.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tonic::Code;

use super::{
    Counts, KEPT, QUEUED,
    folding::{Folded, Folding},
    record::{Entry, Record},
};

/// Entries that are written at one time.
const BATCH: usize = 256;

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write, or it is over.
    news: Condvar,
    /// The writer ended.
    ended: Condvar,
    counts: Counts,
    /// Why nothing is written just now.
    trouble: Mutex<Option<String>>,
    /// Entries are written somewhere.
    is_written: bool,
}

#[derive(Debug)]
struct State {
    folding: Folding,
    kept: VecDeque<Arc<Entry>>,
    waiting: VecDeque<Arc<Entry>>,
    /// Found no room since that was last told.
    untold: u64,
    sequence: u64,
    is_closed: bool,
    has_ended: bool,
}

impl Queue {
    /// With these entries in memory, which are written already.
    pub(super) fn new(mut entries: Vec<Entry>, is_written: bool) -> Self {
        for (sequence, entry) in entries.iter_mut().enumerate() {
            entry.sequence = sequence as u64;
        }
        Self {
            state: Mutex::new(State {
                folding: Folding::new(Instant::now()),
                sequence: entries.len() as u64,
                kept: entries.into_iter().map(Arc::new).collect(),
                waiting: VecDeque::new(),
                untold: 0,
                is_closed: false,
                has_ended: false,
            }),
            news: Condvar::new(),
            ended: Condvar::new(),
            counts: Counts::default(),
            trouble: Mutex::default(),
            is_written,
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    /// For the writer.
    pub(super) fn set_trouble(&self, why: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn record(&self, record: Record, now: Instant) {
        let counts = match record.code {
            Code::Ok => &self.counts.calls,
            _ => &self.counts.refusals,
        };
        counts.fetch_add(1, Relaxed);
        let mut state = self.lock();
        let windows = state.folding.len();
        let admitted = state.folding.admit(record.shortened(), now);
        // Also for a window that was opened: it ends some time.
        let is_news = admitted.is_some() || state.folding.len() > windows;
        match admitted {
            Some(record) => self.add(&mut state, record, 1, None),
            None => _ = self.counts.folded.fetch_add(1, Relaxed),
        }
        drop(state);
        if is_news {
            self.news.notify_one();
        }
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().kept.iter().cloned().collect()
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_one();
    }

    pub(super) fn wait_for_end(&self, patience: Duration) {
        let state = self.lock();
        let is_running = |state: &mut State| !state.has_ended;
        // One that waits longer has told why.
        drop(self.ended.wait_timeout_while(state, patience, is_running));
    }

    /// For the writer: waits until there is something to write; `None` when it is
    /// over and nothing is left.
    pub(super) fn next(&self) -> Option<Vec<Arc<Entry>>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let folded = match state.is_closed {
                true => state.folding.finish(),
                false => state.folding.ended(now),
            };
            for Folded {
                record,
                count,
                since,
            } in folded
            {
                self.add(&mut state, record, count, Some(since));
            }
            if !state.waiting.is_empty() {
                let batch = state.waiting.iter().take(BATCH);
                return Some(batch.cloned().collect());
            }
            if state.is_closed {
                return None;
            }
            state = match state.folding.next_end() {
                None => self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let time = end.saturating_duration_since(now);
                    let woken = self.news.wait_timeout(state, time);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// For the writer: so many of the batch were written.
    pub(super) fn wrote(&self, count: usize) {
        let mut state = self.lock();
        let count = count.min(state.waiting.len());
        state.waiting.drain(..count);
        if count > 0 && state.untold > 0 {
            let message = format!("{} entries found no room and were lost", state.untold);
            state.untold = 0;
            self.add(&mut state, Record::own(message), 1, None);
        }
    }

    /// For the writer after a failure: false when it is over.
    pub(super) fn rest(&self, time: Duration) -> bool {
        let state = self.lock();
        let is_open = |state: &mut State| !state.is_closed;
        let woken = self.news.wait_timeout_while(state, time, is_open);
        !woken.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// For the writer: it ends; how many entries it leaves behind.
    pub(super) fn end(&self) -> u64 {
        let mut state = self.lock();
        let left = std::mem::take(&mut state.waiting).len() as u64;
        self.counts.lost.fetch_add(left, Relaxed);
        state.has_ended = true;
        self.ended.notify_all();
        left
    }

    fn add(&self, state: &mut State, record: Record, count: u64, since: Option<crate::flow::Time>) {
        let entry = Arc::new(Entry {
            sequence: state.sequence,
            record,
            count,
            since,
        });
        state.sequence += 1;
        if state.kept.len() == KEPT {
            state.kept.pop_front();
        }
        state.kept.push_back(Arc::clone(&entry));
        if !self.is_written {
            return;
        }
        if state.waiting.len() < QUEUED && !state.has_ended {
            state.waiting.push_back(entry);
        } else {
            state.untold += 1;
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }

    /// A call that died with the lock left at worst a record out.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
