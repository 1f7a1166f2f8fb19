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
const SCOPES: [(&str, &str); 6] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("crio-", "crio"),
    ("libpod-", "podman"),
    ("nerdctl-", "containerd"),
    ("buildkit-", "buildkit"),
];
/// Parents of ids by what runs them: `/docker/ID`.
const PARENTS: [(&str, &str); 3] = [
    ("docker", "docker"),
    ("libpod_parent", "podman"),
    ("ecs", "docker"),
];
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
            let parent = place.checked_sub(1).map_or("", |before| components[before]);
            // A name that the kernel could take for its own file is escaped so.
            let name = name.strip_prefix('_').unwrap_or(name);
            if found.container.is_none()
                && let Some(container) = container(name, parent, path)
            {
                found.container = Some(container);
                // What the host's init system calls it says no more than that.
                found.unit.clear();
            } else if name.ends_with(".service") || name.ends_with(".scope") {
                if found.unit.is_empty() || is_manager_of_user(&found.unit) {
                    name.clone_into(&mut found.unit);
                }
            } else if let Some(user) = user_of(name).filter(|_| found.unit.is_empty()) {
                found.user = found.user.or(Some(user));
                slice = name;
            } else if name.ends_with(".slice") {
                slice = name;
            }
        }
        // In a slice itself: rare, but somebody may.
        if found.unit.is_empty() && found.container.is_none() {
            slice.clone_into(&mut found.unit);
        }
        found
    }
}

/// The one unit that has others below it.
fn is_manager_of_user(unit: &str) -> bool {
    unit.starts_with("user@") && unit.ends_with(".service")
}

fn container(name: &str, parent: &str, path: &str) -> Option<Container> {
    let is_of_pod = path.contains("/kubepods");
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
        let known = PARENTS.iter().find(|(folder, _)| *folder == parent);
        let engine = known.map_or("container", |(_, engine)| engine);
        return Some(made(name, engine));
    }
    named(name, parent).map(|(id, engine)| made(id, engine))
}

/// Those that have a name alone.
fn named<'a>(name: &'a str, parent: &str) -> Option<(&'a str, &'static str)> {
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return Some((name, "lxc"));
    }
    if matches!(parent, "lxc" | "lxc.payload") {
        return Some((name, "lxc"));
    }
    let machine = match name.strip_suffix(".scope") {
        Some(scope) if parent == "machine.slice" => scope.strip_prefix("machine-"),
        _ => name
            .strip_suffix(".service")
            .and_then(|service| service.strip_prefix("systemd-nspawn@")),
    };
    machine.map(|machine| (machine, "nspawn"))
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "4f1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";
    const B: &str = "aa1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";

    /// Id, engine, whether it is of a pod.
    type Found = Option<(String, &'static str, bool)>;

    fn of(path: &str) -> (String, Option<u32>, Found) {
        let path = path.replace("{A}", A).replace("{B}", B);
        let found = Belonging::of(&path);
        let container = found.container;
        (
            found.unit,
            found.user,
            container.map(|one| (one.id, one.engine, one.is_of_pod)),
        )
    }

    #[test]
    fn a_unit_is_the_outermost_service_or_scope_but_for_a_users_manager() {
        for (path, unit, user) in [
            ("/", "", None),
            ("", "", None),
            ("/init.scope", "init.scope", None),
            ("/system.slice/nginx.service", "nginx.service", None),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
                None,
            ),
            ("/system.slice/nginx.service/workers", "nginx.service", None),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                "session-3.scope",
                Some(1000),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope",
                "app-firefox-12.scope",
                Some(1000),
            ),
            (
                "/user.slice/user-0.slice/user@0.service/init.scope",
                "init.scope",
                Some(0),
            ),
            ("/machine.slice/app.slice", "app.slice", None),
            // Whoever was given a cgroup cannot pose as another.
            (
                "/system.slice/app.service/nginx.service",
                "app.service",
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/a.service/user-0.slice/b.service",
                "a.service",
                Some(1000),
            ),
            (
                "/system.slice/app.service/user-0.slice/x",
                "app.service",
                None,
            ),
            // Not from systemd at all.
            ("/process_api/abc", "", None),
            ("/system.slice/_cpu.service", "cpu.service", None),
            ("/…/nginx.service", "nginx.service", None),
        ] {
            assert_eq!(of(path), (unit.to_owned(), user, None), "{path}");
        }
    }

    #[test]
    fn containers_of_all_engines_are_found() {
        for (path, id, engine, is_of_pod) in [
            ("/docker/{A}", A, "docker", false),
            ("/system.slice/docker-{A}.scope", A, "docker", false),
            (
                "/system.slice/docker-{A}.scope/init.scope",
                A,
                "docker",
                false,
            ),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_cd.slice/cri-containerd-{A}.scope",
                A,
                "containerd",
                true,
            ),
            ("/kubepods/besteffort/pod12-34/{A}", A, "container", true),
            (
                "/system.slice/containerd.service/kubepods-burstable-podab.slice:cri-containerd:{A}",
                A,
                "containerd",
                true,
            ),
            (
                "/kubepods.slice/kubepods-pod1.slice/crio-{A}.scope",
                A,
                "crio",
                true,
            ),
            // CRI-O with crun, and by cgroupfs.
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podab_cd.slice/crio-{A}.scope/container",
                A,
                "crio",
                true,
            ),
            ("/kubepods/burstable/podab-cd/crio-{A}", A, "crio", true),
            (
                "/system.slice/crio.service/kubepods-burstable-podab.slice:crio:{A}",
                A,
                "crio",
                true,
            ),
            // nerdctl of a user.
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{A}.scope",
                A,
                "containerd",
                false,
            ),
            (
                "/machine.slice/libpod-{A}.scope/container",
                A,
                "podman",
                false,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope",
                A,
                "podman",
                false,
            ),
            ("/libpod_parent/libpod-{A}", A, "podman", false),
            ("/system.slice/nerdctl-{A}.scope", A, "containerd", false),
            ("/default/{A}", A, "container", false),
            ("/lxc.payload.web/init.scope", "web", "lxc", false),
            ("/lxc/web", "web", "lxc", false),
            (
                "/machine.slice/systemd-nspawn@web.service/payload",
                "web",
                "nspawn",
                false,
            ),
            (
                "/machine.slice/machine-web.scope/payload",
                "web",
                "nspawn",
                false,
            ),
            // Whoever is in one may make another below it.
            ("/docker/{A}/docker/{B}", A, "docker", false),
            ("/lxc/web/docker/{B}", "web", "lxc", false),
        ] {
            let found = of(path).2;
            assert_eq!(found, Some((id.to_owned(), engine, is_of_pod)), "{path}");
        }
    }

    #[test]
    fn a_unit_within_a_container_is_told_with_it() {
        let found = of("/docker/{A}/system.slice/nginx.service");
        assert_eq!(
            found,
            (
                "nginx.service".into(),
                None,
                Some((A.into(), "docker", false))
            )
        );
    }

    #[test]
    fn what_watches_over_a_container_is_not_in_it() {
        for path in [
            "/machine.slice/libpod-conmon-{A}.scope",
            "/system.slice/crio-conmon-{A}.scope",
            "/kubepods.slice/kubepods-pod1.slice/crio-conmon-{A}.scope",
            "/system.slice/docker.service",
            "/docker/nothing",
        ] {
            assert_eq!(of(path).2, None, "{path}");
        }
    }
}
