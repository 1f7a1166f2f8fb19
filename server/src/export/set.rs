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
    sync::{
        mpsc as queue,
        oneshot::{self, error::TryRecvError},
        watch,
    },
    time::{Instant, timeout_at},
};

use super::{
    counts::{Counts, State},
    dynamic::Dynamic,
    exporter::Exporter,
    order::{Gate, Given, Order, Orders},
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
    /// Those that are no more wanted and write what is stored.
    leaving: Mutex<Vec<Leaving>>,
    gate: Gate,
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
    orders: watch::Sender<Given>,
    counts: Counts,
    ended: oneshot::Receiver<()>,
}

/// The name of an exporter, and what tells that it ended.
type Leaving = (String, oneshot::Receiver<()>);

/// Tells when a thread ends without having been told to.
struct Alive {
    name: String,
    orders: watch::Receiver<Given>,
    died: queue::UnboundedSender<String>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if thread::panicking() || self.orders.borrow().last().is_some() {
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
        orders: Orders,
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
            leaving: Mutex::default(),
            gate: Gate::default(),
            dynamic: Dynamic::default(),
            died,
        }));
        (exporters, Deaths(deaths))
    }

    /// Has these and no others at work, from the first event that is stored on.
    ///
    /// # Errors
    ///
    /// As `change`.
    pub fn begin(&self, settings: &[Setting]) -> Result<(), StartError> {
        self.apply(settings, 0)
    }

    /// Has these and no others at work from the event on that is stored next. Up to it
    /// changed ones export as they did, and others to their end.
    ///
    /// # Errors
    ///
    /// The first that cannot begin, or why they do not go together. Those before it began.
    pub fn change(&self, settings: &[Setting]) -> Result<(), StartError> {
        let gate = &self.0.gate;
        let _held = gate.write().unwrap_or_else(PoisonError::into_inner);
        self.apply(settings, self.0.source.ring.next_seq())
    }

    fn apply(&self, settings: &[Setting], begin: u64) -> Result<(), StartError> {
        check(settings)?;
        let mut running = self.lock();
        let stays = |name: &String, one: &Running| {
            let mut same = settings.iter().filter(|setting| setting.name == *name);
            same.any(|setting| kind_of(setting) == one.kind)
        };
        let (stay, leave) = std::mem::take(&mut *running)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(name, one)| stays(name, one));
        *running = stay;
        self.dismiss(leave, begin);
        for setting in settings {
            let Some(one) = running.get(&setting.name) else {
                let new = self.start(setting, begin)?;
                running.insert(setting.name.clone(), new);
                continue;
            };
            let changes = one.orders.borrow().last() != Some(setting);
            if changes {
                let order = Order::Export(Arc::new(setting.clone()), begin);
                one.orders.send_modify(|given| given.give(order));
            }
        }
        Ok(())
    }

    /// They end before the event of this number.
    fn dismiss(&self, leave: BTreeMap<String, Running>, begin: u64) {
        let mut leaving = self.leaving();
        leaving.retain_mut(|(_, ended)| ended.try_recv() == Err(TryRecvError::Empty));
        for (name, one) in leave {
            let end = Order::End(begin);
            one.orders.send_modify(|given| given.give(end));
            leaving.push((name, one.ended));
        }
    }

    fn start(&self, setting: &Setting, begin: u64) -> Result<Running, StartError> {
        let (orders, receiver) = watch::channel(Given::first(setting, begin));
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
                Work::new(
                    &inner,
                    &setting,
                    Orders::new(receiver.clone(), Gate::clone(&inner.gate)),
                    begin,
                )
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
            one.orders
                .send_modify(|given| given.give(Order::End(u64::MAX)));
        }
        let running = running.into_iter().map(|(name, one)| (name, one.ended));
        let leaving = std::mem::take(&mut *self.leaving());
        for (name, ended) in leaving.into_iter().chain(running) {
            if timeout_at(deadline, ended).await.is_err() {
                tracing::warn!(name, "an exporter was still writing at the deadline; left");
            }
        }
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<Leaving>> {
        let leaving = &self.0.leaving;
        leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever died with the lock had changed one entry.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        let running = &self.0.running;
        running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::Path, time::Duration};

    use sextant_proto::flow::FlowFilter;

    use super::*;
    use crate::{
        export::{FileTarget, Lines},
        flow::{Flow, L4},
        spans::Spans,
        store::{Event, Ring, Room},
    };

    fn to_file(folder: &Path, name: &str, port: u32) -> Setting {
        let target = FileTarget::new(folder.join(name));
        let mut setting = Setting::file(name.into(), target);
        setting.selected.allow = vec![FlowFilter {
            destination_port: vec![port.to_string()],
            ..FlowFilter::default()
        }];
        setting
    }

    /// The n-th flow, to one of two ports.
    fn flow(number: u32) -> Event {
        Event::Flow(Flow {
            time: Some(Time::now()),
            l4: Some(L4::Tcp {
                source_port: number,
                destination_port: 80 + number % 2,
                flags: None,
            }),
            ..Flow::default()
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_one_exporter_leaves_to_another_is_exported_once_under_load() {
        const FLOWS: u32 = 60_000;
        let folder = tempfile::tempdir().unwrap();
        let (ring, mut writer) = Ring::new(Room {
            events: (1 << 18) - 1,
            bytes: 1 << 28,
        });
        let source = Source {
            ring,
            node_name: "n".into(),
            spans: Spans::default(),
            lines: Lines::default(),
        };
        let (exporters, _deaths) = Exporters::new(source, Arc::new(String::new));
        // One of them goes on with the other port, and another takes over from the other.
        let file = |name: &str, port| to_file(folder.path(), name, port);
        let both = |turn: u32| {
            let port = 80 + turn % 2;
            [file("a", port), file(&format!("b{turn}"), 161 - port)]
        };
        exporters.begin(&both(0)).unwrap();
        let load = thread::spawn(move || {
            for begin in (0..FLOWS).step_by(50) {
                writer.push((begin..begin + 50).map(flow));
                thread::sleep(Duration::from_millis(1));
            }
            writer
        });
        let mut turns = 0;
        while !load.is_finished() {
            turns += 1;
            exporters.change(&both(turns)).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _writer = load.join().unwrap();
        exporters
            .stop(Instant::now() + Duration::from_secs(20))
            .await;
        assert!(turns > 10, "{turns}");
        let mut lines = 0;
        let mut seen = HashSet::new();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines() {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                lines += 1;
                seen.insert(event["flow"]["l4"]["TCP"]["source_port"].as_u64());
            }
        }
        assert_eq!(
            (lines, seen.len()),
            (FLOWS as usize, FLOWS as usize),
            "{turns}"
        );
    }
}
