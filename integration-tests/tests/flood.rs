//! Under a flood nothing is lost in silence: packets in flows and packets
//! counted by cause are those of the interface's own counters, exactly.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::QUICK,
    eventually,
    netns::{packets, quiet},
    root, totals, veth,
};
use sextant_proto::observer::{GetFlowsRequest, get_flows_response::ResponseTypes};

/// Causes that are about packets; those of the rings are about events.
const PACKET_CAUSES: [&str; 11] = [
    "not_ip",
    "too_many_vlan_tags",
    "truncated_link_header",
    "malformed_ip_header",
    "truncated_transport_header",
    "too_many_extension_headers",
    "fragment_without_first",
    "ipv4_table_full",
    "ipv6_table_full",
    "insert_failed",
    "seen_elsewhere",
];

struct Flooded {
    daemon: Daemon,
    /// The interface's count at the start.
    before: u64,
    b: Netns,
    /// Kept: the link goes with it.
    _a: Netns,
}

impl Flooded {
    /// Floods and waits until everything has ended.
    fn new(config: &str, traffic: &str) -> (Self, u64) {
        let (a, b) = (Netns::new(), Netns::new());
        // Up only when the daemon is attached, so that both count from nothing.
        veth((&a, "va"), (&b, "vb"), 1);
        b.run("ip link set vb down");
        let before = packets(&b, "vb");
        let daemon = Daemon::start(&b, config, &["--interface", "vb"]);
        b.run("ip link set vb up");
        let server = b.spawn("iperf3 -s");
        eventually("iperf3 listens", || {
            b.run("ss -Hltn sport = 5201")
                .contains("5201")
                .then_some(())
        });
        a.run(traffic);
        drop(server);
        let flooded = Self {
            daemon,
            before,
            b,
            _a: a,
        };
        quiet(&flooded.b, "vb");
        let interface = flooded.interface();
        (flooded, interface)
    }

    /// What the kernel counted since.
    fn interface(&self) -> u64 {
        packets(&self.b, "vb") - self.before
    }

    fn in_flows(&self) -> u64 {
        let totals = totals::ended(&self.daemon.flows());
        totals.values().map(|(packets, _)| packets).sum()
    }

    fn metric(&self, name: &str) -> u64 {
        self.daemon.metric(&self.b, name)
    }

    fn unaccounted(&self) -> u64 {
        PACKET_CAUSES
            .iter()
            .map(|cause| {
                self.metric(&format!(
                    "sextant_unaccounted_packets_total{{cause=\"{cause}\"}}"
                ))
            })
            .sum()
    }

    fn observed(&self) -> u64 {
        ["ingress", "egress"]
            .iter()
            .map(|direction| {
                self.metric(&format!(
                    "sextant_interface_packets_total{{interface=\"vb\",direction=\"{direction}\"}}"
                ))
            })
            .sum()
    }

    /// The balance: interface = observed = in flows + by cause.
    fn balances(&self) {
        eventually("flows and causes add up to the interface", || {
            let interface = self.interface();
            let sums = [self.observed(), self.in_flows() + self.unaccounted()];
            (sums == [interface; 2] && self.interface() == interface).then_some(())
        });
    }
}

#[test]
fn every_packet_of_a_flood_is_in_a_flow_or_counted_by_cause() {
    if !root() {
        return;
    }
    let (flooded, interface) = Flooded::new(
        QUICK,
        "iperf3 -u -c 10.9.1.2 -l 64 -b 0 -P 2 -t 2 >/dev/null",
    );
    assert!(interface > 50_000, "{interface} packets are no flood");
    flooded.balances();
    println!("{interface} packets, {} by cause", flooded.unaccounted());
}

#[test]
fn packets_that_find_the_table_full_are_counted() {
    if !root() {
        return;
    }
    let config = format!("{QUICK}flows_ipv4 = 4\n");
    let (flooded, _) = Flooded::new(
        &config,
        "for port in $(seq 2000 2100); do echo x > /dev/udp/10.9.1.2/$port; done",
    );
    flooded.balances();
    let full = flooded.metric("sextant_unaccounted_packets_total{cause=\"ipv4_table_full\"}");
    assert!(full > 50, "{full} packets found the table full");
}

#[test]
fn events_that_find_the_ring_full_are_counted_and_told() {
    if !root() {
        return;
    }
    let config = format!("{QUICK}observed_ring_bytes = 4096\naggregation = false\n");
    let (flooded, _) = Flooded::new(
        &config,
        "iperf3 -u -c 10.9.1.2 -l 64 -b 0 -P 2 -t 1 >/dev/null",
    );
    let full = flooded.metric("sextant_unaccounted_packets_total{cause=\"observed_ring_full\"}");
    assert!(full > 0, "no event found the ring full");
    let told = || {
        let responses = flooded.daemon.responses(GetFlowsRequest::default());
        responses
            .into_iter()
            .filter_map(|response| match response.response_types {
                Some(ResponseTypes::LostEvents(lost)) => Some(lost.num_events_lost),
                _ => None,
            })
            .sum::<u64>()
    };
    eventually("every lost event is told", || {
        (told() == full).then_some(())
    });
    flooded.balances();
}
