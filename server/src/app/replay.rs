//! Loads the files of `--replay` before the server is ready.
//!
//! All files together are put in order of time, since queries by time and
//! `--last` take it to rise. Bound: a quarter more than the store holds, in number
//! and in bytes, waits beside what is stored; of more, the oldest are stored first.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::bail;

use super::lock;
use crate::{
    flow::{Time, heap::Heap as _},
    pipeline::Pipeline,
    replay,
    store::{Event, Room},
};

/// Events pushed at once; small, so that readers are never far behind.
const BATCH: usize = 1024;

/// Loads all files, for a store with this room; in captures VLANs may tell flows apart.
pub(super) async fn load(
    files: &[PathBuf],
    vlan_in_key: bool,
    room: Room,
    pipeline: &Arc<Mutex<Pipeline>>,
) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (files, pipeline) = (files.to_vec(), Arc::clone(pipeline));
    tokio::task::spawn_blocking(move || load_all(&files, vlan_in_key, room, &mut lock(&pipeline)))
        .await?
}

fn load_all(
    files: &[PathBuf],
    vlan_in_key: bool,
    room: Room,
    pipeline: &mut Pipeline,
) -> anyhow::Result<()> {
    let mut sorter = Sorter::new(room);
    for path in files {
        let origin = pipeline.origin().clone();
        let identities = pipeline.identities();
        let mut interners = std::mem::take(&mut pipeline.interners);
        let mut context = replay::Context {
            interners: &mut interners,
            node: &origin,
            resolve: &mut |address| identities.resolve(address).clone(),
            vlan_in_key,
        };
        sorter.begin();
        let report = replay::load_in(path, &mut context, &mut |event| {
            sorter.add(event, &mut |events| pipeline.push(events));
        });
        pipeline.interners = interners;
        let report = report?;
        tell(&report);
        if let Some(found) = report.nothing() {
            bail!(
                "replay file {} has nothing that can be loaded: {found}; give Hubble's JSON or a capture",
                path.display()
            );
        }
    }
    sorter.finish(&mut |events| pipeline.push(events));
    Ok(())
}

/// Puts events in order of time. What the store will hold in the end is in
/// order whatever came; what it will have overwritten by then need not be.
struct Sorter {
    room: Room,
    events: Vec<Waiting>,
    /// Memory of the events.
    bytes: u64,
    /// Of the event before, for one that has none.
    time: Option<Time>,
}

type Waiting = (Option<Time>, Event);

fn bytes_of((_, event): &Waiting) -> u64 {
    (size_of::<Waiting>() + event.heap_bytes()) as u64
}

/// A quarter more, so that not each event that comes is a reason to sort.
fn and_some(most: u64) -> u64 {
    most.saturating_add(most / 4)
}

impl Sorter {
    fn new(room: Room) -> Self {
        Self {
            room: Room {
                events: room.events.max(BATCH as u64),
                ..room
            },
            events: Vec::new(),
            bytes: 0,
            time: None,
        }
    }

    /// A new file begins.
    fn begin(&mut self) {
        self.time = None;
    }

    fn add(&mut self, event: Event, store: &mut dyn FnMut(&mut Vec<Event>)) {
        self.time = event.time().or(self.time);
        let waiting = (self.time, event);
        self.bytes += bytes_of(&waiting);
        self.events.push(waiting);
        let is_full = self.events.len() as u64 > and_some(self.room.events);
        if is_full || self.bytes > and_some(self.room.bytes) {
            self.store_but(self.room, store);
        }
    }

    fn finish(mut self, store: &mut dyn FnMut(&mut Vec<Event>)) {
        let none = Room {
            events: 0,
            bytes: 0,
        };
        self.store_but(none, store);
    }

