//! Where a flow begins and ends: ports that are used again, who opened it, how
//! long it was, and what its end tells.
//!
//! Both sides are played with frames by hand, for addresses that nobody has.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::net::Ipv4Addr;

use sextant_integration_tests::{
    Daemon, Netns, daemon::QUICK, eventually, frame, root, totals, veth,
};
use sextant_proto::flow::{Flow, layer4::Protocol};

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The hosts of a link that is observed at the second.
struct Link {
    a: Netns,
    b: Netns,
    daemon: Daemon,
}

impl Link {
    fn new() -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        veth((&a, "va"), (&b, "vb"), 1);
        let daemon = Daemon::start(&b, QUICK, &["--interface", "vb"]);
        Self { a, b, daemon }
    }

    /// Sends a segment between port 4000 of one side and 80 of the other.
    fn segment(&self, from_a: bool, sequence: u32, flags: u8) {
        let (x, y) = (Ipv4Addr::new(10, 9, 1, 71), Ipv4Addr::new(10, 9, 1, 72));
        let (ends, ports) = if from_a {
            ((x, y), (4000, 80))
        } else {
            ((y, x), (80, 4000))
        };
        let segment = frame::tcp(ports.0, ports.1, sequence, flags);
        let packet = frame::ipv4(ends.0, ends.1, 6, &segment);
        let frames = [frame::ethernet(&[], frame::IPV4, &packet)];
        let (namespace, interface) = if from_a {
            (&self.a, "va")
        } else {
            (&self.b, "vb")
        };
        frame::send(namespace, interface, &frames);
    }

    fn handshake(&self, from_a: bool, sequence: u32) {
        self.segment(from_a, sequence, SYN);
        self.segment(!from_a, 9, SYN | ACK);
        self.segment(from_a, sequence + 1, ACK);
    }

    /// The ends of so many flows: who opened it, packets there and back.
    fn ends(&self, count: usize) -> Vec<(u32, u64, u64)> {
        let ends = eventually("the ends", || {
            let ends = self.ended();
            (ends.len() >= count).then_some(ends)
        });
        // None comes late.
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(self.ended().len(), ends.len());
        ends.iter()
            .map(|flow| {
                let number = |key| totals::number(flow, key);
                let from = totals::direction(flow).unwrap().from.1;
                (from, number("packets"), number("reverse_packets"))
            })
            .collect()
    }

    fn ended(&self) -> Vec<Flow> {
        let mut flows = self.daemon.flows();
        flows.retain(|flow| {
            totals::text(flow, "end_reason").is_some()
                && totals::direction(flow).is_some_and(|way| way.protocol == "tcp")
        });
        flows
    }
}

#[test]
fn a_syn_of_the_other_side_opens_a_flow_of_its_own() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.handshake(true, 1000);
    link.handshake(false, 2000);
    assert_eq!(link.ends(2), [(4000, 2, 1), (80, 2, 1)]);
}

#[test]
fn a_syn_with_another_number_opens_a_flow_of_its_own() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.handshake(true, 1000);
    link.segment(true, 1001, ACK);
    link.handshake(true, 5000);
    assert_eq!(link.ends(2), [(4000, 3, 1), (4000, 2, 1)]);
}

#[test]
fn a_syn_that_is_sent_again_opens_no_other_flow() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.segment(true, 1000, SYN);
    link.segment(true, 1000, SYN);
    link.handshake(true, 1000);
    assert_eq!(link.ends(1), [(4000, 4, 1)]);
}

#[test]
fn two_sides_that_open_at_once_have_one_flow() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.segment(true, 1000, SYN);
    link.segment(false, 2000, SYN);
    link.segment(true, 1000, SYN | ACK);
    link.segment(false, 2000, SYN | ACK);
    assert_eq!(link.ends(1), [(4000, 2, 2)]);
}

