//! An exporter with a spool: what is read of the store goes to the disk at once, and from
//! there to the server, so that neither a server that is away for longer than the store
//! lasts nor the end of the daemon loses it.
//!
//! Two loops on one thread, which meet in the queue: one reads, one sends. At least once:
//! what was sent and not acknowledged when the daemon was killed is sent again.

use std::{
    cell::{Cell, RefCell},
    sync::PoisonError,
    time::Duration,
};

use tokio::{join, sync::Notify, time::Instant};

use super::{
    batch::Batch,
    counts::{Counts, Dropped},
    encoder::form_of,
    order::{Order, Orders},
    outlet::Outlet,
    queue::Queue,
    reader::Reader,
    setting::{Setting, SpoolSetting},
    spool::SYNC,
    start::{Source, StartError},
};

/// How often room is looked for, as long as the disk takes nothing and memory is full.
const ROOM: Duration = Duration::from_millis(100);

/// An exporter with a spool.
pub(super) struct Spooled {
    intake: Intake,
    delivery: Delivery,
    shared: Shared,
    counts: Counts,
}

/// What the two loops have in common.
struct Shared {
    queue: RefCell<Queue>,
    /// There is something new in it, or this is the end.
    news: Notify,
    /// Nothing more comes into it.
    is_over: Cell<bool>,
}

/// Reads the store into the queue.
struct Intake {
    orders: Orders,
    reader: Reader,
    counts: Counts,
    most_bytes: usize,
}

/// Sends what is in the queue.
struct Delivery {
    orders: Orders,
    outlet: Outlet,
    batch: Batch,
    counts: Counts,
    /// When what is in the batch goes, unless it is full before.
    due: Option<Instant>,
}

