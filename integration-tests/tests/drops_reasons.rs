//! Drops that the kernel gives no reason for, or tells in an unusual way.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns, eventually,
    foreign::{XDP_DROP, generic_xdp},
    root, totals, veth,
};
use sextant_proto::flow::{DropReason, Flow};

/// Two namespaces, the daemon in the second, which forwards.
fn linked() -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    b.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    a.run("ip route add default via 10.9.1.2 && ip -6 route add default via fd09:1::2");
    let daemon = Daemon::start(&b, "", &["--interface", "vb", "--interface", "lo"]);
    (a, b, daemon)
}

/// Drops of datagrams to a port, with the kernel's reason.
fn dropped(daemon: &Daemon, port: u32) -> Vec<(Flow, String)> {
    let mut flows = daemon.flows();
    flows.retain(|flow| {
        totals::is_drop(flow) && totals::direction(flow).is_some_and(|way| way.to.1 == port)
    });
    let kernels = |flow: &Flow| totals::text(flow, "kernel_drop_reason").unwrap();
    flows
        .into_iter()
        .map(|flow| (flow.clone(), kernels(&flow)))
        .collect()
}

#[test]
fn routes_that_lead_nowhere_drop_with_a_reason() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked();
    for (number, kind) in ["blackhole", "prohibit", "unreachable"].iter().enumerate() {
        b.run(&format!(
            "ip route add {kind} 10.99.{number}.0/24 && ip -6 route add {kind} fd99:{number}::/64"
        ));
        for to in [format!("10.99.{number}.1"), format!("fd99:{number}::1")] {
            a.run(&format!("echo x > /dev/udp/{to}/{}", 3100 + number));
        }
        let told = eventually(kind, || {
            let told = dropped(&daemon, 3100 + number as u32);
            (told.len() >= 2).then_some(told)
        });
        for (flow, kernels) in told {
            let hubbles = flow.drop_reason_desc();
            assert_eq!(hubbles, DropReason::StaleOrUnroutableIp, "{kernels}");
            assert_eq!(flow.interface.as_ref().unwrap().name, "vb");
        }
    }
}

#[test]
fn generic_xdp_drops_by_policy() {
    if !root() {
        return;
    }
    let (a, b, daemon) = linked();
    a.run("ping -q -c 1 10.9.1.2");
    let _holder = generic_xdp(&b, "vb", XDP_DROP);
    a.run("echo x > /dev/udp/10.9.1.2/3110");
    let told = eventually("the drop", || {
        let told = dropped(&daemon, 3110);
        (!told.is_empty()).then_some(told)
    });
    let (flow, kernels) = &told[0];
    assert_eq!(
        flow.drop_reason_desc(),
        DropReason::PolicyDenied,
        "{kernels}"
    );
}

#[test]
fn what_finds_the_queue_of_its_socket_full_is_told_and_adds_up() {
    if !root() {
        return;
    }
    let (_a, b, daemon) = linked();
    // A queue of few bytes; what was in it is counted at the end.
    let read = b.run(
        "python3 -c 'import socket
r=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
r.setsockopt(socket.SOL_SOCKET,socket.SO_RCVBUF,2304)
r.bind((\"127.0.0.1\",3120))
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
s.bind((\"127.0.0.1\",3121))
for _ in range(50): s.sendto(b\"x\"*500,(\"127.0.0.1\",3120))
r.setblocking(False)
read=0
try:
    while r.recv(999): read+=1
except BlockingIOError: print(read)'",
    );
    let read: u64 = read.trim().parse().unwrap();
    let told = eventually("the drops", || {
        let told = dropped(&daemon, 3120);
        let drops = told.iter().map(|(flow, _)| totals::number(flow, "drops"));
        (drops.sum::<u64>() == 50 - read).then_some(told)
    });
    let (flow, kernels) = &told[0];
    assert_eq!(kernels, "SOCKET_RCVBUFF");
    assert_eq!(flow.drop_reason_desc(), DropReason::DropRateLimited);
}
