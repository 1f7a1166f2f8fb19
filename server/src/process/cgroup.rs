//! What a process belongs to, by the path of its cgroup: a systemd unit, a
//! container, or neither. The naming rule for users is `docs/who.md`. Pure.
//!
//! The outermost container and the outermost unit count: who was given a cgroup may
//! make others below it, with the names of others. What is below a user's slice is
//! that user's, containers too.
//!
//! Engines and systemd have no common scheme, but each has its own patterns
//! (systemd.unit(5), the runtimes' cgroup drivers); a component of 64 hexadecimal
//! digits is a container of whatever engine.

#[cfg(test)]
mod tests;

use sextant_flows::printable::printable;

/// What a process belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Belonging {
    /// The unit, with its suffix; empty for none. Within a container, what is in
    /// there says so.
    pub unit: String,
    /// The user whose slice the process is in (`user-1000.slice`).
    pub user: Option<u32>,
    /// The outermost container.
    pub container: Option<Container>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Its id, or its name where it has no other.
    pub id: String,
    /// What runs it.
    pub engine: &'static str,
    /// It is one of a pod's.
    pub is_of_pod: bool,
}

/// Digits of an id.
const ID: usize = 64;

/// What precedes the id in names of scopes: `docker-ID.scope`.
const SCOPES: [(&str, &str); 7] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("crio-", "crio"),
    // Below the unit of a container that shares its cgroup with its monitor (`--cgroups=split`).
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
    ("nerdctl-", "containerd"),
    ("buildkit-", "buildkit"),
];
/// Folders of ids by what runs them: `/docker/ID`, `/ecs/TASK/ID`.
const PARENTS: [(&str, &str); 2] = [("docker", "docker"), ("ecs", "docker")];
/// Where Podman has its containers, each in the folder of its pod if it has one, whose name
/// looks like an id.
const OF_PODMAN: &str = "libpod_parent";
/// Units that run containers, as their names begin: in others a folder that is called like a
/// container is what that unit made of it.
const ENGINES: [&str; 16] = [
    "balena",
    "buildkit",
    "containerd",
    "cri-docker",
    "crio",
    "cri-o",
    "docker",
    "incus",
    "k0s",
    "k3s",
    "kubelet",
    "lxc",
    "lxd",
    "nomad",
    "podman",
    "rke2",
];
/// The same of snaps: `snap.docker.dockerd.service`.
const SNAP: &str = "snap.";
/// Ends of names of units that have processes.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
/// What runs monitors of containers, which are in none: `crio-conmon-ID.scope`.
const MONITORS: [&str; 3] = ["conmon-", "crio-conmon-", "libpod-conmon-"];

impl Belonging {
    /// By the path, components with `/` before each.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let mut found = Self::default();
        let mut slice = "";
        let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        for (place, name) in components.iter().enumerate() {
            let above = &components[..place];
            // A name that the kernel could take for its own file is escaped so.
            let name = name.strip_prefix('_').unwrap_or(name);
            if found.container.is_none()
                && may_have_containers(&found.unit)
                && let Some(container) = container(name, above)
            {
                found.container = Some(container);
                // What the host's init system calls it says no more than that.
                found.unit.clear();
            } else if UNITS.iter().any(|end| name.ends_with(end)) {
                if found.unit.is_empty() || is_manager_of_user(&found.unit) {
                    name.clone_into(&mut found.unit);
                }
            } else if let Some(user) = user_of(name).filter(|_| found.is_outermost()) {
                found.user = found.user.or(Some(user));
                slice = name;
            } else if name.ends_with(".slice") {
                slice = name;
            }
        }
        // In a slice itself: rare, but somebody may.
        if found.is_outermost() {
            slice.clone_into(&mut found.unit);
        }
        found
    }

    /// Nothing was found whose processes may call what is below it as they like.
    fn is_outermost(&self) -> bool {
        self.unit.is_empty() && self.container.is_none()
    }
}

/// Whether what is below this unit is called by what runs containers.
fn may_have_containers(unit: &str) -> bool {
    let name = unit.strip_prefix(SNAP).unwrap_or(unit);
    unit.is_empty()
        || is_manager_of_user(unit)
        || ENGINES.iter().any(|engine| name.starts_with(engine))
}

/// The one unit that has others below it.
fn is_manager_of_user(unit: &str) -> bool {
    unit.starts_with("user@") && unit.ends_with(".service")
}

/// By its name, and those above it.
fn container(name: &str, above: &[&str]) -> Option<Container> {
    let parent = above.last().copied().unwrap_or_default();
    let is_of_pod =
        name.starts_with("kubepods") || above.iter().any(|one| one.starts_with("kubepods"));
    let made = |id: &str, engine| Container {
        id: id.to_owned(),
        engine,
        is_of_pod,
    };
    if MONITORS.iter().any(|monitor| name.starts_with(monitor)) {
        return None;
    }
    // A runtime that takes systemd's names for plain ones: `SLICE:PREFIX:ID`.
    if let Some((before, id)) = name.rsplit_once(':')
        && is_id(id)
    {
        let engine = match before.rsplit(':').next() {
            Some("crio") => "crio",
            Some("docker") => "docker",
            Some("libpod") => "podman",
            _ => "containerd",
        };
        return Some(made(id, engine));
    }
    let scope = name.strip_suffix(".scope").unwrap_or(name);
    for (prefix, engine) in SCOPES {
        if let Some(id) = scope.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some(made(id, engine));
        }
    }
    if is_id(name) {
        // The folder of a pod.
        if parent == OF_PODMAN {
            return None;
        }
        let is_in = |folder: &str| parent == folder || above.first() == Some(&folder);
        let known = PARENTS.iter().find(|(folder, _)| is_in(folder));
        let engine = known.map_or("container", |(_, engine)| engine);
        return Some(made(name, engine));
    }
    named(name, parent).map(|(id, engine)| match engine {
        "nspawn" => made(&unescaped(id), engine),
        _ => made(id, engine),
    })
}

/// Those that have a name alone.
fn named<'a>(name: &'a str, parent: &str) -> Option<(&'a str, &'static str)> {
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return Some((name, "lxc"));
    }
    if matches!(parent, "lxc" | "lxc.payload") {
        return Some((name, "lxc"));
    }
    let machine = name
        .strip_suffix(".service")
        .and_then(|service| service.strip_prefix("systemd-nspawn@"));
    let scope = || {
        let scope = name.strip_suffix(".scope")?;
        let machine = scope.strip_prefix("machine-")?;
        // Virtual machines are no containers.
        (parent == "machine.slice" && !machine.starts_with("qemu")).then_some(machine)
    };
    Some((machine.or_else(scope)?, "nspawn"))
}

/// What systemd escaped in a name: `my\x2dweb` is `my-web`; anything else as it is.
fn unescaped(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.strip_prefix(b"x").filter(|_| *first == b'\\');
        let digits = escaped.and_then(|digits| std::str::from_utf8(digits.get(..2)?).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    match String::from_utf8(plain) {
        Ok(plain) => printable(&plain).into_owned(),
        Err(_) => name.to_owned(),
    }
}

/// Whether it is an id; else it is a name.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The user of `user-UID.slice`.
fn user_of(name: &str) -> Option<u32> {
    name.strip_prefix("user-")?
        .strip_suffix(".slice")?
        .parse()
        .ok()
}
