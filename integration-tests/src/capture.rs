//! The truth: a capture of the same link, read by tshark.

use std::{collections::HashMap, net::IpAddr, process::Command};

use tempfile::TempDir;

use crate::{
    Netns, Process, eventually,
    totals::{Direction, Totals},
};

/// A running capture.
pub struct Capture {
    process: Option<Process>,
    folder: TempDir,
}

/// Columns that tshark prints, the first occurrence of each.
const FIELDS: [&str; 20] = [
    "frame.len",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.dstport",
    "icmp.type",
    "icmpv6.type",
    "ip.id",
    "ip.frag_offset",
    "ip.flags.mf",
    "ipv6.fraghdr.ident",
    "ipv6.fraghdr.offset",
    "ipv6.fraghdr.more",
    "ip.proto",
];

impl Capture {
    /// Captures all of an interface; returns once the capture runs.
    #[must_use]
    pub fn start(namespace: &Netns, interface: &str) -> Self {
        Self::begin(namespace, interface, 160)
    }

    /// As `start`, with all that frames carry.
    #[must_use]
    pub fn whole(namespace: &Netns, interface: &str) -> Self {
        Self::begin(namespace, interface, 0)
    }

    fn begin(namespace: &Netns, interface: &str, bytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = namespace.spawn(&format!(
            "tcpdump -Z root --immediate-mode -U -B 65536 -s {bytes} -i {interface} -w {}/pcap 2>{}",
            folder.path().display(),
            log.display()
        ));
        eventually("tcpdump listening", || {
            let text = std::fs::read_to_string(&log).ok()?;
            text.contains("listening on").then_some(())
        });
        Self {
            process: Some(process),
            folder,
        }
    }

    /// The file that is written.
    #[must_use]
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("pcap")
    }

    /// Ends the capture; it has all packets until now.
    ///
    /// # Panics
    ///
    /// When it has not.
    pub fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            crate::netns::host(&format!("kill -INT {}", process.0.id()));
            process.0.wait().unwrap();
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        assert!(log.contains("\n0 packets dropped by kernel"), "{log}");
    }

    /// Ends the capture and sums it up.
    #[must_use]
    pub fn totals(&mut self) -> Totals {
        self.end();
        let mut command = Command::new("tshark");
        command
            .args(["-T", "fields", "-E", "occurrence=f", "-n"])
            // Each frame for itself, tunnels from outside.
            .args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"])
            .args([
                "--disable-protocol",
                "vxlan",
                "--disable-protocol",
                "geneve",
            ])
            .arg("-r")
            .arg(self.file());
        for field in FIELDS {
            command.args(["-e", field]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success());
        sum(&String::from_utf8(output.stdout).unwrap())
    }
}

fn sum(lines: &str) -> Totals {
    let mut totals = Totals::new();
    let mut firsts: HashMap<(String, String, String), Direction> = HashMap::new();
    for line in lines.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let get = |name: &str| {
            let index = FIELDS.iter().position(|field| *field == name).unwrap();
            columns.get(index).copied().unwrap_or_default()
        };
        let (source, destination) = match get("ip.src") {
            "" => (get("ipv6.src"), get("ipv6.dst")),
            source => (source, get("ip.dst")),
        };
        let (Ok(from), Ok(to)) = (source.parse(), destination.parse()) else {
            continue;
        };
        let id = [get("ip.id"), get("ipv6.fraghdr.ident")].concat();
        let datagram = (source.to_owned(), destination.to_owned(), id);
        let is_set = |name: &str| !matches!(get(name), "" | "0" | "False");
        let direction = if is_set("ip.frag_offset") || is_set("ipv6.fraghdr.offset") {
            firsts.get(&datagram).cloned()
        } else {
            ports(&get, from, to)
        };
        let Some(direction) = direction else { continue };
        if is_set("ip.flags.mf") || is_set("ipv6.fraghdr.more") {
            firsts.insert(datagram, direction.clone());
        }
        let total = totals.entry(direction).or_default();
        total.0 += 1;
        total.1 += get("frame.len").parse::<u64>().unwrap();
    }
    totals
}

fn ports<'a>(get: &impl Fn(&'a str) -> &'a str, from: IpAddr, to: IpAddr) -> Option<Direction> {
    let number = |name| get(name).parse::<u32>().ok();
    // ICMP first: an error carries the ports of the packet that it is about.
    let (protocol, source, destination) = if let Some(kind) = number("icmp.type") {
        let query = if kind == 0 { 8 } else { kind };
        ("icmp", query, query)
    } else if let Some(kind) = number("icmpv6.type") {
        let query = if kind == 129 { 128 } else { kind };
        ("icmp6", query, query)
    } else if let Some(port) = number("tcp.srcport") {
        ("tcp", port, number("tcp.dstport")?)
    } else if let Some(port) = number("udp.srcport") {
        ("udp", port, number("udp.dstport")?)
    } else {
        ("sctp", number("sctp.srcport")?, number("sctp.dstport")?)
    };
    Some(Direction {
        protocol,
        from: (from, source),
        to: (to, destination),
    })
}
