//! What each event adds to packets and bytes: events tell totals since their flow began.
//!
//! A flow is told by its addresses, ports, protocol and node, and among those of the same
//! by when it began. Nothing is counted twice: of a flow that began before anybody looked,
//! or that had been let go, only what comes after its next event counts. Bound: `MOST`
//! flows; those that told nothing for `SILENCE` make room, and one that finds none counts
//! when it ends, with its totals.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sextant_flows::summary::{FlowKey, Totals};

use crate::flow::{Flow, Interned, Origin, Time};

/// Flows that are followed.
const MOST: usize = 131_072;
/// Active flows tell of themselves each few seconds, and end when they are idle.
const SILENCE: i64 = 3600 * 1_000_000_000;
/// Between two looks for flows that make room.
const INTERVAL: i64 = 60 * 1_000_000_000;
/// Nodes that are held.
const NODES: usize = 4096;
/// Two events that tell begins of a flow as near as this tell the same one.
const SAME: i64 = 10_000_000;

/// Packets and bytes: of who opened the flow, and of the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) packets: [u64; 2],
    pub(super) bytes: [u64; 2],
}

impl Added {
    fn of(totals: &Totals) -> Self {
        Self {
            packets: totals.packets,
            bytes: totals.bytes,
        }
    }

    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64 + Copy) -> Self {
        let both = |one: [u64; 2], two: [u64; 2]| [of(one[0], two[0]), of(one[1], two[1])];
        Self {
            packets: both(self.packets, other.packets),
            bytes: both(self.bytes, other.bytes),
        }
    }

    /// Whether none of it is more than of the other.
    fn is_within(self, other: Self) -> bool {
        self.each(other, u64::saturating_sub) == Self::default()
    }
}

/// What was told of a flow last.
#[derive(Clone, Copy, Debug)]
struct Noted {
    told: Added,
    /// Nanoseconds since the epoch, where it was told.
    begin: Option<i64>,
    /// Of the last event.
    time: i64,
}

/// The last totals of each flow.
#[derive(Debug)]
pub(super) struct Deltas {
    flows: HashMap<FlowKey, Vec<Noted>, RandomState>,
    /// Nodes of flows: a key has only their places in memory, which are not given to others
    /// as long as they are held.
    nodes: HashMap<usize, Interned<Origin>, RandomState>,
    len: usize,
    most: usize,
    /// Flows that began until then may have been told before, and are not counted whole.
    horizon: Option<i64>,
    looked: Option<i64>,
    untracked: u64,
}

impl Default for Deltas {
    fn default() -> Self {
        Self::of_at_most(MOST)
    }
}

impl Deltas {
    fn of_at_most(most: usize) -> Self {
        Self {
            flows: HashMap::default(),
            nodes: HashMap::default(),
            len: 0,
            most,
            horizon: None,
            looked: None,
            untracked: 0,
        }
    }

    /// Those for somebody who begins to look at this time, not with the first event.
    pub(super) fn since(time: i64) -> Self {
        Self {
            horizon: Some(time),
            ..Self::default()
        }
    }

    /// Flows that are followed.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Events of flows that found no room.
    pub(super) fn untracked(&self) -> u64 {
        self.untracked
    }

    /// What an event adds.
    pub(super) fn advance(&mut self, flow: &Flow, now: &Totals) -> Added {
        let Some(key) = FlowKey::of(flow) else {
            return Added::default();
        };
        let node = flow.origin.key();
        if self.nodes.len() < NODES && !self.nodes.contains_key(&node) {
            self.nodes.insert(node, flow.origin.clone());
        }
        let time = flow.time.unwrap_or_default().as_nanos();
        let begin = now.duration_ns.map(|duration| {
            let duration = i64::try_from(duration).unwrap_or(i64::MAX);
            time.saturating_sub(duration)
        });
        let told = Added::of(now);
        // The begin of one that ended is not known: it ends later than its last packet.
        let exact = begin.filter(|_| !now.ended);
        let same = self.flows.get_mut(&key).map(Vec::as_mut_slice);
        let same = same.and_then(|same| find(same, told, exact));
        let Some(noted) = same else {
            return self.begin(key, now, begin, time);
        };
        let added = told.each(noted.told, u64::saturating_sub);
        // Events of the two directions may overtake each other.
        noted.told = told.each(noted.told, u64::max);
        noted.time = noted.time.max(time);
        if now.ended {
            let told = noted.told;
            self.forget(&key, told);
        }
        added
    }

