//! Cgroups whose processes are a unit or a container, for policies that are about those:
//! the kernel knows a socket by its cgroup before anybody else has heard of the process.
//!
//! Bound: `MOST`; the one that was noted first is forgotten for another.

use std::{
    collections::HashMap,
    fs,
    os::linux::fs::MetadataExt as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::flow::{Endpoint, Interned};

/// Cgroups that are remembered.
const MOST: usize = 1024;
/// The root of the unified hierarchy, which is nobody's.
const ROOT: u64 = 1;

/// A cgroup.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its unit or container.
    pub endpoint: Interned<Endpoint>,
    /// A process of it.
    pub pid: u32,
    /// Whether that process has this host's network: not behind an interface of its own.
    pub is_of_host: bool,
    noted: u64,
}

/// Those that are known; clones see the same.
#[derive(Clone, Debug)]
pub struct Groups(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<HashMap<u64, Group>>,
    version: watch::Sender<u64>,
}

impl Default for Groups {
    fn default() -> Self {
        Self(Arc::new(Shared {
            known: Mutex::default(),
            version: watch::Sender::new(0),
        }))
    }
}

impl Groups {
    /// Takes note of a process of a cgroup.
    pub(super) fn note(&self, cgroup: u64, pid: u32, endpoint: &Interned<Endpoint>) {
        if cgroup <= ROOT {
            return;
        }
        let mut known = self.lock();
        if let Some(group) = known.get(&cgroup)
            && group.endpoint == *endpoint
        {
            return;
        }
        if known.len() >= MOST && !known.contains_key(&cgroup) {
            let first = known.iter().min_by_key(|(_, group)| group.noted);
            if let Some(first) = first.map(|(cgroup, _)| *cgroup) {
                known.remove(&first);
            }
        }
        let noted = known.values().map(|group| group.noted).max().unwrap_or(0) + 1;
        known.insert(
            cgroup,
            Group {
                endpoint: endpoint.clone(),
                pid,
                is_of_host: has_network_of_host(pid),
                noted,
            },
        );
        drop(known);
        self.0.version.send_modify(|version| *version += 1);
    }

    /// All of them, by number of the cgroup, the first that was noted first.
    #[must_use]
    pub fn list(&self) -> Vec<(u64, Group)> {
        let known = self.lock();
        let mut all: Vec<_> = known
            .iter()
            .map(|(cgroup, group)| (*cgroup, group.clone()))
            .collect();
        all.sort_by_key(|(_, group)| group.noted);
        all
    }

    /// Changes whenever they do.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Group>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is gone already is taken for one of the host.
fn has_network_of_host(pid: u32) -> bool {
    let inode = |path: String| fs::metadata(path).map(|file| file.st_ino()).ok();
    match inode(format!("/proc/{pid}/ns/net")) {
        Some(theirs) => Some(theirs) == inode("/proc/self/ns/net".into()),
        None => true,
    }
}
