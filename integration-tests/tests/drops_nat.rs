//! Drops of packets whose addresses were translated: told to the flow in which they
//! counted, and to no other.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use sextant_integration_tests::{Daemon, Netns, daemon::QUICK, eventually, root, totals, veth};
use sextant_proto::flow::Verdict;

/// `a` behind a router, which the daemon watches, and `b` beyond it. The router leads its
/// port 3300 to port 3301 of `b`, and hides `a` where it calls port 3303.
fn routed() -> (Netns, Netns, Netns, Daemon) {
    let (a, router, b) = (Netns::new(), Netns::new(), Netns::new());
    veth((&a, "va"), (&router, "ra"), 1);
    veth((&b, "vb"), (&router, "rb"), 2);
    router.run(
        "sysctl -qw net.ipv4.ip_forward=1 && nft -f - <<'END'
table ip t {
  chain pre { type nat hook prerouting priority -100; udp dport 3300 dnat to 10.9.2.1:3301; }
  chain post { type nat hook postrouting priority 100; oifname rb udp dport 3303 masquerade; }
  chain f { type filter hook forward priority 0; }
}
END",
    );
    a.run("ip route add default via 10.9.1.2");
    b.run("ip route add default via 10.9.2.2");
    let daemon = Daemon::start(&router, QUICK, &[]);
    (a, router, b, daemon)
}

/// Echoes what comes to a port.
fn echo(b: &Netns, port: u16) -> impl Drop {
    let server = b.spawn(&format!(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",{port}))\nwhile True:\n d,a=s.recvfrom(99); s.sendto(d,a)'"
    ));
    eventually("it is bound", || {
        let sockets = b.run(&format!("ss -Hlun sport = {port}"));
        sockets.contains(&port.to_string()).then_some(())
    });
    server
}

/// Sends datagrams from port 41000, each of which is answered; then, once a rule forbids it,
/// some that are not.
fn send(a: &Netns, router: &Netns, to: (&str, u16), answered: u32, rule: &str, lost: u32) {
    let rule = format!("ip netns exec {} nft add rule ip t f {rule}", router.name);
    let (host, port) = to;
    a.run(&format!(
        "python3 -c 'import socket,subprocess\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         s.bind((\"\",41000)); s.settimeout(5); to=(\"{host}\",{port})\n\
         for _ in range({answered}): s.sendto(b\"x\"*15,to); s.recv(99)\n\
         subprocess.run(\"{rule}\",shell=True,check=True)\n\
         for _ in range({lost}): s.sendto(b\"x\"*15,to)'"
    ));
}

/// Packets and drops of each direction, and the verdict, of the flow that ends between port
/// 41000 and this one. Who began a flow that may be older than the daemon is a guess.
fn end(daemon: &Daemon, client: &str, server: (&str, u32)) -> ([u64; 4], Verdict) {
    let client = (client.parse().unwrap(), 41000);
    let server = (server.0.parse().unwrap(), server.1);
    eventually("the end of the flow", || {
        daemon.flows().into_iter().find_map(|flow| {
            totals::text(&flow, "end_reason")?;
            let way = totals::direction(&flow)?;
            let keys = match [way.from, way.to] {
                ends if ends == [client, server] => ["", "reverse_"],
                ends if ends == [server, client] => ["reverse_", ""],
                _ => return None,
            };
            let number = |key: String| totals::number(&flow, &key);
            let [packets, answers] = keys.map(|way| number(format!("{way}packets")));
            let [dropped, lost] = keys.map(|way| number(format!("{way}dropped_packets")));
            Some(([packets, answers, dropped, lost], flow.verdict()))
        })
    })
}

#[test]
fn what_is_dropped_behind_a_translation_is_told_to_the_flow_that_counted_it() {
    if !root() {
        return;
    }
    let (a, router, b, daemon) = routed();
    let _server = echo(&b, 3301);
    send(&a, &router, ("10.9.1.2", 3300), 3, "udp dport 3301 drop", 4);
    let forwarded = Verdict::Forwarded;
    let called = end(&daemon, "10.9.1.1", ("10.9.1.2", 3300));
    assert_eq!(called, ([7, 3, 4, 0], forwarded));
    // Its other leg has the same addresses as the drops, and none of them.
    let behind = end(&daemon, "10.9.1.1", ("10.9.2.1", 3301));
    assert_eq!(behind, ([3, 3, 0, 0], forwarded));
}

#[test]
fn a_translated_flow_of_which_nothing_got_through_ends_as_dropped() {
    if !root() {
        return;
    }
    let (a, router, _b, daemon) = routed();
    let drop = "udp dport 3301 drop";
    send(&a, &router, ("10.9.1.2", 3300), 0, drop, 5);
    let called = end(&daemon, "10.9.1.1", ("10.9.1.2", 3300));
    assert_eq!(called, ([5, 0, 5, 0], Verdict::Dropped));
}

#[test]
fn answers_that_are_dropped_on_their_way_back_are_told_to_the_leg_that_counted_them() {
    if !root() {
        return;
    }
    let (a, router, b, daemon) = routed();
    let _server = echo(&b, 3303);
    send(&a, &router, ("10.9.2.1", 3303), 2, "udp sport 3303 drop", 6);
    let forwarded = Verdict::Forwarded;
    let called = end(&daemon, "10.9.1.1", ("10.9.2.1", 3303));
    assert_eq!(called, ([8, 2, 0, 0], forwarded));
    // The answers came to the address that hides the client.
    let behind = end(&daemon, "10.9.2.2", ("10.9.2.1", 3303));
    assert_eq!(behind, ([8, 8, 0, 6], forwarded));
}
