//! Cgroups whose processes are a unit or a container, for policies that are about those:
//! the kernel knows a socket by its cgroup before anybody else has heard of the process.
//! And which units and containers came and went.
//!
//! Bound: `MOST`; for another is forgotten one that is gone (a socket may outlive its
//! cgroup), else one of the slice or unit that has most of them: a user who makes cgroups
//! by the thousand takes room from nobody else. Of these the one that was noted first.
//! `MOST_NEWS` that nobody took yet.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, VecDeque},
    fs,
    os::linux::fs::MetadataExt as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    datapath::CgroupRoot,
    flow::{Endpoint, Interned},
    identity::News,
};

/// Cgroups that are remembered.
const MOST: usize = 1024;
/// Units and containers that came or went.
const MOST_NEWS: usize = 4096;
/// With what the name of Kubernetes' cgroup of all pods begins.
const PODS: &str = "kubepods";
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
    /// From the root of the hierarchy.
    path: String,
    /// It was not there any more when somebody looked last.
    pub is_gone: bool,
    noted: u64,
}

/// Those that are known; clones see the same.
#[derive(Clone, Debug)]
pub struct Groups(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    groups: HashMap<u64, Group>,
    /// One was found where its path says: they are from the root that is looked at.
    is_found: bool,
    news: VecDeque<News>,
    noted: u64,
    on_host: Arc<HashSet<String>>,
}

impl Known {
    /// Whether a cgroup of this unit or container may be there.
    fn has(&self, endpoint: &Endpoint) -> bool {
        let mut groups = self.groups.values();
        groups.any(|group| !group.is_gone && name(&group.endpoint) == name(endpoint))
    }

    fn tell(&mut self, endpoint: &Endpoint, is_gone: bool) {
        if self.news.len() == MOST_NEWS {
            self.news.pop_front();
        }
        self.news.push_back(News {
            endpoint: endpoint.clone(),
            is_gone,
            is_here: true,
        });
    }

    fn make_room(&mut self) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for group in self.groups.values() {
            *counts.entry(owner(&group.path)).or_default() += 1;
        }
        let first = self.groups.iter().min_by_key(|(_, group)| {
            let others = Reverse(counts.get(owner(&group.path)));
            (!group.is_gone, others, group.noted)
        });
        if let Some(first) = first.map(|(cgroup, _)| *cgroup)
            && let Some(group) = self.groups.remove(&first)
            && !group.is_gone
            && !self.has(&group.endpoint)
        {
            // Nobody would see it go.
            self.tell(&group.endpoint, true);
        }
    }
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
    pub(super) fn note(&self, cgroup: u64, path: &str, pid: u32, endpoint: &Interned<Endpoint>) {
        if cgroup <= ROOT {
            return;
        }
        let mut known = self.lock();
        if let Some(group) = known.groups.get(&cgroup)
            && group.endpoint == *endpoint
        {
            return;
        }
        let before = known.groups.remove(&cgroup);
        if let Some(before) = &before
            && name(&before.endpoint) != name(endpoint)
            && !known.has(&before.endpoint)
        {
            known.tell(&before.endpoint, true);
        }
        if known.groups.len() >= MOST {
            known.make_room();
        }
        let is_new = before.is_none_or(|before| name(&before.endpoint) != name(endpoint));
        if is_new && !known.has(endpoint) {
            known.tell(endpoint, false);
        }
        known.noted += 1;
        let group = Group {
            endpoint: endpoint.clone(),
            pid,
            is_of_host: has_network_of_host(pid),
            path: path.to_owned(),
            is_gone: false,
            noted: known.noted,
        };
        known.groups.insert(cgroup, group);
        let on_host = known.groups.values().filter(|group| group.is_of_host);
        let names = on_host.map(|group| name(&group.endpoint));
        let names = names.map(|(namespace, name)| format!("{namespace}/{name}"));
        known.on_host = Arc::new(names.collect());
        drop(known);
        self.0.version.send_modify(|version| *version += 1);
    }

    /// Whether any was found where its path says, so that others can be missed.
    #[must_use]
    pub fn are_found(&self) -> bool {
        self.lock().is_found
    }

    /// Looks which are there.
    pub fn look(&self, root: &CgroupRoot) {
        let looked_at: Vec<_> = {
            let known = self.lock();
            let there = known.groups.iter();
            let there = there.filter(|(_, group)| !group.is_gone);
            there
                .map(|(cgroup, group)| (*cgroup, group.path.clone()))
                .collect()
        };
        // Another of the same name has another number.
        let found = looked_at.into_iter().filter_map(|(cgroup, path)| {
            let number = root.number_of(&path).ok()?;
            Some((cgroup, number == Some(cgroup)))
        });
        self.found(found.collect());
    }

    /// Takes note of which are there.
    fn found(&self, found: Vec<(u64, bool)>) {
        let mut known = self.lock();
        known.is_found |= found.iter().any(|(_, is_there)| *is_there);
        if !known.is_found {
            return;
        }
        let mut gone = Vec::new();
        for (cgroup, _) in found.into_iter().filter(|(_, is_there)| !is_there) {
            if let Some(group) = known.groups.get_mut(&cgroup) {
                group.is_gone = true;
                gone.push(group.endpoint.clone());
            }
        }
        gone.sort_by(|one, other| name(one).cmp(&name(other)));
        gone.dedup_by(|one, other| name(one) == name(other));
        for endpoint in gone {
            if !known.has(&endpoint) {
                known.tell(&endpoint, true);
            }
        }
    }

    /// Units and containers that came and went since it was asked last.
    #[must_use]
    pub fn take_news(&self) -> Vec<News> {
        self.lock().news.drain(..).collect()
    }

    /// All of them, by number of the cgroup, the first that was noted first.
    #[must_use]
    pub fn list(&self) -> Vec<(u64, Group)> {
        let known = self.lock();
        let mut all: Vec<_> = known
            .groups
            .iter()
            .map(|(cgroup, group)| (*cgroup, group.clone()))
            .collect();
        all.sort_by_key(|(_, group)| group.noted);
        all
    }

    /// Units and containers that have the network of this host, as `namespace/name`.
    #[must_use]
    pub fn on_host(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.lock().on_host)
    }

    /// Changes whenever they do.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who made a cgroup, by its path: a user's slice, a unit of the system, a pod.
