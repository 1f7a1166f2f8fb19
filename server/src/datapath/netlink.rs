//! Watches interfaces and addresses by rtnetlink.
//!
//! What the kernel tells wakes a new list; that an interface went is kept from
//! the notice itself, since another with its name and index may be there by the
//! time of the list. A queue that ran over is noticed, and so is what changed
//! without a notice, by a list now and then. Bound: one task a network
//! namespace, no queue but the kernel's socket buffer.

mod dump;
mod message;
mod nsid;
mod socket;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sextant_ebpf_common::{NAMESPACES, interface_parts};
use tokio::{
    io::unix::AsyncFd,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{
    dump::Births,
    socket::{Notices, Received},
};
use super::{
    DatapathError, Links, Namespace, NamespaceChoice,
    namespace::{self, Finder, Found},
    shortage::{is_exhausted, remedy},
};

pub(super) use self::{
    dump::{Statistics, statistics},
    message::{text, u32_at},
};
pub(crate) use self::{
    message::{Request, attributes, u32_be},
    socket::{NETLINK_NETFILTER, NETLINK_SOCK_DIAG, Requests},
};

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];

/// A list at least this often.
const REFRESH: Duration = Duration::from_secs(10);
/// Between two lists at least, and as much longer as the last one took: with
/// thousands of interfaces that come at once, most of the time is not for lists.
const PACE: Duration = Duration::from_millis(20);

/// Other network namespaces are looked for so often.
const SCAN: Duration = Duration::from_secs(1);

/// The interfaces of the daemon's network namespace and of those that were
/// chosen beside it, kept current by tasks.
pub struct LinkWatch {
    links: watch::Receiver<Links>,
    sockets: Sockets,
    tasks: JoinSet<()>,
}

/// For requests, by number of the namespace.
type Sockets = Arc<Mutex<BTreeMap<u32, Arc<Mutex<Requests>>>>>;
/// Where the namespaces are, by number.
type Paths = Arc<Mutex<BTreeMap<u32, PathBuf>>>;

impl LinkWatch {
    /// Lists the interfaces and begins to watch them.
    ///
    /// # Errors
    ///
    /// When netlink cannot be used, or a namespace that was named is not there.
    pub async fn start(namespaces: NamespaceChoice) -> Result<Self, DatapathError> {
        namespaces.check()?;
        let mut watcher = Watcher {
            links: watch::Sender::default(),
            sockets: Sockets::default(),
            paths: Paths::default(),
            watched: BTreeMap::new(),
        };
        let mut tasks = JoinSet::new();
        let own = watcher.watch(0, None).await.map_err(netlink_error)?;
        tasks.spawn(own.follow());
        let (links, sockets) = (watcher.links.subscribe(), Arc::clone(&watcher.sockets));
        if !namespaces.is_empty() {
            let mut finder = Finder::new(namespaces);
            watcher.keep(finder.find()).await;
            tasks.spawn(async move {
                loop {
                    tokio::time::sleep(SCAN).await;
                    watcher.keep(finder.find()).await;
                }
            });
        }
        Ok(Self {
            links,
            sockets,
            tasks,
        })
    }

    /// The interfaces, now and at each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Links> {
        self.links.clone()
    }

    /// Waits until a task ends, which none does of itself.
    pub(super) async fn failed(&mut self) -> DatapathError {
        let ended = self.tasks.join_next().await;
        let panic = ended
            .and_then(Result::err)
            .map(|panic| format!(": {panic}"));
        DatapathError::Netlink {
            detail: format!(
                "the task that watches them ended{}",
                panic.unwrap_or_default()
            ),
        }
    }

    /// For requests about interfaces.
    pub(super) fn requests(&self) -> Access {
        Access(Arc::clone(&self.sockets))
    }
}

/// Requests to the network namespaces that are watched.
#[derive(Clone)]
pub(super) struct Access(Sockets);

impl Access {
    /// To the namespace of this socket alone, by the number of the own one.
    pub(super) fn to(requests: Requests) -> Self {
        let socket = Arc::new(Mutex::new(requests));
        Self(Arc::new(Mutex::new(BTreeMap::from([(0, socket)]))))
    }

    /// Asks something about an interface; `NotFound` when its network namespace
    /// is let go already.
    pub(super) fn ask<T>(
        &self,
        interface: u32,
        ask: impl FnOnce(&mut Requests, u32) -> io::Result<T>,
    ) -> io::Result<T> {
        let (namespace, index) = interface_parts(interface);
        let socket = lock(&self.0).get(&namespace).cloned();
        let socket = socket.ok_or(io::ErrorKind::NotFound)?;
        ask(&mut lock(&socket), index)
    }

