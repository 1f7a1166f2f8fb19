//! A real DNS server in a namespace, and what clients and tshark see of it.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{Netns, Process, eventually};

/// A running dnsmasq on all addresses of a namespace.
pub struct DnsServer {
    _process: Process,
    _folder: TempDir,
}

impl DnsServer {
    /// Starts it with these lines of configuration, beside none of the host's.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[must_use]
    pub fn start(namespace: &Netns, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("conf");
        let fixed = "no-resolv\nno-hosts\nlocal-ttl=300\nlocal=/test/\nuser=root\n";
        fs::write(&file, format!("{fixed}{lines}\n")).unwrap();
        let process = namespace.spawn(&format!(
            "dnsmasq --no-daemon --pid-file= --conf-file={}",
            file.display()
        ));
        eventually("dnsmasq listening", || {
            let sockets = namespace.run("ss -Hlnu sport = 53; ss -Hlnt sport = 53");
            (sockets.lines().count() >= 2).then_some(())
        });
        Self {
            _process: process,
            _folder: folder,
        }
    }
}

/// A DNS message: query or answer, as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// It answers.
    pub is_answer: bool,
    /// The name that is asked for, without a dot at the end.
    pub query: String,
    /// Response code; 0 for queries.
    pub rcode: u32,
    /// Addresses, in order.
    pub addresses: Vec<String>,
}

/// What tshark reads of the DNS messages of a capture, sorted.
///
/// # Panics
///
/// When tshark fails.
#[must_use]
pub fn by_tshark(file: &Path) -> Vec<Told> {
    let output = Command::new("tshark")
        .args(["-n", "-r"])
        .arg(file)
        // Of a stream one message to a packet is enough here.
        .args(["-Y", "dns", "-T", "fields", "-E", "occurrence=a"])
        .args(["-E", "aggregator=,", "-e", "dns.flags.response"])
        .args(["-e", "dns.qry.name", "-e", "dns.flags.rcode"])
        .args(["-e", "dns.a", "-e", "dns.aaaa"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all: Vec<Told> = text.lines().map(line).collect();
    all.sort();
    all
}

fn line(line: &str) -> Told {
    let columns: Vec<&str> = line.split('\t').collect();
    let column = |index: usize| columns.get(index).copied().unwrap_or_default();
    let list = |index: usize| {
        let parts = column(index).split(',').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    Told {
        is_answer: matches!(column(0), "1" | "True"),
        query: column(1).to_lowercase().replace("<root>", ""),
        rcode: column(2).parse().unwrap_or(0),
        addresses: [list(3), list(4)].concat(),
    }
}
