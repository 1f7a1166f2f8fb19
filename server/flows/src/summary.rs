//! What the stored flows add up to: traffic over a window, in all and by
//! groups, and the values that a field has.
//!
//! Pure: flows are shown one after the other in the order of the store, by the
//! service, which also knows the filters and the clock. Nothing is rendered to
//! text before the end. Bound: 100,000 groups or values, 262,144 flows whose
//! totals are followed, 1,024 groups that one flow event counts in.

mod answer;
mod delta;
mod field;
mod group;
mod hints;
mod totals;

#[cfg(test)]
mod tests;

use std::time::Duration;

use sextant_proto::{
    flow as pb,
    sextant::flow::v1::{FlowField, SummaryOrder},
};

use crate::flow::{Flow, Time};

pub use answer::{Span, answer};
use delta::Deltas;
pub use delta::FlowKey;
pub use group::Group;
use group::Groups;
pub use hints::Hints;
pub use totals::{Measure, Totals, measure};

/// Most parts of a window.
pub const MAX_BUCKETS: usize = 1000;
/// Most parts of all groups together.
const MAX_GROUP_BUCKETS: usize = 262_144;
/// Most bytes of the groups of a page.
const PAGE_BYTES: usize = 3 << 20;
/// Most groups, and most values of a field.
const MAX_GROUPS: usize = 100_000;
/// Most fields to group by.
pub const MAX_FIELDS: usize = 4;

/// Counts over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flow events.
    pub flows: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// Bytes of both directions.
    pub bytes: u64,
    /// Dropped packets.
    pub drops: u64,
    /// TCP segments that sides with a socket there sent again.
    pub retransmissions: u64,
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.flows = self.flows.saturating_add(more.flows);
        self.packets = self.packets.saturating_add(more.packets);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.drops = self.drops.saturating_add(more.drops);
        self.retransmissions = self.retransmissions.saturating_add(more.retransmissions);
    }

    fn take(&mut self, less: &Self) {
        self.packets = self.packets.saturating_sub(less.packets);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }

    /// The count that an order goes by.
    fn by(&self, order: SummaryOrder) -> u64 {
        match order {
            SummaryOrder::Unspecified | SummaryOrder::Bytes => self.bytes,
            SummaryOrder::Packets => self.packets,
            SummaryOrder::Flows => self.flows,
            SummaryOrder::Drops => self.drops,
            SummaryOrder::Retransmissions => self.retransmissions,
        }
    }
}

/// The times that a summary is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here on totals of flows are noted, so that what came before
    /// `since` is not counted.
    pub noted_from: Time,
    /// Begin, inclusive.
    pub since: Time,
    /// End, inclusive.
    pub until: Time,
}

/// A summary in the making.
#[derive(Debug)]
pub struct Tally {
    window: Window,
    deltas: Deltas,
    total: Counts,
    /// Length of a part of the window in nanoseconds; 0 for none.
    bucket: i64,
    buckets: Vec<Counts>,
    groups: Groups,
}

/// A summary.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// All flows.
    pub total: Counts,
    /// The largest groups, the largest first; none without fields.
    pub groups: Vec<Group>,
    /// How many groups there are.
    pub group_count: u64,
    /// The groups after those.
    pub others: Counts,
    /// Counts of the parts of the window, all of them; none if not asked for.
    pub buckets: Vec<Counts>,
    /// Some bound was reached: groups are missing or in `others` alone, or
    /// flows were counted from their second event on.
    pub truncated: bool,
}

impl Tally {
    /// Nothing seen yet. At most `MAX_FIELDS` fields count.
    #[must_use]
    pub fn new(window: Window, group_by: &[FlowField]) -> Self {
        Self {
            window,
            deltas: Deltas::default(),
            total: Counts::default(),
            bucket: 0,
            buckets: Vec::new(),
            groups: Groups::new(group_by),
        }
    }

