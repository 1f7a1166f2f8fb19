//! What stays in the kernel when the daemon ends, so that policies stay in force: its maps
//! and links, pinned in a folder of a bpffs, and taken over by the next daemon.
//!
//! A folder holds the maps of one layout: what a slot of the flow table and the tables of
//! policies look like (`ebpf/common`), and how large they are. A daemon of another layout
//! makes a folder of its own, and removes the others when its policies are in force: until
//! then both judge. A file that exists once all maps are there tells a whole folder from
//! one that was begun.
//!
//! Bound: a file for each map, and two for each interface.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, TryLockError},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{sys::statfs, unistd::Uid};

use super::{
    DatapathError, bpf,
    flow_table::Seeds,
    shared::Shared,
    tcx::{self, Direction},
};

/// Maps whose content outlives a daemon.
pub(super) const KEPT: [&str; 17] = [
    "VLAN_SPACES",
    "VLAN_BY_NUMBER",
    "VLANS_GIVEN",
    "TAKEN4",
    "TAKEN6",
    "FLOWS4",
    "FLOWS6",
    "CONTROL",
    "GUARDS",
    "SPANS4",
    "RANGES4",
    "RANGES6",
    "SUBJECTS",
    "GROUPS",
    "ENTRIES",
    "OWNERS",
    "SLOTS",
];
/// The secret numbers of the hash by which flows are placed; made last.
const SEEDS: &str = "seeds";
/// The sources that say what is in the maps, as a number.
const LAYOUT: &str = env!("SEXTANT_LAYOUT");

/// What is pinned, by a daemon that keeps the folder locked while it lives.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    folder: PathBuf,
    /// Of a daemon before.
    found: Option<Seeds>,
    /// Files that this daemon uses.
    used: Mutex<BTreeSet<String>>,
    _lock: File,
}

impl Pins {
    /// Those of a layout with such sizes, in a folder below `root`.
    ///
    /// # Errors
    ///
    /// It is no bpffs, another daemon has it, or it cannot be used.
    pub(super) fn open(root: &Path, sizes: &impl std::hash::Hash) -> Result<Self, DatapathError> {
        let failed = |action| {
            move |source| DatapathError::Pins {
                path: root.display().to_string(),
                action,
                source,
            }
        };
        make(root)?;
        let lock = locked(root).map_err(failed("locking it"))?;
        let lock = lock.ok_or_else(|| DatapathError::PinsBusy {
            path: root.display().to_string(),
        })?;
        let mut hasher = DefaultHasher::new();
        (LAYOUT, sizes).hash(&mut hasher);
        let folder = root.join(format!("{:016x}", hasher.finish()));
        let found = seeds(&folder).map_err(failed("reading what is pinned"))?;
        if found.is_none() {
            remove(&folder).map_err(failed("removing what was begun"))?;
            fs::create_dir(&folder).map_err(failed("making a folder"))?;
        }
        Ok(Self {
            root: root.to_owned(),
            folder,
            found,
            used: Mutex::default(),
            _lock: lock,
        })
    }

    /// The secret numbers of the daemon before, whose maps these are.
    pub(super) fn found(&self) -> Option<Seeds> {
        self.found
    }

    /// All maps are there.
    pub(super) fn complete(&self, seeds: &Seeds) -> io::Result<()> {
        self.used().insert(SEEDS.into());
        if self.found.is_some() {
            return Ok(());
        }
        let map = bpf::numbers(seeds.len())?;
        Shared::new(map.as_fd(), seeds.len())?.write(0, seeds);
        bpf::pin(map.as_fd(), &self.folder.join(SEEDS))
    }

