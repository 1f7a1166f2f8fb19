//! Ports of the host behind which a container answers, by whatever leads to it: what the engine was told to publish is the truth.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::QUICK,
    engine::{Engine, IMAGE},
    eventually,
    hubble::hubble,
    netns::veth,
    root,
};
use sextant_proto::flow::{Flow, layer4::Protocol};
use tempfile::TempDir;

/// Serves a page.
const SERVE: &str = "httpd -f -p 80 -h /www";

struct Setup {
    /// Where the engine and the daemon are.
    host: Netns,
    /// Behind the interface `up0` of `host`, at 10.9.1.2.
    outside: Netns,
    daemon: Daemon,
    folder: TempDir,
}

fn setup(engine: &str, more: &str) -> Setup {
    let (host, outside) = (Netns::new(), Netns::new());
    veth((&host, "up0"), (&outside, "c0"), 1);
    outside.run("ip route add default via 10.9.1.1");
    let folder = tempfile::Builder::new()
        .prefix("sx-")
        .tempdir_in("/tmp")
        .unwrap();
    let socket = folder.path().join("socket");
    let config = format!(
        "{QUICK}[containers]\nsockets = ['{engine}:{}']\n{more}",
        socket.display()
    );
    let daemon = Daemon::start(&host, &config, &["--interface", "lo", "--interface", "up0"]);
    Setup {
        host,
        outside,
        daemon,
        folder,
    }
}

/// Asks until the page comes: the engine may still be at it.
fn get(from: &Netns, address: &str, port: u16) {
    eventually(&format!("the page of {address}:{port}"), || {
        let (ok, page) = from.try_run(&format!("curl -s -m 5 http://{address}:{port}/"));
        (ok && page == "here\n").then_some(())
    });
}

/// Flows of a port: whether they go to it, and the service that is told at its side.
fn services_of(daemon: &Daemon, to: &str, port: u32) -> Vec<(bool, Option<String>)> {
    let flows = daemon.flows();
    let of = |flow: &Flow| {
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref()?.protocol.as_ref() else {
            return None;
        };
        let ip = flow.ip.as_ref()?;
        let named = |service: &Option<sextant_proto::flow::Service>| {
            let service = service.as_ref()?;
            Some(format!("{}/{}", service.namespace, service.name))
        };
        if ip.destination == to && tcp.destination_port == port {
            return Some((true, named(&flow.destination_service)));
        }
        (ip.source == to && tcp.source_port == port).then(|| (false, named(&flow.source_service)))
    };
    flows.iter().filter_map(of).collect()
}

/// All flows at the port are of this service once the engine told it, in both directions, by the
/// real client too.
fn are_of(daemon: &Daemon, from: &Netns, to: &str, port: u16, service: &str) {
    let told = |before: usize| {
        let told = services_of(daemon, to, port.into());
        told.into_iter().skip(before).collect::<Vec<_>>()
    };
    eventually("a service", || {
        get(from, to, port);
        (told(0).last()?.1.as_deref() == Some(service)).then_some(())
    });
    let before = told(0).len();
    get(from, to, port);
    let told = eventually("flows of both directions", || {
        let told = told(before);
        let has = |way| told.iter().any(|(is_call, _)| *is_call == way);
        (has(true) && has(false)).then_some(told)
    });
    assert!(
        told.iter()
            .all(|(_, told)| told.as_deref() == Some(service)),
        "{to}:{port} is {service}: {told:?}"
    );
    let shown = hubble(
        &daemon.server(),
        &format!("observe --last 1000 --to-service {service} --to-port {port} --to-ip {to}"),
    );
    assert!(shown.contains(&format!("{port}")), "{shown}");
    let shown = hubble(
        &daemon.server(),
        &format!("observe --last 1000 --from-service {service} --from-port {port} --from-ip {to}"),
    );
    assert!(shown.contains(&format!("{port}")), "{shown}");
}

