//! Containers of real engines by their names: dockerd, podman and containerd of the test's own, which
//! come after the daemon, are started again, and hang.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::collections::BTreeSet;

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::binary,
    engine::{Engine, IMAGE},
    eventually,
    hubble::hubble,
    pods, root,
};
use tempfile::TempDir;

/// Serves a page.
const SERVE: &str = "httpd -f -p 7777 -h /www";
/// Asks for it again and again.
const ASK: &str =
    "sh -c 'while true; do wget -q -O- http://127.0.0.1:7777/ >/dev/null; sleep 0.2; done'";
/// What an image says of itself.
const IMAGE_SAYS: [&str; 3] = [
    "com.docker.compose.project=system",
    "baked=yes",
    "unit=nginx.service",
];

struct Setup {
    namespace: Netns,
    daemon: Daemon,
    folder: TempDir,
}

/// The daemon first; the engine comes later.
fn setup(engine: &str) -> Setup {
    let namespace = Netns::new();
    let folder = tempfile::Builder::new()
        .prefix("sx-")
        .tempdir_in("/tmp")
        .unwrap();
    let socket = folder.path().join("socket");
    let config = format!(
        "[containers]\nsockets = ['{engine}:{}']\n",
        socket.display()
    );
    let daemon = Daemon::start(&namespace, &config, &["--interface", "lo"]);
    Setup {
        namespace,
        daemon,
        folder,
    }
}

/// A flow that comes after the call, by these filters of the real client.
fn flow(daemon: &Daemon, filter: &str) -> String {
    // Those of before have other names.
    let before = now();
    eventually(&format!("a flow of {filter}"), || {
        let shown = hubble(
            &daemon.server(),
            &format!("observe --last 20 --since {before} {filter}"),
        );
        shown.lines().next().map(str::to_owned)
    })
}

