//! The real `hubble` CLI against a live daemon, with the flags that one would
//! use against Cilium.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, Process, eventually,
    hubble::{failure, hubble, start, tool},
    root, veth,
};

const INVENTORY: &str = r#"
[[endpoint]]
name = "client"
namespace = "shop"
labels = ["app=client"]
addresses = ["10.9.1.1"]

[[endpoint]]
name = "web"
namespace = "shop"
labels = ["app=web", "tier=front"]
workload = { name = "web", kind = "Deployment" }
addresses = ["10.9.1.2"]
"#;

/// A web server and DNS behind the link, the daemon beside them.
struct Shop {
    daemon: Daemon,
    client: Netns,
    web: Netns,
    _servers: [Process; 2],
}

impl Shop {
    fn open() -> Self {
        let (client, web) = (Netns::new(), Netns::new());
        veth((&client, "va"), (&web, "vb"), 1);
        let servers = [
            web.spawn("python3 -m http.server 80"),
            web.spawn(
                "dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
                 --pid-file= --address=/x.test/192.0.2.7",
            ),
        ];
        eventually("servers listen", || {
            let sockets = web.run("ss -Hltun");
            (sockets.contains(":80 ") && sockets.contains(":53 ")).then_some(())
        });
        let daemon = Daemon::start(&web, INVENTORY, &["--listen", "tcp://127.0.0.1:4245"]);
        Self {
            daemon,
            client,
            web,
            _servers: servers,
        }
    }

    /// Web, DNS, a refused and a dropped connection.
    fn visit(&self) {
        self.client.run("curl -sf -o /dev/null http://10.9.1.2/");
        self.web.run("ping -q -c 1 127.0.0.1");
        self.client.run("dig +short @10.9.1.2 x.test");
        self.client.try_run("curl -s http://10.9.1.2:81/");
        self.web.run("nft add table inet t; nft add chain inet t in '{ type filter hook input priority 0; }'; nft add rule inet t in tcp dport 8080 drop");
        self.client
            .try_run("curl -s --max-time 1 http://10.9.1.2:8080/");
        eventually("the flows are there", || {
            let all = self.observe("--all --protocol tcp --to-port 8080");
            all.contains("DROPPED").then_some(())
        });
    }

    fn hubble(&self, arguments: &str) -> String {
        hubble(&self.daemon.server(), arguments)
    }

    fn observe(&self, arguments: &str) -> String {
        self.hubble(&format!("observe {arguments}"))
    }

    /// Lines that `observe` prints for these filters.
    fn count(&self, filters: &str) -> usize {
        self.observe(&format!("--all {filters}")).lines().count()
    }

    /// Both filters let the same number pass, unless a flow ends between the two.
    fn are_equal(&self, one: &str, other: &str) {
        eventually(&format!("as many flows by `{one}` as by `{other}`"), || {
            (self.count(one) == self.count(other)).then_some(())
        });
    }
}

#[test]
fn observe_shows_filters_and_formats_what_happened() {
    if !root() {
        return;
    }
    let shop = Shop::open();
    shop.visit();
    let wanted = [
        "shop/client:",
        "shop/web:80 (ID:257) from-network FORWARDED (TCP Flags: SYN)",
        "shop/web:80 (ID:257) to-network FORWARDED (TCP Flags: SYN, ACK)",
        "shop/web:53 (ID:257) from-network FORWARDED (UDP)",
        "shop/web:81 (ID:257) to-network FORWARDED (TCP Flags: ACK, RST)",
        "shop/web:81 (ID:257) Socket lookup failed DROPPED (TCP Flags: SYN)",
        "shop/web:8080 (ID:257) Policy denied DROPPED (TCP Flags: SYN)",
    ];
    // Drops have a ring of their own, and do not wait for what was before them.
    eventually("each kind of flow is there", || {
        let all = shop.observe("--all");
        wanted.iter().all(|line| all.contains(line)).then_some(())
    });
    for filters in [
        "--pod shop/web",
        "--namespace shop",
        "--label app=web",
        "--from-label tier=front",
        "--to-identity 257",
        "--workload Deployment/web",
        "--verdict DROPPED",
        "--drop-reason-desc POLICY_DENIED",
        "--type drop",
        "--type trace:from-network",
        "--protocol udp",
        "--port 53",
        "--from-ip 10.9.1.0/24",
        "--to-ip 10.9.1.2",
        "--reply",
        "--not-reply",
        "--tcp-flags syn,ack",
        "--interface vb",
        "--traffic-direction ingress",
        "--not --protocol tcp",
        "--uuid none --not --ip 10.9.1.2",
    ] {
        let some = shop.count(filters);
        // Counted later: flows that end meanwhile are new events.
        let total = shop.count("");
        let none_expected = filters.starts_with("--uuid");
        assert!(
            if none_expected {
                some == 0
            } else {
                some > 0 && some < total
            },
            "{filters}: {some} of {total}"
        );
    }
    shop.are_equal("--node-name node-a", "");
    let cel = "--cel-expression _flow.l4.TCP.destination_port==uint(80)";
    shop.are_equal(cel, "--protocol tcp --to-port 80");
    assert_eq!(shop.observe("--first 3").lines().count(), 3);
    assert_eq!(shop.observe("--last 3").lines().count(), 3);
    shop.are_equal("--since 1h", "");
    assert_eq!(shop.observe("--until 1h").lines().count(), 0);
    formats(&shop);
}

