//! What is known of containers, by the socket that told it.
//!
//! Readers (the pipeline) look when a process or the version is new, and hold a lock
//! for one look; writers replace a list that was made before. An engine names its own
//! containers alone: one of a user (by the credentials of its socket) those in that
//! user's slice, root's all.
//!
//! Bound: `MOST` containers of each socket, and bytes: an engine of a user may be
//! whatever that user likes. Those beyond are counted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustc_hash::FxHashMap;
use tokio::sync::watch;

use super::Named;
use crate::config::EngineSocket;

/// Containers of one socket.
pub(super) const MOST: usize = 16_384;

/// Bytes of what an engine says; of one that is not root's.
const ROOM: usize = 32 << 20;
const ROOM_OF_USER: usize = 2 << 20;

/// The containers of this host; clones share them.
#[derive(Clone, Debug)]
pub struct Containers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tables: RwLock<BTreeMap<EngineSocket, Table>>,
    /// Rises when anything changed.
    version: AtomicU64,
    /// Rises when ports of the host or addresses of containers changed.
    reached: AtomicU64,
    /// Rises when a container was met that nobody named.
    wanted: watch::Sender<u64>,
}

/// How it is with an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineState {
    /// Nothing is at its socket.
    #[default]
    Absent,
    /// It is asked, and answers.
    Connected,
    /// It does not, and why.
    Failing(String),
}

/// What became of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Where it is.
    pub socket: EngineSocket,
    /// How it is now.
    pub state: EngineState,
    /// Containers that it named.
    pub containers: u64,
    /// Sessions that ended, or did not begin.
    pub failures: u64,
    /// Containers without room in its last list.
    pub left_out: u64,
}

#[derive(Debug, Default)]
struct Table {
    /// Whose process is at the other end.
    uid: Option<u32>,
    named: FxHashMap<String, Arc<Named>>,
    /// Of `named`.
    bytes: usize,
    /// Those of the list before: their last flows are still to end.
    gone: FxHashMap<String, Arc<Named>>,
    state: EngineState,
    failures: u64,
    left_out: u64,
}

impl Default for Containers {
    fn default() -> Self {
        Self(Arc::new(Shared {
            tables: RwLock::default(),
            version: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            wanted: watch::Sender::new(0),
        }))
    }
}

