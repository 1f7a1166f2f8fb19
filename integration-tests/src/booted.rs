//! A system that systemd booted, in the network of a test: Debian's own, which `make
//! setup` unpacked, in a container of systemd-nspawn whose cgroup is the root of its
//! units, so that they look as those of a host do. Needs root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::{Netns, netns::host};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A booted system; it and its cgroup are gone when dropped.
pub struct Booted {
    /// Its files.
    pub root: TempDir,
    cgroup: String,
    nspawn: Child,
}

impl Booted {
    /// Boots a copy of the system after `prepare`, a script in its root, and after files
    /// were written there: path below the root, and text.
    ///
    /// # Panics
    ///
    /// When `make setup` was not done.
    #[must_use]
    pub fn start(namespace: &Netns, files: &[(&str, &str)], prepare: &str) -> Self {
        let from = crate::hubble::tools().join("../systemd");
        assert!(
            from.join(".complete").exists(),
            "there is no system to boot: run `make setup`"
        );
        let root = tempfile::Builder::new()
            .prefix("sx-")
            .tempdir_in("/tmp")
            .unwrap();
        let at = root.path().display();
        host(&format!("cp -a --reflink=auto {}/. {at}", from.display()));
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        host(&format!("chroot {at} sh -ec '{prepare}'"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("sx-booted-{}-{number}", std::process::id());
        let enter: String = hierarchies()
            .iter()
            .map(|hierarchy| {
                let own = hierarchy.join(&cgroup);
                fs::create_dir(&own).unwrap();
                format!("echo $$ >{}/cgroup.procs && ", own.display())
            })
            .collect();
        let log = fs::File::create(root.path().join("boot.log")).unwrap();
        let nspawn = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "{enter}exec nsenter --net=/run/netns/{} systemd-nspawn --register=no --keep-unit --machine={cgroup} \
                 --directory={at} --boot --console=pipe",
                namespace.name
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            root,
            cgroup,
            nspawn,
        }
    }

    /// Processes of a unit, by the path of its cgroup below the system's root.
    #[must_use]
    pub fn pids(&self, unit: &str) -> Vec<u32> {
        let [unified, ..] = &hierarchies()[..] else {
            return Vec::new();
        };
        let path = unified
            .join(&self.cgroup)
            .join("payload")
            .join(unit)
            .join("cgroup.procs");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// What it said, and what its journal has of failures.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("boot.log")).unwrap_or_default()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // With its first process all others end.
        for pid in self.pids("init.scope") {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        for hierarchy in hierarchies() {
            let own = hierarchy.join(&self.cgroup);
            let remove = format!(
                "for i in $(seq 50); do find {0} -depth -type d -exec rmdir {{}} + 2>/dev/null; \
                 test -d {0} || exit 0; sleep 0.1; done",
                own.display()
            );
            let _ = Command::new("sh").args(["-c", &remove]).status();
        }
    }
}

/// Where units have their cgroups: the unified one first, that of systemd beside it in a
/// hybrid set-up.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    match root.join("cgroup.procs").exists() {
        true => vec![root.into()],
        false => ["unified", "systemd"]
            .map(|name| root.join(name))
            .into_iter()
            .filter(|path| path.join("cgroup.procs").exists())
            .collect(),
    }
}
