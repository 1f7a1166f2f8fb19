//! Network namespaces other than the daemon's own, by the paths that name them
//! (`/run/netns/blue`, `/proc/123/ns/net`).
//!
//! The kernel takes the caller's namespace for interface names and new
//! sockets, so what concerns another one is done on a thread that entered it.
//! Bound: as many as interface numbers have room for.

use std::{
    collections::HashMap,
    fs::File,
    io,
    mem::MaybeUninit,
    net::UdpSocket,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use globset::{Glob, GlobMatcher};

use super::{DatapathError, shortage::is_exhausted};

/// This process's own.
pub(super) const OWN: &str = "/proc/self/ns/net";

/// Which namespaces are observed beside the daemon's own.
#[derive(Clone, Debug)]
pub struct NamespaceChoice {
    /// The folder, the glob of the names in it, and the zone.
    patterns: Vec<(PathBuf, GlobMatcher, u16)>,
    /// Paths without a wildcard.
    exact: Vec<PathBuf>,
}

/// A namespace that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Where it is.
    pub path: PathBuf,
    /// For people: the last part of the path, or as much of its end as another that was found
    /// before does not have.
    pub name: String,
    /// Address space of its interfaces.
    pub zone: u16,
    /// The kernel's number of it, never used again.
    pub cookie: u64,
}