    /// The kernel's own counters of all interfaces, by namespace and index.
    pub(super) fn statistics(&self) -> BTreeMap<u32, BTreeMap<u32, Statistics>> {
        let sockets = lock(&self.0).clone();
        let of = |socket: &Mutex<Requests>| statistics(&mut lock(socket)).unwrap_or_default();
        sockets
            .iter()
            .map(|(number, socket)| (*number, of(socket)))
            .collect()
    }
}

/// Keeps a task for each namespace.
struct Watcher {
    links: watch::Sender<Links>,
    sockets: Sockets,
    paths: Paths,
    /// By number; the task ends when it is taken out.
    watched: BTreeMap<u32, (Arc<Namespace>, JoinSet<()>)>,
}

impl Watcher {
    /// Watches these namespaces, and no others but the daemon's own.
    async fn keep(&mut self, found: Found) {
        let mut refused: BTreeMap<String, String> = found
            .refused
            .into_iter()
            .map(|(path, error)| (path.display().to_string(), why(&error)))
            .collect();
        let found = found.namespaces;
        let gone: Vec<u32> = self
            .watched
            .iter_mut()
            .filter_map(|(number, (known, tasks))| {
                (!found.contains(known) || has_ended(tasks)).then_some(*number)
            })
            .collect();
        for number in gone {
            if let Some((namespace, _)) = self.watched.remove(&number) {
                tracing::info!(path = %namespace.path.display(), "network namespace let go");
            }
            // The socket would keep the namespace alive.
            lock(&self.sockets).remove(&number);
            lock(&self.paths).remove(&number);
            self.links
                .send_if_modified(|links| links.replace(number, Links::default()));
        }
        for namespace in found {
            if self.watched.values().any(|(known, _)| **known == namespace) {
                continue;
            }
            let Some(number) = (1..NAMESPACES).find(|number| !self.watched.contains_key(number))
            else {
                let reason = format!("more than {} network namespaces", NAMESPACES - 1);
                refused.insert(namespace.path.display().to_string(), reason);
                continue;
            };
            let path = namespace.path.display().to_string();
            let namespace = Arc::new(namespace);
            match self.watch(number, Some(Arc::clone(&namespace))).await {
                Ok(follower) => {
                    tracing::info!(path = %namespace.path.display(), "network namespace found");
                    let mut tasks = JoinSet::new();
                    tasks.spawn(follower.follow());
                    self.watched.insert(number, (namespace, tasks));
                }
                // It may be gone again; else the next scan tries anew.
                Err(error) => {
                    lock(&self.sockets).remove(&number);
                    lock(&self.paths).remove(&number);
                    tracing::debug!(%path, %error, "network namespace not observed");
                    if is_exhausted(&error) {
                        refused.insert(path, why(&error));
                    }
                }
            }
        }
        self.tell_refused(refused);
    }

    /// Those that are new among them are told in the log.
    fn tell_refused(&self, refused: BTreeMap<String, String>) {
        self.links.send_if_modified(|links| {
            for (path, reason) in &refused {
                if !links.refused.contains_key(path) {
                    tracing::warn!(path, reason, "network namespace not observed");
                }
            }
            let is_changed = links.refused != refused;
            links.refused = refused;
            is_changed
        });
    }

    /// Lists the interfaces of a namespace, and gives what follows them.
    async fn watch(
        &mut self,
        number: u32,
        namespace: Option<Arc<Namespace>>,
    ) -> io::Result<Follower> {
        let path = namespace.as_ref().map(|namespace| namespace.path.as_path());
        // The notices first: what changes after the list is then told.
        let open = || Ok((Notices::open(&GROUPS)?, Requests::open()?));
        let (notices, requests) = namespace::within(path, open).flatten()?;
        let requests = Arc::new(Mutex::new(requests));
        lock(&self.sockets).insert(number, Arc::clone(&requests));
        let path = path.unwrap_or(Path::new(namespace::OWN)).to_owned();
        lock(&self.paths).insert(number, path);
        // SAFETY: it owns its descriptor, which is not replaced meanwhile.
        let notices = unsafe { AsyncFd::register(notices) }?;
        let mut follower = Follower {
            notices,
            requests,
            births: Arc::default(),
            paths: Arc::clone(&self.paths),
            links: self.links.clone(),
            number,
            namespace,
        };
        follower.list(Received::All).await?;
        Ok(follower)
    }
}

fn why(error: &io::Error) -> String {
    format!("{error}; {}", remedy(error))
}

