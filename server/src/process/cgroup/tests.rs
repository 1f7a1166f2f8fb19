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
        // Nothing of it is known.
        ("/…", "", None),
        ("/system.slice/srv-nfs.mount", "srv-nfs.mount", None),
        // However deep: the outermost counts.
        (
            "/user.slice/user-1000.slice/user@1000.service/x/b/c/d/e/…",
            "user@1000.service",
            Some(1000),
        ),
        // A unit that calls a folder of its own like somebody's container.
        (
            "/system.slice/app.service/docker-{A}.scope",
            "app.service",
            None,
        ),
        (
            "/system.slice/app.service/libpod-payload-{A}",
            "app.service",
            None,
        ),
        (
            "/machine.slice/machine-qemu\\x2d1\\x2dvm1.scope",
            "machine-qemu\\x2d1\\x2dvm1.scope",
            None,
        ),
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
        ("/libpod_parent/{B}/libpod-{A}", A, "podman", false),
        ("/ecs/7c1e/{A}", A, "docker", false),
        (
            "/machine.slice/systemd-nspawn@my\\x2dweb.service/payload",
            "my-web",
            "nspawn",
            false,
        ),
        // What is below it is its own affair.
        ("/docker/{A}/kubepods/x", A, "docker", false),
        (
            "/snap.docker.dockerd.service/docker/{A}",
            A,
            "docker",
            false,
        ),
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
fn who_is_in_a_container_does_not_change_whose_it_is() {
    for path in [
        "/lxc.payload.web/user.slice/user-1000.slice/session-1.scope",
        "/docker/{A}/user.slice/user-0.slice/user@0.service/x.service",
    ] {
        let (_, user, container) = of(path);
        assert!(user.is_none() && container.is_some(), "{path}");
    }
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
