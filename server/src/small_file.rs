//! Files that people write: read whole, within a bound.
//!
//! Links are followed, since configurations and certificates are often behind one.
//! What is no regular file could never end, or wait for somebody who writes: it is
//! refused. Files that the daemon writes are in `state`.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::fcntl::OFlag;

/// All of a file of at most `most` bytes.
///
/// # Errors
///
/// When it cannot be read, is no regular file or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut open = OpenOptions::new();
    open.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = open.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!(
            "it is larger than {}",
            size(most)
        ))),
        false => Ok(bytes),
    }
}

/// Warns of a secret that every user may read, or that is somebody else's.
pub fn warn_if_open(what: &str, path: &Path) {
    let Ok(file) = std::fs::metadata(path) else {
        return;
    };
    if file.permissions().mode() & 0o004 != 0 {
        tracing::warn!(
            ?path,
            "{what} can be read by every user of this host; `chmod o-rwx` it"
        );
    }
    let owner = file.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        tracing::warn!(
            ?path,
            owner,
            "{what} belongs to another user, who can change it; `chown` it to the user of sextantd, or to root"
        );
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn only_regular_files_within_the_bound_are_read_and_none_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let fifo = folder.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for (path, most, told) in [
            (&*path, 4, "larger than 4 bytes"),
            (&*fifo, 4, "no regular file"),
            (Path::new("/dev/zero"), 1 << 20, "no regular file"),
            (folder.path(), 4, "directory"),
        ] {
            let error = read(path, most).unwrap_err().to_string();
            assert!(error.contains(told), "{path:?}: {error}");
        }
    }
}