    /// Where a map or a link of this name is pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.used().insert(name.into());
        self.folder.join(name)
    }

    /// Puts a program on an interface of the daemon's own network namespace: in the place
    /// of the daemon's before, if that is there.
    pub(super) fn attach(
        &self,
        program: BorrowedFd<'_>,
        interface: u32,
        direction: Direction,
    ) -> io::Result<OwnedFd> {
        let path = self.path(&link_name(interface, direction));
        if let Some(link) = bpf::pinned(&path)? {
            match tcx::replace(link.as_fd(), program, interface, direction) {
                Ok(()) => return Ok(link),
                Err(error) => tracing::debug!(interface, %error, "a pinned link is of no use"),
            }
            fs::remove_file(&path)?;
        }
        let link = tcx::attach(program, interface, direction)?;
        bpf::pin(link.as_fd(), &path)?;
        Ok(link)
    }

    /// Lets a program go with the descriptor of its link.
    pub(super) fn detach(&self, interface: u32, direction: Direction) {
        let name = link_name(interface, direction);
        self.used().remove(&name);
        if let Err(error) = unpin(&self.folder.join(name)) {
            tracing::warn!(interface, %error, "a pinned link is not removed");
        }
    }

    /// Removes what the daemon before had, and this one has not: interfaces that are gone,
    /// or not observed any more.
    pub(super) fn remove_unused(&self) -> io::Result<()> {
        let used = self.used();
        for file in fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            if name.to_str().is_none_or(|name| !used.contains(name)) {
                unpin(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// What daemons of other layouts have in force.
    pub(super) fn predecessors(&self) -> Predecessors {
        Predecessors {
            root: self.root.clone(),
            own: Some(self.folder.clone()),
        }
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What daemons before this one may have in force, until this one's policies are.
#[derive(Clone, Debug)]
pub struct Predecessors {
    root: PathBuf,
    /// That of this daemon, which keeps the others locked out.
    own: Option<PathBuf>,
}

impl Predecessors {
    /// Of a daemon that keeps nothing itself.
    pub(super) fn of(root: &Path) -> Self {
        let root = root.to_owned();
        Self { root, own: None }
    }

    /// Lets their programs go; not those of a daemon that runs.
    ///
    /// # Errors
    ///
    /// Something cannot be removed; the rest may be.
    pub fn remove(&self) -> io::Result<()> {
        if self.own.is_some() {
            return self.remove_all();
        }
        if !self.root.exists() || !is_bpffs(&self.root)? {
            return Ok(());
        }
        match locked(&self.root)? {
            Some(_lock) => self.remove_all(),
            None => Ok(()),
        }
    }

    fn remove_all(&self) -> io::Result<()> {
        for found in fs::read_dir(&self.root)? {
            let path = found?.path();
            if Some(&path) != self.own.as_ref() {
                tracing::info!(path = %path.display(), "removing what an earlier sextantd kept in force");
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Removes what is pinned at a path, if anything is.
pub(super) fn unpin(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn link_name(interface: u32, direction: Direction) -> String {
    format!("{interface}-{}", direction.name())
}

/// The folder, on a bpffs: never on a disk, where nothing can be pinned.
fn make(root: &Path) -> Result<(), DatapathError> {
    let parent = root.parent().filter(|_| !root.exists()).unwrap_or(root);
    let none = |detail: String| DatapathError::NoPins {
        path: root.display().to_string(),
        mount: parent.display().to_string(),
        detail,
    };
    match is_bpffs(parent) {
        Ok(true) => {}
        Ok(false) => return Err(none("it is on another file system".into())),
        Err(error) => return Err(none(error.to_string())),
    }
    match DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(none(error.to_string()));
        }
        _ => {}
    }
    // Whoever could put something there would say what is in force.
    let folder = fs::metadata(root).map_err(|error| none(error.to_string()))?;
    match folder.uid() == Uid::effective().as_raw() && folder.mode() & 0o022 == 0 {
        true => Ok(()),
        false => Err(none(
            "it belongs to another user, or others may write there".into(),
        )),
    }
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(statfs::statfs(path)?.filesystem_type() == statfs::BPF_FS_MAGIC)
}

/// `None` if another process has it.
fn locked(root: &Path) -> io::Result<Option<File>> {
    let folder = File::open(root)?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn seeds(folder: &Path) -> io::Result<Option<Seeds>> {
    let Some(map) = bpf::pinned(&folder.join(SEEDS))? else {
        return Ok(None);
    };
    let mut seeds = Seeds::default();
    let numbers = Shared::<u64>::new(map.as_fd(), seeds.len())?;
    for (at, seed) in seeds.iter_mut().enumerate() {
        *seed = numbers.read(at);
    }
    Ok(Some(seeds))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
