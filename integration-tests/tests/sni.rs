//! TLS server names on the wire: which connections have which, and who learns them.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::Path,
    process::Command,
};

use sextant_integration_tests::{
    Daemon, Netns, Process,
    capture::Capture,
    certificates::{Certificates, Subject},
    daemon::{QUICK, connect},
    dns::DnsServer,
    eventually,
    frame::{self, ethernet, ipv4},
    hubble, netns, root, veth,
};
use sextant_proto::{
    flow::{Flow, layer4::Protocol},
    sextant::flow::v1::{
        AddressName, ListNamesRequest, NameSource, flow_service_client::FlowServiceClient,
    },
};

/// A port that nobody knows as one of TLS.
const PORT: u32 = 14_433;
const IPV4: &str = "10.9.1.2";
const IPV6: &str = "fd09:1::2";
/// Makes a ClientHello longer than a segment: names of protocols (RFC 7301).
const LONG: &str = "$(for n in 1 2 3 4 5 6 7 8 9; do printf %0200d, $n; done)0";

/// What `openssl s_server` or `s_client` needs, with files of a folder.
fn server(namespace: &Netns, folder: &Certificates) -> Process {
    folder.issue("server", &Subject::server(&["a.test"]));
    let file = |name: &str| folder.path(name).display().to_string();
    let process = namespace.spawn(&format!(
        "openssl s_server -accept {PORT} -quiet -cert {} -key {}",
        file("server.pem"),
        file("server-key.pem")
    ));
    eventually("openssl listening", || {
        let sockets = namespace.run(&format!("ss -Hlnt sport = {PORT}"));
        (!sockets.is_empty()).then_some(())
    });
    process
}

fn s_client(to: &str, options: &str) -> String {
    format!(
        "timeout 10 openssl s_client -brief -connect '{to}:{PORT}' {options} </dev/null 2>/dev/null"
    )
}

/// Names of connections by client port, by the last that is told of each: a first
/// packet has those of connections before it.
fn named(flows: &[Flow]) -> BTreeMap<u32, String> {
    let of = |flow: &Flow| {
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref()?.protocol.as_ref() else {
            return None;
        };
        match (tcp.source_port, tcp.destination_port) {
            (port, PORT) => Some((port, flow.destination_names.join(" "))),
            (PORT, port) => Some((port, flow.source_names.join(" "))),
            _ => None,
        }
    };
    let mut named: BTreeMap<_, _> = flows.iter().filter_map(of).collect();
    named.retain(|_, name| !name.is_empty());
    named
}

/// The same, as tshark reads the file.
fn by_tshark(file: &Path) -> BTreeMap<u32, String> {
    let output = Command::new("tshark")
        .args(["-n", "-o", "tcp.reassemble_out_of_order:TRUE"])
        .args(["-d", &format!("tcp.port=={PORT},tls"), "-r"])
        .arg(file)
        .args(["-Y", "tls.handshake.extensions_server_name", "-T", "fields"])
        .args(["-e", "tcp.srcport"])
        .args(["-e", "tls.handshake.extensions_server_name"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (port, name) = line.split_once('\t').unwrap();
        (port.parse().unwrap(), name.to_lowercase())
    };
    text.lines().map(line).collect()
}

#[test]
fn names_of_connections_are_what_tshark_reads() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    veth((&here, "va"), (&there, "vb"), 1);
    let folder = Certificates::new();
    let _server = server(&there, &folder);
    let daemon = Daemon::start(&here, QUICK, &["--interface", "va"]);
    let mut capture = Capture::whole(&here, "va");
    let curl = |name: &str, to: &str| {
        format!(
            "curl -sk -m 2 -o /dev/null --resolve '{name}:{PORT}:{to}' https://{name}:{PORT}/; true"
        )
    };
    let connect = |number: usize, options: &str| {
        let name = format!("N{number}.Test");
        here.try_run(&s_client(IPV4, &format!("-servername {name} {options}")));
        let options = format!("-servername six{number}.test {options}");
        here.try_run(&s_client(&format!("[{IPV6}]"), &options));
    };
    // Whole ones; longer than a segment, in one packet; in several records.
    connect(1, "");
    connect(2, &format!("-alpn {LONG}"));
    connect(3, "-max_send_frag 512");
    here.run(&curl("curl.test", IPV4));
    here.run(&curl("curl6.test", IPV6));
    here.try_run(&s_client(IPV4, "-noservername"));
    // In many segments.
    here.run("ethtool -K va tso off gso off");
    for (command, net) in [("ip", "10.9.1.0/24"), ("ip -6", "fd09:1::/64")] {
        there.run(&format!("{command} route replace {net} dev vb advmss 100"));
    }
    connect(4, "");
    connect(5, &format!("-alpn {LONG} -max_send_frag 512"));
    here.run(&curl("small.test", IPV4));
    netns::quiet(&here, "va");
    capture.end();
    let expect = by_tshark(&capture.file());
    assert_eq!(expect.len(), 13, "{expect:?}");
    eventually("names of all connections", || {
        (named(&daemon.flows()) == expect).then_some(())
    });
    let status = daemon.own_status().unwrap().dns.unwrap();
    let tls = status.tls.unwrap();
    assert_eq!((tls.hellos, tls.nameless), (14, 1), "{tls:?}");
    assert!(tls.malformed.iter().all(|cause| cause.connections == 0));
    assert_eq!((status.copied, status.over_budget), (status.read, 0));
    // The same from the capture, without a datapath.
    let file = capture.file().display().to_string();
    let replayed = Daemon::start(&there, "", &["--no-datapath", "--replay", &file]);
    assert_eq!(named(&replayed.flows()), expect);
}