    /// Stores all but the latest ones that have room.
    fn store_but(&mut self, room: Room, store: &mut dyn FnMut(&mut Vec<Event>)) {
        // Events are large: their keys are sorted, and each moves once.
        self.events.sort_by_cached_key(|(time, _)| *time);
        let (mut rest, mut bytes) = (0, 0);
        for waiting in self.events.iter().rev() {
            let more = bytes + bytes_of(waiting);
            if rest as u64 == room.events || more > room.bytes {
                break;
            }
            (rest, bytes) = (rest + 1, more);
        }
        self.bytes = bytes;
        let count = self.events.len() - rest;
        let mut batch = Vec::with_capacity(BATCH);
        for (_, event) in self.events.drain(..count) {
            batch.push(event);
            if batch.len() == BATCH {
                store(&mut batch);
            }
        }
        store(&mut batch);
    }
}

fn tell(report: &replay::Report) {
    for problem in &report.problems {
        tracing::warn!(
            file = %report.path.display(),
            number = problem.number,
            cause = problem.cause.name(),
            "not replayed: {}", problem.text
        );
    }
    tracing::info!(
        file = %report.path.display(),
        loaded = report.loaded,
        rejected = report.rejected,
        skipped = report.skipped,
        causes = ?report.causes,
        "replayed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Flow;

    fn flow(nanos: Option<i64>) -> Event {
        Event::Flow(Flow {
            time: nanos.map(Time::from_nanos),
            ..Flow::default()
        })
    }

    fn sorted(capacity: usize, times: impl IntoIterator<Item = Option<i64>>) -> Vec<Option<i64>> {
        let mut stored = Vec::new();
        let mut store = |events: &mut Vec<Event>| {
            let times = events.drain(..).map(|event| event.time());
            stored.extend(times.map(|time| time.map(Time::as_nanos)));
        };
        let mut sorter = Sorter::new((capacity as u64).into());
        for time in times {
            sorter.add(flow(time), &mut store);
        }
        sorter.finish(&mut store);
        stored
    }

    #[test]
    fn a_file_of_two_nodes_is_put_in_order() {
        let times = [1, 3, 5, 2, 4, 6, 3].map(Some);
        assert_eq!(sorted(64, times), [1, 2, 3, 3, 4, 5, 6].map(Some));
    }

    #[test]
    fn large_events_wait_in_as_many_bytes_as_the_store_holds() {
        let large = |nanos| {
            let mut event = flow(Some(nanos));
            if let Event::Flow(flow) = &mut event {
                flow.cold_mut().policy_log = vec!["x".repeat(10_000)];
            }
            event
        };
        let room = Room {
            events: 131_071,
            bytes: 1 << 20,
        };
        let (mut sorter, mut stored) = (Sorter::new(room), Vec::new());
        let mut store = |events: &mut Vec<Event>| {
            stored.extend(events.drain(..).map(|event| event.time()));
        };
        // Two nodes, one after the other.
        for nanos in (0..2_000).chain(0..2_000) {
            sorter.add(large(nanos), &mut store);
            let waiting: u64 = sorter.events.iter().map(bytes_of).sum();
            assert_eq!(waiting, sorter.bytes);
            assert!(waiting <= and_some(room.bytes), "{waiting}");
        }
        sorter.finish(&mut store);
        assert_eq!(stored.len(), 4_000);
        // What such a store keeps of them is the latest, in order.
        let kept = &stored[stored.len() - 90..];
        assert_eq!(kept[0], Some(Time::from_nanos(1_955)));
        assert!(kept.is_sorted());
    }

    #[test]
    fn an_event_without_a_time_stays_behind_the_one_before() {
        let times = [Some(5), None, Some(1), None];
        assert_eq!(sorted(64, times), [Some(1), None, Some(5), None]);
    }

    #[test]
    fn what_a_store_of_any_size_keeps_is_the_latest_in_order() {
        let capacity = BATCH;
        for nodes in [1, 2, 7] {
            let times = (0..nodes).flat_map(|_| (0..5_000).map(Some));
            let stored = sorted(capacity, times);
            assert_eq!(stored.len(), nodes * 5_000);
            let mut expect: Vec<_> = (0..5_000)
                .rev()
                .flat_map(|n| vec![Some(n); nodes])
                .collect();
            expect.truncate(capacity);
            expect.reverse();
            assert_eq!(stored[stored.len() - capacity..], expect);
        }
    }
}
