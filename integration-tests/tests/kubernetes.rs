//! A real API server with rights in force: the shipped manifests are taken, and flows have
//! the names of pods and services as the cluster changes. Run by `make kubernetes`.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::path::Path;

use sextant_integration_tests::{
    Daemon, Netns, Process,
    cluster::{Cluster, Pod},
    daemon::QUICK,
    eventually,
    hubble::{hubble, tool},
    root, veth,
};

const ACCOUNT: &str = "system:serviceaccount:kube-system:sextant";

fn manifests(folder: &str) -> String {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/kubernetes");
    all.join(folder).display().to_string()
}

/// A node with two pods behind it, and the API server beside the daemon.
struct Site {
    node: Netns,
    web: Netns,
    api: Netns,
    cluster: Cluster,
    /// What is served: nothing.
    empty: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let (node, web, api) = (Netns::new(), Netns::new(), Netns::new());
        for (number, (pod, name)) in [(&web, "web"), (&api, "api")].into_iter().enumerate() {
            let net = number as u8 + 1;
            veth((&node, &format!("v{name}")), (pod, "eth0"), net);
            pod.run(&format!("ip route add default via 10.9.{net}.1"));
        }
        // The service 10.96.0.50:80 as a proxy of Kubernetes makes it.
        node.run(
            "sysctl -qw net.ipv4.ip_forward=1 && nft -f - <<'X'
table ip nat {
  chain prerouting { type nat hook prerouting priority -100;
    ip daddr 10.96.0.50 tcp dport 80 dnat to 10.9.2.2:8080; }
}
X",
        );
        let cluster = Cluster::start(&node);
        Self {
            node,
            web,
            api,
            cluster,
            empty: tempfile::tempdir().unwrap(),
        }
    }

    fn daemon(&self) -> Daemon {
        let kubeconfig = self.cluster.kubeconfig("kube-system", "sextant");
        let config = format!(
            "{QUICK}[kubernetes]\nenabled = true\nkubeconfig = \"{}\"\n[containers]\nsockets = []\n",
            kubeconfig.display()
        );
        let daemon = Daemon::start(&self.node, &config, &[]);
        eventually("all kinds are followed", || {
            let kinds = daemon.own_status()?.kubernetes;
            (kinds.len() == 4 && kinds.iter().all(|kind| kind.following)).then_some(())
        });
        daemon
    }

    fn serve(&self) -> Process {
        let folder = self.empty.path().display();
        let serve = format!("python3 -m http.server 8080 --directory {folder}");
        let server = self.api.spawn(&serve);
        eventually("the server answers", || {
            let get = "curl -sf -o /dev/null http://127.0.0.1:8080";
            self.api.try_run(get).0.then_some(())
        });
        server
    }

    fn pod(&self, name: &str, app: &str, address: &str) {
        self.cluster.run_pod(&Pod {
            namespace: "shop",
            name,
            app,
            node: "node-a",
            address,
        });
    }

    fn get(&self, url: &str) {
        self.web.run(&format!("curl -sf -o /dev/null {url}"));
    }

    /// Makes traffic until `hubble observe` shows such a flow.
    fn seen(&self, daemon: &Daemon, url: &str, filter: &str, part: &str) -> String {
        eventually(&format!("{filter}: {part}"), || {
            self.get(url);
            let out = hubble(
                &daemon.server(),
                &format!("observe --last 50 {filter} -o jsonpb"),
            );
            out.contains(part).then_some(out)
        })
    }
}