fn owner(path: &str) -> &str {
    let mut names = path.split('/').skip(1);
    let is_pod = |name: &str| name.strip_prefix(PODS).unwrap_or(name).contains("pod");
    let depth = match path.trim_start_matches('/').starts_with(PODS) {
        // Classes of pods stand between.
        true => names.position(is_pod).map_or(usize::MAX, |place| place + 1),
        false => 2,
    };
    let end = path.match_indices('/').nth(depth);
    end.map_or(path, |(end, _)| &path[..end])
}

/// Who it is, whatever its labels.
fn name(endpoint: &Endpoint) -> (&str, &str) {
    (&endpoint.namespace, &endpoint.pod_name)
}

/// One that is gone already is taken for one of the host.
fn has_network_of_host(pid: u32) -> bool {
    let inode = |path: String| fs::metadata(path).map(|file| file.st_ino()).ok();
    match inode(format!("/proc/{pid}/ns/net")) {
        Some(theirs) => Some(theirs) == inode("/proc/self/ns/net".into()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Interners;

    fn endpoint(name: &str) -> Interned<Endpoint> {
        Interners::default().endpoints.intern(Endpoint {
            namespace: "system".into(),
            pod_name: name.into(),
            ..Endpoint::default()
        })
    }

    fn news(groups: &Groups) -> Vec<(String, bool)> {
        let news = groups.take_news().into_iter();
        news.map(|one| (one.endpoint.pod_name, one.is_gone))
            .collect()
    }

    #[test]
    fn a_unit_is_gone_with_the_last_of_its_cgroups() {
        let groups = Groups::default();
        for (cgroup, name) in [(2, "a.service"), (3, "b.service"), (4, "a.service")] {
            groups.note(cgroup, "/", 1, &endpoint(name));
        }
        let came = [
            ("a.service".to_owned(), false),
            ("b.service".to_owned(), false),
        ];
        assert_eq!(news(&groups), came);
        groups.found(vec![(2, false), (3, true), (4, true)]);
        assert_eq!(news(&groups), []);
        groups.found(vec![(3, true), (4, false)]);
        assert_eq!(news(&groups), [("a.service".to_owned(), true)]);
        // A socket of theirs may still be there.
        assert_eq!(groups.list().len(), 3);
        groups.note(5, "/", 1, &endpoint("a.service"));
        assert_eq!(news(&groups), [("a.service".to_owned(), false)]);
    }

    #[test]
    fn nobody_is_gone_where_no_cgroup_is_found_by_its_path() {
        let groups = Groups::default();
        groups.note(2, "/", 1, &endpoint("a.service"));
        news(&groups);
        groups.found(vec![(2, false)]);
        assert_eq!(news(&groups), []);
    }

    #[test]
    fn who_makes_many_takes_room_from_nobody_else() {
        let groups = Groups::default();
        groups.note(2, "/system.slice/web.service", 1, &endpoint("web.service"));
        for cgroup in 3..3 + 2 * MOST as u64 {
            let path = format!("/user.slice/user-1000.slice/{cgroup}/x.service");
            groups.note(cgroup, &path, 1, &endpoint(&format!("{cgroup}.service")));
        }
        let list = groups.list();
        assert_eq!(list.len(), MOST);
        assert!(list.iter().any(|(cgroup, _)| *cgroup == 2));
        assert!(
            list.iter()
                .any(|(cgroup, _)| *cgroup == 2 + 2 * MOST as u64)
        );
    }

    #[test]
    fn the_owner_of_a_cgroup_is_a_slice_a_unit_or_a_pod() {
        for (path, expect) in [
            ("/", "/"),
            ("/init.scope", "/init.scope"),
            ("/system.slice/a.service", "/system.slice/a.service"),
            ("/system.slice/a.service/b/c", "/system.slice/a.service"),
            (
                "/user.slice/user-1000.slice/user@1000.service/x",
                "/user.slice/user-1000.slice",
            ),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-2.scope",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
            ),
            (
                "/kubepods.slice/kubepods-pod1.slice/cri-2.scope/x/y",
                "/kubepods.slice/kubepods-pod1.slice",
            ),
            (
                "/kubepods/burstable/pod1/2/podman",
                "/kubepods/burstable/pod1",
            ),
            ("/kubepods/pod1/2", "/kubepods/pod1"),
        ] {
            assert_eq!(owner(path), expect);
        }
    }

    #[test]
    fn one_that_is_gone_is_forgotten_before_others() {
        let groups = Groups::default();
        for cgroup in 2..2 + MOST as u64 {
            groups.note(cgroup, "/", 1, &endpoint(&format!("{cgroup}.service")));
        }
        groups.found(vec![(2, true), (700, false)]);
        news(&groups);
        groups.note(5000, "/", 1, &endpoint("new.service"));
        assert_eq!(news(&groups), [("new.service".to_owned(), false)]);
        assert!(groups.list().iter().all(|(cgroup, _)| *cgroup != 700));
        groups.note(5001, "/", 1, &endpoint("newer.service"));
        let told = [
            ("2.service".to_owned(), true),
            ("newer.service".to_owned(), false),
        ];
        assert_eq!(news(&groups), told);
    }
}
