//! What was read of the store and is not acknowledged: in a spool or, as long as the disk
//! does not take it, in memory.
//!
//! Memory takes no more than a batch; when it is full nothing more is read, and the store
//! is the queue. The disk is tried again and again.

use std::{path::PathBuf, time::Duration};

use tokio::time::Instant;

use super::{
    batch::Batch,
    counts::{Counts, Damage, Dropped},
    outlet::jittered,
    setting::SpoolSetting,
    spool::{Spool, SpoolError},
};

/// Between two attempts to use the disk.
const RETRY: Duration = Duration::from_secs(1);

/// The queue.
pub(super) struct Queue {
    /// What is not on the disk yet.
    pub(super) fresh: Batch,
    disk: Option<Spool>,
    setting: SpoolSetting,
    /// What its events are.
    form: u32,
    counts: Counts,
    /// The disk is not used before.
    retry: Option<Instant>,
    /// Events that were taken and are not acknowledged, and were never on the disk.
    lent: usize,
}

impl Queue {
    /// The spool is opened with the first `settle`.
    pub(super) fn new(setting: SpoolSetting, form: u32, counts: Counts) -> Self {
        Self {
            fresh: Batch::default(),
            disk: None,
            setting,
            form,
            counts,
            retry: None,
            lent: 0,
        }
    }

    /// Where the spool is.
    pub(super) fn directory(&self) -> PathBuf {
        self.setting.directory.clone()
    }

    /// A spool may have so many bytes from now on.
    pub(super) fn limit(&mut self, max_bytes: u64) {
        self.setting.max_bytes = max_bytes;
        if let Some(disk) = &mut self.disk {
            disk.limit(max_bytes);
        }
    }

    /// Brings what is new to the disk.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        let is_settled = self.disk.is_some() && self.fresh.len() == 0;
        if !is_settled && self.retry.is_none_or(|retry| retry <= now) {
            match self.push() {
                Ok(()) => {
                    self.retry = None;
                    if self.counts.settle() {
                        tracing::info!(name = self.counts.name(), "a spool takes events again");
                    }
                }
                Err(error) => {
                    self.retry = Some(now + jittered(RETRY));
                    self.counts.damage(Damage::Write);
                    if self.counts.unsettle(error.to_string()) {
                        let name = self.counts.name();
                        tracing::warn!(name, "{error}; events go on without their spool");
                    }
                }
            }
        }
        self.tell();
    }

    fn push(&mut self) -> Result<(), SpoolError> {
        let disk = match &mut self.disk {
            Some(disk) => disk,
            empty => {
                let spool = Spool::open(&self.setting, self.form, &self.counts)?;
                if spool.len() > 0 {
                    let events = spool.len();
                    let name = self.counts.name();
                    tracing::info!(name, events, "a spool has events that were not sent yet");
                }
                empty.insert(spool)
            }
        };
        if self.fresh.len() > 0 {
            disk.push(&self.fresh)?;
            self.fresh.advance(self.fresh.len());
        }
        Ok(())
    }

    /// Adds the oldest events to a batch, until it has so many bytes.
    pub(super) fn load(&mut self, batch: &mut Batch, most_bytes: usize) {
        if self.lent > 0 {
            return;
        }
        if let Some(disk) = &mut self.disk {
            disk.load(batch, most_bytes);
        }
        if batch.len() == 0 && self.retry.is_some() {
            std::mem::swap(&mut self.fresh, batch);
            self.lent = batch.len();
        }
        self.tell();
    }

    /// The first so many of the events that were loaded are acknowledged.
    pub(super) fn acknowledge(&mut self, events: usize) {
        match &mut self.disk {
            _ if self.lent > 0 => self.lent -= events,
            Some(disk) => disk.acknowledge(events),
            None => {}
        }
        self.tell();
    }

    /// Events that are in memory alone.
    pub(super) fn in_memory(&self) -> u64 {
        (self.fresh.len() + self.lent) as u64
    }

    /// Events that are on the disk.
    pub(super) fn on_disk(&self) -> u64 {
        self.disk.as_ref().map_or(0, Spool::len)
    }

    /// What waits for long is on the disk also if the machine fails.
    pub(super) fn sync(&mut self) {
        if let Some(disk) = self.disk.take_if(|disk| disk.is_gone()) {
            let (events, path) = (disk.unread(), &self.setting.directory);
            let name = self.counts.name();
            self.counts.drop_events(Dropped::Damaged, events);
            // Those that are to be sent just now are nowhere else from now on.
            self.lent += disk.loaded() as usize;
            // With its lock.
            drop(disk);
            let gone = format!("the spool {path:?} was removed or moved; it is begun anew");
            tracing::warn!(name, lost = events, "{gone}");
            self.counts.damage(Damage::Segment);
            self.counts.complain(gone);
            self.settle();
        }
        if let Some(disk) = &mut self.disk {
            disk.sync();
        }
    }

    fn tell(&self) {
        self.counts.hold(self.on_disk() + self.in_memory());
    }
}
