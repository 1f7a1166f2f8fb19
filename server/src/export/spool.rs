//! Events on the disk that a server did not acknowledge yet: they outlive the daemon.
//!
//! Segments of frames with checksums (`segment`), the number of the last acknowledged
//! event (`acknowledged`), one daemon at a time (`folder`). Whatever is damaged is set
//! aside, counted and told, and keeps nobody from starting. What reached it survives the
//! daemon whatever kills it; what has waited `SYNC` twice is on the disk also when the
//! machine loses its power. Not who reads the store, nor who sends. Bound: the bytes of
//! its setting and a frame, beyond which the oldest segment is dropped and its events are
//! counted.

mod acknowledged;
mod error;
mod folder;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque, fs::File, io, os::unix::fs::FileExt as _, path::Path, time::Duration,
};

use nix::fcntl::OFlag;

use super::{
    batch::Batch,
    counts::{Counts, Damage, Dropped},
    setting::SpoolSetting,
};
use acknowledged::Acknowledged;
pub(super) use error::SpoolError;
use folder::{Folder, segment_name};
use segment::{END, Frame, HEADER};

/// How often what waits is brought to the disk.
pub(super) const SYNC: Duration = Duration::from_secs(5);
/// Of so many segments a spool is made at least, since one is dropped at a time.
const SEGMENTS: u64 = 16;
/// Bytes of a segment, at least and at most, but for its last frame.
const SEGMENT: [u64; 2] = [1 << 20, 64 << 20];
/// Files of a spool, at most: each start begins one.
const MAX_SEGMENTS: usize = 1024;

/// A file of events.
#[derive(Debug)]
struct Segment {
    /// Number of its first event.
    first: u64,
    bytes: u64,
}

/// The spool of an exporter.
#[derive(Debug)]
pub(super) struct Spool {
    folder: Folder,
    /// What the events are; others are not sent.
    form: u32,
    max_bytes: u64,
    counts: Counts,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// Of the last segment, which is written; none after a start or a failure.
    writer: Option<File>,
    /// Number of the next event that comes.
    next: u64,
    /// Number of the next event that is loaded.
    position: u64,
    /// The segment that is read, by its first event, and where its next frame is.
    reader: Option<(u64, File, u64)>,
    /// Numbers and counts of events that are loaded and not acknowledged.
    loaded: VecDeque<(u64, u64)>,
    acknowledged: Acknowledged,
    /// The next event at the last look at what is to be synced.
    seen: u64,
    buffer: Vec<u8>,
}

impl Spool {
    /// Opens what an earlier daemon left, or a new one.
    pub(super) fn open(
        setting: &SpoolSetting,
        form: u32,
        counts: &Counts,
    ) -> Result<Self, SpoolError> {
        let folder = Folder::open(&setting.directory)?;
        let read = |source| SpoolError::Read {
            path: setting.directory.clone(),
            source,
        };
        let acknowledged = Acknowledged::open(&folder).map_err(read)?;
        let (firsts, beyond): (Vec<_>, Vec<_>) = {
            let segments = folder.segments().map_err(read)?.into_iter();
            segments.partition(|first| *first < END)
        };
        let number = acknowledged.number();
        let mut spool = Self {
            folder,
            form,
            max_bytes: setting.max_bytes,
            counts: counts.clone(),
            segments: VecDeque::new(),
            writer: None,
            next: firsts.last().copied().unwrap_or_default().max(number),
            position: number,
            reader: None,
            loaded: VecDeque::new(),
            acknowledged,
            seen: 0,
            buffer: Vec::new(),
        };
        for first in beyond {
            spool.set_aside(first, "has a number that no event ever has");
        }
        for (at, first) in firsts.iter().enumerate() {
            spool.take_up(*first, firsts.get(at + 1).copied());
        }
        spool.forget_acknowledged();
        spool.tell();
        Ok(spool)
    }

    /// Takes up a segment that is there; `next` is where the one after it begins.
    fn take_up(&mut self, first: u64, next: Option<u64>) {
        let name = segment_name(first);
        let opened = self.folder.open_file(&name, OFlag::O_RDONLY);
        let found = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let is_ours = |file: &File| segment::form_of(file) == Some(self.form);
        let (bytes, file) = match found {
            Ok((bytes, file)) if is_ours(&file) => (bytes, file),
            Ok((0, _)) => return self.remove(first),
            _ => {
                let from = first.max(self.acknowledged.number());
                let events = next.unwrap_or(self.next).saturating_sub(from);
                self.set_aside(
                    first,
                    "has other events than this exporter's, or is damaged",
                );
                return self.lose(events, Dropped::Damaged);
            }
        };
        self.segments.push_back(Segment { first, bytes });
        if next.is_some() {
            return;
        }
        // The last one may end anywhere.
        let mut at = HEADER;
        while let Some(frame) = segment::read(&file, at, bytes, &mut self.buffer) {
            at += frame.bytes;
            self.next = self.next.max(frame.first + frame.events);
        }
        if at < bytes {
            self.counts.damage(Damage::Torn);
            let path = self.folder.path().join(name);
            tracing::warn!(?path, "the end of a spool was cut off, and is left out");
        }
        if at == HEADER {
            self.segments.pop_back();
            self.remove(first);
        }
    }

