//! Connections that a change of policies allows no more are ended (`[policy] on_deny`), those
//! of this host, and no others.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{io::Write as _, process::Child};

use sextant_integration_tests::{
    Daemon, Netns,
    enforced::{Hosts, host_policy, line_of, server, start},
    eventually, root,
};

/// Connects; each line on stdin is sent, and told what became of it.
const TALKER: &str = r#"
import errno, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(3)
print("ready", flush=True)
for line in sys.stdin:
    try:
        s.sendall(b"x")
        print("came back" if s.recv(1) else "closed", flush=True)
    except TimeoutError:
        print("waited", flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
"#;

const DESTROY: &str = "[policy]\non_deny = \"destroy\"\n";

fn talker(from: &Netns, to: &str, port: u16) -> Child {
    let mut talker = start(from, TALKER, &format!("{to} {port}"));
    assert_eq!(line_of(&mut talker), "ready");
    assert_eq!(says(&mut talker), "came back");
    talker
}

fn says(talker: &mut Child) -> String {
    writeln!(talker.stdin.as_mut().unwrap(), "hello").unwrap();
    line_of(talker)
}

fn end(talkers: impl IntoIterator<Item = Child>) {
    for mut talker in talkers {
        talker.kill().unwrap();
        talker.wait().unwrap();
    }
}

fn fate(daemon: &Daemon, hosts: &Hosts, fate: &str) -> u64 {
    let name = format!("sextant_policy_denied_connections_total{{fate=\"{fate}\"}}");
    daemon.metric(&hosts.host, &name)
}

/// The host may call port 9090 and nothing else.
fn only_9090() -> String {
    host_policy("egress: [{toEntities: [all], toPorts: [{ports: [{port: \"9090\"}]}]}]")
}

#[test]
fn who_has_a_connection_that_is_allowed_no_more_hears_so() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe(DESTROY);
    let _at_neighbour = server(&hosts.neighbour, "9090 9091");
    let addresses = ["10.9.1.2", "fd09:1::2"];
    let to = |port: u16| addresses.map(|address| talker(&hosts.host, address, port));
    let (mut allowed, mut denied) = (to(9090), to(9091));
    hosts.apply(&daemon, &only_9090(), &[]);
    for talker in &mut denied {
        assert_eq!(says(talker), "ECONNABORTED");
    }
    for talker in &mut allowed {
        assert_eq!(says(talker), "came back");
    }
    eventually("counted", || {
        (fate(&daemon, &hosts, "ended") == 2).then_some(())
    });
    for other in ["no_socket", "failed", "no_room"] {
        assert_eq!(fate(&daemon, &hosts, other), 0, "{other}");
    }
    end(allowed.into_iter().chain(denied));
}

#[test]
fn one_that_came_in_is_ended_here_and_who_listens_goes_on() {
    if !root() {
        return;
    }
    let hosts = Hosts::new();
    let daemon = hosts.observe(DESTROY);
    let _at_host = server(&hosts.host, "8080");
    let there = || {
        let sockets = hosts.host.run("ss -Htn state established sport = :8080");
        sockets.lines().count()
    };
    let mut talkers = ["10.9.1.1", "fd09:1::1"].map(|to| talker(&hosts.neighbour, to, 8080));
    assert_eq!(there(), 2);
    hosts.apply(
        &daemon,
        &host_policy("ingress: [{fromCIDR: [192.0.2.0/24]}]"),
        &[],
    );
    for talker in &mut talkers {
        // The other end is not told.
        assert_eq!(says(talker), "waited");
    }
    eventually("they are ended", || (there() == 0).then_some(()));
    eventually("counted", || {
        (fate(&daemon, &hosts, "ended") == 2).then_some(())
    });
    hosts.allow_everything(&daemon);
    // What comes later of them is answered by a reset, and hits nobody who listens.
    for talker in &mut talkers {
        eventually("it is over", || {
            (says(talker) == "ECONNRESET" || says(talker) == "EPIPE").then_some(())
        });
    }
    end(talkers);
    end([talker(&hosts.neighbour, "10.9.1.1", 8080)]);
}

#[test]
fn by_default_and_in_audit_none_is_ended() {
    if !root() {
        return;
    }
    for (config, options) in [("", &[][..]), (DESTROY, &["--audit"][..])] {
        let hosts = Hosts::new();
        let daemon = hosts.observe(config);
        let _at_neighbour = server(&hosts.neighbour, "9091");
        let mut talker = talker(&hosts.host, "10.9.1.2", 9091);
        hosts.apply(&daemon, &only_9090(), options);
        let wanted = if config.is_empty() {
            "waited"
        } else {
            "came back"
        };
        assert_eq!(says(&mut talker), wanted);
        hosts.allow_everything(&daemon);
        eventually("it goes on", || {
            (says(&mut talker) == "came back").then_some(())
        });
        assert_eq!(fate(&daemon, &hosts, "ended"), 0);
        end([talker]);
    }
}