impl Spooled {
    /// One that begins at the event with this sequence number, after what is in the spool.
    pub(super) fn new(
        setting: &Setting,
        spool: &SpoolSetting,
        orders: Orders,
        source: Source,
        begin: u64,
    ) -> Result<Self, StartError> {
        let counts = Counts::new(setting, source.ring.clone(), begin);
        let outlet = Outlet::new(&setting.target, counts.clone())?;
        let form = form_of(&setting.target);
        Ok(Self {
            intake: Intake {
                orders: orders.clone(),
                reader: Reader::new(setting, source, begin, counts.clone())?,
                counts: counts.clone(),
                most_bytes: outlet.most_bytes(),
            },
            delivery: Delivery {
                orders,
                outlet,
                batch: Batch::default(),
                counts: counts.clone(),
                due: None,
            },
            shared: Shared {
                queue: RefCell::new(Queue::new(spool.clone(), form, counts.clone())),
                news: Notify::new(),
                is_over: Cell::new(false),
            },
            counts,
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Exports until it is told to end; what is not sent by then stays in the spool.
    pub(super) async fn run(self) {
        let Self {
            intake,
            mut delivery,
            shared,
            counts,
        } = self;
        let delivered = async {
            delivery.run(&shared).await;
            delivery.outlet.close();
        };
        let (unread, ()) = join!(intake.run(&shared), delivered);
        let queue = shared.queue.into_inner();
        let left = queue.in_memory() + unread;
        let name = counts.name();
        if left > 0 {
            counts.drop_events(Dropped::Unwritten, left);
            tracing::warn!(name, events = left, "the end of an export is lost");
        }
        let (events, directory) = (queue.on_disk(), queue.directory());
        if events > 0 {
            tracing::warn!(
                name,
                events,
                ?directory,
                "events stay in a spool until an exporter has it again"
            );
        }
    }
}

impl Intake {
    /// Reads until it is told to end, and then what is stored; how many events it left.
    async fn run(mut self, shared: &Shared) -> u64 {
        shared.queue.borrow_mut().settle();
        let mut sync = tokio::time::interval(SYNC);
        loop {
            let Some(is_full) = self.take_and_read(shared) else {
                return self.finish(shared);
            };
            shared.news.notify_one();
            let has_room = shared.queue.borrow().fresh.len() == 0;
            if is_full && has_room {
                // The other loop too.
                tokio::task::yield_now().await;
                continue;
            }
            let room = async {
                match has_room {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(ROOM).await,
                }
            };
            tokio::select! {
                () = self.orders.changed() => {}
                () = self.reader.news() => {}
                () = room => {}
                _ = sync.tick() => shared.queue.borrow_mut().sync(),
            }
        }
    }

    /// Takes orders, and in one batch; whether there may be more, unless it is to end.
    fn take_and_read(&mut self, shared: &Shared) -> Option<bool> {
        let gate = self.orders.gate();
        let held = gate.read().unwrap_or_else(PoisonError::into_inner);
        self.take_orders(shared);
        if self.reader.is_ending() {
            return None;
        }
        let is_full = self.fill(shared);
        // No other exporter waits for this one's disk.
        drop(held);
        shared.queue.borrow_mut().settle();
        Some(is_full)
    }

    /// Takes one batch into memory; whether there may be more.
    fn fill(&mut self, shared: &Shared) -> bool {
        let mut queue = shared.queue.borrow_mut();
        self.reader.read(&mut queue.fresh, self.most_bytes)
    }

    /// Reads on to the end, as long as what is read finds room.
    fn finish(&mut self, shared: &Shared) -> u64 {
        loop {
            let is_full = self.fill(shared);
            let mut queue = shared.queue.borrow_mut();
            queue.settle();
            if !is_full || queue.fresh.len() > 0 {
                break;
            }
        }
        shared.is_over.set(true);
        shared.news.notify_one();
        self.reader.left()
    }

    /// Takes other orders between two events.
    fn take_orders(&mut self, shared: &Shared) {
        for order in self.orders.take() {
            let (setting, from) = match order {
                Order::Export(setting, from) => (setting, from),
                Order::End(at) => {
                    self.reader.end(at);
                    continue;
                }
            };
            if let Some(spool) = setting.target.spool() {
                shared.queue.borrow_mut().limit(spool.max_bytes);
            }
            match self.reader.change(&setting, from) {
                Ok(()) => self.counts.aim(&setting),
                // It was tried once already.
                Err(error) => {
                    let name = self.counts.name();
                    tracing::warn!(name, "an exporter as before: {error}");
                }
            }
        }
    }
}

impl Delivery {
    /// Sends until nothing more comes and all is sent, or cannot be.
    async fn run(&mut self, shared: &Shared) {
        loop {
            self.take_orders();
            let most_bytes = self.outlet.most_bytes();
            shared.queue.borrow_mut().load(&mut self.batch, most_bytes);
            if self.batch.len() == 0 {
                self.due = None;
                if shared.is_over.get() {
                    return;
                }
            } else if self.is_due(shared.is_over.get()) {
                let attempt = self.outlet.write(&mut self.batch, &mut self.orders).await;
                shared.queue.borrow_mut().acknowledge(attempt.events);
                if attempt.is_good {
                    // What comes now waits for others again.
                    self.due = self.due.filter(|_| self.batch.len() > 0);
                    continue;
                }
                if shared.is_over.get() {
                    return;
                }
            }
            self.wait(shared).await;
        }
    }

    fn take_orders(&mut self) {
        for order in self.orders.take() {
            // The end is the one of what comes.
            if let Order::Export(setting, _) = order
                && let Err(error) = self.outlet.change(&setting.target)
            {
                let name = self.counts.name();
                tracing::warn!(name, "an exporter as before: {error}");
            }
        }
    }

    /// As without a spool: there is enough, it waited for long enough, it could not go
    /// before, or this is the end.
    fn is_due(&mut self, is_over: bool) -> bool {
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + self.outlet.pace());
        self.batch.bytes() >= self.outlet.most_bytes()
            || is_over
            || self.outlet.pause().is_some()
            || due <= now
    }

    async fn wait(&mut self, shared: &Shared) {
        if let Some(pause) = self.outlet.pause() {
            tokio::select! {
                () = self.orders.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            return;
        }
        let due = self.due;
        let is_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.orders.changed() => {}
            () = shared.news.notified() => {}
            () = is_due => {}
        }
    }
}