#[test]
fn the_end_of_a_flow_is_its_own_and_not_that_of_the_next_syn() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.handshake(true, 1000);
    link.segment(false, 10, RST);
    std::thread::sleep(std::time::Duration::from_millis(600));
    // Within the second for which a closed flow is kept.
    link.segment(false, 7, SYN);
    link.ends(2);
    let first = link.ended().remove(0);
    assert_eq!(totals::direction(&first).unwrap().from.1, 4000);
    assert!(first.ethernet.is_none(), "no packet has it: {first:?}");
    assert_eq!(totals::text(&first, "end_reason").as_deref(), Some("rst"));
    let duration = totals::number(&first, "duration_ns");
    assert!(duration > 0, "{duration}");
    // Three frames were sent one after the other, by a program each.
    let events = link.daemon.flows();
    let seen = |wanted: u32| {
        let times = events.iter().filter(|flow| {
            let way = totals::direction(flow).unwrap_or_else(|| panic!("{flow:?}"));
            way.protocol == "tcp" && way.from.1 == wanted
        });
        times
            .filter(|flow| totals::text(flow, "end_reason").is_none())
            .filter_map(|flow| flow.time)
            .map(|time| time.seconds * 1_000_000_000 + i64::from(time.nanos))
            .collect::<Vec<_>>()
    };
    // From the first SYN to the RST, since both were news; not to the next SYN.
    let (from, to) = (seen(4000)[0], seen(80)[1]);
    let told = i64::try_from(duration).unwrap();
    assert!(
        (to - from - told).abs() < 100_000_000,
        "{}",
        to - from - told
    );
}

#[test]
fn flags_of_an_end_are_in_no_packet() {
    if !root() {
        return;
    }
    let link = Link::new();
    // Never answered.
    link.segment(true, 1000, SYN);
    link.ends(1);
    let flow = link.ended().remove(0);
    let Some(Protocol::Tcp(tcp)) = flow.l4.unwrap().protocol else {
        panic!("no TCP");
    };
    assert_eq!(tcp.flags, None);
    #[expect(deprecated, reason = "the real CLI prints it")]
    let summary = flow.summary;
    assert!(summary.starts_with("TCP; ended"), "{summary}");
}

#[test]
fn hosts_that_ping_each_other_with_one_id_have_a_flow_each() {
    if !root() {
        return;
    }
    let link = Link::new();
    link.a.run("ping -q -e 77 -c 3 -i 0.05 10.9.1.2");
    link.b.run("ping -q -e 77 -c 4 -i 0.05 10.9.1.1");
    link.a.run("ping -q -e 77 -c 5 -i 0.05 -s 3000 fd09:1::2");
    link.b.run("ping -q -e 77 -c 6 -i 0.05 -s 3000 fd09:1::1");
    let expected = [
        ("10.9.1.1", 3, 3),
        ("10.9.1.2", 4, 4),
        // Of three fragments each.
        ("fd09:1::1", 15, 15),
        ("fd09:1::2", 18, 18),
    ];
    let mut seen = Vec::new();
    eventually("the ends of four flows", || {
        seen = link
            .daemon
            .flows()
            .iter()
            .filter(|flow| totals::text(flow, "end_reason").is_some())
            .filter_map(|flow| {
                let way = totals::direction(flow)
                    .filter(|way| way.is_ours() && way.protocol.starts_with("icmp"))?;
                let number = |key| totals::number(flow, key);
                let from = way.from.0.to_string();
                Some((from, number("packets"), number("reverse_packets")))
            })
            .collect();
        seen.sort_unstable();
        (seen.len() >= 4).then_some(())
    });
    let seen: Vec<(&str, u64, u64)> = seen.iter().map(|(a, b, c)| (a.as_str(), *b, *c)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_server_that_goes_on_after_a_pause_is_not_the_one_that_opened() {
    if !root() {
        return;
    }
    let link = Link::new();
    // Flows that begin just after the start may have begun before.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let _server = link.b.spawn(
        "python3 -c 'import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",6600))\n_,a=s.recvfrom(9)\ntime.sleep(4)\ns.sendto(b\"x\",a)\ntime.sleep(30)'",
    );
    eventually("the server is there", || {
        let sockets = link.b.run("ss -Hlun sport = 6600");
        sockets.contains(":6600").then_some(())
    });
    link.a.run(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",40000))\ns.sendto(b\"x\",(\"10.9.1.2\",6600))\ns.recv(9)'",
    );
    let seen = eventually("the ends of both", || {
        let ends = link.daemon.flows();
        let ends = ends.iter().filter(|flow| {
            totals::text(flow, "end_reason").is_some()
                && totals::direction(flow).is_some_and(|way| way.protocol == "udp" && way.is_ours())
        });
        let seen: Vec<_> = ends
            .map(|flow| {
                let number = |key| totals::number(flow, key);
                let from = totals::direction(flow).unwrap().from.1;
                (from, number("packets"), number("reverse_packets"))
            })
            .collect();
        (seen.len() == 2).then_some(seen)
    });
    assert_eq!(seen, [(40000, 1, 0), (40000, 0, 1)]);
}
