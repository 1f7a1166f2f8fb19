//! Loads the files of `--replay` before the server is ready.
//!
//! All files together are put in order of time, since queries by time and
//! `--last` take it to rise. Bound: as many events as the store holds wait beside
//! those that are stored; of more, the oldest are stored first.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::bail;

use super::lock;
use crate::{flow::Time, pipeline::Pipeline, replay, store::Event};

/// Events pushed at once; small, so that readers are never far behind.
const BATCH: usize = 1024;

/// Loads all files, for a store of `capacity` events.
pub(super) async fn load(
    files: &[PathBuf],
    capacity: u64,
    pipeline: &Arc<Mutex<Pipeline>>,
) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (files, pipeline) = (files.to_vec(), Arc::clone(pipeline));
    tokio::task::spawn_blocking(move || load_all(&files, capacity, &mut lock(&pipeline))).await?
}

fn load_all(files: &[PathBuf], capacity: u64, pipeline: &mut Pipeline) -> anyhow::Result<()> {
    let mut sorter = Sorter::new(usize::try_from(capacity).unwrap_or(usize::MAX));
    for path in files {
        let origin = pipeline.origin().clone();
        let identities = pipeline.identities();
        let mut interners = std::mem::take(&mut pipeline.interners);
        let mut context = replay::Context {
            interners: &mut interners,
            node: &origin,
            resolve: &mut |address| identities.resolve(address).clone(),
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
    capacity: usize,
    events: Vec<(Option<Time>, Event)>,
    /// Of the event before, for one that has none.
    time: Option<Time>,
}

impl Sorter {
    fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(BATCH),
            events: Vec::new(),
            time: None,
        }
    }

    /// A new file begins.
    fn begin(&mut self) {
        self.time = None;
    }

    fn add(&mut self, event: Event, store: &mut dyn FnMut(&mut Vec<Event>)) {
        self.time = event.time().or(self.time);
        self.events.push((self.time, event));
        if self.events.len() / 2 >= self.capacity {
            let rest = self.capacity;
            self.store_but(rest, store);
        }
    }

    fn finish(mut self, store: &mut dyn FnMut(&mut Vec<Event>)) {
        self.store_but(0, store);
    }

    /// Stores all but the `rest` latest ones.
    fn store_but(&mut self, rest: usize, store: &mut dyn FnMut(&mut Vec<Event>)) {
        self.events.sort_by_key(|(time, _)| *time);
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
        let mut sorter = Sorter::new(capacity);
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
