//! A slow link between two namespaces, on kernels with and without netem: a relay of
//! frames between two tap devices.

use crate::{Netns, Process, eventually};

/// Relays frames with a delay; each namespace's device is made in it.
const RELAY: &str = r#"
import fcntl, os, select, struct, sys, time, collections
delay = float(sys.argv[1])
def tap(namespace, name):
    libc.setns(os.open("/run/netns/" + namespace, os.O_RDONLY), 0)
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH", name.encode(), 0x0002 | 0x1000))
    return fd
import ctypes
libc = ctypes.CDLL(None)
ends = [tap(sys.argv[2], sys.argv[3]), tap(sys.argv[4], sys.argv[5])]
waiting = collections.deque()
while True:
    rest = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    ready, _, _ = select.select(ends, [], [], rest)
    for fd in ready:
        frame = os.read(fd, 65536)
        waiting.append((time.monotonic() + delay, ends[1 - ends.index(fd)], frame))
    while waiting and waiting[0][0] <= time.monotonic():
        _, to, frame = waiting.popleft()
        try:
            os.write(to, frame)
        except OSError:
            pass
"#;

/// Joins two namespaces as `netns::veth` does, by a link that takes so many milliseconds
/// each way, over which no packet carries its socket. It is there as long as the guard.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn link(a: (&Netns, &str), b: (&Netns, &str), net: u8, millis: u32) -> Process {
    let child = std::process::Command::new("python3")
        .args(["-c", RELAY, &format!("{}", f64::from(millis) / 1000.0)])
        .args([&a.0.name, a.1, &b.0.name, b.1])
        .spawn()
        .expect("python3");
    for ((namespace, name), last) in [(a, 1), (b, 2)] {
        eventually("a tap device", || {
            let (ok, _) = namespace.try_run(&format!("ip link show {name}"));
            ok.then_some(())
        });
        namespace.run(&format!(
            "ip addr add 10.9.{net}.{last}/24 dev {name} && \
             ip addr add fd09:{net}::{last}/64 dev {name} nodad && ip link set {name} up"
        ));
    }
    Process(child)
}

/// A router between two others, joined with them by slow links: `left0` with the first
/// net and delay, `right0` with the second. Both families are forwarded.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn routed([left, router, right]: [&Netns; 3], nets: [u8; 2], millis: [u32; 2]) -> [Process; 2] {
    let links = [
        link((router, "left0"), (left, "slow0"), nets[0], millis[0]),
        link((router, "right0"), (right, "slow0"), nets[1], millis[1]),
    ];
    router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    for (end, net) in [(left, nets[0]), (right, nets[1])] {
        end.run(&format!(
            "ip route add default via 10.9.{net}.1 && ip -6 route add default via fd09:{net}::1"
        ));
    }
    links
}
