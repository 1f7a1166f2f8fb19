//! Where the programs are on the interfaces, and that it is noticed when they
//! are not, or see not all.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::{Duration, Instant};

use sextant_integration_tests::{
    Daemon, Netns, eventually,
    foreign::{Action, Foreign},
    iperf,
    netns::{host, pair},
    root, totals,
};
use sextant_proto::flow::Verdict;

/// Sends that many datagrams to a port of 10.9.1.2 where nobody listens.
fn send(namespace: &Netns, port: u16, count: u32) {
    namespace.run(&format!(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         for _ in range({count}): s.sendto(b\"x\",(\"10.9.1.2\",{port}))'"
    ));
}

/// By a program on the interface: that the kernel drops it is told elsewhere.
fn is_seen(daemon: &Daemon, port: u32) -> bool {
    daemon.flows().iter().any(|flow| {
        flow.verdict() == Verdict::Forwarded
            && totals::direction(flow).is_some_and(|way| way.to.1 == port)
    })
}

/// How often the daemon attached to an interface.
fn attached(daemon: &Daemon) -> usize {
    daemon.log().matches(" attached ").count()
}

/// Sends to new ports until one is seen.
fn seen_again(a: &Netns, daemon: &Daemon) {
    let mut port = 4000;
    eventually("packets are seen again", || {
        port += 1;
        send(a, port, 1);
        std::thread::sleep(Duration::from_millis(200));
        is_seen(daemon, port.into()).then_some(())
    });
}

#[test]
fn a_program_that_was_there_first_hides_nothing() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let _ingress = Foreign::attach(&b, "vb", "ingress", Action::Pass);
    let _egress = Foreign::attach(&b, "vb", "egress", Action::Pass);
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    a.run("ping -q -c 10 -i 0.05 10.9.1.2");
    let found = daemon.attachment("vb").unwrap();
    assert!(found.ingress.unwrap().packets >= 10, "{found:?}");
    assert!(found.egress.unwrap().packets >= 10, "{found:?}");
}

#[test]
fn a_program_that_comes_ahead_later_is_overtaken_once_and_then_told() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    let _first = Foreign::attach(&b, "vb", "ingress", Action::Pass);
    eventually("it is overtaken", || {
        daemon
            .log()
            .contains("moving the program before those of others")
            .then_some(())
    });
    seen_again(&a, &daemon);
    let second = Foreign::attach(&b, "vb", "ingress", Action::Pass);
    let told = eventually("it is told", || {
        let found = daemon.attachment("vb")?;
        (!found.ahead_ingress.is_empty()).then_some(found)
    });
    assert_eq!(told.ahead_ingress, ["foreign"]);
    assert!(told.ahead_egress.is_empty(), "{told:?}");
    assert_eq!(daemon.metric(&b, "sextant_programs_ahead"), 1);
    // What it hides is in the kernel's own counters.
    send(&a, 3001, 50);
    let gap = eventually("the gap", || {
        let found = daemon.attachment("vb")?;
        (found.unseen_ingress > 0).then_some(found)
    });
    assert!(gap.unseen_ingress >= 50, "{gap:?}");
    assert_eq!(gap.unseen_egress, 0, "{gap:?}");
    let ledger = daemon.own_status().unwrap().ledger.unwrap();
    assert!(ledger.packets.unwrap().unseen >= 50);
    assert!(!is_seen(&daemon, 3001));
    drop(second);
    eventually("it is gone", || {
        let found = daemon.attachment("vb")?;
        found.ahead_ingress.is_empty().then_some(())
    });
    seen_again(&a, &daemon);
}

#[test]
fn other_programs_on_each_side_change_nothing_for_us() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    // Neighbours are known then, whatever is dropped.
    a.run("ping -q -c 1 10.9.1.2");
    let _next = Foreign::attach(&b, "vb", "ingress", Action::Next);
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    let _also = Daemon::start(&b, "", &["--interface", "vb", "--metrics-listen", "off"]);
    let _drop = Foreign::attach(&b, "vb", "egress", Action::Drop);
    eventually("it is overtaken", || {
        daemon.log().contains("moving").then_some(())
    });
    seen_again(&a, &daemon);
    // A drop behind us was sent, and is told.
    a.try_run("ping -q -c 3 -i 0.05 -W 1 10.9.1.2");
    eventually("the drop", || {
        daemon
            .flows()
            .iter()
            .any(|flow| totals::text(flow, "kernel_drop_reason").as_deref() == Some("TC_EGRESS"))
            .then_some(())
    });
    let found = daemon.attachment("vb").unwrap();
    // Another sextantd ahead hides nothing and is no trouble.
    assert!(
        found.ahead_ingress.is_empty() && found.failure.is_empty(),
        "{found:?}"
    );
}

