//! A bpffs of a test's own: what is pinned there goes with it.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::netns::host;

/// Mounted in a folder; unmounted when dropped.
pub struct Bpffs(TempDir);

impl Bpffs {
    /// An empty one, which namespaces that are entered later have, too.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it mounts")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        host(&format!("mount -t bpf bpf {}", folder.path().display()));
        Self(folder)
    }

    /// For a daemon to keep its policies in.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.0.path().join("sextant")
    }

    /// What is pinned there, by the last part of its path.
    #[must_use]
    pub fn pinned(&self) -> Vec<String> {
        let layouts = fs::read_dir(self.pins()).unwrap();
        let files = layouts.flat_map(|layout| fs::read_dir(layout.unwrap().path()).unwrap());
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // A daemon that is still dying may have it for a moment.
        host(&format!("umount --lazy {}", self.0.path().display()));
    }
}
