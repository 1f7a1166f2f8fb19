//! Cgroups of a test's own in the unified hierarchy.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::eventually;

/// Cgroups, in the order in which they are removed when dropped.
pub struct Cgroups(pub Vec<PathBuf>);

impl Cgroups {
    /// At these paths below its root; `None` where it is not mounted, or not ours to use.
    #[must_use]
    pub fn new(paths: &[&str]) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" cgroup2 "))?;
        let root = Path::new(mount.split(' ').nth(1)?);
        let mut made = Self(Vec::new());
        for path in paths {
            let path = root.join(path);
            fs::create_dir_all(&path).ok()?;
            made.0.push(path);
        }
        Some(made)
    }

    /// That of a unit of a test's own, the first, in a slice.
    #[must_use]
    pub fn of_unit(test: &str) -> Option<(Self, String)> {
        let name = |kind: &str| format!("sextant-{test}-{}.{kind}", std::process::id());
        let (unit, slice) = (name("service"), name("slice"));
        let made = Self::new(&[&format!("{slice}/{unit}"), &slice]);
        if made.is_none() {
            println!("SKIPPED: no cgroup2 hierarchy that can be written");
        }
        Some((made?, unit))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for path in &self.0 {
            // What is killed leaves its cgroup a moment later.
            eventually("an empty cgroup", || fs::remove_dir(path).ok());
        }
    }
}