    /// Whether its folder is no more where it was.
    pub(super) fn is_gone(&self) -> bool {
        !self.folder.is_there()
    }

    /// Events that were not loaded yet.
    pub(super) fn unread(&self) -> u64 {
        self.next.saturating_sub(self.position)
    }

    /// Takes no more bytes than this from now on.
    pub(super) fn limit(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
    }

    /// Events that are not acknowledged.
    pub(super) fn len(&self) -> u64 {
        self.loaded() + self.unread()
    }

    /// Of those, the ones that are to be sent just now.
    pub(super) fn loaded(&self) -> u64 {
        self.loaded.iter().map(|(_, events)| events).sum()
    }

    /// Puts the events of a batch that are not written behind the others: all of them or,
    /// with an error, none.
    pub(super) fn push(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        let mut frame = std::mem::take(&mut self.buffer);
        let pushed = segment::encode(batch, self.next, &mut frame)
            .and_then(|()| self.append(&frame))
            .map_err(|source| SpoolError::Write {
                path: self.folder.path().to_owned(),
                source,
            });
        self.buffer = frame;
        if pushed.is_ok() {
            self.next += batch.len() as u64;
        }
        self.tell();
        pushed
    }

    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        let bytes = frame.len() as u64;
        while self.segments.len() > 1 && self.bytes() + bytes > self.max_bytes {
            self.drop_oldest();
        }
        let [least, most] = SEGMENT;
        let room = (self.max_bytes / SEGMENTS).clamp(least, most);
        if self.segments.back().is_none_or(|last| last.bytes >= room) {
            self.finish();
        }
        if self.writer.is_none() {
            self.begin()?;
        }
        let (Some(file), Some(last)) = (&self.writer, self.segments.back_mut()) else {
            return Ok(());
        };
        let name = segment_name(last.first);
        let there = self.folder.open_file(&name, OFlag::O_PATH);
        if there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Somebody removed it: what is written there nobody would find.
            self.writer = None;
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{name} was removed"),
            ));
        }
        let written = file.write_all_at(frame, last.bytes);
        match written {
            Ok(()) => last.bytes += bytes,
            // A part of it may be there.
            Err(_) if file.set_len(last.bytes).is_err() => self.writer = None,
            Err(_) => {}
        }
        written
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<()> {
        while self.segments.len() >= MAX_SEGMENTS {
            self.drop_oldest();
        }
        let first = self.next;
        let name = segment_name(first);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        // One without events may be left of one that could not be written.
        if self.segments.back().is_some_and(|last| last.first == first) {
            self.segments.pop_back();
            self.remove(first);
        }
        let file = self.folder.open_file(&name, flags)?;
        if let Err(error) = file.write_all_at(&segment::header(self.form, first), 0) {
            self.remove(first);
            return Err(error);
        }
        self.segments.push_back(Segment {
            first,
            bytes: HEADER,
        });
        self.writer = Some(file);
        Ok(())
    }

    /// The last segment is written no more.
    fn finish(&mut self) {
        if let Some(file) = self.writer.take()
            && self.acknowledged.number() < self.seen
            && let Err(error) = file.sync_data()
        {
            self.fail(error);
        }
    }

    /// Adds the next events to a batch, until it has so many bytes.
    pub(super) fn load(&mut self, batch: &mut Batch, most_bytes: usize) {
        while batch.bytes() < most_bytes && self.position < self.next {
            self.load_frame(batch);
        }
        if self.loaded.is_empty() && self.acknowledged.number() < self.position {
            // What is left are events that are lost.
            self.move_to(self.position);
        }
    }

    /// Adds the events of the next frame, or passes over what is damaged.
    fn load_frame(&mut self, batch: &mut Batch) {
        let at = self
            .segments
            .partition_point(|one| one.first <= self.position);
        let after = self.segments.get(at).map_or(self.next, |one| one.first);
        let Some(segment) = at.checked_sub(1).and_then(|at| self.segments.get(at)) else {
            // Those before were dropped.
            self.position = after;
            return;
        };
        let (first, bytes) = (segment.first, segment.bytes);
        let opened = match self.reader.take() {
            Some((of, file, at)) if of == first => Ok((file, at)),
            _ => {
                let file = self.folder.open_file(&segment_name(first), OFlag::O_RDONLY);
                file.map(|file| (file, HEADER))
            }
        };
        let Ok((file, at)) = opened else {
            return self.pass_over(first, after);
        };
        let mut body = std::mem::take(&mut self.buffer);
        let frame = segment::read(&file, at, bytes, &mut body);
        match frame {
            Some(frame) => {
                self.take(&frame, &body, batch);
                self.reader = Some((first, file, at + frame.bytes));
            }
            None => self.pass_over(first, after),
        }
        self.buffer = body;
    }

    fn take(&mut self, frame: &Frame, body: &[u8], batch: &mut Batch) {
        let end = frame.first + frame.events;
        let skipped = self.position.saturating_sub(frame.first).min(frame.events);
        let before = batch.len();
        for event in segment::events(frame, body, skipped) {
            let Ok(()) = batch.add(|bytes| {
                bytes.extend_from_slice(event);
                Ok::<_, std::convert::Infallible>(())
            });
        }
        let events = (batch.len() - before) as u64;
        if events > 0 {
            self.loaded.push_back((frame.first + skipped, events));
        }
        self.position = self.position.max(end);
    }

    /// Goes on behind a segment whose rest cannot be read.
    fn pass_over(&mut self, first: u64, after: u64) {
        let lost = after.saturating_sub(self.position);
        self.position = after;
        if lost > 0 {
            self.segments.retain(|segment| segment.first != first);
            if self.segments.back().is_none_or(|last| last.first < first) {
                self.writer = None;
            }
            self.set_aside(first, "is damaged");
            self.lose(lost, Dropped::Damaged);
        }
    }

    /// The first so many of those that were loaded are acknowledged.
    pub(super) fn acknowledge(&mut self, events: usize) {
        let mut left = events as u64;
        let mut number = self.acknowledged.number();
        while left > 0
            && let Some((first, count)) = self.loaded.front_mut()
        {
            let some = left.min(*count);
            (*first, *count, left) = (*first + some, *count - some, left - some);
            number = *first;
            if *count == 0 {
                self.loaded.pop_front();
            }
        }
        self.move_to(number);
    }

    fn move_to(&mut self, number: u64) {
        if let Err(error) = self.acknowledged.move_to(number) {
            self.fail(error);
        }
        self.forget_acknowledged();
        self.tell();
    }

    /// Removes segments whose events are all acknowledged.
    fn forget_acknowledged(&mut self) {
        let number = self.acknowledged.number();
        while self.segments.get(1).is_some_and(|one| one.first <= number) {
            self.remove_oldest();
        }
        let [least, _] = SEGMENT;
        let is_done = number >= self.next && self.loaded.is_empty();
        if is_done && self.segments.front().is_some_and(|one| one.bytes >= least) {
            self.writer = None;
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(oldest) = self.segments.pop_front() {
            self.reader.take_if(|(first, ..)| *first == oldest.first);
            self.remove(oldest.first);
        }
    }

    /// Makes room: what was not even loaded is lost.
    fn drop_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else {
            return;
        };
        let end = self.segments.front().map_or(self.next, |one| one.first);
        let lost = end.saturating_sub(self.position.max(oldest.first));
        self.position = self.position.max(end);
        self.remove(oldest.first);
        self.lose(lost, Dropped::Spool);
    }

    /// What waited since the last call is on the disk after this one.
    pub(super) fn sync(&mut self) {
        let is_waiting = self.acknowledged.number() < self.seen;
        self.seen = self.next;
        if !is_waiting {
            return;
        }
        let synced = self.writer.as_ref().map_or(Ok(()), File::sync_data);
        if let Err(error) = synced.and_then(|()| self.folder.sync()) {
            self.fail(error);
        }
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn remove(&mut self, first: u64) {
        if let Err(error) = self.folder.remove(&segment_name(first)) {
            self.fail(error);
        }
    }

    fn set_aside(&mut self, first: u64, what: &str) {
        self.counts.damage(Damage::Segment);
        let path = self.folder.path().join(segment_name(first));
        match self.folder.set_aside(&segment_name(first)) {
            Ok(aside) => tracing::warn!(?path, ?aside, "a file of a spool {what}; it is set aside"),
            Err(error) => tracing::warn!(?path, "a file of a spool {what}: {error}"),
        }
    }

    fn lose(&self, events: u64, why: Dropped) {
        if events > 0 {
            self.counts.drop_events(why, events);
        }
    }

    /// What went wrong keeps it from nothing but being sure.
    fn fail(&self, error: io::Error) {
        let path: &Path = self.folder.path();
        self.counts.damage(Damage::Write);
        self.counts.complain(format!("the spool {path:?}: {error}"));
    }

    fn tell(&self) {
        self.counts.spool(self.bytes());
    }
}
