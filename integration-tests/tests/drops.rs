//! Packets that the kernel drops: which are told, as what, and when.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, eventually, frame, root,
    there::{self, Told},
    veth,
};
use sextant_proto::flow::{Flow, Verdict};

/// Two namespaces, the daemon in the second.
fn linked(config: &str) -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    // Where frames made by hand go to.
    b.run("ip link set vb address 02:00:00:00:00:02");
    let daemon = Daemon::start(&b, config, &["--interface", "vb"]);
    (a, b, daemon)
}

fn dropped(daemon: &Daemon) -> Vec<Flow> {
    let mut flows = daemon.flows();
    flows.retain(|flow| flow.verdict() == Verdict::Dropped);
    flows
}

fn cause(daemon: &Daemon, namespace: &Netns, name: &str) -> u64 {
    daemon.metric(
        namespace,
        &format!("sextant_unaccounted_packets_total{{cause=\"{name}\"}}"),
    )
}

#[test]
fn a_frame_shorter_than_its_ip_header_is_counted_and_no_flow() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked("");
    let before = cause(&daemon, &b, "drop_truncated_header");
    let frames = [
        frame::ethernet(&[], frame::IPV4, &[0x45, 0, 0, 20]),
        frame::ethernet(&[], frame::IPV6, &[0x60, 0, 0, 0, 0, 0, 17, 64]),
    ];
    for _ in 0..50 {
        frame::send(&a, "va", &frames);
    }
    eventually("all are counted", || {
        (cause(&daemon, &b, "drop_truncated_header") >= before + 100).then_some(())
    });
    // What the kernel itself sends to find its neighbours is dropped at times.
    let told: Vec<Told> = dropped(&daemon)
        .iter()
        .filter_map(there::told)
        .filter(|told| !told.is_of_the_kernel())
        .collect();
    assert_eq!(told, []);
}