#[test]
fn a_qdisc_that_somebody_deletes_is_put_back() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let mut daemon = Daemon::start(
        &b,
        "[datapath]\nforce_clsact = true\n",
        &["--interface", "vb"],
    );
    b.run("tc qdisc del dev vb clsact");
    seen_again(&a, &daemon);
    for _ in 0..20 {
        b.run("tc qdisc del dev vb clsact; tc qdisc add dev vb clsact");
    }
    seen_again(&a, &daemon);
    assert!(
        daemon.log().contains("attaching it again"),
        "{}",
        daemon.log()
    );
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(!b.run("tc filter show dev vb ingress").contains("sextant"));
}

#[test]
fn a_filter_that_comes_ahead_is_overtaken() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    b.run("tc qdisc add dev vb clsact");
    let matchall = "tc filter add dev vb ingress prio 1 protocol all matchall action pass";
    if !b.try_run(matchall).0 {
        println!("SKIPPED: this kernel has no cls_matchall");
        return;
    }
    let daemon = Daemon::start(
        &b,
        "[datapath]\nforce_clsact = true\n",
        &["--interface", "vb"],
    );
    // No program may have the place of one of another kind: that is told.
    let found = eventually("it is told", || {
        let found = daemon.attachment("vb")?;
        (!found.ahead_ingress.is_empty()).then_some(found)
    });
    assert_eq!(found.ahead_ingress, ["matchall"]);
    b.run("tc filter del dev vb ingress prio 1");
    seen_again(&a, &daemon);
    b.run(matchall);
    seen_again(&a, &daemon);
}

#[test]
fn an_interface_that_is_made_again_while_the_daemon_is_slow_is_seen() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    let index = b.run("cat /sys/class/net/vb/ifindex");
    daemon.signal("STOP");
    a.run("ip link del va");
    host(&format!(
        "ip link add vb netns {} index {} type veth peer name va netns {}",
        b.name,
        index.trim(),
        a.name
    ));
    a.run("ip addr add 10.9.1.1/24 dev va && ip link set va up");
    b.run("ip addr add 10.9.1.2/24 dev vb && ip link set vb up");
    daemon.signal("CONT");
    let began = Instant::now();
    eventually("attached again", || (attached(&daemon) >= 2).then_some(()));
    let took = began.elapsed();
    seen_again(&a, &daemon);
    assert!(
        took < Duration::from_secs(4),
        "found by a check only: {took:?}"
    );
    let found = daemon.attachment("vb").unwrap();
    assert_eq!(found.index.to_string(), index.trim());
}

#[test]
fn a_hundred_interfaces_come_and_go_unseen_and_the_last_one_counts() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let daemon = Daemon::start(&b, "", &["--interface", "v*"]);
    daemon.signal("STOP");
    b.run(
        "for i in $(seq 100); do echo link add vx$i type veth peer name vy$i; echo link del vx$i; done | ip -batch -",
    );
    b.run("ip link add vz type veth peer name vzz && ip link set vz up");
    daemon.signal("CONT");
    eventually("vz is attached", || daemon.attachment("vz"));
    let attached = daemon.own_status().unwrap();
    let mut names: Vec<String> = attached
        .attachments
        .into_iter()
        .map(|one| one.interface)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["vb", "vz", "vzz"]);
    seen_again(&a, &daemon);
}

#[test]
fn packets_that_bypass_the_hook_are_a_gap_with_a_name() {
    if !root() {
        return;
    }
    let (_a, b) = pair();
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    // PACKET_QDISC_BYPASS: past the hook, into the driver.
    b.run(
        "python3 -c 'import socket,time\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\n\
         s.setsockopt(263,20,1)\ns.bind((\"vb\",0))\nf=bytes(12)+b\"\\x08\\x00\"+bytes(46)\n\
         for _ in range(300):\n s.send(f)\n time.sleep(0.05)'",
    );
    let found = eventually("the gap", || {
        let found = daemon.attachment("vb")?;
        (found.unseen_egress > 0).then_some(found)
    });
    // From the second look on.
    assert!((50..=300).contains(&found.unseen_egress), "{found:?}");
    assert_eq!(found.unseen_ingress, 0, "{found:?}");
}