#[test]
fn segments_in_any_order_and_sent_again_are_one_hello() {
    if !root() {
        return;
    }
    let (here, there) = (Netns::new(), Netns::new());
    veth((&here, "va"), (&there, "vb"), 1);
    // All of it in one packet, too.
    here.run("ip link set va mtu 9000");
    there.run("ip link set vb mtu 9000");
    let daemon = Daemon::start(&here, QUICK, &["--interface", "va"]);
    let hello = include_str!("../../server/flows/src/sni/hello/recorded/go.hex");
    let digits: Vec<u8> = hello.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let hello: Vec<u8> = digits.chunks(2).map(byte).collect();
    let client = Ipv4Addr::new(10, 9, 1, 77);
    let frame = |port: u16, sequence: u32, flags: u8, bytes: &[u8]| {
        let tcp = frame::tcp(port, PORT as u16, sequence, flags);
        let segment = [&tcp, bytes].concat();
        let packet = ipv4(client, Ipv4Addr::new(10, 9, 1, 1), 6, &segment);
        ethernet(&[], 0x0800, &packet)
    };
    let (syn, ack, fin) = (2, 0x18, 0x11);
    let part = |port, range: std::ops::Range<usize>| {
        // The sequence numbers wrap within it.
        let sequence = (u32::MAX - 700).wrapping_add(1 + range.start as u32);
        frame(port, sequence, ack, &hello[range])
    };
    let end = hello.len();
    let mut frames = Vec::new();
    for (port, ranges) in [
        (40_001, vec![600..end, 0..600]),
        (40_002, vec![900..end, 300..900, 0..4, 2..310]),
        (40_003, vec![0..1000, 0..1000, 500..1200, 1100..end]),
        (40_004, vec![0..end, 0..end]),
        (40_005, vec![0..3, 3..6, 6..end]),
    ] {
        let first = u32::MAX - 700;
        frames.push(frame(port, first, syn, b""));
        frames.extend(ranges.into_iter().map(|range| part(port, range)));
        frames.push(frame(port, first.wrapping_add(1 + end as u32), fin, b""));
    }
    // A SYN with all of it (RFC 7413), and what is no TLS.
    frames.push(frame(40_006, 7, syn, &hello));
    frames.push(frame(40_006, 8 + end as u32, fin, b""));
    frames.push(frame(40_007, 7, syn, b""));
    frames.push(frame(40_007, 8, ack, b"GET / HTTP/1.1\r\n\r\n"));
    frames.push(frame(40_007, 26, ack, &hello));
    frames.push(frame(40_007, 26 + end as u32, fin, b""));
    frame::send(&there, "vb", &frames);
    let expect: BTreeMap<_, _> = (40_001..=40_006)
        .map(|port| (port, "go.sextant.test".to_owned()))
        .collect();
    let ended = |flows: &[Flow]| {
        let mut ports = BTreeSet::new();
        for flow in flows
            .iter()
            .filter(|flow| format!("{flow:?}").contains("fin: true"))
        {
            if let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
                ports.insert(tcp.source_port);
            }
        }
        ports.len() == 7
    };
    let flows = eventually("the ends of all", || {
        let flows = daemon.flows();
        ended(&flows).then_some(flows)
    });
    assert_eq!(named(&flows), expect);
    let tls = daemon.own_status().unwrap().dns.unwrap().tls.unwrap();
    assert_eq!((tls.hellos, tls.nameless), (6, 0), "{tls:?}");
    assert!(tls.malformed.iter().all(|cause| cause.connections == 0));
    // Nobody took these connections.
    assert_eq!(tls.addresses, 0);
}

