//! What the daemon says of itself: the ledger, the cost, the budget.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::{QUICK, connect},
    eventually,
    netns::{self, quiet},
    root, veth,
};
use sextant_proto::{
    flow::{Flow, layer4::Protocol},
    sextant::status::v1::{Status, WatchStatusRequest, status_service_client::StatusServiceClient},
};

fn status(daemon: &Daemon) -> Status {
    daemon.own_status().unwrap()
}

/// Two joined namespaces, the daemon in the first.
fn pair(config: &str) -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let daemon = Daemon::start(&a, config, &["--interface", "va"]);
    (a, b, daemon)
}

/// Datagrams to `port` of the other end, each from a port of its own.
fn scatter(from: &Netns, count: u32, port: u16) {
    from.run(&format!(
        "python3 -c 'import socket\nfor n in range({count}):\n s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n \
         s.bind((\"\",10000+n%50000))\n s.sendto(b\"x\",(\"10.9.1.2\",{port}))\n s.close()'"
    ));
}

#[test]
fn the_ledger_balances_to_the_packet_and_the_event() {
    if !root() {
        return;
    }
    let (a, b, daemon) = pair(QUICK);
    quiet(&a, "va");
    let seen = || status(&daemon).ledger?.packets?.seen;
    let (before, seen_before) = netns::with_packets(&a, "va", seen);
    a.run("ping -c 3 -i 0.2 10.9.1.2");
    scatter(&a, 500, 4000);
    b.run("python3 -c 'import socket; s=socket.create_server((\"\",80)); s.close()'");
    a.try_run("echo x > /dev/tcp/10.9.1.2/81");
    quiet(&a, "va");
    let balanced = eventually("balance", || {
        let ledger = status(&daemon).ledger.unwrap();
        let (packets, events) = (ledger.packets.as_ref()?, ledger.events.as_ref()?);
        // Some flows have ended by then.
        let is_balanced = packets.difference == 0 && events.in_flight == 0 && events.ended > 0;
        // The kernel may speak up between two looks: then once more.
        let seen = packets.seen.unwrap().packets - seen_before.packets;
        (is_balanced && seen == netns::packets(&a, "va") - before).then_some(ledger)
    });
    let (ledger, events) = (balanced.packets.unwrap(), balanced.events.unwrap());
    let seen = ledger.seen.unwrap();
    let without: u64 = ledger
        .without_flow
        .iter()
        .map(|cause| cause.volume.unwrap().packets)
        .sum();
    assert_eq!(ledger.in_flows.unwrap().packets + without, seen.packets);
    let lost: u64 = events.lost.iter().map(|lost| lost.events).sum();
    assert_eq!(
        events.raised + events.ended + events.recorded + events.own + events.layer7,
        events.stored + lost
    );
    assert!(events.raised > 500 && events.ended > 0, "{events:?}");
}

#[test]
fn totals_of_interfaces_that_are_gone_stay_in_the_balance() {
    if !root() {
        return;
    }
    let a = Netns::new();
    let daemon = Daemon::start(&a, QUICK, &[]);
    for round in 1..=5 {
        let b = Netns::new();
        veth((&a, "va"), (&b, "vb"), round);
        eventually("attached", || {
            let attached = status(&daemon).attachments;
            attached
                .iter()
                .any(|link| link.interface == "va")
                .then_some(())
        });
        a.run(&format!("ping -c 2 -i 0.2 10.9.{round}.2"));
        // The kernel takes a namespace down in its own time; then the name is free.
        drop(b);
        eventually("let go", || {
            let attached = status(&daemon).attachments;
            attached
                .iter()
                .all(|link| link.interface != "va")
                .then_some(())
        });
    }
    let balanced = eventually("balance", || {
        let packets = status(&daemon).ledger.unwrap().packets.unwrap();
        (packets.difference == 0).then_some(packets)
    });
    // Two echoes and two replies in each round, at least.
    assert!(balanced.seen.unwrap().packets >= 20, "{balanced:?}");
}