#[test]
#[ignore = "needs an API server: make kubernetes"]
fn manifests_are_taken_and_the_account_may_no_more_than_it_needs() {
    if !root() {
        return;
    }
    let node = Netns::new();
    let cluster = Cluster::start(&node);
    let applied = cluster.kubectl(&format!("apply --server-side -k {}", manifests("base")));
    for object in [
        "serviceaccount/sextant",
        "clusterrole.rbac.authorization.k8s.io/sextant",
        "daemonset.apps/sextant",
        "deployment.apps/hubble-relay",
        "deployment.apps/hubble-ui",
        "service/hubble-peer",
        "service/hubble-relay",
    ] {
        assert!(
            applied.contains(&format!("{object} serverside-applied")),
            "{applied}"
        );
    }
    for overlay in ["trial", "export"] {
        let folder = manifests(&format!("overlays/{overlay}"));
        cluster.kubectl(&format!(
            "apply --server-side --force-conflicts -k {folder}"
        ));
    }
    // Their kinds are of the Prometheus operator, which is not there.
    for overlay in ["podmonitor", "servicemonitor"] {
        cluster.kubectl(&format!(
            "kustomize {}",
            manifests(&format!("overlays/{overlay}"))
        ));
    }
    let may = |what: &str| {
        let asked = format!("auth can-i {what} --all-namespaces --as={ACCOUNT}");
        cluster.try_kubectl(&asked, "").0
    };
    for kind in ["pods", "services", "nodes", "namespaces"] {
        for verb in ["get", "list", "watch"] {
            assert!(may(&format!("{verb} {kind}")), "{verb} {kind}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            assert!(!may(&format!("{verb} {kind}")), "{verb} {kind}");
        }
    }
    for what in [
        "list secrets",
        "get configmaps",
        "list serviceaccounts",
        "create serviceaccounts --subresource=token",
        "create pods --subresource=exec",
        "get pods --subresource=log",
        "get nodes --subresource=proxy",
        "list daemonsets.apps",
        "impersonate users",
    ] {
        assert!(!may(what), "{what}");
    }
}

#[test]
#[ignore = "needs an API server: make kubernetes"]
fn flows_have_the_names_of_pods_that_come_move_and_go() {
    if !root() {
        return;
    }
    let mut site = Site::new();
    site.cluster
        .kubectl(&format!("apply --server-side -k {}", manifests("base")));
    site.cluster.kubectl("create namespace shop");
    site.cluster.kubectl("label namespace shop team=red");
    let service = "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
        spec: {clusterIP: 10.96.0.50, selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}}";
    site.cluster.kubectl_with("create -f -", service);
    site.pod("web-1", "web", "10.9.1.2");
    let daemon = site.daemon();
    let _server = site.serve();
    let direct = "http://10.9.2.2:8080/";

    // One that was there before, and one that comes.
    site.seen(
        &daemon,
        direct,
        "--from-pod shop/web-1",
        "\"pod_name\":\"web-1\"",
    );
    site.pod("api-1", "api", "10.9.2.2");
    let found = site.seen(
        &daemon,
        direct,
        "--to-pod shop/api-1",
        "\"pod_name\":\"api-1\"",
    );
    for part in [
        "k8s:app=api",
        "k8s:io.kubernetes.pod.namespace=shop",
        "k8s:io.cilium.k8s.namespace.labels.team=red",
        r#""workloads":[{"name":"api","kind":"Deployment"}]"#,
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    for filter in [
        "--pod shop/api-1",
        "--namespace shop",
        "--to-namespace shop --from-label app=web",
        "--label app=api",
        "--to-workload Deployment/api",
    ] {
        site.seen(&daemon, direct, filter, "api-1");
    }
    let through = "http://10.96.0.50/";
    let service = r#""destination_service":{"name":"api","namespace":"shop"}"#;
    site.seen(&daemon, through, "--to-service shop/api", service);

    // Its address is another's.
    site.cluster.delete_pod("shop", "api-1");
    site.pod("next-1", "next", "10.9.2.2");
    site.seen(&daemon, direct, "--to-pod shop/next-1", "Deployment");

    names_stay_while_the_api_server_is_away(&mut site, &daemon);
    let told = hubble(&daemon.server(), "observe agent-events --all -o jsonpb");
    for (event, pod) in [
        ("ENDPOINT_CREATED", "api-1"),
        ("ENDPOINT_DELETED", "api-1"),
        ("ENDPOINT_CREATED", "next-1"),
    ] {
        let is_it = |line: &str| line.contains(event) && line.contains(pod);
        assert!(told.lines().any(is_it), "{event} {pod}: {told}");
    }
}

#[test]
#[ignore = "needs an API server: make kubernetes"]
fn relay_hears_of_the_nodes_of_the_cluster() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let cluster = Cluster::start(&a);
    cluster.kubectl(&format!("apply --server-side -k {}", manifests("base")));
    let kubeconfig = cluster.kubeconfig("kube-system", "sextant");
    let config = format!(
        "[kubernetes]\nenabled = true\npeers = true\nkubeconfig = \"{}\"\n",
        kubeconfig.display()
    );
    let listen = ["--listen", "tcp://0.0.0.0:4244", "--plaintext"];
    let first = Daemon::start(&a, &config, &listen);
    let relay = a.spawn(&format!(
        "{} serve --disable-client-tls --disable-server-tls --gops=false --retry-timeout 1s --peer-service {} \
         --listen-address 127.0.0.1:4246 --health-listen-address 127.0.0.1:4247",
        tool("hubble-relay").display(),
        first.server()
    ));
    let nodes = || {
        let list = format!(
            "{} --server 127.0.0.1:4246 list nodes",
            tool("hubble").display()
        );
        a.try_run(&list).1
    };
    let _second = Daemon::start(&b, "", &[&listen[..], &["--node-name", "node-b"]].concat());
    for (name, address) in [("node-a", "10.9.1.1"), ("node-b", "10.9.1.2")] {
        let node = format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}}}");
        cluster.kubectl_with("create -f -", &node);
        let status = format!(
            r#"{{"status":{{"addresses":[{{"type":"InternalIP","address":"{address}"}}]}}}}"#
        );
        cluster.kubectl(&format!(
            "patch node {name} --subresource=status --type=merge -p {status}"
        ));
    }
    eventually("relay has both nodes", || {
        let nodes = nodes();
        (nodes.matches("Connected").count() == 2 && nodes.contains("node-b")).then_some(())
    });
    cluster.kubectl("delete node node-b");
    eventually("relay has one", || {
        let nodes = nodes();
        (!nodes.contains("node-b") && nodes.contains("node-a")).then_some(())
    });
    drop(relay);
}

fn names_stay_while_the_api_server_is_away(site: &mut Site, daemon: &Daemon) {
    let direct = "http://10.9.2.2:8080/";
    let failing = || {
        let kinds = daemon.own_status()?.kubernetes;
        Some(kinds.iter().filter(|kind| !kind.failure.is_empty()).count())
    };
    site.cluster.kill_server();
    eventually("it is told", || failing().filter(|failing| *failing == 4));
    site.get(direct);
    site.seen(daemon, direct, "--to-pod shop/next-1", "next-1");
    // What is changed as soon as it is there again is known by versions that it has forgotten.
    site.cluster.start_server();
    site.cluster.delete_pod("shop", "next-1");
    site.pod("last-1", "last", "10.9.2.2");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while failing() != Some(0) {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?}",
            daemon.own_status()
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    site.seen(daemon, direct, "--to-pod shop/last-1", "last-1");
    // 410: from a new list.
    let log = daemon.log();
    assert!(log.contains("too old resource version"), "{log}");
}
