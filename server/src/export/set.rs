//! All exporters: begun, changed and ended by their names.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use tokio::{
    runtime::Builder,
    sync::{mpsc as queue, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    counts::{Counts, State},
    dynamic::Dynamic,
    exporter::Exporter,
    order::Order,
    otlp::nanos,
    periodic::Periodic,
    setting::{Setting, Target, check},
    signal::Signal,
    spooled::Spooled,
    start::{Page, Source, StartError},
};
use crate::flow::Time;

/// The exporters; clones are the same.
#[derive(Clone)]
pub struct Exporters(Arc<Inner>);

impl fmt::Debug for Exporters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporters").finish_non_exhaustive()
    }
}

struct Inner {
    source: Source,
    page: Page,
    /// When what is counted began; nanoseconds since 1970.
    start: u64,
    running: Mutex<BTreeMap<String, Running>>,
    /// What became of Hubble's dynamic configuration.
    dynamic: Dynamic,
    /// Takes the names of those whose threads died.
    died: queue::UnboundedSender<String>,
}

/// What stays the same as long as an exporter is at work: the kind of its target, and its
/// spool.
type Kind = (&'static str, Option<PathBuf>);

fn kind_of(setting: &Setting) -> Kind {
    let spool = setting.target.spool();
    (
        setting.target.kind(),
        spool.map(|spool| spool.directory.clone()),
    )
}

struct Running {
    /// What it is; another begins anew.
    kind: Kind,
    orders: watch::Sender<Order>,
    counts: Counts,
    ended: oneshot::Receiver<()>,
}

/// Tells when a thread ends without having been told to.
struct Alive {
    name: String,
    orders: watch::Receiver<Order>,
    died: queue::UnboundedSender<String>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if thread::panicking() || self.orders.borrow().is_some() {
            let _ = self.died.send(std::mem::take(&mut self.name));
        }
    }
}

/// Tells of exporters that died.
#[derive(Debug)]
pub struct Deaths(queue::UnboundedReceiver<String>);

impl Deaths {
    /// Waits until one dies, which none does by itself; its name.
    pub async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}

/// What a thread does.
enum Work {
    Events(Box<Exporter>),
    Spooled(Box<Spooled>),
    Metrics(Box<Periodic>),
}

impl Work {
    fn new(
        inner: &Inner,
        setting: &Setting,
        orders: watch::Receiver<Order>,
        begin: u64,
    ) -> Result<Self, StartError> {
        let source = inner.source.clone();
        Ok(match &setting.target {
            Target::Otlp(target) if target.signal == Signal::Metrics => {
                let page = Arc::clone(&inner.page);
                let pages = (page, inner.start);
                let periodic = Periodic::new(setting, target, orders, source.ring, pages)?;
                Self::Metrics(Box::new(periodic))
            }
            target => match target.spool() {
                Some(spool) => {
                    let spooled = Spooled::new(setting, spool, orders, source, begin)?;
                    Self::Spooled(Box::new(spooled))
                }
                None => {
                    let exporter = Exporter::new(setting, orders, source, begin)?;
                    Self::Events(Box::new(exporter))
                }
            },
        })
    }

    fn counts(&self) -> Counts {
        match self {
            Self::Events(exporter) => exporter.counts(),
            Self::Spooled(spooled) => spooled.counts(),
            Self::Metrics(periodic) => periodic.counts(),
        }
    }
}

impl Exporters {
    /// None yet; they will read this on threads of their own, and send these pages.
    #[must_use]
    pub fn new(source: Source, page: Page) -> (Self, Deaths) {
        let (died, deaths) = queue::unbounded_channel();
        let exporters = Self(Arc::new(Inner {
            source,
            page,
            start: nanos(Time::now()),
            running: Mutex::default(),
            dynamic: Dynamic::default(),
            died,
        }));
        (exporters, Deaths(deaths))
    }

    /// Has these and no others at work: new ones begin with the event of this sequence
    /// number, changed ones go on with the next event, others write what is stored and end.
    ///
    /// # Errors
    ///
    /// The first that cannot begin, or why they do not go together. Those before it began.
    pub fn apply(&self, settings: &[Setting], begin: u64) -> Result<(), StartError> {
        check(settings)?;
        let mut running = self.lock();
        running.retain(|name, one| {
            let is_same = |setting: &Setting| setting.name == *name && kind_of(setting) == one.kind;
            let stays = settings.iter().any(is_same);
            if !stays {
                one.orders.send_replace(None);
            }
            stays
        });
        for setting in settings {
            let Some(one) = running.get(&setting.name) else {
                let new = self.start(setting, begin)?;
                running.insert(setting.name.clone(), new);
                continue;
            };
            let changes = one.orders.borrow().as_deref() != Some(setting);
            if changes {
                one.orders.send_replace(Some(Arc::new(setting.clone())));
            }
        }
        Ok(())
    }

    fn start(&self, setting: &Setting, begin: u64) -> Result<Running, StartError> {
        let (orders, receiver) = watch::channel(Some(Arc::new(setting.clone())));
        let (ends, ended) = oneshot::channel();
        let (tells, told) = mpsc::sync_channel(1);
        let (inner, kind) = (Arc::clone(&self.0), kind_of(setting));
        let setting = setting.clone();
        // What it waits for, connections among it, is its thread's alone.
        let run = move || {
            let _ends: oneshot::Sender<()> = ends;
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tells.send(Err(StartError::Thread(error)))),
            };
            let work = {
                let _entered = runtime.enter();
                Work::new(&inner, &setting, receiver.clone(), begin)
            };
            let work = match work {
                Ok(work) => work,
                Err(error) => return drop(tells.send(Err(error))),
            };
            let _alive = Alive {
                name: setting.name,
                orders: receiver,
                died: inner.died.clone(),
            };
            let _ = tells.send(Ok(work.counts()));
            match work {
                Work::Events(exporter) => runtime.block_on(exporter.run()),
                Work::Spooled(spooled) => runtime.block_on(spooled.run()),
                Work::Metrics(periodic) => runtime.block_on(periodic.run()),
            }
        };
        let thread = thread::Builder::new().name("export".into());
        thread.spawn(run).map_err(StartError::Thread)?;
        // It reads files of certificates, no more.
        let counts = told
            .recv()
            .map_err(|_| StartError::Thread(io::Error::other("it ended")))??;
        Ok(Running {
            kind,
            orders,
            counts,
            ended,
        })
    }

    /// What became of Hubble's dynamic configuration.
    #[must_use]
    pub fn dynamic(&self) -> Dynamic {
        self.0.dynamic.clone()
    }

    /// All of them now, by name.
    #[must_use]
    pub fn states(&self) -> Vec<State> {
        let running = self.lock();
        running.values().map(|one| one.counts.state()).collect()
    }

    /// Ends all of them with what is stored by now; those that do not by the deadline are
    /// told and left.
    pub async fn stop(&self, deadline: Instant) {
        let running = std::mem::take(&mut *self.lock());
        for one in running.values() {
            one.orders.send_replace(None);
        }
        for (name, one) in running {
            if timeout_at(deadline, one.ended).await.is_err() {
                tracing::warn!(name, "an exporter was still writing at the deadline; left");
            }
        }
    }

    /// Whoever died with the lock had changed one entry.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        let running = &self.0.running;
        running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
