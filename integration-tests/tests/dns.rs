//! DNS on the wire: its messages as L7 flows, and names on the flows after it.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::{Duration, Instant};

use sextant_integration_tests::{
    Daemon, Netns,
    capture::Capture,
    daemon::{QUICK, connect},
    dns::{DnsServer, Told, by_tshark},
    eventually, hubble, netns, root, veth,
};
use sextant_proto::{
    flow::{Dns, Flow, FlowType, L7FlowType, TraceReason, layer7::Record},
    sextant::flow::v1::{
        AddressName, ListNamesRequest, NameSource, flow_service_client::FlowServiceClient,
    },
};

const RECORDS: &str = "host-record=web.test,10.9.1.2,fd09:1::2\ncname=www.test,web.test\n\
                       address=/many.test/192.0.2.1\naddress=/many.test/192.0.2.2\n\
                       txt-record=long.test,";

/// A daemon in one namespace, a DNS server in the other.
struct Place {
    here: Netns,
    there: Netns,
    _server: DnsServer,
    daemon: Daemon,
}

impl Place {
    fn new(config: &str) -> Self {
        let (here, there) = (Netns::new(), Netns::new());
        veth((&here, "va"), (&there, "vb"), 1);
        // Longer than fits without EDNS: 600 bytes in parts of 200.
        let long = ["a", "b", "c"].map(|letter| letter.repeat(200)).join(",");
        // Longer than a packet: in fragments by UDP.
        let longer = (0..12).map(|n| format!("\ntxt-record=longer.test,{n}{}", "x".repeat(250)));
        let longer: String = longer.collect();
        let lines = format!("edns-packet-max=4096\n{RECORDS}{long}{longer}");
        let server = DnsServer::start(&there, &lines);
        let daemon = Daemon::start(&here, &format!("{QUICK}{config}"), &["--interface", "va"]);
        Self {
            here,
            there,
            _server: server,
            daemon,
        }
    }

    fn dig(&self, question: &str) -> String {
        let dig = "dig +tries=1 +time=5 @10.9.1.2";
        self.here.run(&format!("{dig} {question}"))
    }

    /// DNS flows, once there are so many.
    fn messages(&self, count: usize) -> Vec<(Flow, Dns)> {
        eventually("the messages as flows", || {
            let messages = messages(&self.daemon);
            (messages.len() >= count).then_some(messages)
        })
    }
}

fn messages(daemon: &Daemon) -> Vec<(Flow, Dns)> {
    let flows = daemon.flows().into_iter();
    let dns = flows.filter_map(|flow| match &flow.l7.as_ref()?.record {
        Some(Record::Dns(dns)) => {
            let dns = dns.clone();
            Some((flow, dns))
        }
        _ => None,
    });
    dns.collect()
}

fn is_answer(flow: &Flow) -> bool {
    flow.l7.as_ref().unwrap().r#type() == L7FlowType::Response
}

fn told((flow, dns): &(Flow, Dns)) -> Told {
    Told {
        is_answer: is_answer(flow),
        query: dns.query.trim_end_matches('.').to_owned(),
        rcode: dns.rcode,
        addresses: dns.ips.clone(),
    }
}