/// The port 8080 is of no service once something else of the host listens there.
fn becomes_nobodys(daemon: &Daemon, host: &Netns, listen: &str) {
    let _other = host.spawn(&format!("busybox httpd -f -p {listen} -h /"));
    eventually("the port of nobody's", || {
        let (ok, _) = host.try_run("curl -s -m 5 -o /dev/null http://127.0.0.1:8080/");
        let told = services_of(daemon, "127.0.0.1", 8080);
        (ok && told.last()?.1.is_none()).then_some(())
    });
}

/// Runs a container that serves at port 8080 of the host, within the limits of a user.
fn publish_by_podman(podman: &Engine) {
    let usual = "--ulimit nofile=1024:1024 --ulimit nproc=1000:1000";
    podman.run(&format!(
        "run -d {usual} --name web -p 8080:80 {IMAGE} {SERVE}"
    ));
}

fn published_by_docker(rules: bool) {
    if !root() {
        return;
    }
    let Setup {
        host,
        outside,
        daemon,
        folder,
    } = setup("docker", "");
    let docker = Engine::docker_publishing(&host, folder, rules);
    let compose = "--label com.docker.compose.project=shop";
    docker.run(&format!("run -d --name web -p 8080:80 {IMAGE} {SERVE}"));
    docker.run(&format!(
        "run -d --name api {compose} -p 127.0.0.1:8081:80 {IMAGE} {SERVE}"
    ));
    // Through the proxy from the host itself; by the rule, if there is one, from others.
    for (from, address, port, service) in [
        (&host, "127.0.0.1", 8080, "docker/web"),
        (&host, "127.0.0.1", 8081, "shop/api"),
        (&outside, "10.9.1.1", 8080, "docker/web"),
    ] {
        are_of(&daemon, from, address, port, service);
    }
    // What listens elsewhere at the port of a container is not it.
    let _other = host.spawn("busybox httpd -f -p 10.9.1.1:8081 -h /");
    eventually("another server", || {
        let (ok, _) = outside.try_run("curl -s -m 5 -o /dev/null http://10.9.1.1:8081/");
        ok.then_some(())
    });
    let told = eventually("its flow", || {
        let told = services_of(&daemon, "10.9.1.1", 8081);
        (told.len() > 1).then_some(told)
    });
    assert!(told.iter().all(|(_, told)| told.is_none()), "{told:?}");

    // A port that is another's now.
    docker.run("rm -f web");
    docker.run(&format!("run -d --name new -p 8080:80 {IMAGE} {SERVE}"));
    are_of(&daemon, &host, "127.0.0.1", 8080, "docker/new");
    docker.run("stop -t 0 new");
    becomes_nobodys(&daemon, &host, "127.0.0.1:8080");
}

#[test]
fn ports_that_podman_of_a_user_publishes_are_that_users_services() {
    if !root() {
        return;
    }
    let Setup {
        host,
        outside,
        daemon,
        folder,
    } = setup("podman", "");
    let (podman, user) = Engine::rootless(&host, folder);
    publish_by_podman(&podman);
    let service = format!("user-{user}/web");
    are_of(&daemon, &host, "127.0.0.1", 8080, &service);
    are_of(&daemon, &outside, "10.9.1.1", 8080, &service);
    // What the user's engine says of a port that is somebody else's is nothing.
    podman.run("stop -t 0 web");
    becomes_nobodys(&daemon, &host, "8080");
}

#[test]
fn ports_that_podman_publishes_are_services() {
    if !root() {
        return;
    }
    let Setup {
        host,
        outside,
        daemon,
        folder,
    } = setup("podman", "");
    let podman = Engine::podman(&host, folder, &[]);
    publish_by_podman(&podman);
    are_of(&daemon, &outside, "10.9.1.1", 8080, "podman/web");
}

#[test]
fn ports_that_docker_publishes_by_its_proxy_are_services() {
    published_by_docker(false);
}

#[test]
fn ports_that_docker_publishes_by_rules_are_services() {
    published_by_docker(true);
}
