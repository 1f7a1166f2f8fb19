//! Network namespaces and what runs in them.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// How long a link must be silent to be quiet.
const QUIET: Duration = Duration::from_millis(500);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace; removed when dropped, with the interfaces in it.
#[derive(Debug)]
pub struct Netns {
    /// Its name, as for `ip netns`.
    pub name: String,
}

impl Netns {
    /// A new namespace with its loopback up.
    #[must_use]
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sx-{}-{number}", std::process::id());
        host(&format!("ip netns add {name}"));
        let namespace = Self { name };
        // Addresses are there at once, and the kernel keeps quiet.
        namespace.run(
            "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
             net.ipv6.conf.default.router_solicitations=0 && ip link set lo up",
        );
        namespace
    }

    /// Runs a shell command to its end and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn run(&self, command: &str) -> String {
        let (ok, out) = self.try_run(command);
        assert!(ok, "`{command}` failed: {out}");
        out
    }

    /// As `run`, for commands that may fail: success and output.
    pub fn try_run(&self, command: &str) -> (bool, String) {
        shell(&format!(
            "ip netns exec {} bash -c {}",
            self.name,
            quoted(command)
        ))
    }

    /// Starts a command; it is killed when the guard is dropped.
    #[must_use]
    pub fn spawn(&self, command: &str) -> Process {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name, "bash", "-c"])
            .arg(format!("exec {command}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    /// A counter of an interface, from sysfs.
    #[must_use]
    pub fn statistic(&self, interface: &str, counter: &str) -> u64 {
        // sysfs shows the namespace that it was mounted in: `ip` asks the kernel.
        let json = self.run(&format!("ip -j -s link show {interface}"));
        let (direction, name) = counter.split_once('_').unwrap();
        let section = json.split(&format!("\"{direction}\":")).nth(1).unwrap();
        let value = section.split(&format!("\"{name}\":")).nth(1).unwrap();
        value
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap()
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = shell(&format!("ip netns del {}", self.name));
    }
}

/// A running command; killed by pid when dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two namespaces, joined by `va` and `vb`.
#[must_use]
pub fn pair() -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    (a, b)
}

/// Joins two namespaces by a veth pair with addresses `10.9.N.1` and `.2`,
/// `fd09:N::1` and `::2`; offloads off, so that frames are what is on the wire.
pub fn veth(a: (&Netns, &str), b: (&Netns, &str), net: u8) {
    let ((a, a_name), (b, b_name)) = (a, b);
    host(&format!(
        "ip link add {a_name} netns {} type veth peer name {b_name} netns {}",
        a.name, b.name
    ));
    for (namespace, name, last) in [(a, a_name, 1), (b, b_name, 2)] {
        namespace.run(&format!(
            "ip addr add 10.9.{net}.{last}/24 dev {name} && \
             ip addr add fd09:{net}::{last}/64 dev {name} nodad && \
             ip link set {name} up && \
             ethtool -K {name} tso off gso off gro off tx off rx off >/dev/null"
        ));
    }
}

/// Packets that an interface received and sent, by the kernel's count.
#[must_use]
pub fn packets(namespace: &Netns, interface: &str) -> u64 {
    namespace.statistic(interface, "rx_packets") + namespace.statistic(interface, "tx_packets")
}

/// The packets of an interface, and what `read` gives, of one moment: the kernel
/// may speak up between two looks.
pub fn with_packets<T>(
    namespace: &Netns,
    interface: &str,
    mut read: impl FnMut() -> Option<T>,
) -> (u64, T) {
    crate::eventually("a quiet moment", || {
        let before = packets(namespace, interface);
        let value = read()?;
        (before == packets(namespace, interface)).then_some((before, value))
    })
}

/// Waits until nothing has passed an interface for a while.
pub fn quiet(namespace: &Netns, interface: &str) {
    let mut last = (packets(namespace, interface), Instant::now());
    crate::eventually("the link is quiet", || {
        let now = packets(namespace, interface);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > QUIET).then_some(())
    });
}

/// Runs a command in the host's namespace, which must be one about links only.
pub fn host(command: &str) {
    let (ok, out) = shell(command);
    assert!(ok, "`{command}` failed: {out}");
}

fn shell(command: &str) -> (bool, String) {
    let output = Command::new("bash")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
