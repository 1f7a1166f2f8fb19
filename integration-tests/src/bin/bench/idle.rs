//! The daemon with its datapath attached in a namespace of its own, and nothing
//! to see.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sextant_integration_tests::{Daemon, Netns, root};

use crate::{
    Bench,
    report::{Figure, Goal, Samples},
    server::cpu_of_threads,
};

const ROUND: Duration = Duration::from_secs(10);
const MIB: f64 = 1_048_576.0;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("idle daemon: needs root");
        return Ok(());
    }
    let rounds = bench.runs();
    // The daemon's guard has a runtime of its own.
    let [cpu, memory] = tokio::task::spawn_blocking(move || measure(rounds)).await??;
    let figures = [
        ("CPU of the idle daemon", "% of a core", cpu, 0.1),
        ("resident memory of the idle daemon", "MiB", memory, 40.0),
    ];
    for (what, unit, sextant, goal) in figures {
        bench.report.add(Figure {
            scenario: "idle",
            what: what.into(),
            unit,
            sextant,
            hubble: None,
            goal: Some(Goal::AtMost(goal)),
        });
    }
    Ok(())
}

fn measure(rounds: usize) -> anyhow::Result<[Samples; 2]> {
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &[]);
    let mut samples = [Samples::default(), Samples::default()];
    for _ in 0..rounds {
        let (cpu, start) = (cpu_of_threads(daemon.pid())?, Instant::now());
        std::thread::sleep(ROUND);
        let used = cpu_of_threads(daemon.pid())?.saturating_sub(cpu);
        let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
        samples[0].0.push(share * 100.0);
        let status = daemon.own_status().context("no status")?;
        let cost = status.cost.context("no cost in the status")?;
        // Flow tables that are mapped are the kernel's memory.
        samples[1].0.push(cost.resident_bytes as f64 / MIB);
    }
    Ok(samples)
}
