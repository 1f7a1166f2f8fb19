//! Flows that are equal in some fields, counted for a while instead of being written one by
//! one: Hubble's aggregation.
//!
//! A group is known by the encoded fields; it has the time of its first flow. Other events
//! are not for it. Bound: `MAX_GROUPS` of `MAX_BYTES` together; when they are reached all
//! groups are written at once, before their time, which is counted.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::setting::{Aggregation, SettingError};
use crate::{
    envelope::{put_aggregate, put_selected},
    flow::{Flow, Time},
    mask::Mask,
};

/// Groups at one time.
const MAX_GROUPS: usize = 65_536;
/// Bytes of their fields.
const MAX_BYTES: usize = 16 << 20;
/// `flow.TrafficDirection`.
const INGRESS: i32 = 1;
const EGRESS: i32 = 2;

/// The groups of an exporter.
#[derive(Debug)]
pub(super) struct Groups {
    /// The fields; without them there are no groups.
    mask: Option<Mask>,
    interval: Duration,
    /// When they are written next.
    next: Instant,
    open: HashMap<Box<[u8]>, Group>,
    bytes: usize,
    /// Those that are written now, the first last.
    leaving: Vec<(Box<[u8]>, Group)>,
    key: Vec<u8>,
    scratch: Vec<u8>,
}

/// What is counted of a group.
#[derive(Debug)]
struct Group {
    /// Of its first flow.
    time: Option<Time>,
    /// Flows by direction: ingress, egress, unknown.
    flows: [u32; 3],
}

impl Groups {
    /// None yet.
    pub(super) fn new(aggregation: &Aggregation) -> Result<Self, SettingError> {
        let mask = Mask::compile(&aggregation.fields)?;
        Ok(Self {
            mask: mask.filter(|_| !aggregation.interval.is_zero()),
            interval: aggregation.interval,
            next: Instant::now() + aggregation.interval,
            open: HashMap::new(),
            bytes: 0,
            leaving: Vec::new(),
            key: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Counts a flow; whether flows are counted at all.
    pub(super) fn add(&mut self, flow: &Flow) -> bool {
        let Some(mask) = &self.mask else {
            return false;
        };
        self.key.clear();
        put_selected(flow, mask, &mut self.scratch, &mut self.key);
        let direction = match flow.traffic_direction {
            INGRESS => 0,
            EGRESS => 1,
            _ => 2,
        };
        if let Some(group) = self.open.get_mut(self.key.as_slice()) {
            let flows = &mut group.flows[direction];
            *flows = flows.saturating_add(1);
            return true;
        }
        let mut flows = [0; 3];
        flows[direction] = 1;
        let time = flow.time;
        self.bytes += self.key.len();
        self.open
            .insert(self.key.as_slice().into(), Group { time, flows });
        true
    }

    /// Whether no flow of another group finds room.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MAX_GROUPS || self.bytes >= MAX_BYTES
    }

    /// When they are written next, if ever.
    pub(super) fn next(&self) -> Option<Instant> {
        self.mask.as_ref().map(|_| self.next)
    }

    /// Begins anew if it is time.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.mask.is_none() || self.next > now {
            return;
        }
        self.next += self.interval;
        if self.next <= now {
            self.next = now + self.interval;
        }
        self.close();
    }

    /// All of them are written now.
    pub(super) fn close(&mut self) {
        self.leaving.extend(self.open.drain());
        self.bytes = 0;
        self.leaving
            .sort_unstable_by_key(|(_, group)| std::cmp::Reverse(group.time));
    }

    /// Groups that are not written.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.leaving.len()
    }

    /// Writes the groups of another, too.
    pub(super) fn inherit(&mut self, before: &mut Self) {
        before.close();
        self.leaving.append(&mut before.leaving);
    }

    /// Appends the `ExportEvent` of the next group that is to be written, if there is one.
    pub(super) fn pop(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((fields, group)) = self.leaving.pop() else {
            return false;
        };
        put_aggregate(&fields, group.time, group.flows, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use sextant_proto::observer::{ExportEvent, export_event::ResponseTypes};

    use prost::Message as _;

    use super::*;

    fn groups(fields: &[&str], seconds: u64) -> Groups {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        let interval = Duration::from_secs(seconds);
        Groups::new(&Aggregation { fields, interval }).unwrap()
    }

    fn flow(seconds: i64, verdict: i32, traffic_direction: i32) -> Flow {
        Flow {
            time: Some(Time { seconds, nanos: 0 }),
            verdict,
            traffic_direction,
            ..Flow::default()
        }
    }

    fn written(groups: &mut Groups) -> Vec<(i64, i32, [u32; 3])> {
        let mut all = Vec::new();
        let mut out = Vec::new();
        while groups.pop(&mut out) {
            let event = ExportEvent::decode(out.as_slice()).unwrap();
            out.clear();
            let Some(ResponseTypes::Flow(flow)) = event.response_types else {
                panic!("a flow");
            };
            assert_eq!(event.time, flow.time);
            let count = flow.aggregate.unwrap();
            all.push((
                flow.time.unwrap().seconds,
                flow.verdict,
                [
                    count.ingress_flow_count,
                    count.egress_flow_count,
                    count.unknown_direction_flow_count,
                ],
            ));
        }
        all
    }

    #[tokio::test]
    async fn equal_flows_are_one_event_an_interval_with_the_time_of_the_first() {
        let mut groups = groups(&["verdict"], 30);
        for (seconds, verdict, direction) in [(5, 1, 1), (6, 2, 2), (7, 1, 2), (8, 1, 0), (9, 1, 2)]
        {
            assert!(groups.add(&flow(seconds, verdict, direction)));
        }
        groups.turn(Instant::now());
        assert_eq!(written(&mut groups), [], "not before");
        assert_eq!(groups.len(), 2);
        groups.turn(groups.next().unwrap());
        assert_eq!(written(&mut groups), [(5, 1, [1, 2, 1]), (6, 2, [0, 1, 0])]);
        assert_eq!(groups.len(), 0);
    }

    #[tokio::test]
    async fn many_groups_are_full_and_none_is_lost() {
        let mut groups = groups(&["verdict"], 30);
        let mut added = 0;
        while !groups.is_full() {
            groups.add(&flow(1, added, 1));
            added += 1;
        }
        assert_eq!(added as usize, MAX_GROUPS);
        groups.close();
        assert_eq!(written(&mut groups).len(), MAX_GROUPS);
    }

    #[tokio::test]
    async fn without_an_interval_or_fields_nothing_is_counted() {
        assert!(!groups(&["verdict"], 0).add(&flow(1, 1, 1)));
        assert!(!groups(&[], 30).add(&flow(1, 1, 1)));
    }
}
