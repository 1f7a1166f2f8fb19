//! Unix sockets and their files.
//!
//! Nobody can connect before owner, group and mode are what they are to be. A
//! file goes with its socket, unless somebody put another in its place. Not who
//! may write by it: see `access`. Bound: what another has at the path is asked
//! once, and another daemon at the same work is waited for `PATIENCE` at most.

use std::{
    fs::{self, TryLockError},
    io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, lchown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::{
    fcntl::AT_FDCWD,
    sys::stat::{FchmodatFlags, Mode, fchmodat},
};
use tokio::{
    net::{UnixSocket, UnixStream},
    time::{Instant, sleep},
};

/// How long another daemon may take to bind in the same folder.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Owner and group may connect.
const MODE: u32 = 0o660;

/// The file of a bound socket: removed as the first clone goes, if it is still the
/// same. To be dropped before the listener: one that nobody accepts at is stale.
#[derive(Clone, Debug)]
pub struct SocketFile(Arc<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    identity: (u64, u64),
    /// From then on another may have the same identity.
    is_removed: AtomicBool,
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let file = &*self.0;
        if !file.is_removed.swap(true, Ordering::Relaxed)
            && identity(&file.path).is_ok_and(|now| now == file.identity)
            && let Err(error) = fs::remove_file(&file.path)
        {
            tracing::warn!(path = ?file.path, %error, "the socket's file stays behind");
        }
    }
}

/// Binds a socket that its owner and its group may use. A file that a crashed
/// process left is replaced; one that somebody serves is not.
///
/// # Errors
///
/// When the path is taken or may not be used. Nothing is left there then.
pub(super) async fn bind(path: &Path, gid: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let _turn = turn(folder).await?;
    make_room(path).await?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile(Arc::new(File {
        path: path.to_owned(),
        identity: identity(path)?,
        is_removed: AtomicBool::new(false),
    }));
    if let Some(gid) = gid {
        lchown(path, None, Some(gid)).map_err(|error| {
            let text = format!("giving it to group {gid}: {error}");
            io::Error::new(error.kind(), text)
        })?;
    }
    let mode = Mode::from_bits_truncate(MODE);
    fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)?;
    // Only now can anybody connect.
    Ok((socket.listen(BACKLOG)?.into_std()?, file))
}

/// Daemons that start at once bind one after the other, lest one takes the
/// other's new socket for a stale one. Who may read the folder could hold the
/// lock for ever: after a while it goes on without.
async fn turn(folder: &Path) -> io::Result<fs::File> {
    let folder = fs::File::open(folder)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(PAUSE).await,
            _ => return Ok(folder),
        }
    }
}

/// Removes a socket that nobody serves.
async fn make_room(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let kind = metadata.file_type();
    if !kind.is_socket() {
        let text = match kind.is_symlink() {
            true => "there is a link, which is not followed",
            false => "the file exists and is no socket",
        };
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // The one error that says that nobody listens.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Its owner is alive, and has more connections than it can accept.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "a busy program serves it",
        )),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot tell whether somebody serves the socket that is there: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener as StdListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_owner_and_group_and_goes_with_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/s.sock");
        let (listener, file) = bind(&path, None).await.unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, MODE);
        UnixStream::connect(&path).await.unwrap();
        drop(file);
        assert!(fs::symlink_metadata(&path).is_err());
        drop(listener);
    }

    #[tokio::test]
    async fn what_somebody_serves_is_left_alone_however_busy_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let served = UnixSocket::new_stream().unwrap();
        served.bind(&path).unwrap();
        let served = served.listen(1).unwrap();
        let inode = fs::symlink_metadata(&path).unwrap().ino();
        let mut waiting = Vec::new();
        let full = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 100);
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        for _ in 0..2 {
            let error = bind(&path, None).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode);
            waiting.clear();
            while let Ok(Ok(_)) =
                tokio::time::timeout(Duration::from_millis(50), served.accept()).await
            {}
        }
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        drop(StdListener::bind(&path).unwrap());
        let (_listener, _file) = bind(&path, None).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn links_and_files_at_the_path_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, path) = (folder.path().join("kept"), folder.path().join("s.sock"));
        fs::write(&kept, "kept").unwrap();
        for target in [kept.clone(), folder.path().join("nothing")] {
            symlink(&target, &path).unwrap();
            let error = bind(&path, None).await.unwrap_err();
            assert!(error.to_string().contains("link"), "{error}");
            fs::remove_file(&path).unwrap();
        }
        assert!(bind(&kept, None).await.is_err());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
        assert!(fs::symlink_metadata(folder.path().join("nothing")).is_err());
    }

    #[tokio::test]
    async fn a_file_that_another_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let (_first, first_file) = bind(&path, None).await.unwrap();
        fs::remove_file(&path).unwrap();
        let (_second, second_file) = bind(&path, None).await.unwrap();
        drop(first_file);
        UnixStream::connect(&path).await.unwrap();
        drop(second_file);
        assert!(fs::symlink_metadata(&path).is_err());
    }

    #[tokio::test]
    async fn the_first_of_its_holders_takes_the_file_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let (listener, file) = bind(&path, None).await.unwrap();
        let other = file.clone();
        drop(file);
        assert!(fs::symlink_metadata(&path).is_err());
        drop(listener);
        // Its inode may be that of the first one.
        let (_listener, _file) = bind(&path, None).await.unwrap();
        drop(other);
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn of_many_that_start_at_once_one_serves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        drop(StdListener::bind(&path).unwrap());
        let starts = (0..8).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { bind(&path, None).await })
        });
        let mut bound = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            bound.extend(start.await.unwrap());
        }
        assert_eq!(bound.len(), 1);
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn who_holds_the_folders_lock_holds_nobody_up_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let held = fs::File::open(folder.path()).unwrap();
        held.lock().unwrap();
        let path = folder.path().join("s.sock");
        let bound = tokio::time::timeout(PATIENCE * 10, bind(&path, None));
        let bound = bound.await.unwrap();
        assert!(bound.is_ok());
    }
}
