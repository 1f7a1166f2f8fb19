//! A soak: mixed traffic, clients that come, go and stall, interfaces and
//! namespaces that flap, clients that mean harm, for `SOAK_MINUTES` (30). Meanwhile
//! others are answered; at the end memory and descriptors must be flat, the ledger
//! balanced, and nothing left behind.
//!
//! Not a measure of speed. Everything is in namespaces of its own.
#![allow(clippy::unwrap_used, reason = "as in tests: a mistake ends the run")]

mod clients;
mod hostile;
mod samples;
mod traffic;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use samples::{Samples, status};
use sextant_integration_tests::{Daemon, Netns, daemon::QUICK, eventually, root, veth};

/// Time between two looks at the daemon.
const LOOK: Duration = Duration::from_secs(1);
/// Of the daemon's loopback, where strangers come.
const PORT: u16 = 4245;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_some_and(|word| word == hostile::WORD) {
        return hostile::run(&arguments.next().unwrap());
    }
    assert!(root(), "the soak needs root");
    let minutes = std::env::var("SOAK_MINUTES").map_or(30, |text| text.parse().unwrap());
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let glob = format!("/run/netns/{}-*", a.name.rsplit_once('-').unwrap().0);
    // Full within seconds: from then on memory must not grow.
    let config =
        format!("flow_capacity = 16383\n{QUICK}[[datapath.namespace]]\npath = \"{glob}\"\n");
    let listen = format!("tcp://127.0.0.1:{PORT}");
    let mut daemon = Daemon::start(&a, &config, &["--listen", &listen]);
    let samples = soak(&daemon, &a, &b, Duration::from_secs(60 * minutes));
    let balanced = eventually("the ledger balances", || {
        let now = status(&daemon);
        let ledger = now.ledger.as_ref()?;
        let balanced = ledger.packets.as_ref()?.difference == 0;
        (balanced && ledger.events.as_ref()?.in_flight == 0).then_some(now)
    });
    samples.print(&balanced);
    samples::check_losses(&balanced);
    samples.check_flat();
    samples.check_answers();
    samples::check_refused(&balanced);
    let programs: Vec<u32> = balanced
        .cost
        .unwrap()
        .programs
        .iter()
        .map(|p| p.id)
        .collect();
    assert!(!programs.is_empty());
    daemon.signal("TERM");
    let end = daemon.wait();
    assert!(end.success(), "sextantd ended with {end}");
    nothing_is_left(&[&a, &b], &programs);
    println!("soak passed: {minutes} minutes");
}

/// Runs everything at once until the time is over.
fn soak(daemon: &Daemon, a: &Netns, b: &Netns, time: Duration) -> Samples {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("run");
    std::fs::write(&flag, "").unwrap();
    let servers = traffic::servers(b);
    let loops = traffic::loops(a, &flag);
    let hostile = hostile::start(a, PORT);
    let stop = AtomicBool::new(false);
    let mut samples = Samples::new(daemon.pid());
    thread::scope(|scope| {
        // Also when a look fails: the scope waits for its parts.
        let _stop = StopWhenDropped(&stop);
        let parts = [
            scope.spawn(|| traffic::flap(a, &stop)),
            scope.spawn(|| clients::cli(daemon, &stop)),
            scope.spawn(|| clients::followers(daemon, &stop)),
            scope.spawn(|| clients::stalled(daemon, &stop)),
            scope.spawn(|| clients::drainers(daemon, &stop)),
        ];
        let end = Instant::now() + time;
        // A part ends early only by a panic, which the scope passes on.
        while Instant::now() < end && parts.iter().all(|part| !part.is_finished()) {
            thread::sleep(LOOK);
            samples.take(daemon);
        }
    });
    std::fs::remove_file(flag).unwrap();
    for mut process in loops {
        assert!(
            process.0.wait().unwrap().success(),
            "a loop of traffic failed"
        );
    }
    drop((servers, hostile));
    samples
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// No program in the kernel, no queueing discipline, no process.
fn nothing_is_left(namespaces: &[&Netns], programs: &[u32]) {
    eventually("the kernel let go of all programs", || {
        let gone = |id: &u32| {
            !namespaces[0]
                .try_run(&format!("bpftool prog show id {id}"))
                .0
        };
        programs.iter().all(gone).then_some(())
    });
    for namespace in namespaces {
        assert!(!namespace.run("tc qdisc show").contains("clsact"));
        assert!(!namespace.run("bpftool net show").contains("sextant"));
        eventually("all processes ended", || {
            let pids = namespace.run(&format!("ip netns pids {}", namespace.name));
            // The shell that asks is one itself.
            (pids.lines().count() <= 3).then_some(())
        });
    }
}