    /// A flow that is not known.
    fn begin(&mut self, key: FlowKey, now: &Totals, begin: Option<i64>, time: i64) -> Added {
        let told = Added::of(now);
        let counted = match (self.horizon, begin) {
            (None, _) => told,
            // An idle one may have been silent for any time before its end was told.
            (Some(horizon), Some(begin)) if begin > horizon && !now.idle => told,
            (Some(horizon), None) if time > horizon => told,
            (Some(_), _) => Added::default(),
        };
        if now.ended {
            return counted;
        }
        if self.len >= self.most {
            // No sensor with a clock that is ahead makes others go.
            self.make_room(time.min(Time::now().as_nanos()));
        }
        if self.len >= self.most {
            self.untracked += 1;
            return Added::default();
        }
        self.len += 1;
        self.flows
            .entry(key)
            .or_default()
            .push(Noted { told, begin, time });
        counted
    }

    fn forget(&mut self, key: &FlowKey, told: Added) {
        let Some(flows) = self.flows.get_mut(key) else {
            return;
        };
        if let Some(place) = flows.iter().position(|noted| noted.told == told) {
            flows.swap_remove(place);
            self.len -= 1;
        }
        if flows.is_empty() {
            self.flows.remove(key);
        }
    }

    /// Lets those go whose end was not told. Whatever began before the last of them was
    /// heard of is not counted whole from now on.
    fn make_room(&mut self, now: i64) {
        if self
            .looked
            .is_some_and(|looked| now.saturating_sub(looked) < INTERVAL)
        {
            return;
        }
        self.looked = Some(now);
        let mut horizon = self.horizon;
        self.flows.retain(|_, flows| {
            flows.retain(|noted| {
                let stays = noted.time.saturating_add(SILENCE) > now;
                if !stays {
                    horizon = horizon.max(Some(noted.time));
                }
                stays
            });
            !flows.is_empty()
        });
        self.horizon = horizon;
        self.len = self.flows.values().map(Vec::len).sum();
    }
}