/// What the own client shows.
fn own(daemon: &Daemon, arguments: &str) -> String {
    let out = std::process::Command::new(binary().with_file_name("sextant"))
        .args(["--server", &daemon.server()])
        .args(arguments.split_whitespace())
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

fn now() -> String {
    let date = std::process::Command::new("date")
        .args(["-u", "+%FT%T.%NZ"])
        .output();
    String::from_utf8(date.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

fn labels_of(daemon: &Daemon, pod: &str) -> BTreeSet<String> {
    let flows = daemon.flows();
    let sides = flows
        .iter()
        .rev()
        .flat_map(|flow| [&flow.source, &flow.destination]);
    let found = sides.flatten().find(|side| side.pod_name == pod);
    found.unwrap().labels.iter().cloned().collect()
}

#[test]
fn containers_of_docker_have_the_names_that_it_gives_them() {
    if !root() {
        return;
    }
    let Setup {
        namespace,
        daemon,
        folder,
    } = setup("docker");
    let mut docker = Engine::docker(&namespace, folder, &IMAGE_SAYS);
    let compose = "--label com.docker.compose.project=shop --label com.docker.compose.service=api";
    docker.run(&format!(
        "run -d --network=host --name api-1 {compose} {IMAGE} {SERVE}"
    ));
    docker.run(&format!(
        "run -d --network=host --name client --label team=red {IMAGE} {ASK}"
    ));
    for filter in [
        "--from-pod docker/client --to-pod shop/api-1",
        "--from-label container=client,engine=docker,team=red --to-label compose.service=api",
        "--from-workload Container/client --to-namespace shop",
    ] {
        flow(&daemon, filter);
    }
    let labels = labels_of(&daemon, "client");
    assert!(labels.contains("docker:team=red"), "{labels:?}");
    assert!(
        labels.contains(&format!("sextant:image={IMAGE}")),
        "{labels:?}"
    );
    let of_image = labels.iter().any(|label| {
        label.contains("baked") || label.contains("nginx") || label.contains("system")
    });
    assert!(!of_image, "{labels:?}");

    let id = docker.run("inspect --format {{.Id}} client");
    for container in ["client", &id[..12], id.trim()] {
        let shown = format!("observe --last 20 --from-container {container} --columns container");
        assert!(own(&daemon, &shown).contains("client/api-1"), "{shown}");
    }
    let nobody = own(&daemon, "observe --last 20 --container nobody");
    assert_eq!(
        nobody.lines().filter(|line| line.contains("api-1")).count(),
        0
    );

    docker.run("rename client other");
    flow(&daemon, "--from-pod docker/other --to-pod shop/api-1");

    // It ends, and hangs: what was known stays, and flows come all the while.
    docker.end();
    flow(&daemon, "--from-pod docker/other --to-pod shop/api-1");
    docker.again();
    docker.signal("STOP");
    flow(&daemon, "--from-pod docker/other --to-pod shop/api-1");
    docker.signal("CONT");
    docker.run(&format!("run -d --network=host --name late {IMAGE} {ASK}"));
    flow(&daemon, "--from-pod docker/late --to-pod shop/api-1");
    let status = daemon.own_status().unwrap();
    assert!(status.container_engines[0].containers >= 3, "{status:?}");
    assert!(status.container_engines[0].failures >= 1, "{status:?}");
}

#[test]
fn containers_of_podman_have_the_names_that_it_gives_them() {
    if !root() {
        return;
    }
    let Setup {
        namespace,
        daemon,
        folder,
    } = setup("podman");
    let podman = Engine::podman(&namespace, folder, &IMAGE_SAYS);
    let usual = "--network=host --ulimit nofile=1024:1024 --ulimit nproc=1000:1000";
    podman.run(&format!("run -d {usual} --name api {IMAGE} {SERVE}"));
    podman.run(&format!(
        "run -d {usual} --name client --label team=red {IMAGE} {ASK}"
    ));
    flow(&daemon, "--from-pod podman/client --to-pod podman/api");
    flow(
        &daemon,
        "--from-label team=red,engine=podman --to-label container=api",
    );
    podman.run("rename client other");
    flow(&daemon, "--from-pod podman/other --to-pod podman/api");
}

#[test]
fn containers_of_containerd_have_its_ids_and_nerdctls_names() {
    if !root() {
        return;
    }
    let Setup {
        namespace,
        daemon,
        folder,
    } = setup("containerd");
    let containerd = Engine::containerd(&namespace, folder);
    let id = format!("{:0<64x}", std::process::id());
    let usual = format!(
        "run -d --rootfs --net-host --label nerdctl/namespace=default --label nerdctl/name=client {}",
        containerd.rootfs().display()
    );
    let run = |id: &str, command: &str| containerd.run(&format!("{usual} {id} {command}"));
    run("api", &format!("/bin/{SERVE}"));
    run(&id, &format!("/bin/{ASK}"));
    flow(
        &daemon,
        "--from-pod containerd/client --to-pod containerd/api",
    );
    flow(
        &daemon,
        "--from-label container=client --to-workload Container/api",
    );
}

/// As containerd's own API has them, and by CRI alone.
fn containers_of_pods(engine: &str) {
    if !root() {
        return;
    }
    let Setup {
        namespace,
        daemon,
        folder,
    } = setup(engine);
    let says = [
        &IMAGE_SAYS[..],
        &[
            "io.kubernetes.pod.namespace=evil",
            "io.kubernetes.pod.name=evil",
        ],
    ]
    .concat();
    let containerd = Engine::pods(&namespace, folder, &says);
    let ask = "while true; do wget -q -O- http://127.0.0.1:7777/; sleep 0.2; done";
    pods::run(
        &containerd,
        "shop",
        "web-7d9",
        "nginx",
        &["/bin/httpd", "-f", "-p", "7777", "-h", "/www"],
    );
    pods::run(
        &containerd,
        "system",
        "client",
        "curl",
        &["/bin/sh", "-c", ask],
    );
    for filter in [
        "--from-pod kubernetes.system/client --to-pod shop/web-7d9",
        "--from-namespace kubernetes.system --to-label app=web-7d9,pod=web-7d9",
        "--from-label k8s:app=client --to-workload Container/nginx",
    ] {
        flow(&daemon, filter);
    }
    let labels = labels_of(&daemon, "web-7d9");
    assert!(labels.contains("sextant:engine=containerd"), "{labels:?}");
    assert!(
        !labels
            .iter()
            .any(|label| label.contains("evil") || label.contains("baked")),
        "{labels:?}"
    );
}

#[test]
fn containers_of_pods_have_the_names_of_their_pods_by_containerd() {
    containers_of_pods("containerd");
}

#[test]
fn containers_of_pods_have_the_names_of_their_pods_by_cri() {
    containers_of_pods("cri");
}