#[test]
fn messages_are_what_tshark_reads() {
    if !root() {
        return;
    }
    let place = Place::new("");
    let mut capture = Capture::whole(&place.here, "va");
    let questions = [
        "www.test A",
        "www.test AAAA +tcp",
        "many.test A +tcp",
        "gone.test A",
        "gone.test AAAA +tcp",
        "long.test TXT +noedns +ignore",
        "long.test TXT +noedns",
        "long.test TXT +bufsize=4096",
        "longer.test TXT +bufsize=4096",
        "longer.test TXT +tcp",
        "WeB.tEsT A",
        ". NS",
        "web.test A @fd09:1::2",
        "web.test A +tcp @fd09:1::2",
    ];
    for question in questions {
        place.dig(question);
    }
    // One asks twice: the answer by UDP is cut.
    let messages = place.messages(2 * (questions.len() + 1));
    netns::quiet(&place.here, "va");
    capture.end();
    let mut told: Vec<Told> = messages.iter().map(told).collect();
    told.sort();
    assert_eq!(told, by_tshark(&capture.file()));
    // The same from the capture, without a datapath.
    let file = capture.file().display().to_string();
    let replayed = Daemon::start(&place.there, "", &["--no-datapath", "--replay", &file]);
    let messages_of_file = self::messages(&replayed);
    let mut of_file: Vec<Told> = messages_of_file.iter().map(self::told).collect();
    of_file.sort();
    assert_eq!(of_file, told);
    let named = replayed.flows().into_iter();
    assert!(
        named
            .flat_map(|flow| flow.destination_names)
            .any(|name| name == "www.test")
    );
    for (flow, dns) in &messages {
        assert_eq!(flow.r#type(), FlowType::L7);
        assert_eq!(flow.event_type.unwrap().r#type, 129);
        assert_eq!(dns.observation_source, "wire");
        assert_eq!(flow.is_reply, Some(is_answer(flow)));
        let latency = flow.l7.as_ref().unwrap().latency_ns;
        assert_eq!(latency > 0, is_answer(flow), "{flow:?}");
    }
    let status = place.daemon.own_status().unwrap().dns.unwrap();
    assert_eq!((status.queries, status.answers), (15, 15), "{status:?}");
    assert_eq!((status.unasked, status.copied), (0, status.read));
    assert!(status.malformed.iter().all(|cause| cause.messages == 0));
}

#[test]
fn the_real_cli_tells_messages_and_finds_flows_by_name() {
    if !root() {
        return;
    }
    let place = Place::new("");
    place.dig("www.test A");
    place.dig("gone.test A");
    place.messages(4);
    let _web = place.there.spawn("python3 -m http.server 8080");
    eventually("a web server", || {
        let (ok, _) = place
            .here
            .try_run("curl -s -o /dev/null http://10.9.1.2:8080/");
        ok.then_some(())
    });
    let server = place.daemon.server();
    let observe = |arguments: &str| hubble::hubble(&server, &format!("observe {arguments}"));
    let messages = observe("-t l7 --protocol dns");
    for text in [
        "-> 10.9.1.2:53 (world) dns-request wire FORWARDED (DNS Query www.test. A)",
        "<- 10.9.1.2:53 (world) dns-response wire FORWARDED (DNS Answer \"10.9.1.2\" \
         CNAMEs: \"web.test.\" TTL: 300 (Query www.test. A))",
        "FORWARDED (DNS Answer RCode: Non-Existent Domain TTL: 4294967295 (Query gone.test. A))",
    ] {
        assert!(messages.contains(text), "{text}: {messages}");
    }
    eventually("flows by name", || {
        let to = observe("--to-fqdn www.test --to-port 8080");
        let from = observe("--from-fqdn *.test --from-port 8080");
        let by_query = observe("--allowlist {\"dns_query\":[\"^gone\"]}");
        assert!(!to.contains("<-") || to.contains("10.9.1.2"), "{to}");
        (to.contains(":8080") && from.contains(":8080") && by_query.lines().count() == 2)
            .then_some(())
    });
    assert_eq!(
        observe("--to-fqdn web.test"),
        "",
        "the name that was asked for"
    );
    let named = observe("--to-fqdn www.test --to-port 8080 --use-default-field-masks=false");
    assert!(named.contains("www.test:8080"), "{named}");
}

/// A router that is observed, two clients, and a server with DNS and web.
struct Routed {
    daemon: Daemon,
    router: Netns,
    clients: [Netns; 2],
    _servers: (DnsServer, sextant_integration_tests::Process),
    _server: Netns,
}

const SERVER: &str = "10.9.3.2";

impl Routed {
    fn new(config: &str) -> Self {
        let (router, server) = (Netns::new(), Netns::new());
        let clients = [Netns::new(), Netns::new()];
        router.run("sysctl -qw net.ipv4.ip_forward=1");
        let ends = [(&clients[0], 1), (&clients[1], 2), (&server, 3)];
        for (end, net) in ends {
            veth((&router, &format!("r{net}")), (end, "va"), net);
            end.run(&format!("ip route add default via 10.9.{net}.1"));
        }
        let records = "host-record=a.test,10.9.3.2\nhost-record=b.test,10.9.3.2\n\
                       host-record=short.test,10.9.3.2,1";
        let dns = DnsServer::start(&server, records);
        let web = server.spawn("python3 -m http.server 8080");
        let daemon = Daemon::start(&router, &format!("{QUICK}{config}"), &[]);
        Self {
            daemon,
            router,
            clients,
            _servers: (dns, web),
            _server: server,
        }
    }

    fn ask(&self, client: &Netns, name: &str) {
        let answer = client.run(&format!("dig +short +tries=3 @{SERVER} {name}"));
        assert_eq!(answer.trim(), SERVER);
        eventually("the answer is read", || {
            let listed = self.names();
            listed
                .iter()
                .any(|listed| listed.name == name)
                .then_some(())
        });
    }

    /// Connects, and gives the names that the new flow has.
    fn names_of_connection(&self, client: &Netns) -> Vec<String> {
        let before = self.connections().len();
        eventually("the web server", || {
            let (ok, _) = client.try_run(&format!("curl -s -o /dev/null http://{SERVER}:8080/"));
            ok.then_some(())
        });
        let flows = eventually("the connection as a flow", || {
            let flows = self.connections();
            (flows.len() > before).then_some(flows)
        });
        flows.last().unwrap().destination_names.clone()
    }

    /// First packets of connections to the web server.
    fn connections(&self) -> Vec<Flow> {
        let flows = self.daemon.flows().into_iter();
        let first = flows.filter(|flow| {
            let to_web = format!("{flow:?}").contains("destination_port: 8080");
            to_web && flow.trace_reason() == TraceReason::New
        });
        first.collect()
    }

    /// Those that were seen.
    fn names(&self) -> Vec<AddressName> {
        let mut all = listed(&self.daemon);
        all.retain(|name| name.source() != NameSource::HostsFile);
        all
    }
}

fn listed(daemon: &Daemon) -> Vec<AddressName> {
    daemon.block_on(async {
        let channel = connect(&daemon.server()).await.unwrap();
        let request = ListNamesRequest::default();
        let answer = FlowServiceClient::new(channel).list_names(request).await;
        answer.unwrap().into_inner().names
    })
}

#[test]
fn each_client_has_the_names_that_it_asked_for() {
    if !root() {
        return;
    }
    let routed = Routed::new("");
    let [one, two] = &routed.clients;
    routed.ask(one, "a.test");
    routed.ask(two, "b.test");
    assert_eq!(routed.names_of_connection(one), ["a.test"]);
    assert_eq!(routed.names_of_connection(two), ["b.test"]);
    assert!(routed.names_of_connection(&routed.router).is_empty());
    let listed: Vec<_> = routed
        .names()
        .into_iter()
        .map(|n| (n.name, n.address, n.client))
        .collect();
    let expect = [("a.test", "10.9.1.2"), ("b.test", "10.9.2.2")];
    let expect = expect.map(|(name, client)| (name.into(), SERVER.into(), client.into()));
    assert_eq!(listed, expect);
    // The host's names are for those who asked for nothing themselves.
    routed.ask(&routed.router, "short.test");
    assert_eq!(routed.names_of_connection(&routed.router), ["short.test"]);
    assert_eq!(routed.names_of_connection(one), ["a.test"]);
}

#[test]
fn a_name_counts_until_its_time_is_over() {
    if !root() {
        return;
    }
    let routed = Routed::new("[names]\nttl_floor = \"3s\"\n");
    let [one, _] = &routed.clients;
    routed.ask(one, "short.test");
    routed.ask(one, "a.test");
    let begun = Instant::now();
    assert_eq!(routed.names_of_connection(one), ["a.test", "short.test"]);
    eventually("the short one is over", || {
        (routed.names_of_connection(one) == ["a.test"]).then_some(())
    });
    // A second of TTL, three of the floor; less what passed before it was measured.
    assert!(
        begun.elapsed() > Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let listed = routed.names();
    assert!(
        listed.iter().all(|listed| listed.name == "a.test"),
        "{listed:?}"
    );
}

#[test]
fn an_answer_that_nobody_asked_for_gives_no_name() {
    if !root() {
        return;
    }
    let routed = Routed::new("");
    let [one, two] = &routed.clients;
    routed.ask(one, "a.test");
    // From port 53 of the other client: evil.test has the server's address.
    two.run(
        "python3 -c 'import socket\n\
         q=b\"\\x04evil\\x04test\\x00\\x00\\x01\\x00\\x01\"\n\
         m=b\"\\x00\\x07\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00\"+q\n\
         m+=b\"\\xc0\\x0c\\x00\\x01\\x00\\x01\\x00\\x00\\x01\\x2c\\x00\\x04\\x0a\\x09\\x03\\x02\"\n\
         s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"10.9.2.2\",53))\n\
         s.sendto(m,(\"10.9.1.2\",40000))\n\
         s.sendto(b\"no DNS at all, but long enough\",(\"10.9.1.2\",40000))'",
    );
    eventually("it is told as a flow", || {
        let messages = messages(&routed.daemon);
        messages
            .iter()
            .any(|(_, dns)| dns.query == "evil.test." && dns.ips == [SERVER])
            .then_some(())
    });
    let dns = eventually("both are counted", || {
        let dns = routed.daemon.own_status()?.dns?;
        let malformed: u64 = dns.malformed.iter().map(|cause| cause.messages).sum();
        (malformed == 1).then_some(dns)
    });
    assert_eq!((dns.queries, dns.answers, dns.unasked), (1, 2, 1));
    assert!(routed.names().iter().all(|listed| listed.name == "a.test"));
    assert_eq!(routed.names_of_connection(one), ["a.test"]);
}

#[test]
fn where_dns_gave_no_name_that_of_the_hosts_file_counts() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    std::fs::write(
        &file,
        "10.9.1.2 Db.Shop.test db # the one\n127.0.0.1 localhost\n",
    )
    .unwrap();
    let place = Place::new(&format!("[names]\nhosts_file = '{}'\n", file.display()));
    // They are listed before any packet comes.
    let by_file = || {
        let mut all = listed(&place.daemon);
        all.retain(|name| name.source() == NameSource::HostsFile);
        all
    };
    let names: Vec<_> = by_file()
        .into_iter()
        .map(|name| (name.name, name.address, name.client, name.expires))
        .collect();
    let expect = ["db", "db.shop.test"];
    let expect = expect.map(|name| (name.into(), "10.9.1.2".into(), String::new(), None));
    assert_eq!(names, expect);
    let named = |name: &str| {
        place.here.try_run("ping -c 1 -W 1 10.9.1.2");
        let filter = format!("observe --last 100 --to-fqdn {name} --protocol icmp");
        !hubble::hubble(&place.daemon.server(), &filter).is_empty()
    };
    eventually("names of the file", || named("db.shop.test").then_some(()));
    assert!(named("db"));
    std::fs::write(&file, "10.9.1.2 other.test\n").unwrap();
    eventually("the list of the new file", || {
        let all = by_file();
        (all.len() == 1 && all[0].name == "other.test").then_some(())
    });
    eventually("the new name", || named("other.test").then_some(()));
    // What the client was told by DNS is better.
    place.dig("web.test");
    eventually("the name of DNS", || named("web.test").then_some(()));
    place.here.run("ping -c 1 -W 1 10.9.1.2");
    let names = eventually("a flow after it", || {
        let flows = place.daemon.flows().into_iter().rev();
        let mut pings =
            flows.filter(|flow| flow.destination_names.contains(&"web.test".to_owned()));
        pings.next().map(|flow| flow.destination_names)
    });
    assert_eq!(names, ["web.test"]);
}