#[test]
fn segmentation_and_loss_are_no_gap() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    a.run("ethtool -K va tso on gso on gro on >/dev/null");
    b.run("ethtool -K vb tso on gso on gro on >/dev/null");
    let daemon = Daemon::start(&b, "", &[]);
    let _server = iperf::serve(&b);
    iperf::run(&a, "-c 10.9.1.2 -t 6");
    iperf::run(&a, "-c 10.9.1.2 -t 6 -R");
    iperf::run(&b, "-c 127.0.0.1 -t 6");
    iperf::run(&b, "-u -b 0 -l 100 -c 127.0.0.1 -t 3");
    // Two looks more.
    std::thread::sleep(Duration::from_secs(11));
    for found in daemon.own_status().unwrap().attachments {
        assert_eq!(
            (found.unseen_ingress, found.unseen_egress),
            (0, 0),
            "{found:?}"
        );
    }
}

#[test]
fn a_name_that_is_no_text_is_observed_and_told_escaped() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    b.run("ip link set vb down && ip link set vb name $'v\\xff\\xfeb' && ip link set $'v\\xff\\xfeb' up");
    let daemon = Daemon::start(&b, "", &[]);
    a.run("ping -q -c 3 -i 0.05 10.9.1.2");
    let name = "v\\xff\\xfeb";
    let found = daemon.attachment(name).unwrap();
    assert!(found.ingress.unwrap().packets >= 3, "{found:?}");
    let of_it = |flow: &sextant_proto::flow::Flow| {
        flow.interface.as_ref().is_some_and(|one| one.name == name)
    };
    assert!(daemon.flows().iter().any(of_it));
    assert!(daemon.log().len() < 4000, "{}", daemon.log());
}

#[test]
fn an_interface_keeps_its_programs_under_another_name_and_leaves_them_when_it_goes_away() {
    if !root() {
        return;
    }
    let (a, b) = pair();
    let elsewhere = Netns::new();
    let daemon = Daemon::start(&b, "", &["--interface", "v*"]);
    a.run("ping -q -c 3 -i 0.05 10.9.1.2");
    b.run("ip link set vb down && ip link set vb name vnew && ip link set vnew up");
    let renamed = eventually("the new name", || daemon.attachment("vnew"));
    assert!(renamed.ingress.unwrap().packets >= 3, "{renamed:?}");
    assert_eq!(attached(&daemon), 1, "{}", daemon.log());
    let to = |namespace: &Netns| format!("ip link set vnew netns {}", namespace.name);
    b.run(&to(&elsewhere));
    eventually("let go", || {
        daemon.attachment("vnew").is_none().then_some(())
    });
    elsewhere.run(&to(&b));
    b.run("ip addr add 10.9.1.2/24 dev vnew && ip link set vnew up");
    eventually("attached again", || daemon.attachment("vnew"));
    seen_again(&a, &daemon);
}

#[test]
fn two_hundred_interfaces_are_attached_and_let_go_at_once() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    namespace.run(
        "for i in $(seq 100); do echo link add vx$i type veth peer name vy$i; echo link set vx$i up; echo link set vy$i up; done | ip -batch -",
    );
    let mut daemon = Daemon::start(&namespace, "", &["--interface", "v*"]);
    assert_eq!(daemon.own_status().unwrap().attachments.len(), 200);
    let setting = std::fs::read_to_string("/sys/kernel/rcu_expedited").unwrap();
    assert_eq!(setting.trim(), "0");
    let began = Instant::now();
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    // One after the other they would take 4 s at the least.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn clsact_takes_interfaces_of_several_namespaces_that_have_one_index() {
    if !root() {
        return;
    }
    let (own, other) = (Netns::new(), Netns::new());
    let config = format!(
        "[datapath]\nforce_clsact = true\n[[datapath.namespace]]\npath = \"/run/netns/{}\"\n",
        other.name
    );
    let mut daemon = Daemon::start(&own, &config, &[]);
    let status = daemon.own_status().unwrap();
    assert!(status.unobserved.is_empty(), "{:?}", status.unobserved);
    let mut names: Vec<String> = status
        .attachments
        .iter()
        .map(|one| one.interface.clone())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["lo".to_owned(), format!("{}/lo", other.name)]);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(!other.run("tc qdisc show dev lo").contains("clsact"));
}

#[test]
fn namespaces_have_names_longer_than_those_of_interfaces() {
    if !root() {
        return;
    }
    let own = Netns::new();
    let name = format!("cni-{}-8e6a0f1c-2d3b-4a5c", own.name);
    host(&format!(
        "ip netns add {name} && ip -n {name} link set lo up"
    ));
    let guest = Netns { name };
    let config = format!(
        "[[datapath.namespace]]\npath = \"/run/netns/{}\"\n",
        guest.name
    );
    let daemon = Daemon::start(&own, &config, &[]);
    let interface = format!("{}/lo", guest.name);
    assert!(daemon.attachment(&interface).is_some());
}
