//! Where in the ring a request begins, and what of it is in range.
//!
//! As Hubble does it: `since` wins over `number` and `first`; `number` counts
//! back over matching events; nothing but `follow` starts at the end.

use crate::{
    flow::Time,
    store::{Cursor, Event, Ring},
};

/// Steps taken before others get a turn.
const TURN: u32 = 4096;

/// The part of a request that positions it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub(super) number: u64,
    pub(super) first: bool,
    pub(super) follow: bool,
    pub(super) since: Option<Time>,
    pub(super) until: Option<Time>,
}

/// Whether an event is within the time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InRange {
    Before,
    Within,
    After,
}

impl Range {
    /// Bounds are inclusive. An event without a time is at the epoch.
    #[inline]
    pub(super) fn place(&self, event: &Event) -> InRange {
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
    pub(super) fn limit(&self) -> Option<u64> {
        (self.number > 0 && !self.follow).then_some(self.number)
    }

    /// The cursor to begin at. `counts` says which events count for `number`;
    /// losses never do.
    pub(super) async fn start(
        &self,
        ring: &Ring,
        mut counts: impl FnMut(&Event) -> bool,
    ) -> Cursor {
        let end = ring.next_seq();
        if self.first && self.since.is_none() {
            return ring.cursor_at(ring.oldest_seq());
        }
        if self.follow && self.number == 0 && self.since.is_none() {
            return ring.cursor_at(end);
        }
        let mut cursor = ring.cursor_at(end);
        let mut found = 0_u64;
        let mut turn = TURN;
        loop {
            let step = cursor.previous(|event| {
                if matches!(event, Event::Lost(_)) || !counts(event) {
                    return Step::Skip;
                }
                match self.since {
                    Some(since) if event.time().unwrap_or_default() < since => Step::TooOld,
                    _ => Step::Count,
                }
            });
            match step {
                None => return cursor,
                Some(Step::Skip) => {}
                Some(Step::TooOld) => return ring.cursor_at(cursor.seq() + 1),
                Some(Step::Count) => {
                    found += 1;
                    if self.since.is_none() && found == self.number {
                        return cursor;
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
}

enum Step {
    Skip,
    TooOld,
    Count,
}
