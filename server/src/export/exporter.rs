//! One exporter at work: reads the store, encodes, writes.
//!
//! What cannot be written is tried again until it can, and meanwhile nothing more is
//! read: the store is the queue. Told to end, it reads on to what was stored by then.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    batch::Batch,
    counts::{Counts, Dropped},
    encoder::{Encoder, Made},
    set::StartError,
    setting::Setting,
    sink::{Sink, SinkError},
};
use crate::{
    flow::sketch::Sieve,
    store::{Cursor, Ring, Run},
};

/// Between two looks at the store, at least.
const TAKE_IN: Duration = Duration::from_millis(10);
/// Long after all that may happen.
const FAR: Duration = Duration::from_secs(3600);
/// Between two attempts to write: at first, and at most.
const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// What an exporter is to do: as this says, or to end.
pub(super) type Order = Option<Arc<Setting>>;

/// An exporter.
pub(super) struct Exporter {
    ring: Ring,
    published: watch::Receiver<u64>,
    cursor: Cursor,
    orders: watch::Receiver<Order>,
    node_name: String,
    encoder: Encoder,
    sieve: Sieve,
    sink: Sink,
    batch: Batch,
    counts: Counts,
    /// When what is in the batch goes, unless it is full before.
    due: Option<Instant>,
    /// It ends here.
    end: Option<u64>,
    /// Until the next attempt, as long as none succeeds.
    backoff: Option<Duration>,
    /// The same, or longer where the other side asks for it.
    pause: Option<Duration>,
}

