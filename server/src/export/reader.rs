//! Reads the store for an exporter, and encodes what is wanted; and takes spans of the
//! daemon's own work, if they are. Not where it goes.

use std::{collections::VecDeque, convert::Infallible, ops::ControlFlow, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    batch::Batch,
    counts::{Counts, Dropped},
    encoder::{Encoder, Made},
    lines::Lines,
    order::MOST,
    otlp::put_own_span,
    setting::{Setting, SettingError},
    start::Source,
};
use crate::{
    flow::sketch::Sieve,
    spans::{Spans, Taken},
    store::{Cursor, Ring, Run},
};

/// Between two looks at the store, at least.
const TAKE_IN: Duration = Duration::from_millis(10);

/// Looks into the store at once: others wait for who looks long and finds nothing.
const RUNS: usize = 64;

/// A place in the store, and what is made of the events there.
pub(super) struct Reader {
    ring: Ring,
    published: watch::Receiver<u64>,
    cursor: Cursor,
    node_name: String,
    lines: Lines,
    encoder: Encoder,
    /// Those that come after it, and from which event on.
    next: VecDeque<(u64, Encoder)>,
    sieve: Sieve,
    counts: Counts,
    spans: Spans,
    /// The daemon's own, if they are wanted.
    own: Option<Taken>,
    /// It ends here.
    end: Option<u64>,
}

impl Reader {
    /// One that begins at the event with this sequence number.
    pub(super) fn new(
        setting: &Setting,
        source: Source,
        begin: u64,
        counts: Counts,
    ) -> Result<Self, SettingError> {
        let Source {
            ring,
            node_name,
            spans,
            lines,
        } = source;
        let encoder = Encoder::new(setting, node_name.clone(), &lines)?;
        Ok(Self {
            published: ring.subscribe(),
            cursor: ring.cursor_at(begin),
            ring,
            node_name,
            lines,
            sieve: encoder.sieve(),
            encoder,
            next: VecDeque::new(),
            counts,
            own: setting.target.has_own_spans().then(|| spans.take()),
            spans,
            end: None,
        })
    }

    /// Encodes by this from the event of this number on, and takes the daemon's own spans
    /// as it says from now on.
    pub(super) fn change(&mut self, setting: &Setting, from: u64) -> Result<(), SettingError> {
        let encoder = Encoder::new(setting, self.node_name.clone(), &self.lines)?;
        if self.next.len() == MOST {
            // It is so far behind that it never exports by it.
            self.next.pop_front();
        }
        self.next.push_back((from, encoder));
        self.turn();
        let has_own = self.own.as_ref().is_some_and(|own| !own.is_closed());
        match (setting.target.has_own_spans(), has_own) {
            (true, false) => {
                let before = self.own.replace(self.spans.take());
                let left = before.map_or(0, |own| own.len());
                if left > 0 {
                    self.counts.drop_events(Dropped::Unwritten, left as u64);
                }
            }
            (false, true) => self.own.iter().for_each(Taken::close),
            _ => {}
        }
        Ok(())
    }

    /// Goes on with what comes after, if it is its turn.
    fn turn(&mut self) {
        let is_due = |(from, _): &(u64, Encoder)| *from <= self.cursor.seq();
        while self.next.front().is_some_and(is_due)
            && let Some((_, mut encoder)) = self.next.pop_front()
        {
            encoder.inherit(&mut self.encoder);
            (self.sieve, self.encoder) = (encoder.sieve(), encoder);
        }
    }

