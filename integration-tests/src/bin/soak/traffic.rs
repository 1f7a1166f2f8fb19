//! Traffic between the namespaces, and interfaces and namespaces that flap.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use sextant_integration_tests::{Netns, Process, eventually, veth};

/// What answers, in the far namespace; a port of it drops.
pub(crate) fn servers(b: &Netns) -> Vec<Process> {
    b.run(
        "nft add table ip t && nft 'add chain ip t i { type filter hook input priority 0; }' && \
         nft add rule ip t i udp dport 4001 drop",
    );
    let servers = [
        "iperf3 -s",
        "iperf3 -s -p 5202",
        "python3 -m http.server 8080 --bind 10.9.1.2 --directory /run/netns",
        "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= \
         --user=root --listen-address=10.9.1.2 --bind-interfaces --address=/test/10.0.0.7",
    ];
    let running = servers.iter().map(|server| b.spawn(server)).collect();
    for port in [5201, 5202, 8080, 53] {
        eventually("the servers listen", || {
            let listening = b.run(&format!("ss -Hltn sport = {port}"));
            (!listening.is_empty()).then_some(())
        });
    }
    running
}

/// Loops of traffic that go on while `flag` is there.
pub(crate) fn loops(a: &Netns, flag: &Path) -> Vec<Process> {
    let scatter = "python3 -c \"import socket
for n in range(2000):
 s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
 s.sendto(b\\\"x\\\",(\\\"10.9.1.2\\\",20000+n))
 s.close()\"";
    let steps = [
        "iperf3 -c 10.9.1.2 -b 200M -t 2; sleep 1",
        "iperf3 -u -c 10.9.1.2 -p 5202 -l 64 -b 5M -t 2; sleep 1",
        "curl -s -m 2 http://10.9.1.2:8080/; sleep 0.05",
        "dig +tries=1 +time=1 @10.9.1.2 x$RANDOM.test A; sleep 0.05",
        "ping -f -c 500 10.9.1.2; ping -6 -f -c 100 fd09:1::2; sleep 1",
        &format!("{scatter}; sleep 2"),
        "echo x > /dev/udp/10.9.1.2/4001; echo x > /dev/tcp/10.9.1.2/81; sleep 0.1",
    ];
    let flag = flag.display();
    let spawn = |step: &&str| {
        // A step may fail, as when a server is busy; the loop goes on.
        a.spawn(&format!(
            "bash -c 'while [ -e {flag} ]; do {step}; done; true'"
        ))
    };
    steps.iter().map(spawn).collect()
}

/// Namespaces come with an interface into `a`, speak, go down and up, and go.
pub(crate) fn flap(a: &Netns, stop: &AtomicBool) {
    for round in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let guest = Netns::new();
        let name = format!("f{round}");
        let net = 2 + (round % 200) as u8;
        veth((a, &name), (&guest, "eth0"), net);
        a.try_run(&format!("ping -c 5 -i 0.1 -W 1 10.9.{net}.2"));
        a.run(&format!("ip link set {name} down && ip link set {name} up"));
        guest.try_run(&format!("ping -c 5 -i 0.1 -W 1 10.9.{net}.1"));
        if round % 2 == 0 {
            a.run(&format!("ip link del {name}"));
        }
        drop(guest);
    }
}
