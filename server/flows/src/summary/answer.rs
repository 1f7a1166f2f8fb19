//! From a summary to its message: counts become rates, parts of the window get
//! their times.

use sextant_proto::sextant::flow::v1 as api;

use super::{Counts, Group, Summary};
use crate::flow::Time;

/// What a summary is of.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Begin of the window.
    pub since: Time,
    /// What the store knows of the window begins here.
    pub known_from: Time,
    /// End of the window.
    pub until: Time,
    /// Length of its parts in nanoseconds; 0 for none.
    pub bucket: i64,
}

impl Span {
    /// Begin and end of a part of `count`.
    fn part(&self, place: usize, count: usize) -> (Time, Time) {
        let at = |place: usize| {
            let offset = self.bucket.saturating_mul(place as i64);
            Time::from_nanos(self.since.as_nanos().saturating_add(offset))
        };
        let end = if place + 1 == count {
            self.until
        } else {
            at(place + 1)
        };
        (at(place), end)
    }
}

/// The message of a summary, of which so many events were lost; without a token.
#[must_use]
pub fn answer(summary: Summary, span: Span, lost: u64) -> api::FlowSummary {
    let whole = |counts| traffic(counts, span.known_from, span.until);
    let count = summary.buckets.len();
    api::FlowSummary {
        since: Some(span.known_from.into()),
        until: Some(span.until.into()),
        total: Some(whole(summary.total)),
        groups: summary
            .groups
            .into_iter()
            .map(|group| group_message(group, span, count))
            .collect(),
        group_count: summary.group_count,
        others: Some(whole(summary.others)),
        lost,
        truncated: summary.truncated,
        buckets: summary
            .buckets
            .into_iter()
            .enumerate()
            .map(|(place, counts)| {
                let (since, until) = span.part(place, count);
                api::TrafficBucket {
                    since: Some(since.into()),
                    until: Some(until.into()),
                    traffic: Some(traffic(counts, since, until)),
                }
            })
            .collect(),
        next_page_token: String::new(),
    }
}

fn group_message(group: Group, span: Span, count: usize) -> api::SummaryGroup {
    let buckets = group.buckets.into_iter().enumerate();
    api::SummaryGroup {
        values: group.values,
        traffic: Some(traffic(group.counts, span.known_from, span.until)),
        first_seen: Some(group.first.into()),
        last_seen: Some(group.last.into()),
        buckets: buckets
            .map(|(place, counts)| {
                let (since, until) = span.part(place, count);
                traffic(counts, since, until)
            })
            .collect(),
    }
}

fn traffic(counts: Counts, since: Time, until: Time) -> api::Traffic {
    let nanos = until.as_nanos().saturating_sub(since.as_nanos());
    let seconds = (nanos as f64 / 1e9).max(1e-3);
    api::Traffic {
        flows: counts.flows,
        packets: counts.packets,
        bytes: counts.bytes,
        drops: counts.drops,
        flows_per_second: counts.flows as f64 / seconds,
        packets_per_second: counts.packets as f64 / seconds,
        bytes_per_second: counts.bytes as f64 / seconds,
        retransmissions: counts.retransmissions,
        drops_per_second: counts.drops as f64 / seconds,
    }
}
