//! One exporter at work: reads the store, encodes, writes.
//!
//! What cannot be written is tried again until it can, and meanwhile nothing more is
//! read: the store is the queue. Told to end, it reads on to what was stored by then, and
//! tries for `LAST` what cannot be written.
//! One with a spool: `spooled`.

use std::{sync::PoisonError, time::Duration};

use tokio::time::Instant;

use super::{
    batch::Batch,
    counts::{Counts, Dropped},
    order::{Order, Orders},
    outlet::Outlet,
    reader::Reader,
    setting::Setting,
    start::{Source, StartError},
};

/// Long after all that may happen.
const FAR: Duration = Duration::from_secs(3600);
/// So long an end is tried again: a bit less than the daemon's own end waits for it.
const LAST: Duration = Duration::from_secs(4);

/// An exporter.
pub(super) struct Exporter {
    orders: Orders,
    reader: Reader,
    outlet: Outlet,
    batch: Batch,
    counts: Counts,
    /// When what is in the batch goes, unless it is full before.
    due: Option<Instant>,
    /// When it gives up, once it is told to end.
    gives_up: Option<Instant>,
}

impl Exporter {
    /// One that begins at the event with this sequence number.
    pub(super) fn new(
        setting: &Setting,
        orders: Orders,
        source: Source,
        begin: u64,
    ) -> Result<Self, StartError> {
        let counts = Counts::new(setting, source.ring.clone(), begin);
        Ok(Self {
            orders,
            reader: Reader::new(setting, source, begin, counts.clone())?,
            outlet: Outlet::new(&setting.target, counts.clone())?,
            batch: Batch::default(),
            counts,
            due: None,
            gives_up: None,
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Exports until it is told to end.
    pub(super) async fn run(mut self) {
        self.outlet.prepare();
        loop {
            let is_full = self.read();
            let was_ending = self.reader.is_ending();
            self.counts.hold(self.batch.len() as u64);
            let is_due = self.is_due(is_full);
            let is_written = !is_due || self.write().await;
            match self.reader.is_ending() {
                _ if is_due && is_written && is_full => {}
                // It was told so while it wrote, and has not read to its end.
                true if !was_ending => {}
                true if is_written || !self.rests().await => break,
                true => {}
                false => self.wait().await,
            }
        }
        // Also what was not even read, for that.
        let left = self.batch.len() as u64 + self.reader.left();
        if left > 0 {
            self.counts.drop_events(Dropped::Unwritten, left);
            tracing::warn!(
                name = self.counts.name(),
                events = left,
                "the end of an export is lost"
            );
        }
        self.outlet.close();
    }

    /// Takes orders, and in the next events; whether there may be more.
    fn read(&mut self) -> bool {
        let gate = self.orders.gate();
        let _held = gate.read().unwrap_or_else(PoisonError::into_inner);
        self.take_orders();
        let most_bytes = self.outlet.most_bytes();
        self.reader.read(&mut self.batch, most_bytes)
    }

    /// Takes other orders: each event is exported by the ones or the others, all go where
    /// the last one says.
    fn take_orders(&mut self) {
        for order in self.orders.take() {
            match order {
                Order::End(at) => {
                    self.reader.end(at);
                    self.gives_up.get_or_insert_with(|| Instant::now() + LAST);
                }
                Order::Export(setting, from) => {
                    if let Err(error) = self.change(&setting, from) {
                        // It was tried once already.
                        let name = self.counts.name();
                        tracing::warn!(name, "an exporter as before: {error}");
                    }
                }
            }
        }
    }

    fn change(&mut self, setting: &Setting, from: u64) -> Result<(), StartError> {
        self.outlet.change(&setting.target)?;
        self.reader.change(setting, from)?;
        self.counts.aim(setting);
        Ok(())
    }

    /// Whether what there is should go now: there is enough, it waited for others long
    /// enough, it could not go before, or this is the end.
    fn is_due(&mut self, is_full: bool) -> bool {
        if self.batch.len() == 0 {
            self.due = None;
            return is_full;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + self.outlet.pace());
        is_full || self.reader.is_ending() || self.outlet.pause().is_some() || due <= now
    }

    /// Writes what there is; whether all is written.
    async fn write(&mut self) -> bool {
        while self.batch.len() > 0 {
            let attempt = self.outlet.write(&mut self.batch, &mut self.orders).await;
            self.counts.hold(self.batch.len() as u64);
            if !attempt.is_good {
                return false;
            }
            self.take_orders();
        }
        self.due = None;
        true
    }

    /// Waits for the next attempt, at the end; whether there is one.
    async fn rests(&self) -> bool {
        let (Some(pause), Some(gives_up)) = (self.outlet.pause(), self.gives_up) else {
            return false;
        };
        let now = Instant::now();
        let is_in_time = now < gives_up;
        if is_in_time {
            tokio::time::sleep_until(gives_up.min(now + pause)).await;
        }
        is_in_time
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        if let Some(pause) = self.outlet.pause() {
            tokio::select! {
                () = self.orders.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            return;
        }
        // What comes is taken in soon, so that the store need not hold it until it is due.
        let due = self.due.unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            () = self.orders.changed() => {}
            () = self.reader.news() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}