impl Containers {
    /// Rises when anything changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version.load(Relaxed)
    }

    /// Rises when ports of the host or addresses of containers changed.
    #[must_use]
    pub fn reached_version(&self) -> u64 {
        self.0.reached.load(Relaxed)
    }

    /// Looks at all containers that have any, with the user whose engine it is if that
    /// is not root's.
    pub fn each_reached(&self, mut look: impl FnMut(&Named, Option<u32>)) {
        for table in self.read().values() {
            let Some(uid) = table.uid else { continue };
            for named in table.named.values().filter(|named| named.is_reached()) {
                look(named, (uid != 0).then_some(uid));
            }
        }
    }

    /// The container with this id, which is in a slice of this user's if of any.
    #[must_use]
    pub fn find(&self, id: &str, user: Option<u32>) -> Option<Arc<Named>> {
        let tables = self.read();
        let of = |table: &Table| table.named.get(id).or_else(|| table.gone.get(id)).cloned();
        let mut may = tables.values().filter(|table| table.may_name(user));
        may.find_map(of)
    }

    /// A container was met that nobody named: engines are asked again.
    pub fn want(&self) {
        self.0.wanted.send_modify(|count| *count += 1);
    }

    /// What became of all engines that are or were there.
    #[must_use]
    pub fn engines(&self) -> Vec<EngineStatus> {
        let tables = self.read();
        let status = |(socket, table): (&EngineSocket, &Table)| EngineStatus {
            socket: socket.clone(),
            state: table.state.clone(),
            containers: table.named.len() as u64,
            failures: table.failures,
            left_out: table.left_out,
        };
        tables.iter().map(status).collect()
    }

    /// What one engine may say.
    pub(super) fn of(&self, socket: EngineSocket) -> Part {
        Part {
            all: self.clone(),
            socket,
        }
    }

    /// Rises when a container was met that nobody named.
    pub(super) fn wanted(&self) -> watch::Receiver<u64> {
        self.0.wanted.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<EngineSocket, Table>> {
        let tables = self.0.tables.read();
        tables.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<EngineSocket, Table>> {
        let tables = self.0.tables.write();
        tables.unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed; what ports and addresses lead to, too.
    fn changed(&self, is_reached: bool) {
        self.0.version.fetch_add(1, Relaxed);
        self.0.reached.fetch_add(u64::from(is_reached), Relaxed);
    }
}

impl Table {
    fn room(&self) -> usize {
        match self.uid {
            Some(0) => ROOM,
            _ => ROOM_OF_USER,
        }
    }

    fn insert(&mut self, id: String, named: Arc<Named>) {
        let before = self
            .named
            .get(&id)
            .map_or(0, |before| before.bytes() + id.len());
        let bytes = self.bytes - before + named.bytes() + id.len();
        let is_over = self.named.len() >= MOST && before == 0;
        if is_over || bytes > self.room() {
            self.left_out += 1;
            return;
        }
        self.bytes = bytes;
        self.named.insert(id, named);
    }

    fn may_name(&self, user: Option<u32>) -> bool {
        match self.uid {
            // What is in a user's slice that user may have called so.
            Some(0) => matches!(user, None | Some(0)),
            Some(uid) => user == Some(uid),
            None => false,
        }
    }
}

/// The part of the directory that one engine fills.
#[derive(Clone, Debug)]
pub(super) struct Part {
    all: Containers,
    socket: EngineSocket,
}

impl Part {
    /// Where the engine is.
    pub(super) fn socket(&self) -> &EngineSocket {
        &self.socket
    }

    /// Rises when a container was met that nobody named.
    pub(super) fn wanted(&self) -> watch::Receiver<u64> {
        self.all.wanted()
    }

    /// It answers, as this user. What another user said there counts no more.
    pub(super) fn connected(&self, uid: u32) {
        let mut tables = self.all.write();
        let table = tables.entry(self.socket.clone()).or_default();
        if table.uid != Some(uid) {
            table.named.clear();
            table.bytes = 0;
            table.gone.clear();
            table.uid = Some(uid);
            self.all.changed(true);
        }
        table.state = EngineState::Connected;
    }

    /// It does not, and why; what it said stays.
    pub(super) fn failed(&self, reason: &str) {
        let mut tables = self.all.write();
        let table = tables.entry(self.socket.clone()).or_default();
        table.state = EngineState::Failing(reason.to_owned());
        table.failures += 1;
    }

    /// Nothing is there; what it said stays.
    pub(super) fn absent(&self) {
        if let Some(table) = self.all.write().get_mut(&self.socket) {
            table.state = EngineState::Absent;
        }
    }

    /// All its containers.
    pub(super) fn replace(&self, named: impl IntoIterator<Item = (String, Named)>) {
        let mut tables = self.all.write();
        let Some(table) = tables.get_mut(&self.socket) else {
            return;
        };
        let mut before = std::mem::take(&mut table.named);
        let (mut is_new, mut is_reached) = (false, false);
        (table.bytes, table.left_out) = (0, 0);
        for (id, named) in named {
            // Readers tell by the pointer whether a container changed.
            let named = match before.remove(&id) {
                Some(known) if *known == named => known,
                known => {
                    is_new = true;
                    is_reached |= named.is_reached() || known.is_some_and(|it| it.is_reached());
                    Arc::new(named)
                }
            };
            table.insert(id, named);
        }
        // With them what they were reached by.
        is_reached |= before.values().any(|gone| gone.is_reached());
        table.gone = before;
        drop(tables);
        if is_new || is_reached {
            self.all.changed(is_reached);
        }
    }

    /// One of its containers, that is new or changed.
    pub(super) fn put(&self, id: String, named: Named) {
        let mut tables = self.all.write();
        let Some(table) = tables.get_mut(&self.socket) else {
            return;
        };
        let known = table.named.get(&id);
        if known.is_some_and(|known| **known == named) {
            return;
        }
        let is_reached = named.is_reached() || known.is_some_and(|known| known.is_reached());
        table.insert(id, Arc::new(named));
        drop(tables);
        self.all.changed(is_reached);
    }

    /// A container that is gone: its ports lead nowhere, its name stays for its last flows.
    pub(super) fn closed(&self, id: &str) {
        let mut tables = self.all.write();
        let Some(table) = tables.get_mut(&self.socket) else {
            return;
        };
        let known = table.named.get(id).filter(|known| known.is_reached());
        let Some(mut named) = known.map(|known| Named::clone(known)) else {
            return;
        };
        named.published = Vec::new();
        named.addresses = Vec::new();
        table.insert(id.to_owned(), Arc::new(named));
        drop(tables);
        self.all.changed(true);
    }
}

#[cfg(test)]
impl Containers {
    /// Those of one engine of this user.
    pub(crate) fn of_test<const N: usize>(uid: u32, named: [(&str, Named); N]) -> Self {
        let all = Self::default();
        all.part().connected(uid);
        all.say(named);
        all
    }

    /// It says so.
    pub(crate) fn say<'a>(&self, named: impl IntoIterator<Item = (&'a str, Named)>) {
        let named = named.into_iter();
        let named = named.map(|(id, named)| (id.to_owned(), named));
        self.part().replace(named);
    }

    pub(crate) fn was_wanted(&self) -> bool {
        *self.0.wanted.borrow() > 0
    }

    fn part(&self) -> Part {
        self.of(EngineSocket {
            engine: crate::config::Engine::Docker,
            path: "/x".into(),
        })
    }
}
