//! DNS on the wire: its messages as L7 flows, and names on the flows after it.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns,
    capture::Capture,
    daemon::QUICK,
    dns::{DnsServer, Told, by_tshark},
    eventually, hubble, netns, root, veth,
};
use sextant_proto::flow::{Dns, Flow, FlowType, L7FlowType, layer7::Record};

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
        let server = DnsServer::start(&there, &format!("{RECORDS}{long}"));
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
    for (flow, dns) in &messages {
        assert_eq!(flow.r#type(), FlowType::L7);
        assert_eq!(flow.event_type.unwrap().r#type, 129);
        assert_eq!(dns.observation_source, "wire");
        assert_eq!(flow.is_reply, Some(is_answer(flow)));
        let latency = flow.l7.as_ref().unwrap().latency_ns;
        assert_eq!(latency > 0, is_answer(flow), "{flow:?}");
    }
    let status = place.daemon.own_status().unwrap().dns.unwrap();
    assert_eq!((status.queries, status.answers), (13, 13), "{status:?}");
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
