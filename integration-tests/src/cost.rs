//! What a daemon takes, and what its other clients wait, while something goes on.

use std::{
    fs,
    time::{Duration, Instant},
};

use sextant_proto::observer::{ServerStatusRequest, observer_client::ObserverClient};
use tempfile::TempDir;

use crate::{Daemon, Netns, daemon::connect_for_ever, eventually};

/// Time between two questions of the other client.
const PAUSE: Duration = Duration::from_millis(20);

/// A daemon that observes nothing and holds so many flows, of which `line` gives the JSON.
#[must_use]
pub fn replaying(flows: usize, line: impl Fn(usize) -> String) -> (Daemon, Netns, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flows.jsonl");
    fs::write(&file, (0..flows).map(line).collect::<String>()).unwrap();
    let namespace = Netns::new();
    let replay = file.to_str().unwrap();
    let daemon = Daemon::start(&namespace, "", &["--no-datapath", "--replay", replay]);
    eventually("all flows are there", || {
        (daemon.status()?.num_flows as usize == flows).then_some(())
    });
    (daemon, namespace, folder)
}

/// The slowest ServerStatus of another client while `work` goes on; looks after each.
pub async fn slowest(
    server: &str,
    work: impl Future<Output = ()>,
    mut look: impl FnMut(),
) -> Duration {
    let mut client = ObserverClient::new(connect_for_ever(server).await.unwrap());
    let mut slowest = Duration::ZERO;
    let mut work = std::pin::pin!(work);
    loop {
        let begin = Instant::now();
        client.server_status(ServerStatusRequest {}).await.unwrap();
        slowest = slowest.max(begin.elapsed());
        look();
        if tokio::time::timeout(PAUSE, &mut work).await.is_ok() {
            return slowest;
        }
    }
}

/// KiB that a process has in memory.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.unwrap().split_whitespace().nth(1);
    kib.unwrap().parse().unwrap()
}

/// Hundredths of a second of CPU that a process took.
#[must_use]
pub fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
