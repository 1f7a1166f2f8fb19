//! Reads the store for an exporter, and encodes what is wanted. Not where it goes.

use std::{ops::ControlFlow, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    batch::Batch,
    counts::{Counts, Dropped},
    encoder::{Encoder, Made},
    setting::{Setting, SettingError},
};
use crate::{
    flow::sketch::Sieve,
    store::{Cursor, Ring, Run},
};

/// Between two looks at the store, at least.
const TAKE_IN: Duration = Duration::from_millis(10);

/// A place in the store, and what is made of the events there.
pub(super) struct Reader {
    ring: Ring,
    published: watch::Receiver<u64>,
    cursor: Cursor,
    node_name: String,
    encoder: Encoder,
    sieve: Sieve,
    counts: Counts,
    /// It ends here.
    end: Option<u64>,
}

impl Reader {
    /// One that begins at the event with this sequence number.
    pub(super) fn new(
        setting: &Setting,
        ring: Ring,
        begin: u64,
        node_name: String,
        counts: Counts,
    ) -> Result<Self, SettingError> {
        let encoder = Encoder::new(setting, node_name.clone())?;
        Ok(Self {
            published: ring.subscribe(),
            cursor: ring.cursor_at(begin),
            ring,
            node_name,
            sieve: encoder.sieve(),
            encoder,
            counts,
            end: None,
        })
    }

    /// Encodes by this from the next event on.
    pub(super) fn change(&mut self, setting: &Setting) -> Result<(), SettingError> {
        let mut encoder = Encoder::new(setting, self.node_name.clone())?;
        encoder.groups().inherit(self.encoder.groups());
        (self.sieve, self.encoder) = (encoder.sieve(), encoder);
        Ok(())
    }

    /// It ends with what is stored by now.
    pub(super) fn end(&mut self) {
        let next = self.ring.next_seq();
        self.end.get_or_insert(next);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Events before the end that are not read, and groups that are not written.
    pub(super) fn left(&mut self) -> u64 {
        let unread = |end: u64| end.saturating_sub(self.cursor.seq());
        self.end.map_or(0, unread) + self.encoder.groups().len() as u64
    }

    /// Encodes the next events, until the batch has so many bytes; whether there may be
    /// more.
    pub(super) fn read(&mut self, batch: &mut Batch, most_bytes: usize) -> bool {
        self.published.mark_unchanged();
        while batch.bytes() < most_bytes {
            self.encoder.groups().turn(Instant::now());
            if self.take_group(batch) {
                continue;
            }
            if self.end.is_some_and(|end| self.cursor.seq() >= end) {
                self.encoder.groups().close();
                if self.take_group(batch) {
                    continue;
                }
                return false;
            }
            match self.look(batch, most_bytes) {
                Run::Events(_) => {}
                Run::Lost(events) => self.counts.drop_events(Dropped::Lapped, events),
                Run::Empty => return false,
            }
            self.counts.move_to(self.cursor.seq());
        }
        true
    }

    /// Adds a group that is to be written; whether there was one.
    fn take_group(&mut self, batch: &mut Batch) -> bool {
        let made = self.encoder.add_group(batch);
        if let Some(Made::Dropped(why)) = made {
            self.counts.drop_events(why, 1);
        }
        made.is_some()
    }

    fn look(&mut self, batch: &mut Batch, most_bytes: usize) -> Run {
        let (encoder, counts) = (&mut self.encoder, &self.counts);
        let (mut wanted, mut grouped) = (0, 0);
        let run = self.cursor.run(&self.sieve, |event| {
            match encoder.add(event, batch) {
                Made::Added => wanted += 1,
                Made::Grouped => {
                    wanted += 1;
                    grouped += 1;
                }
                Made::Filtered => {}
                Made::Dropped(why) => {
                    wanted += 1;
                    counts.drop_events(why, 1);
                }
            }
            let is_full = encoder.groups().is_full();
            if is_full {
                encoder.groups().close();
                counts.overflow();
            }
            match batch.bytes() < most_bytes && !is_full {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        counts.group(grouped);
        if let Run::Events(seen) = run {
            counts.filter(seen - wanted);
        }
        run
    }

    /// Waits for new events, and a moment for others that come with them; or until groups
    /// are to be written.
    pub(super) async fn news(&mut self) {
        let now = Instant::now();
        let next = self.encoder.groups().next();
        let events = async {
            let _ = self.published.changed().await;
            tokio::time::sleep_until(now + TAKE_IN).await;
        };
        let groups = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = events => {}
            () = groups => {}
        }
    }
}