/// A router that is observed, two clients, and a server.
struct Routed {
    daemon: Daemon,
    router: Netns,
    clients: [Netns; 2],
    _servers: (Process, Process, DnsServer),
    server: Netns,
    _folder: Certificates,
}

const SERVER: &str = "10.9.3.2";

impl Routed {
    fn new() -> Self {
        let (router, server) = (Netns::new(), Netns::new());
        let clients = [Netns::new(), Netns::new()];
        router.run("sysctl -qw net.ipv4.ip_forward=1");
        for (end, net) in [(&clients[0], 1), (&clients[1], 2), (&server, 3)] {
            veth((&router, &format!("r{net}")), (end, "va"), net);
            end.run(&format!("ip route add default via 10.9.{net}.1"));
        }
        let folder = Certificates::new();
        let tls = self::server(&server, &folder);
        let web = server.spawn("python3 -m http.server 8080");
        let dns = DnsServer::start(&server, "host-record=dns.test,10.9.3.2");
        Self {
            daemon: Daemon::start(&router, QUICK, &[]),
            router,
            clients,
            _servers: (tls, web, dns),
            server,
            _folder: folder,
        }
    }

    /// Connects by TLS, and waits until the name is that of a connection.
    fn ask(&self, client: &Netns, name: &str) {
        client.try_run(&s_client(SERVER, &format!("-servername {name}")));
        eventually("the name of the connection", || {
            let told = named(&self.daemon.flows());
            told.iter().any(|(_, told)| told == name).then_some(())
        });
    }

    /// Connects without TLS; gives the names of the first packet of it.
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

    fn connections(&self) -> Vec<Flow> {
        let is_first = |flow: &Flow| match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
            Some(Protocol::Tcp(tcp)) => {
                let flags = tcp.flags.unwrap_or_default();
                tcp.destination_port == 8080 && flags.syn && !flags.ack
            }
            _ => false,
        };
        self.daemon.flows().into_iter().filter(is_first).collect()
    }

    fn listed(&self) -> Vec<(String, String, NameSource)> {
        let names = self.daemon.block_on(async {
            let channel = connect(&self.daemon.server()).await.unwrap();
            let request = ListNamesRequest::default();
            let answer = FlowServiceClient::new(channel).list_names(request).await;
            answer.unwrap().into_inner().names
        });
        let told = |name: AddressName| {
            assert_eq!(name.address, SERVER);
            let source = name.source();
            (name.name, name.client, source)
        };
        names.into_iter().map(told).collect()
    }
}

#[test]
fn a_client_names_its_own_flows_alone_and_dns_is_believed_before_it() {
    if !root() {
        return;
    }
    let routed = Routed::new();
    let [one, two] = &routed.clients;
    routed.ask(one, "one.test");
    assert_eq!(routed.names_of_connection(one), ["one.test"]);
    assert!(routed.names_of_connection(two).is_empty());
    assert!(routed.names_of_connection(&routed.router).is_empty());
    // This one lies, with the address of the host too.
    routed.router.run(
        "nft add table ip nat && nft add chain ip nat post \
         '{ type nat hook postrouting priority 100; }' && \
         nft add rule ip nat post ip saddr 10.9.2.2 oifname r3 masquerade",
    );
    routed.ask(two, "lie.test");
    assert_eq!(routed.names_of_connection(&routed.router), [""; 0]);
    assert_eq!(routed.names_of_connection(one), ["one.test"]);
    // What the host asks for itself is for itself.
    routed.ask(&routed.router, "host.test");
    assert_eq!(routed.names_of_connection(&routed.router), ["host.test"]);
    assert_eq!(routed.names_of_connection(one), ["one.test"]);
    let expect = [
        ("host.test", "host"),
        ("lie.test", "10.9.2.2"),
        ("one.test", "10.9.1.2"),
    ];
    let expect = expect.map(|(name, client)| (name.into(), client.into(), NameSource::Tls));
    assert_eq!(routed.listed(), expect);
    let observe =
        |arguments: &str| hubble::hubble(&routed.daemon.server(), &format!("observe {arguments}"));
    let found = observe("--to-fqdn one.test --to-port 8080");
    assert!(
        found.lines().count() >= 2 && found.contains("10.9.1.2:"),
        "{found}"
    );
    assert!(!found.contains("10.9.2.2:"), "{found}");
    // By DNS: of one client alone.
    one.run(&format!("dig +short +tries=3 @{SERVER} dns.test"));
    eventually("the name by DNS", || {
        (routed.names_of_connection(one) == ["dns.test"]).then_some(())
    });
    assert!(routed.server.run("ss -Hlnt").contains("8080"));
}
