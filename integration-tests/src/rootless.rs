//! A `sextantd` without eBPF on the loopback, which needs no root.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::{daemon::binary, eventually, netns::Process};

/// One flow, as a line of a replay file.
const FLOW: &str = r#"{"flow":{"verdict":"FORWARDED","source":{"labels":["k8s:app=web"]}}}"#;

/// The daemon with so many equal flows, on a port of each family.
#[derive(Debug)]
pub struct Rootless {
    /// Of IPv4, then of IPv6, as `host:port`.
    pub servers: Vec<String>,
    process: Process,
    folder: TempDir,
}

impl Rootless {
    /// Starts it and waits until it serves.
    #[must_use]
    pub fn start(flows: usize, config: &str) -> Self {
        Self::replaying(&format!("{FLOW}\n").repeat(flows), config)
    }

    /// As `start`, with these lines instead.
    #[must_use]
    pub fn replaying(lines: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("flows.jsonl"), lines).unwrap();
        fs::write(path("sextant.toml"), config).unwrap();
        let child = Command::new(binary())
            .args(["--no-datapath", "--metrics-listen", "off"])
            .args(["--listen", "tcp://127.0.0.1:0", "--listen", "tcp://[::1]:0"])
            .arg("--listen")
            .arg(format!("unix://{}", path("socket").display()))
            .arg("--config")
            .arg(path("sextant.toml"))
            .arg("--replay")
            .arg(path("flows.jsonl"))
            .arg("--state-dir")
            .arg(path("state"))
            .env("NO_COLOR", "1")
            .stderr(fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let process = Process(child);
        let servers = eventually("the daemon listens", || {
            let log = fs::read_to_string(path("log")).unwrap();
            let words = log.split_whitespace();
            let servers = words.filter_map(|word| word.strip_prefix("server="));
            let servers = servers.filter(|server| !server.starts_with("unix:"));
            let servers: Vec<String> = servers.map(str::to_owned).collect();
            (servers.len() == 2).then_some(servers)
        });
        Self {
            servers,
            process,
            folder,
        }
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A file of its process.
    #[must_use]
    pub fn proc_file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.0.id())
    }

    /// Memory that it has resident, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.kilobytes("VmRSS:") << 10
    }

    /// The most that it had.
    #[must_use]
    pub fn most_resident_bytes(&self) -> u64 {
        self.kilobytes("VmHWM:") << 10
    }

    fn kilobytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc_file("status")).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let number = value.unwrap().split_whitespace().next().unwrap();
        number.parse().unwrap()
    }
}
