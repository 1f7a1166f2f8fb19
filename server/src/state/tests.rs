use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::Path,
};

use nix::unistd::geteuid;

use super::{MAX_FILE, StateError, StateFolder};

fn locked(path: &Path) -> StateFolder {
    let mut folder = StateFolder::open(path).unwrap();
    folder.lock().unwrap();
    folder
}

#[test]
fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = locked(folder.path());
    assert_eq!(state.read("a").unwrap(), None);
    for text in ["one", "", "three"] {
        state.write("a", text.as_bytes()).unwrap();
        assert_eq!(state.read("a").unwrap().unwrap(), text.as_bytes());
    }
    let mode = fs::metadata(folder.path().join("a"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "lock"]);
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let state = locked(folder.path());
    state.write("a", b"old").unwrap();
    let error = state.write("a", &vec![0; MAX_FILE + 1]).unwrap_err();
    assert!(matches!(error, StateError::Write { .. }), "{error}");
    // A folder in its way.
    fs::create_dir(folder.path().join("a.new")).unwrap();
    assert!(state.write("a", b"new").is_err());
    assert_eq!(state.read("a").unwrap().unwrap(), b"old");
}

#[test]
fn only_who_has_the_lock_writes() {
    let folder = tempfile::tempdir().unwrap();
    let state = locked(folder.path());
    state.write("a", b"first").unwrap();
    let mut second = StateFolder::open(folder.path()).unwrap();
    let error = second.lock().unwrap_err();
    assert!(matches!(error, StateError::Taken { .. }), "{error}");
    assert!(second.write("a", b"second").is_err());
    assert!(second.set_aside("a").is_err());
    assert_eq!(second.read("a").unwrap().unwrap(), b"first");
    drop(state);
    second.lock().unwrap();
    second.write("a", b"second").unwrap();
}

#[test]
fn a_folder_that_is_none_or_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("real")).unwrap();
    symlink(path("real"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    fs::write(path("file"), "kept").unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["link", "dangling", "file", "fifo", "file/below"] {
        let error = StateFolder::open(&path(name)).unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("--state-dir"),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "kept");
    assert!(fs::read_dir(path("real")).unwrap().next().is_none());
    assert!(!path("nowhere").exists());
    fs::set_permissions(path("real"), fs::Permissions::from_mode(0o777)).unwrap();
    let error = StateFolder::open(&path("real")).unwrap_err();
    assert!(matches!(error, StateError::Shared { .. }), "{error}");
    fs::set_permissions(path("real"), fs::Permissions::from_mode(0o755)).unwrap();
    StateFolder::open(&path("real")).unwrap();
    if geteuid().is_root() {
        chown(path("real"), Some(65534), None).unwrap();
        let error = StateFolder::open(&path("real")).unwrap_err();
        assert!(matches!(error, StateError::Shared { .. }), "{error}");
    }
}

#[test]
fn the_lock_is_no_way_to_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    symlink(&target, folder.path().join("lock")).unwrap();
    let mut state = StateFolder::open(folder.path()).unwrap();
    assert!(matches!(state.lock(), Err(StateError::Lock { .. })));
    assert!(!target.exists());
    assert!(matches!(
        state.write("a", b""),
        Err(StateError::Write { source, .. }) if source.kind() == io::ErrorKind::Other
    ));
}
