//! What the end of a flow says whose packets were dropped.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{Daemon, Netns, daemon::QUICK, eventually, root, totals, veth};
use sextant_proto::{
    flow::{DropReason, Flow, Verdict},
    sextant::flow::v1::{FlowField, SummarizeFlowsRequest, flow_service_client::FlowServiceClient},
};

/// `a` behind a router, which the daemon watches, and `b` beyond it.
fn routed() -> (Netns, Netns, Netns, Daemon) {
    let (a, router, b) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&router, "ra"), 1);
    veth((&b, "vb"), (&router, "rb"), 2);
    router.run(
        "sysctl -qw net.ipv4.ip_forward=1 && nft add table ip t && \
                nft add chain ip t f '{ type filter hook forward priority 0; }'",
    );
    a.run("ip route add default via 10.9.1.2");
    b.run("ip route add default via 10.9.2.2");
    let daemon = Daemon::start(&router, QUICK, &[]);
    (a, router, b, daemon)
}

/// Sends datagrams from a port, some to each port; then others, once a command has run.
/// All by one process: another one's would be flows of their own.
fn send(namespace: &Netns, to: &[(u16, u32)], command: &str, then: &[(u16, u32)]) {
    let mut program = String::from(
        "import socket,subprocess\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind((\"\",4100))\n",
    );
    let sends = |to: &[(u16, u32)]| -> String {
        let line = |(port, count): &(u16, u32)| {
            format!("for _ in range({count}): s.sendto(b\"x\"*15,(\"10.9.2.1\",{port}))\n")
        };
        to.iter().map(line).collect()
    };
    program += &sends(to);
    program += &format!("subprocess.run(\"{command}\",shell=True,check=True)\n");
    program += &sends(then);
    namespace.run(&format!("python3 -c '{program}'"));
}

/// The end of the flow from port 4100 to this one.
fn end(daemon: &Daemon, port: u32) -> Flow {
    eventually("the end of the flow", || {
        daemon.flows().into_iter().find(|flow| {
            totals::text(flow, "end_reason").is_some()
                && totals::direction(flow).is_some_and(|way| (way.from.1, way.to.1) == (4100, port))
        })
    })
}

#[test]
fn a_flow_ends_as_what_became_of_its_packets() {
    if !root() {
        return;
    }
    let (a, router, b, daemon) = routed();
    let _receiver = b.spawn("python3 -c 'import socket,time\ns=[]\nfor p in 3200,3201,3202:\n r=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);r.bind((\"\",p));s.append(r)\ntime.sleep(600)'");
    eventually("it is bound", || {
        b.run("ss -Hlun sport = 3202")
            .contains("3202")
            .then_some(())
    });
    router.run("nft add rule ip t f udp dport 3200 drop");
    // From then on the third one, too.
    let third = format!(
        "ip netns exec {} nft add rule ip t f udp dport 3202 drop",
        router.name
    );
    send(
        &a,
        &[(3200, 100), (3201, 40), (3202, 30)],
        &third,
        &[(3202, 20)],
    );
    let dropped = end(&daemon, 3200);
    assert_eq!(dropped.verdict(), Verdict::Dropped, "{dropped:?}");
    assert_eq!(dropped.drop_reason_desc(), DropReason::PolicyDenied);
    let number = |flow: &Flow, key: &str| totals::number(flow, key);
    assert_eq!(number(&dropped, "packets"), 100);
    assert_eq!(number(&dropped, "dropped_packets"), 100);
    let text = totals::summary(&dropped);
    assert!(text.ends_with(", 100+0 packets dropped"), "{text}");
    let forwarded = end(&daemon, 3201);
    assert_eq!(forwarded.verdict(), Verdict::Forwarded);
    assert_eq!(number(&forwarded, "dropped_packets"), 0);
    let some = end(&daemon, 3202);
    assert_eq!(some.verdict(), Verdict::Forwarded);
    assert_eq!(number(&some, "packets"), 50);
    assert_eq!(number(&some, "dropped_packets"), 20);
    let told: u64 = eventually("the drops are told", || {
        let flows = daemon.flows();
        let drops = flows
            .iter()
            .filter(|flow| totals::direction(flow).is_some_and(|way| way.to.1 == 3200));
        let drops: u64 = drops.map(|flow| number(flow, "drops")).sum();
        (drops >= 100).then_some(drops)
    });
    assert_eq!(told, 100);
    let summary = daemon.block_on(async {
        let channel = sextant_integration_tests::daemon::connect(&daemon.server()).await;
        let mut client = FlowServiceClient::new(channel.unwrap());
        let request = SummarizeFlowsRequest {
            group_by: vec![FlowField::Verdict.into(), FlowField::DestinationPort.into()],
            limit: 1000,
            ..SummarizeFlowsRequest::default()
        };
        client.summarize_flows(request).await.unwrap().into_inner()
    });
    let groups = summary.summary.unwrap().groups;
    let packets = |verdict: &str, port: &str| -> u64 {
        let group = groups.iter().find(|group| group.values == [verdict, port]);
        group.map_or(0, |group| group.traffic.unwrap().packets)
    };
    assert_eq!(packets("DROPPED", "3200"), 100, "{groups:?}");
    assert_eq!(packets("FORWARDED", "3200"), 0, "{groups:?}");
    assert_eq!(packets("FORWARDED", "3201"), 40, "{groups:?}");
}

#[test]
fn what_is_refused_before_it_is_sent_takes_nothing_from_its_flow() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 2);
    let daemon = Daemon::start(&b, QUICK, &["--interface", "vb"]);
    let _receiver = a.spawn("python3 -c 'import socket,time\nr=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);r.bind((\"\",3210));time.sleep(600)'");
    eventually("it is bound", || {
        a.run("ss -Hlun sport = 3210")
            .contains("3210")
            .then_some(())
    });
    // Ten go; twenty more are dropped before they come to the interface.
    let program = |count: u32| {
        format!(
            "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
             s.bind((\"\",4100))\nfor _ in range({count}):\n try: s.sendto(b\"x\",(\"10.9.2.1\",3210))\n except PermissionError: pass'"
        )
    };
    b.run(&program(10));
    b.run("nft add table ip t && nft add chain ip t o '{ type filter hook output priority 0; }' && nft add rule ip t o udp dport 3210 drop");
    b.run(&program(20));
    let flow = end(&daemon, 3210);
    assert_eq!(flow.verdict(), Verdict::Forwarded, "{flow:?}");
    assert_eq!(totals::number(&flow, "packets"), 10);
    assert_eq!(totals::number(&flow, "dropped_packets"), 0);
}