/// The one of these flows that an event with such totals is of.
fn find(flows: &mut [Noted], told: Added, begin: Option<i64>) -> Option<&mut Noted> {
    let apart = |noted: &Noted| Some(noted.begin?.abs_diff(begin?));
    let near = |noted: &Noted| apart(noted).filter(|apart| *apart <= SAME as u64);
    let nearest = (0..flows.len())
        .filter_map(|at| Some((near(&flows[at])?, at)))
        .min();
    if let Some((_, at)) = nearest {
        return flows.get_mut(at);
    }
    // The clock may have been set meanwhile. A first packet is of no flow that is known.
    let is_first = begin.is_some() && told.packets[0].saturating_add(told.packets[1]) <= 1;
    let before = flows
        .iter_mut()
        .filter(|noted| !is_first && noted.told.is_within(told));
    before.max_by_key(|noted| noted.told.packets)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::flow::{Address, Ip, L4};

    const SECOND: i64 = 1_000_000_000;
    static NODE: LazyLock<Interned<Origin>> = LazyLock::new(Interned::default);

    /// An event at a second of the flow from this port.
    fn flow(port: u32, second: i64) -> Flow {
        Flow {
            time: Some(Time::from_nanos(second * SECOND)),
            origin: NODE.clone(),
            ip: Some(Ip {
                source: Address::V4([10, 0, 0, 1]),
                destination: Address::V4([10, 0, 0, 2]),
                version: 1,
                encrypted: false,
            }),
            l4: Some(L4::Udp {
                source_port: port,
                destination_port: 53,
            }),
            ..Flow::default()
        }
    }

    fn totals(there: u64, back: u64, seconds: i64) -> Totals {
        Totals {
            packets: [there, back],
            bytes: [100 * there, 200 * back],
            duration_ns: Some((seconds * SECOND) as u64),
            ..Totals::default()
        }
    }

    fn end(totals: Totals) -> Totals {
        Totals {
            ended: true,
            ..totals
        }
    }

    #[test]
    fn totals_are_counted_once_by_direction_and_forgotten_with_the_end() {
        let mut deltas = Deltas::default();
        let mut see = |second, totals| deltas.advance(&flow(1, second), &totals).packets;
        assert_eq!(see(0, totals(1, 0, 0)), [1, 0]);
        assert_eq!(see(5, totals(7, 3, 5)), [6, 3]);
        // One that was overtaken.
        assert_eq!(see(4, totals(6, 3, 4)), [0, 0]);
        assert_eq!(see(20, end(totals(8, 3, 6))), [1, 0]);
        assert_eq!(deltas.len(), 0);
    }

    #[test]
    fn flows_of_the_same_ends_are_told_apart_by_when_they_began() {
        let mut deltas = Deltas::default();
        let mut see = |second, totals| deltas.advance(&flow(1, second), &totals).packets;
        // Two pings at the same time.
        assert_eq!(see(0, totals(1, 0, 0)), [1, 0]);
        assert_eq!(see(1, totals(1, 0, 0)), [1, 0]);
        assert_eq!(see(5, totals(5, 5, 5)), [4, 5]);
        assert_eq!(see(6, totals(4, 4, 5)), [3, 4]);
        assert_eq!(see(70, end(totals(4, 4, 5))), [0, 0]);
        assert_eq!(see(71, end(totals(6, 5, 6))), [1, 0]);
        // The next one with the same port, whose predecessor's end was lost.
        assert_eq!(see(80, totals(3, 0, 0)), [3, 0]);
        assert_eq!(see(90, totals(1, 0, 0)), [1, 0]);
    }

    #[test]
    fn totals_and_times_as_large_as_can_be_end_nothing() {
        let mut deltas = Deltas::of_at_most(4);
        let most = Totals {
            packets: [u64::MAX; 2],
            bytes: [u64::MAX; 2],
            ..totals(0, 0, 1)
        };
        for seconds in [i64::MIN, 0, i64::MAX] {
            for port in 0..6 {
                let mut flow = flow(port, 1);
                flow.time = Some(Time { seconds, nanos: 0 });
                deltas.advance(&flow, &most);
                deltas.advance(&flow, &most);
            }
        }
        // Those of the far future made nobody go.
        assert_eq!(deltas.len(), 4);
        assert!(deltas.untracked() > 0);
    }

    #[test]
    fn a_clock_that_is_set_begins_no_flow() {
        let mut deltas = Deltas::default();
        deltas.advance(&flow(1, 0), &totals(1, 0, 0));
        let later = deltas.advance(&flow(1, 1000), &totals(4, 0, 5));
        assert_eq!(later.packets, [3, 0]);
    }

    #[test]
    fn of_what_began_before_anybody_looked_only_the_rest_counts() {
        let mut deltas = Deltas::since(100 * SECOND);
        let mut see = |port, second, totals| deltas.advance(&flow(port, second), &totals).packets;
        assert_eq!(see(1, 105, totals(50, 0, 20)), [0, 0]);
        assert_eq!(see(1, 110, totals(52, 0, 25)), [2, 0]);
        assert_eq!(see(2, 110, totals(9, 0, 5)), [9, 0]);
        assert_eq!(see(3, 110, end(totals(9, 0, 50))), [0, 0]);
        let idle = Totals {
            idle: true,
            ..end(totals(9, 0, 1))
        };
        assert_eq!(see(4, 110, idle), [0, 0]);
    }

    #[test]
    fn flows_without_room_count_when_they_end_and_silent_ones_make_room() {
        let mut deltas = Deltas::of_at_most(1);
        let mut see = |port, second, totals| deltas.advance(&flow(port, second), &totals).packets;
        assert_eq!(see(1, 0, totals(1, 0, 0)), [1, 0]);
        assert_eq!(see(2, 1, totals(1, 0, 0)), [0, 0]);
        assert_eq!(see(2, 5, end(totals(4, 2, 2))), [4, 2]);
        // The first one is silent for long; when it comes back it is not counted again.
        assert_eq!(see(3, 5000, totals(2, 0, 1)), [2, 0]);
        assert_eq!(see(3, 5001, end(totals(2, 0, 1))), [0, 0]);
        assert_eq!(see(1, 5002, totals(9, 0, 5002)), [0, 0]);
        assert_eq!(see(1, 5003, totals(11, 0, 5003)), [2, 0]);
        assert_eq!((deltas.len(), deltas.untracked()), (1, 1));
    }
}
