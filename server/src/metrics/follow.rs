//! Reads the store and counts, on a thread of its own: somebody who takes the page for
//! long delays this, never who writes to the store or waits for an answer.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    flow::sketch::Sieve,
    store::{Cursor, Event, Ring, Run},
};

/// What counts events, and by what.
pub(super) trait Engine {
    /// What it is told to count.
    type Settings;

    /// Takes other settings, between two events: each is counted by the ones or the others.
    fn take_up(&mut self, settings: &Self::Settings);

    /// Whether it counts nothing, so that there is nothing to read.
    fn is_idle(&self) -> bool;

    /// Counts an event.
    fn see(&mut self, event: &Event, now: Instant);

    /// Events that were overwritten before they were seen.
    fn miss(&mut self, events: u64);

    /// Removes the series whose time is over; when to look again.
    fn forget(&mut self, now: Instant) -> Option<Instant>;
}

/// Settings that may change at work.
pub(super) type Settings<S> = Option<watch::Receiver<Arc<S>>>;

/// Counts all events from the first one on, until `ending` changes. One that counted nothing
/// for a while goes on with what comes after its new settings.
pub(super) async fn follow<E: Engine>(
    engine: Arc<Mutex<E>>,
    mut settings: Settings<E::Settings>,
    ring: Ring,
    mut ending: watch::Receiver<bool>,
) {
    let (mut published, mut cursor) = (ring.subscribe(), ring.cursor_at(0));
    // The sieve holds nothing back.
    let sieve = Sieve::default();
    loop {
        published.mark_unchanged();
        let was_idle = lock(&engine).is_idle();
        take_up(&engine, &mut settings);
        if was_idle {
            cursor = ring.cursor_at(ring.next_seq());
        }
        let is_idle = lock(&engine).is_idle();
        while !is_idle && read(&engine, &mut cursor, &sieve) {
            take_up(&engine, &mut settings);
        }
        let due = lock(&engine).forget(Instant::now());
        tokio::select! {
            _ = ending.changed() => return,
            _ = published.changed(), if !is_idle => {}
            () = changed(&mut settings) => {}
            () = until(due) => {}
        }
    }
}

/// Reads on; whether there may be more.
fn read<E: Engine>(engine: &Mutex<E>, cursor: &mut Cursor, sieve: &Sieve) -> bool {
    let (mut engine, now) = (lock(engine), Instant::now());
    let run = cursor.run(sieve, |_, event| {
        engine.see(event, now);
        ControlFlow::Continue(())
    });
    match run {
        Run::Events(_) => true,
        Run::Lost(events) => {
            engine.miss(events);
            true
        }
        Run::Empty => false,
    }
}

fn take_up<E: Engine>(engine: &Mutex<E>, settings: &mut Settings<E::Settings>) {
    let Some(settings) = settings else { return };
    if settings.has_changed().unwrap_or(false) {
        let settings = Arc::clone(&settings.borrow_and_update());
        lock(engine).take_up(&settings);
    }
}

/// Waits for other settings, which are still to be taken up then.
async fn changed<S>(settings: &mut Settings<S>) {
    if let Some(settings) = settings
        && settings.changed().await.is_ok()
    {
        settings.mark_changed();
        return;
    }
    std::future::pending().await
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Whoever died with the lock had counted a flow in part, no more.
pub(super) fn lock<E>(engine: &Mutex<E>) -> MutexGuard<'_, E> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}