impl NamespaceChoice {
    /// Namespaces at these paths, whose last part may be a glob, with zones.
    ///
    /// # Errors
    ///
    /// When a path has no last part, or it is no glob.
    pub fn new(paths: &[(String, u16)]) -> Result<Self, DatapathError> {
        let mut choice = Self {
            patterns: Vec::new(),
            exact: Vec::new(),
        };
        for (text, zone) in paths {
            let path = Path::new(text);
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(DatapathError::NoNamespace {
                    path: text.clone(),
                    source: io::Error::from(io::ErrorKind::InvalidInput),
                });
            };
            let name = name.to_string_lossy();
            let glob = Glob::new(&name).map_err(|source| DatapathError::Pattern {
                pattern: text.clone(),
                source,
            })?;
            if !name.contains(['*', '?', '[', '{']) {
                choice.exact.push(path.to_owned());
            }
            choice
                .patterns
                .push((folder.to_owned(), glob.compile_matcher(), *zone));
        }
        Ok(choice)
    }

    /// There are none to observe.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Paths without a wildcard must be there at the start.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub(super) fn check(&self) -> Result<(), DatapathError> {
        for path in &self.exact {
            cookie(path).map_err(|source| DatapathError::NoNamespace {
                path: path.display().to_string(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Finds them, again and again.
pub(super) struct Finder {
    choice: NamespaceChoice,
    own: u64,
    /// Those found before. Inode numbers are used again, but a path does not come
    /// back without a change of its folder.
    known: HashMap<PathBuf, Known>,
    /// By cookie: a name stays as long as its namespace is found.
    names: HashMap<u64, String>,
}

#[derive(Clone, Copy)]
struct Known {
    inode: u64,
    /// When the folder was changed.
    changed: Option<SystemTime>,
    cookie: u64,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The namespaces that are there, each once, without the daemon's own.
    pub(super) namespaces: Vec<Namespace>,
    /// Paths that could not be looked at, since something is short, and why.
    pub(super) refused: Vec<(PathBuf, io::Error)>,
}

impl Finder {
    pub(super) fn new(choice: NamespaceChoice) -> Self {
        Self {
            choice,
            own: own_cookie().unwrap_or_default(),
            known: HashMap::new(),
            names: HashMap::new(),
        }
    }

    /// Looks for them. When descriptors or memory are short, what was known stays.
    pub(super) fn find(&mut self) -> Found {
        let mut known = HashMap::new();
        let mut found = Found::default();
        for (folder, glob, zone) in &self.choice.patterns {
            let changed = std::fs::metadata(folder).and_then(|folder| folder.modified());
            let changed = changed.ok();
            let names = names(folder).unwrap_or_else(|error| {
                found.refused.push((folder.clone(), error));
                self.known_in(folder)
            });
            for name in names {
                if !glob.is_match(&name) {
                    continue;
                }
                let path = folder.join(&name);
                let one = match self.look(&path, changed) {
                    Ok(Some(one)) => one,
                    Ok(None) => continue,
                    Err(error) => {
                        found.refused.push((path, error));
                        continue;
                    }
                };
                known.insert(path.clone(), one);
                let cookie = one.cookie;
                let mut others = found.namespaces.iter();
                if cookie != self.own && !others.any(|other| other.cookie == cookie) {
                    let zone = *zone;
                    found.namespaces.push(Namespace {
                        path,
                        name,
                        zone,
                        cookie,
                    });
                }
            }
        }
        self.known = known;
        self.give_names(&mut found.namespaces);
        found
    }

    /// No two have one name: those that have one keep it.
    fn give_names(&mut self, namespaces: &mut [Namespace]) {
        let is_there = |cookie: &u64| namespaces.iter().any(|found| found.cookie == *cookie);
        self.names.retain(|cookie, _| is_there(cookie));
        for found in namespaces {
            if let Some(name) = self.names.get(&found.cookie) {
                found.name.clone_from(name);
                continue;
            }
            let is_free = |name: &String| !self.names.values().any(|other| other == name);
            let free = ends(&found.path).find(is_free);
            found.name = free.unwrap_or_else(|| found.path.display().to_string());
            self.names.insert(found.cookie, found.name.clone());
        }
    }

    /// The namespace at a path, if there is one; an error when that cannot be
    /// told now.
    fn look(&self, path: &Path, changed: Option<SystemTime>) -> io::Result<Option<Known>> {
        let Ok(inode) = std::fs::metadata(path).map(|file| file.ino()) else {
            return Ok(None);
        };
        let before = self.known.get(path).filter(|known| known.inode == inode);
        if let Some(known) = before.filter(|known| known.changed == changed) {
            return Ok(Some(*known));
        }
        match cookie(path) {
            Ok(cookie) => Ok(Some(Known {
                inode,
                changed,
                cookie,
            })),
            // It is looked at again, as the folder has another time.
            Err(error) if is_exhausted(&error) => before.copied().map(Some).ok_or(error),
            // A file that is no namespace is nothing to tell each second.
            Err(_) => Ok(None),
        }
    }

    fn known_in(&self, folder: &Path) -> Vec<String> {
        let known = self.known.keys();
        let inside = known.filter(|path| path.parent() == Some(folder));
        let names = inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        names.collect()
    }
}

/// The ends of a path, from its last part to the whole.
fn ends(path: &Path) -> impl Iterator<Item = String> {
    let parts = path.components().count();
    (0..parts).rev().map(move |skipped| {
        let end: PathBuf = path.components().skip(skipped).collect();
        end.display().to_string()
    })
}

/// An error only when something is short; no folder has no names.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_exhausted(&error) => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Runs `work` in the namespace at `path`, or here if there is none.
///
/// # Errors
///
/// When the namespace is gone or may not be entered.
pub(super) fn within<T: Send>(
    path: Option<&Path>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let Some(path) = path else {
        return Ok(work());
    };
    let namespace = open(path)?;
    thread::scope(|scope| {
        let entered = thread::Builder::new()
            .name("namespace".into())
            .spawn_scoped(scope, || {
                enter(namespace.as_fd())?;
                Ok(work())
            })?;
        entered
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}

/// A file of another kind is not opened: that could wait for ever (a FIFO), or do something
/// (a device).
pub(super) fn open(path: &Path) -> io::Result<File> {
    let no_file =
        || io::Error::other("it is no namespace, but a folder, a FIFO, a device or a socket");
    let is_file = std::fs::metadata(path)?.is_file();
    let mut options = File::options();
    // It may have become another meanwhile.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    is_file.then(|| options.open(path)).ok_or_else(no_file)?
}

/// The cookie of the daemon's own namespace.
pub(super) fn own_cookie() -> io::Result<u64> {
    cookie(Path::new(OWN))
}

/// The cookie of a namespace. Kernel 5.14.
fn cookie(path: &Path) -> io::Result<u64> {
    if std::fs::metadata(path)?.ino() == std::fs::metadata(OWN)?.ino() {
        return cookie_here();
    }
    within(Some(path), cookie_here)?
}

fn cookie_here() -> io::Result<u64> {
    let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    let mut cookie = MaybeUninit::<u64>::uninit();
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes eight bytes or fails.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            cookie.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written on success.
    Ok(unsafe { cookie.assume_init() })
}

/// Moves this thread into a network namespace, for good.
fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: concerns this thread alone; the type of the namespace is checked.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_not_found_again() {
        let choice = NamespaceChoice::new(&[("/proc/self/ns/n*".into(), 0)]).unwrap();
        assert!(Finder::new(choice).find().namespaces.is_empty());
        assert_ne!(own_cookie().unwrap(), 0);
    }

    fn found(path: &str, cookie: u64) -> Namespace {
        Namespace {
            path: path.into(),
            name: path.rsplit('/').next().unwrap().into(),
            zone: 0,
            cookie,
        }
    }

    fn names(finder: &mut Finder, mut namespaces: Vec<Namespace>) -> Vec<String> {
        finder.give_names(&mut namespaces);
        namespaces.into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn no_two_namespaces_have_one_name_and_a_name_stays() {
        let mut finder = Finder::new(NamespaceChoice::new(&[]).unwrap());
        let [one, two, three] = [
            found("/proc/71/ns/net", 1),
            found("/proc/82/ns/net", 2),
            found("/run/netns/blue", 3),
        ];
        assert_eq!(
            names(&mut finder, vec![two.clone(), three.clone()]),
            ["net", "blue"]
        );
        assert_eq!(
            names(&mut finder, vec![one.clone(), two, three]),
            ["ns/net", "net", "blue"]
        );
        assert_eq!(names(&mut finder, vec![one]), ["ns/net"]);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for path in [fifo.as_path(), Path::new("/dev/null"), folder.path()] {
            let error = cookie(path).unwrap_err().to_string();
            assert!(error.contains("no namespace"), "{error}");
        }
    }

    #[test]
    fn a_path_that_is_no_namespace_is_refused_by_name() {
        let choice = NamespaceChoice::new(&[("/proc/self/status".into(), 0)]).unwrap();
        let error = choice.check().unwrap_err().to_string();
        assert!(error.contains("/proc/self/status"), "{error}");
    }
}
