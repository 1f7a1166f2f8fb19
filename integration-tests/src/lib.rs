//! Support for tests with real kernels, traffic and clients: network
//! namespaces, the daemon in one of them, captures, frames, the real CLI.
//!
//! Everything made here is a guard that cleans up when dropped, also when the
//! test panics. All of it needs root; `root()` says so where it is missing.
#![allow(clippy::unwrap_used, reason = "tests panic")]

pub mod booted;
pub mod bpffs;
pub mod capture;
pub mod certificates;
pub mod cgroups;
pub mod cluster;
pub mod collector;
pub mod compare;
pub mod cost;
pub mod daemon;
pub mod dear;
pub mod deployed;
pub mod dns;
pub mod enforced;
pub mod engine;
pub mod exported;
pub mod foreign;
pub mod frame;
pub mod hubble;
pub mod iperf;
pub mod judged;
pub mod netns;
pub mod pods;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod rootless;
pub mod seen;
pub mod sink;
pub mod slow;
pub mod tcp;
pub mod there;
pub mod totals;

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

pub use certificates::{Certificates, Subject};
pub use daemon::Daemon;
pub use netns::{Netns, Process, veth};

/// Whether this process may do what the tests do; tells so when it may not.
#[must_use]
pub fn root() -> bool {
    let root = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"));
    if !root {
        println!("SKIPPED: network namespaces and eBPF need root");
    }
    root
}

/// Asks again until there is an answer. A machine that is busy with other
/// tests may be slow: the time is long, and passes only when a test fails.
///
/// # Panics
///
/// When there is none in time; `what` says what was waited for.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port of this process' own share, below those that the kernel gives out: tests run
/// beside each other, and one that takes another's port would speak to its server.
///
/// # Panics
///
/// When all of them are taken.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let share = u16::try_from(std::process::id() % 500).unwrap() * 40;
    let mut ports = (0..40).map(|_| 10_000 + share + NEXT.fetch_add(1, Ordering::Relaxed) % 40);
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port")
}