fn formats(shop: &Shop) {
    let json = shop.observe("--last 50 -o jsonpb --protocol udp --to-port 53");
    let line = json.lines().next().unwrap();
    for part in [
        r#""destination_port":53"#,
        r#""pod_name":"web""#,
        r#""is_reply":false"#,
        r#""bytes":"#,
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(shop.observe("--last 1 -o dict").contains("SUMMARY:"));
    assert!(shop.observe("--last 1 -o table").contains("TIMESTAMP"));
    let masked = shop.observe("--last 1 -o json --field-mask IP,uuid");
    assert!(
        masked.contains(r#""IP":"#) && !masked.contains("node_name"),
        "{masked}"
    );
    // What was printed reads back.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flows.json");
    std::fs::write(&file, shop.observe("--all -o json")).unwrap();
    let back = shop.observe(&format!("--input-file {}", file.display()));
    assert!(back.lines().count() > 10, "{back}");
}

#[test]
fn follow_shows_flows_as_they_come() {
    if !root() {
        return;
    }
    let shop = Shop::open();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let _follower = start(&shop.daemon.server(), "observe --follow --to-port 80", &out);
    eventually("the follower sees a visit", || {
        shop.client.run("curl -sf -o /dev/null http://10.9.1.2/");
        let text = std::fs::read_to_string(&out).unwrap();
        text.contains("shop/web:80 (ID:257) from-network FORWARDED (TCP Flags: SYN)")
            .then_some(())
    });
}

#[test]
fn status_nodes_namespaces_peers_and_events_are_told() {
    if !root() {
        return;
    }
    let shop = Shop::open();
    shop.visit();
    let status = shop.hubble("status");
    assert!(status.contains("): Ok\nCurrent/Max Flows: "), "{status}");
    assert!(status.contains("/131,071"), "{status}");
    assert!(shop.hubble("status -o dict").contains("sextantd v"));
    let nodes = shop.hubble("list nodes -o wide");
    assert!(
        nodes.contains("node-a") && nodes.contains("Connected"),
        "{nodes}"
    );
    assert!(shop.hubble("list nodes -o json").contains("node-a"));
    assert_eq!(shop.hubble("list namespaces").trim(), "NAMESPACE\nshop");
    let events = shop.observe("agent-events");
    assert!(events.contains("AGENT_STARTED"), "{events}");
    assert_eq!(shop.observe("debug-events"), "");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("peers");
    let _watch = start(&shop.daemon.server(), "watch peers", &out);
    eventually("the peer is announced", || {
        let text = std::fs::read_to_string(&out).unwrap();
        (text.contains("PEER_ADDED") && text.contains("node-a")).then_some(())
    });
    assert!(shop.hubble("reflect").len() > 10_000);
    // The plaintext port that `hubble` dials with no flags.
    let plain = shop
        .web
        .run(&format!("{} status", tool("hubble").display()));
    assert!(plain.contains("(via localhost:4245): Ok"), "{plain}");
}

#[test]
fn mistakes_are_answered_as_hubble_does() {
    if !root() {
        return;
    }
    let shop = Shop::open();
    let server = shop.daemon.server();
    for (arguments, text) in [
        (
            "observe --cel-expression 1+1",
            r#"got "int", wanted "bool" result type"#,
        ),
        (
            "observe --http-path ( --type l7",
            "invalid http path filter",
        ),
        ("observe --label a,,b", "invalid source label filter"),
    ] {
        let error = failure(&server, arguments);
        assert!(error.contains(text), "{arguments}: {error}");
    }
}

#[test]
fn grpcurl_finds_the_services_by_reflection() {
    if !root() {
        return;
    }
    let shop = Shop::open();
    let grpcurl = |arguments: &str| {
        shop.web.run(&format!(
            "{} -plaintext {arguments}",
            tool("grpcurl").display()
        ))
    };
    let services = grpcurl("127.0.0.1:4245 list");
    for service in ["observer.Observer", "peer.Peer", "grpc.health.v1.Health"] {
        assert!(services.contains(service), "{services}");
    }
    assert!(grpcurl("127.0.0.1:4245 describe flow.Flow").contains("trace_observation_point"));
    let health = grpcurl(
        r#"-d '{"service":"hubble.server.Observer"}' 127.0.0.1:4245 grpc.health.v1.Health/Check"#,
    );
    assert!(health.contains("SERVING"), "{health}");
}