impl Exporter {
    /// One that begins at the event with this sequence number.
    pub(super) fn new(
        setting: &Setting,
        orders: watch::Receiver<Order>,
        ring: Ring,
        begin: u64,
        node_name: String,
    ) -> Result<Self, StartError> {
        let encoder = Encoder::new(setting, node_name.clone())?;
        let counts = Counts::new(setting.name.clone(), ring.clone(), begin);
        counts.aim(setting);
        Ok(Self {
            published: ring.subscribe(),
            cursor: ring.cursor_at(begin),
            ring,
            orders,
            node_name,
            sieve: encoder.sieve(),
            encoder,
            sink: Sink::new(&setting.target, &counts)?,
            batch: Batch::default(),
            counts,
            due: None,
            end: None,
            backoff: None,
            pause: None,
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Exports until it is told to end.
    pub(super) async fn run(mut self) {
        // A file that cannot be opened is told before there is something to write.
        let opened = self.sink.prepare();
        self.tell(opened);
        loop {
            self.published.mark_unchanged();
            self.take_orders();
            let is_full = self.read();
            self.counts.hold(self.batch.len());
            let is_due = self.is_due(is_full);
            let is_written = !is_due || self.write().await;
            match self.end {
                _ if is_due && is_written && is_full => {}
                Some(_) => break,
                None => self.wait().await,
            }
        }
        // Also what was not even read, for that.
        let unread = self
            .end
            .map_or(0, |end| end.saturating_sub(self.cursor.seq()));
        let left = self.batch.len() as u64 + unread;
        if left > 0 {
            self.counts.drop_events(Dropped::Unwritten, left);
            tracing::warn!(
                name = self.name(),
                events = left,
                "the end of an export is lost"
            );
        }
        if let Err(error) = self.sink.close() {
            tracing::warn!(name = self.name(), "{error}");
        }
    }

    fn name(&self) -> String {
        self.counts.state().name
    }

    /// Takes other orders between two events: each is exported by the ones or the others.
    fn take_orders(&mut self) {
        if !self.orders.has_changed().unwrap_or(true) {
            return;
        }
        let order = self.orders.borrow_and_update().clone();
        let Some(setting) = order else {
            let next = self.ring.next_seq();
            self.end.get_or_insert(next);
            return;
        };
        if let Err(error) = self.change(&setting) {
            // It was tried once already.
            tracing::warn!(name = self.name(), "an exporter as before: {error}");
        }
    }

    fn change(&mut self, setting: &Setting) -> Result<(), StartError> {
        let encoder = Encoder::new(setting, self.node_name.clone())?;
        self.sink.change(&setting.target, &self.counts)?;
        (self.sieve, self.encoder) = (encoder.sieve(), encoder);
        self.counts.aim(setting);
        Ok(())
    }

    /// Encodes the next events; whether there may be more.
    fn read(&mut self) -> bool {
        let most_bytes = self.sink.most_bytes();
        while self.batch.bytes() < most_bytes {
            if self.end.is_some_and(|end| self.cursor.seq() >= end) {
                return false;
            }
            match self.look() {
                Run::Events(_) => {}
                Run::Lost(events) => self.counts.drop_events(Dropped::Lapped, events),
                Run::Empty => return false,
            }
            self.counts.move_to(self.cursor.seq());
        }
        true
    }

    /// Whether what there is should go now: there is enough, it waited for others long
    /// enough, it could not go before, or this is the end.
    fn is_due(&mut self, is_full: bool) -> bool {
        if self.batch.len() == 0 {
            self.due = None;
            return is_full;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + self.sink.pace());
        is_full || self.end.is_some() || self.pause.is_some() || due <= now
    }

    fn look(&mut self) -> Run {
        let most_bytes = self.sink.most_bytes();
        let (encoder, batch, counts) = (&mut self.encoder, &mut self.batch, &self.counts);
        let mut wanted = 0;
        let run = self.cursor.run(&self.sieve, |event| {
            match encoder.add(event, batch) {
                Made::Added => wanted += 1,
                Made::Filtered => {}
                Made::Dropped(why) => {
                    wanted += 1;
                    counts.drop_events(why, 1);
                }
            }
            match batch.bytes() < most_bytes {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        if let Run::Events(seen) = run {
            counts.filter(seen - wanted);
        }
        run
    }

    /// Writes what there is; whether all is written.
    async fn write(&mut self) -> bool {
        while self.batch.len() > 0 {
            let written = self.sink.write(&self.batch).await;
            let bytes = self.batch.advance(written.events);
            self.counts.hold(self.batch.len());
            self.counts.finish(written.events, written.refused, bytes);
            if !self.tell(written.result) {
                return false;
            }
            self.take_orders();
        }
        self.due = None;
        true
    }

    /// Tells of an attempt, if it went otherwise than the one before; how it went.
    fn tell(&mut self, result: Result<(), SinkError>) -> bool {
        match result {
            Ok(()) => {
                (self.backoff, self.pause) = (None, None);
                if self.counts.recover() {
                    tracing::info!(name = self.name(), "an exporter writes again");
                }
                true
            }
            Err(error) => {
                let [first, most] = RETRY;
                let backoff = self.backoff.map_or(first, |before| 2 * before).min(most);
                self.backoff = Some(backoff);
                self.pause = Some(backoff.max(error.retry_after().unwrap_or_default()));
                if self.counts.fail(error.to_string()) {
                    tracing::warn!(name = self.name(), "{error}; it is tried again");
                }
                false
            }
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        let now = Instant::now();
        if let Some(pause) = self.pause {
            tokio::select! {
                () = changed(&mut self.orders) => {}
                () = tokio::time::sleep(pause) => {}
            }
            return;
        }
        // What comes is taken in soon, so that the store need not hold it until it is due.
        let soon = async {
            let _ = self.published.changed().await;
            tokio::time::sleep_until(now + TAKE_IN).await;
        };
        let due = self.due.unwrap_or(now + FAR);
        tokio::select! {
            () = changed(&mut self.orders) => {}
            () = soon => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

/// Waits for other orders, which are still to be taken then.
pub(super) async fn changed(orders: &mut watch::Receiver<Order>) {
    if orders.changed().await.is_ok() {
        orders.mark_changed();
    }
}