#[test]
fn attachments_tables_and_cost_are_told_and_streamed() {
    if !root() {
        return;
    }
    let (a, _b, daemon) = pair(QUICK);
    let traffic = a.spawn("ping -f -w 10 10.9.1.2");
    let states = daemon.block_on(async {
        let channel = connect(&daemon.server()).await.unwrap();
        let interval = Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        });
        let mut stream = StatusServiceClient::new(channel)
            .watch_status(WatchStatusRequest { interval })
            .await
            .unwrap()
            .into_inner();
        let mut states = Vec::new();
        // The cost of a packet is measured in the first seconds.
        while states.len() < 3 || states.last().and_then(ns_per_packet) == Some(0.0) {
            states.push(stream.message().await.unwrap().unwrap().status.unwrap());
            assert!(states.len() < 100, "no cost was measured");
        }
        states
    });
    drop(traffic);
    let last = states.last().unwrap();
    assert_eq!(last.attachments.len(), 1);
    assert_eq!(
        (
            last.attachments[0].interface.as_str(),
            last.attachments[0].hook.as_str()
        ),
        ("va", "tcx")
    );
    let tables: Vec<_> = last
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(tables, ["ipv4", "ipv6", "drops"]);
    assert!(last.tables[0].entries > 0 && last.tables[0].capacity == 131_072);
    let cost = last.cost.as_ref().unwrap();
    assert!(
        cost.map_bytes > 1 << 20 && cost.resident_bytes > 1 << 20,
        "{cost:?}"
    );
    assert!(
        cost.programs
            .iter()
            .any(|program| program.measured_runs > 0)
    );
    assert!(
        last.kernel
            .as_ref()
            .unwrap()
            .abilities
            .iter()
            .all(|ability| ability.present)
    );
    assert_eq!(last.streams.as_ref().unwrap().open, 1);
}

fn ns_per_packet(status: &Status) -> Option<f64> {
    status.cost.as_ref().map(|cost| cost.nanoseconds_per_packet)
}

/// Events that were sampled away.
fn sampled(daemon: &Daemon) -> u64 {
    let lost = status(daemon).ledger.unwrap().events.unwrap().lost;
    let sampled = lost.iter().find(|lost| lost.place == "sampling").unwrap();
    assert!(sampled.intended);
    sampled.events
}

#[test]
fn over_the_budget_events_become_rarer_but_syn_fin_and_drops_stay_and_it_is_undone() {
    if !root() {
        return;
    }
    let (a, b, daemon) = pair(&format!("{QUICK}[overhead]\ncpu_percent = 10\n"));
    b.run("nft add table ip t && nft 'add chain ip t i { type filter hook input priority 0; }' && nft add rule ip t i udp dport 4001 drop");
    let server = b.spawn("python3 -m http.server 8080 --bind 10.9.1.2");
    eventually("web server", || {
        a.try_run("curl -s http://10.9.1.2:8080/").0.then_some(())
    });
    // Until events are sampled: all flows are new, so that longer intervals
    // do not help.
    let mut port = 5000;
    eventually("sampling", || {
        port += 1;
        scatter(&a, 20_000, port);
        (sampled(&daemon) > 0).then_some(())
    });
    let taken = status(&daemon).budget.unwrap();
    assert!(
        taken.step > 3 && taken.raised >= u64::from(taken.step),
        "{taken:?}"
    );
    a.run("curl -s --local-port 31000 http://10.9.1.2:8080/");
    let told = eventually("the connection", || {
        let flows = daemon.flows();
        let flags = |flow: &Flow| match flow.l4.as_ref()?.protocol.as_ref()? {
            Protocol::Tcp(tcp) if [tcp.source_port, tcp.destination_port].contains(&31_000) => {
                tcp.flags
            }
            _ => None,
        };
        let told: Vec<_> = flows.iter().filter_map(flags).collect();
        (told.iter().filter(|flags| flags.fin).count() >= 2).then_some(told)
    });
    assert!(
        told.iter().filter(|flags| flags.syn).count() >= 2,
        "{told:?}"
    );
    // Packets are counted all the same.
    eventually("balance", || {
        let ledger = status(&daemon).ledger.unwrap();
        (ledger.packets?.difference == 0).then_some(())
    });
    drop(server);
    // To ask for the status again and again would be a load of its own.
    eventually("fewer steps", || {
        let log = daemon.log();
        log.contains("within the overhead budget").then_some(())
    });
    assert!(status(&daemon).budget.unwrap().lowered > 0);
}
