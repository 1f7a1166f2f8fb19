//! Wire truth: the flows that the daemon tells are those on the link, with the
//! same packets and bytes. Equal, not about equal.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, capture::Capture, daemon::QUICK, eventually, frame, hubble::hubble, iperf,
    netns::quiet, root, totals, veth,
};

/// Two namespaces, the daemon in the second.
struct Link {
    a: Netns,
    b: Netns,
}

impl Link {
    fn new() -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        veth((&a, "va"), (&b, "vb"), 1);
        Self { a, b }
    }

    /// Runs `traffic` while both look at the link; then compares them.
    fn compare(&self, traffic: impl FnOnce(&Self)) {
        let daemon = Daemon::start(&self.b, QUICK, &["--interface", "vb"]);
        let mut capture = Capture::start(&self.b, "vb");
        traffic(self);
        quiet(&self.b, "vb");
        let mut truth = capture.totals();
        truth.retain(|direction, _| direction.is_ours());
        assert!(!truth.is_empty(), "the capture saw nothing");
        eventually_equal(&truth, || {
            let mut seen = totals::ended(&daemon.flows());
            seen.retain(|direction, _| direction.is_ours());
            seen
        });
        println!("{} directions, equal", truth.len());
    }
}

/// Flows end a little after their last packet.
fn eventually_equal(truth: &totals::Totals, mut seen: impl FnMut() -> totals::Totals) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(12);
    loop {
        let now = seen();
        if now == *truth {
            return;
        }
        if std::time::Instant::now() > deadline {
            for (direction, total) in truth {
                if now.get(direction) != Some(total) {
                    println!(
                        "wire {direction:?} {total:?}, daemon {:?}",
                        now.get(direction)
                    );
                }
            }
            for (direction, total) in &now {
                if !truth.contains_key(direction) {
                    println!("not on the wire: {direction:?} {total:?}");
                }
            }
            panic!("the daemon and the wire differ");
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn tcp_and_udp_flows_are_those_on_the_wire() {
    if !root() {
        return;
    }
    Link::new().compare(|link| {
        let _server = iperf::serve(&link.b);
        iperf::run(&link.a, "-c 10.9.1.2 -n 4M");
        iperf::run(&link.a, "-c fd09:1::2 -n 2M -R");
        iperf::run(&link.a, "-u -c 10.9.1.2 -b 20M -l 64 -t 1");
    });
}

#[test]
fn web_dns_ping_and_fragments_are_those_on_the_wire() {
    if !root() {
        return;
    }
    Link::new().compare(|link| {
        let _web = link.b.spawn("python3 -m http.server 80 --bind ::");
        let _dns = link.b.spawn(
            "dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
             --pid-file= --address=/x.test/192.0.2.7",
        );
        eventually("servers listen", || {
            let sockets = link.b.run("ss -Hltun");
            (sockets.contains(":80 ") && sockets.contains(":53 ")).then_some(())
        });
        link.a.run("curl -sf -o /dev/null http://10.9.1.2/ && curl -sf -o /dev/null 'http://[fd09:1::2]/'");
        link.a.run("dig +short @10.9.1.2 x.test && dig +short @fd09:1::2 x.test AAAA");
        link.a.run("ping -q -c 3 -i 0.2 10.9.1.2 && ping -q -c 3 -i 0.2 fd09:1::2");
        link.a.run("ping -q -c 2 -i 0.2 -s 5000 10.9.1.2 && ping -q -c 2 -i 0.2 -s 5000 fd09:1::2");
        // Refused: an answer by RST and by ICMP errors.
        link.a.try_run("curl -s http://10.9.1.2:81/");
        link.a.try_run("echo x > /dev/udp/10.9.1.2/4444");
        // Fragmented datagrams.
        link.a.run("python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.sendto(bytes(4000),(\"10.9.1.2\",53))'");
    });
}

#[test]
fn hand_made_frames_are_those_on_the_wire() {
    if !root() {
        return;
    }
    let (v4a, v4b) = ([10, 9, 1, 1].into(), [10, 9, 1, 2].into());
    let (v6a, v6b) = ("fd09:1::1".parse().unwrap(), "fd09:1::2".parse().unwrap());
    let v4 = |protocol, payload: &[u8]| frame::ipv4(v4a, v4b, protocol, payload);
    let tagged = |tags: &[(u16, u16)], port| {
        frame::ethernet(tags, frame::IPV4, &v4(17, &frame::udp(port, 7, b"tagged")))
    };
    let extended = {
        let datagram = frame::udp(6000, 7, b"extended");
        let chain = [frame::extension(60), frame::extension(17), datagram].concat();
        frame::ethernet(&[], frame::IPV6, &frame::ipv6(v6a, v6b, 0, &chain))
    };
    let inner = frame::ethernet(&[], frame::IPV4, &v4(17, &frame::udp(1, 2, b"inner")));
    let frames = vec![
        tagged(&[(0x8100, 100)], 6100),
        tagged(&[(0x88a8, 200), (0x8100, 100)], 6200),
        tagged(&[(0x8100, 300), (0x8100, 100)], 6300),
        extended,
        frame::ethernet(&[], frame::IPV4, &v4(132, &frame::sctp(7000, 7001, 1))),
        frame::ethernet(
            &[(0x8100, 5)],
            frame::IPV4,
            &v4(132, &frame::sctp(7000, 7001, 2)),
        ),
        frame::ethernet(
            &[],
            frame::IPV4,
            &v4(
                17,
                &frame::udp(8000, 4789, &[frame::vxlan(42), inner.clone()].concat()),
            ),
        ),
        frame::ethernet(
            &[],
            frame::IPV4,
            &v4(
                17,
                &frame::udp(8001, 6081, &[frame::geneve(43), inner].concat()),
            ),
        ),
    ];
    Link::new().compare(|link| {
        for _ in 0..3 {
            frame::send(&link.a, "va", &frames);
        }
    });
}

#[test]
fn a_flow_over_several_interfaces_is_one_flow_counted_once() {
    if !root() {
        return;
    }
    let (a, host, b) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&host, "ha"), 1);
    veth((&b, "vb"), (&host, "hb"), 2);
    host.run(
        "ip addr flush dev ha; ip addr flush dev hb; ip link add br0 type bridge && \
         ip link set ha master br0 && ip link set hb master br0 && ip link set br0 up",
    );
    b.run("ip addr add 10.9.1.7/24 dev vb");
    let daemon = Daemon::start(&host, QUICK, &[]);
    let mut capture = Capture::start(&a, "va");
    a.run("ping -q -c 5 -i 0.2 10.9.1.7");
    quiet(&a, "va");
    let mut truth = capture.totals();
    truth.retain(|direction, _| direction.protocol == "icmp");
    eventually_equal(&truth, || {
        let mut seen = totals::ended(&daemon.flows());
        seen.retain(|direction, _| direction.protocol == "icmp");
        seen
    });
    let flows = daemon.flows();
    let last = flows
        .iter()
        .rfind(|flow| totals::text(flow, "end_reason").is_some() && matches!(totals::direction(flow), Some(direction) if direction.protocol == "icmp"))
        .unwrap();
    let points = totals::texts(last, "observation_points");
    for point in ["ha:ingress", "hb:egress"] {
        assert!(
            points.iter().any(|seen| seen == point),
            "{point} in {points:?}"
        );
    }
    // The same flow by either of its points, not by one where it was not.
    for (filter, is_seen) in [
        ("-t trace:from-endpoint", true),
        ("-t trace:to-endpoint", true),
        ("-t trace:to-overlay", false),
    ] {
        let shown = hubble(
            &daemon.server(),
            &format!("observe --all --protocol icmp -o json {filter}"),
        );
        assert_eq!(shown.contains(&last.uuid), is_seen, "{filter}: {shown}");
    }
}