    /// With room for so many flows; more find it, too.
    #[must_use]
    pub fn with_room(self, flows: usize) -> Self {
        Self {
            deltas: Deltas::with_room(flows),
            ..self
        }
    }

    /// As `new`, with the window cut into parts of this length: `MAX_BUCKETS` at
    /// most, of which the last takes what is left.
    #[must_use]
    pub fn with_buckets(window: Window, group_by: &[FlowField], length: Duration) -> Self {
        let mut tally = Self::new(window, group_by);
        let span = window
            .until
            .as_nanos()
            .saturating_sub(window.since.as_nanos());
        tally.bucket = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX).max(1);
        let count = (span / tally.bucket) as usize + usize::from(span % tally.bucket > 0);
        tally.buckets = vec![Counts::default(); count.clamp(1, MAX_BUCKETS)];
        tally
    }

    /// Counts a flow event that the filters let pass, if it is in the window.
    pub fn see(&mut self, flow: &Flow) {
        let time = flow.time.unwrap_or_default();
        if time < self.window.noted_from || time > self.window.until {
            return;
        }
        let within = time >= self.window.since;
        let mut before = (0, 0);
        let mut counts = Counts {
            flows: 1,
            ..Counts::default()
        };
        match measure(flow) {
            Measure::Drops(drops) => counts.drops = drops,
            Measure::Totals(totals) => {
                let since = self.window.since.as_nanos();
                let delta = self.deltas.advance(flow, &totals, since);
                (counts.packets, counts.bytes) = delta.added;
                counts.retransmissions = delta.retransmissions;
                before = delta.before;
            }
            Measure::Nothing => {}
        }
        if within {
            self.total.add(&counts);
            let bucket = self.bucket_of(time);
            if let Some(bucket) = bucket.and_then(|place| self.buckets.get_mut(place)) {
                bucket.add(&counts);
            }
            self.groups.add(flow, &counts, time, bucket);
            if before != (0, 0) && flow.verdict == pb::Verdict::Dropped as i32 {
                self.move_to_dropped(flow, before);
            }
        }
    }

    fn bucket_of(&self, time: Time) -> Option<usize> {
        let last = self.buckets.len().checked_sub(1)?;
        let place = time.as_nanos().saturating_sub(self.window.since.as_nanos()) / self.bucket;
        Some((place as usize).min(last))
    }

    /// What a flow's events told until its end, which knows that all of it was
    /// dropped, counted as forwarded. Parts of the window keep what was told then.
    fn move_to_dropped(&mut self, flow: &Flow, before: (u64, u64)) {
        let moved = Counts {
            packets: before.0,
            bytes: before.1,
            ..Counts::default()
        };
        let forwarded = Flow {
            verdict: pb::Verdict::Forwarded.into(),
            drop_reason: 0,
            drop_reason_desc: 0,
            ..flow.clone()
        };
        self.groups.change(&forwarded, |counts| counts.take(&moved));
        self.groups.change(flow, |counts| counts.add(&moved));
    }

    /// The summary with at most `limit` groups.
    #[must_use]
    pub fn finish(self, limit: usize, order: SummaryOrder) -> Summary {
        self.finish_within(0, limit, usize::MAX, order)
    }

    /// The summary with at most `limit` groups after the first `skip`, fewer where
    /// its message would be more than clients take by default, 4 MiB.
    #[must_use]
    pub fn finish_page(self, skip: usize, limit: usize, order: SummaryOrder) -> Summary {
        self.finish_within(skip, limit, PAGE_BYTES, order)
    }

    fn finish_within(
        self,
        skip: usize,
        limit: usize,
        bytes: usize,
        order: SummaryOrder,
    ) -> Summary {
        let truncated = self.groups.is_truncated() || self.deltas.is_full();
        let (groups, group_count, others) = self.groups.finish(skip, limit, bytes, order);
        Summary {
            total: self.total,
            groups,
            group_count,
            others,
            buckets: self.buckets,
            truncated,
        }
    }
}