    /// It ends before the event of this number, if that is stored, else with what is stored
    /// by now.
    pub(super) fn end(&mut self, at: u64) {
        let next = self.ring.next_seq().min(at);
        self.end.get_or_insert(next);
        if let Some(own) = &self.own {
            own.close();
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Events before the end that are not read, groups that are not written, and spans.
    pub(super) fn left(&mut self) -> u64 {
        let unread = |end: u64| end.saturating_sub(self.cursor.seq());
        let own = self.own.as_ref().map_or(0, Taken::len);
        self.end.map_or(0, unread) + (self.encoder.groups().len() + own) as u64
    }

    /// Encodes the next events, until the batch has so many bytes; whether there may be
    /// more. Neither events nor own spans keep the others out.
    pub(super) fn read(&mut self, batch: &mut Batch, most_bytes: usize) -> bool {
        self.take_own(batch, most_bytes / 2);
        let is_full = self.read_events(batch, most_bytes);
        is_full || self.take_own(batch, most_bytes)
    }

    /// Adds spans of the daemon's own work; whether the batch is full.
    fn take_own(&mut self, batch: &mut Batch, most_bytes: usize) -> bool {
        let Some(own) = &self.own else {
            return false;
        };
        let lost = own.lost();
        if lost > 0 {
            self.counts.drop_events(Dropped::Queue, lost);
        }
        while batch.bytes() < most_bytes {
            let Some(span) = own.next() else {
                return false;
            };
            let Ok(()) = batch.add(|out| {
                put_own_span(&span, out);
                Ok::<_, Infallible>(())
            });
        }
        true
    }

    fn read_events(&mut self, batch: &mut Batch, most_bytes: usize) -> bool {
        self.published.mark_unchanged();
        let mut runs = 0;
        while batch.bytes() < most_bytes && runs < RUNS {
            self.turn();
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
            runs += 1;
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
        let turn = self.next.front().map_or(u64::MAX, |(from, _)| *from);
        let to = self.end.map_or(turn, |end| end.min(turn));
        let (mut wanted, mut grouped) = (0, 0);
        let run = self.cursor.run_to(to, &self.sieve, |seq, event| {
            match encoder.add(seq, event, batch) {
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

    /// Waits for new events or spans, and a moment for others that come with them; or until
    /// groups are to be written.
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
        let own = async {
            match &self.own {
                Some(own) => own.news().await,
                None => std::future::pending().await,
            }
            tokio::time::sleep_until(now + TAKE_IN).await;
        };
        tokio::select! {
            () = events => {}
            () = groups => {}
            () = own => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::{
        export::{OtlpTarget, Protocol, Remote, Selected, Signal, SpansOf, Target},
        spans::{QUEUED, reload},
        store::Room,
    };

    fn traces(spans: SpansOf) -> Setting {
        Setting {
            name: "c/traces".into(),
            selected: Selected::default(),
            target: Target::Otlp(OtlpTarget {
                remote: Remote::new("http://127.0.0.1:4317".into()),
                protocol: Protocol::Grpc,
                signal: Signal::Traces,
                spans,
                resource: Vec::new(),
            }),
        }
    }

    #[test]
    fn own_spans_fill_half_a_batch_before_events_and_what_finds_no_room_is_counted() {
        let (ring, _writer) = Ring::new(Room {
            events: 1023,
            bytes: 1 << 20,
        });
        let spans = Spans::default();
        let source = Source {
            ring: ring.clone(),
            node_name: "n".into(),
            spans: spans.clone(),
            lines: Lines::default(),
        };
        let both = traces(SpansOf {
            connections: true,
            daemon: true,
        });
        let counts = Counts::new(&both, ring, 0);
        let mut reader = Reader::new(&both, source, 0, counts.clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(spans.layer());
        tracing::subscriber::with_default(subscriber, || {
            (0..QUEUED + 9).for_each(|_| drop(reload("x")));
            let mut batch = Batch::default();
            assert!(reader.take_own(&mut batch, 1000));
            assert!((1000..1500).contains(&batch.bytes()));
            // No events: the rest is theirs.
            assert!(reader.read(&mut batch, 10_000));
            assert!(batch.bytes() >= 10_000);
            reader.change(&traces(SpansOf::default()), 0).unwrap();
            drop(reload("not wanted"));
            assert!(!reader.read(&mut batch, usize::MAX));
            assert_eq!(batch.len(), QUEUED);
        });
        assert_eq!(counts.state().dropped[Dropped::Queue as usize], 9);
        assert_eq!(reader.left(), 0);
    }
}
