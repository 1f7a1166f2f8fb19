//! Reads the store and counts, on a thread of its own: somebody who takes the page for
//! long delays this, never who writes to the store or waits for an answer.

use std::{ops::ControlFlow, sync::Arc, time::Instant};

use tokio::sync::watch;

use super::{HubbleMetrics, Setting};
use crate::{
    flow::sketch::Sieve,
    store::{Cursor, Ring, Run},
};

impl HubbleMetrics {
    /// Counts all events from the first one on, until `ending` changes.
    pub async fn follow(self, ring: Ring, mut ending: watch::Receiver<bool>) {
        let (mut published, mut cursor) = (ring.subscribe(), ring.cursor_at(0));
        // The sieve holds nothing back.
        let (sieve, mut settings) = (Sieve::default(), self.settings());
        loop {
            published.mark_unchanged();
            self.take_up(&mut settings);
            while self.read(&mut cursor, &sieve) {
                self.take_up(&mut settings);
            }
            let due = self.lock().forget(Instant::now());
            tokio::select! {
                _ = ending.changed() => return,
                _ = published.changed() => {}
                () = changed(&mut settings) => {}
                () = until(due) => {}
            }
        }
    }

    /// Reads on; whether there may be more.
    fn read(&self, cursor: &mut Cursor, sieve: &Sieve) -> bool {
        let mut engine = self.lock();
        let run = cursor.run(sieve, |event| {
            engine.see(event);
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

    fn settings(&self) -> Option<watch::Receiver<Arc<Vec<Setting>>>> {
        let mut settings = self.file.as_ref().map(super::Reloaded::subscribe);
        // Since it was begun with, the file may have been read again.
        settings.iter_mut().for_each(watch::Receiver::mark_changed);
        settings
    }

    /// Takes other settings between two events: each is counted by the ones or the others.
    fn take_up(&self, settings: &mut Option<watch::Receiver<Arc<Vec<Setting>>>>) {
        let Some(settings) = settings else { return };
        if !settings.has_changed().unwrap_or(false) {
            return;
        }
        let settings = Arc::clone(&settings.borrow_and_update());
        if let Err(error) = self.lock().apply(&settings) {
            tracing::warn!("Hubble's metrics as before: {error}");
        }
    }
}

/// Waits for other settings, which are still to be taken up then.
async fn changed(settings: &mut Option<watch::Receiver<Arc<Vec<Setting>>>>) {
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
