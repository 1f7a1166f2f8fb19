//! Where in the ring a request begins, and what of it is in range.
//!
//! As Hubble does it: `since` wins over `number` and `first`; `number` counts
//! back over matching events; nothing but `follow` starts at the end. Hubble
//! takes times to rise; where they do not, all that is in range is found.

use std::ops::ControlFlow;

use super::turn::Turn;
use crate::{
    flow::{Time, sketch::Sieve},
    store::{Cursor, Event, MAX_RUN, Ring, Run},
};

/// The part of a request that positions it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::service) struct Range {
    pub(in crate::service) number: u64,
    pub(in crate::service) first: bool,
    pub(in crate::service) follow: bool,
    pub(in crate::service) since: Option<Time>,
    pub(in crate::service) until: Option<Time>,
}

/// Whether an event is within the time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum InRange {
    Before,
    Within,
    After,
}

impl Range {
    /// Bounds are inclusive. An event without a time is at the epoch.
    #[inline]
    pub(in crate::service) fn place(&self, event: &Event) -> InRange {
        if self.since.is_none() && self.until.is_none() {
            // The event is not even looked at.
            return InRange::Within;
        }
        let time = event.time().unwrap_or_default();
        if self.until.is_some_and(|until| time > until) {
            InRange::After
        } else if self.since.is_some_and(|since| time < since) {
            InRange::Before
        } else {
            InRange::Within
        }
    }

    /// The most events that are sent; following has no end.
    pub(in crate::service) fn limit(&self) -> Option<u64> {
        (self.number > 0 && !self.follow).then_some(self.number)
    }

    /// The cursor to begin at. `counts` says which events count for `number`,
    /// of those that the sieve lets pass; losses never do. `is_slow` is whether
    /// it may take long for one event.
    ///
    /// # Errors
    /// That of `counts`.
    pub(in crate::service) async fn start<E>(
        &self,
        ring: &Ring,
        sieve: &Sieve,
        is_slow: bool,
        mut counts: impl FnMut(&Event) -> Result<bool, E>,
    ) -> Result<Cursor, E> {
        let end = ring.next_seq();
        if self.first && self.since.is_none() {
            return Ok(ring.cursor_at(ring.oldest_seq()));
        }
        if self.follow && self.number == 0 && self.since.is_none() {
            return Ok(ring.cursor_at(end));
        }
        // Times need not rise: all before this event are older, those behind it
        // may be of any age.
        let from = self.since.map(|since| ring.first_since(since));
        let mut cursor = ring.cursor_at(from.flatten().unwrap_or(end));
        let mut found = 0_u64;
        let mut turn = Turn::begin();
        loop {
            let mut is_too_old = false;
            let mut is_found = false;
            let mut failed = None;
            let run = cursor.run_back(sieve, |event| {
                if matches!(event, Event::Lost(_)) {
                    return ControlFlow::Continue(());
                }
                match counts(event) {
                    Ok(true) => {}
                    Ok(false) if is_slow && turn.is_over() => return ControlFlow::Break(()),
                    Ok(false) => return ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                if let Some(since) = self.since {
                    is_too_old = event.time().unwrap_or_default() < since;
                } else {
                    found += 1;
                    is_found = found == self.number;
                }
                if is_too_old || is_found || is_slow && turn.is_over() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
            match run {
                _ if is_too_old => return Ok(ring.cursor_at(cursor.seq() + 1)),
                Run::Events(_) if !is_found => turn.pass_on().await,
                _ => return Ok(cursor),
            }
        }
    }
}

/// Where the range ends by time. Times need not rise: what is after `until` ends
/// a stream only if nothing that is in range is behind it.
#[derive(Debug, Default)]
pub(in crate::service) struct End {
    /// The last event in range, when it was looked for.
    last: Option<u64>,
}

impl End {
    /// Whether no event that the next run may see can end the stream.
    pub(in crate::service) fn is_far(&self, cursor: &Cursor) -> bool {
        self.last.is_some_and(|last| last >= cursor.seq() + MAX_RUN)
    }

    /// Whether the event before the cursor, which is after `until`, ends the stream.
    pub(in crate::service) fn is_here(&mut self, cursor: &Cursor, until: Option<Time>) -> bool {
        let Some(until) = until else { return false };
        if self.last.is_none_or(|last| last < cursor.seq()) {
            self.last = cursor.last_until(until);
        }
        self.last.is_none()
    }
}
