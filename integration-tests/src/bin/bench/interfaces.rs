//! Start and stop with many interfaces: how long until the daemon is ready, and
//! how long from SIGTERM to its end. To within the 50 ms between two looks.

use std::time::Instant;

use anyhow::ensure;
use sextant_integration_tests::{Daemon, Netns, root};

use crate::{
    Bench,
    report::{Figure, Goal, Samples},
};

/// Interfaces, as pairs.
const PAIRS: usize = 500;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("interfaces: needs root");
        return Ok(());
    }
    let namespace = Netns::new();
    namespace.run(&format!(
        "for i in $(seq {PAIRS}); do echo link add vx$i type veth peer name vy$i; \
         echo link set vx$i up; echo link set vy$i up; done | ip -batch -"
    ));
    let (mut ready, mut stopped) = (Samples::default(), Samples::default());
    for _ in 0..bench.runs() {
        let began = Instant::now();
        let mut daemon = Daemon::start_binary(
            &bench.options.sextantd,
            &namespace,
            "",
            &["--interface", "v*"],
        );
        ready.0.push(began.elapsed().as_secs_f64());
        let attached = daemon.own_status().unwrap_or_default().attachments.len();
        ensure!(attached == 2 * PAIRS, "{attached} interfaces attached");
        let began = Instant::now();
        daemon.signal("TERM");
        let status = daemon.wait();
        stopped.0.push(began.elapsed().as_secs_f64());
        ensure!(status.success(), "ended with {status}");
    }
    for (what, sextant, goal) in [("ready after", ready, 2.0), ("stopped after", stopped, 1.0)] {
        bench.report.add(Figure {
            scenario: "interfaces",
            what: format!("with {} interfaces, {what}", 2 * PAIRS),
            unit: "s",
            sextant,
            hubble: None,
            goal: Some(Goal::AtMost(goal)),
        });
    }
    Ok(())
}
