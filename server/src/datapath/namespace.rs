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
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use globset::{Glob, GlobMatcher};

use super::DatapathError;

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
    /// The last part of the path, for people.
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
    /// Cookies of those found before. Inode numbers are used again, but a path
    /// does not come back without a change of its folder.
    known: HashMap<PathBuf, (u64, Option<SystemTime>, u64)>,
}

impl Finder {
    pub(super) fn new(choice: NamespaceChoice) -> Self {
        Self {
            choice,
            own: own_cookie().unwrap_or_default(),
            known: HashMap::new(),
        }
    }

    /// The namespaces that are there now, each once, without the daemon's own.
    pub(super) fn find(&mut self) -> Vec<Namespace> {
        let mut known = HashMap::new();
        let mut found: Vec<Namespace> = Vec::new();
        for (folder, glob, zone) in &self.choice.patterns {
            let changed = std::fs::metadata(folder).and_then(|folder| folder.modified());
            for name in names(folder) {
                if !glob.is_match(&name) {
                    continue;
                }
                let path = folder.join(&name);
                let Ok(inode) = std::fs::metadata(&path).map(|file| file.ino()) else {
                    continue;
                };
                let stamp = (inode, changed.as_ref().ok().copied());
                let cookie = match self.known.get(&path) {
                    Some((inode, changed, cookie)) if (*inode, *changed) == stamp => *cookie,
                    // A file that is no namespace is nothing to tell each second.
                    _ => match cookie(&path) {
                        Ok(cookie) => cookie,
                        Err(_) => continue,
                    },
                };
                known.insert(path.clone(), (stamp.0, stamp.1, cookie));
                if cookie != self.own && !found.iter().any(|other| other.cookie == cookie) {
                    let zone = *zone;
                    found.push(Namespace {
                        path,
                        name,
                        zone,
                        cookie,
                    });
                }
            }
        }
        self.known = known;
        found
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
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
    let namespace = File::open(path)?;
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
        assert!(Finder::new(choice).find().is_empty());
        assert_ne!(own_cookie().unwrap(), 0);
    }

    #[test]
    fn a_path_that_is_no_namespace_is_refused_by_name() {
        let choice = NamespaceChoice::new(&[("/proc/self/status".into(), 0)]).unwrap();
        let error = choice.check().unwrap_err().to_string();
        assert!(error.contains("/proc/self/status"), "{error}");
    }
}