/// A namespace whose task panicked is found anew.
fn has_ended(tasks: &mut JoinSet<()>) -> bool {
    let ended = tasks.try_join_next();
    if let Some(Err(panic)) = &ended {
        tracing::error!(%panic, "the task that watches a network namespace ended; begun anew");
    }
    ended.is_some()
}

/// Follows the interfaces of one namespace.
struct Follower {
    notices: AsyncFd<Notices>,
    requests: Arc<Mutex<Requests>>,
    births: Arc<Mutex<Births>>,
    /// Of all namespaces, for interfaces whose other end is in another one.
    paths: Paths,
    links: watch::Sender<Links>,
    number: u32,
    namespace: Option<Arc<Namespace>>,
}

impl Follower {
    /// Lists again at each change; a new address of the host counts at once, as
    /// packets with it may be on their way.
    async fn follow(mut self) {
        let mut earliest = Instant::now();
        let mut due = earliest + REFRESH;
        let mut received = Received::All;
        loop {
            tokio::select! {
                told = self.read() => match told {
                    Ok(told) => {
                        self.add(told.addresses);
                        received = received.and(told.received);
                        due = due.min(earliest);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no notices of interfaces");
                        received = Received::Lost;
                        sleep_until(due).await;
                    }
                },
                () = sleep_until(due) => {
                    let began = Instant::now();
                    let told = std::mem::replace(&mut received, Received::All);
                    if let Err(error) = self.list(told).await {
                        tracing::warn!(%error, "interfaces not refreshed");
                    }
                    let listed = Instant::now();
                    earliest = listed + PACE + 2 * (listed - began);
                    due = listed + REFRESH;
                }
            }
        }
    }

    /// Waits for what the kernel tells.
    async fn read(&mut self) -> io::Result<Told> {
        let mut ready = self.notices.readable_mut().await?;
        let told = read(ready.get_inner_mut(), &self.births);
        ready.clear_ready();
        told
    }

    /// Addresses are those of the daemon's own network namespace.
    fn add(&self, addresses: Vec<IpAddr>) {
        if self.number == 0 && !addresses.is_empty() {
            self.links.send_if_modified(|links| {
                let before = links.addresses.len();
                links.addresses.extend(addresses);
                links.addresses.len() > before
            });
        }
    }

    async fn list(&mut self, received: Received) -> io::Result<()> {
        let (requests, births) = (Arc::clone(&self.requests), Arc::clone(&self.births));
        let (number, namespace) = (self.number, self.namespace.clone());
        let paths: Vec<(u32, PathBuf)> = lock(&self.paths).clone().into_iter().collect();
        let list = move || {
            dump::links(
                &mut lock(&requests),
                &mut lock(&births),
                number,
                namespace.as_ref(),
                &paths,
            )
        };
        // With thousands of interfaces it takes a while.
        let now = tokio::task::spawn_blocking(list)
            .await
            .map_err(io::Error::other)??;
        self.links.send_if_modified(|links| {
            let is_lost = received == Received::Lost;
            links.overruns += u64::from(is_lost);
            links.replace(number, now) || is_lost
        });
        Ok(())
    }
}

/// What the kernel told.
struct Told {
    received: Received,
    /// New ones.
    addresses: Vec<IpAddr>,
}

fn read(notices: &mut Notices, births: &Mutex<Births>) -> io::Result<Told> {
    let mut births = lock(births);
    let mut addresses = Vec::new();
    let received = notices.read(|kind, body| match kind {
        libc::RTM_DELLINK => {
            if let Some(index) = dump::interface(body) {
                births.ended(index);
            }
        }
        libc::RTM_NEWADDR => addresses.extend(dump::address(body).map(|(_, address)| address)),
        _ => {}
    })?;
    Ok(Told {
        received,
        addresses,
    })
}

/// Another thread that died with the lock has told why already.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn netlink_error(error: io::Error) -> DatapathError {
    DatapathError::Netlink {
        detail: error.to_string(),
    }
}

/// What the kernel calls the network namespaces of processes in that of the daemon
/// (`Link::peer_namespace`), as far as they have a number there.
#[must_use]
pub fn namespaces_of(pids: &[u32]) -> std::collections::HashMap<u32, u32> {
    let Ok(mut requests) = socket::Requests::open() else {
        return Default::default();
    };
    let places: Vec<_> = pids
        .iter()
        .map(|pid| {
            (
                *pid,
                std::path::PathBuf::from(format!("/proc/{pid}/ns/net")),
            )
        })
        .collect();
    nsid::by_place(&mut requests, &places)
}
