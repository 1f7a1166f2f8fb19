//! What the daemon costs the traffic that it observes, in network namespaces of
//! the benchmark: throughput, latency of HTTP, CPU by packets a second; and that
//! nothing of a flood is unaccounted for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sextant_integration_tests::{
    Daemon, Netns, netns,
    netns::{pair, quiet},
    root,
};

use crate::{
    Bench,
    attached::{Statistics, attach_empty, daemon, run_time},
    report::{Figure, Goal, Samples, Series},
    server::cpu_of_threads,
    traffic::{SECONDS, Web, iperf_server, traffic},
};

/// Of throughput in a round, and how long each is.
const TURNS: usize = 6;
const TURN_SECONDS: u32 = 2;
/// Packets a second that are offered, each rate ten times the one before.
const RATES: [u32; 3] = [1_500, 15_000, 150_000];

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("network: needs root");
        return Ok(());
    }
    throughput(bench)?;
    latency(bench)?;
    flood(bench)?;
    by_rate(bench)
}

/// What is attached while packets are counted.
#[derive(Clone, Copy)]
enum Attached {
    Nothing,
    /// A program that does nothing: what the kernel takes for any.
    Empty,
    Daemon,
}

/// With the daemon, with an empty program and with none, in short turns whose
/// order goes round: single ones are a tenth apart on a machine that is shared.
fn throughput(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let states = [Attached::Nothing, Attached::Empty, Attached::Daemon];
    let (mut with, mut empty) = (Samples::default(), Samples::default());
    for _ in 0..bench.runs() {
        let mut sums = [0.0; 3];
        for turn in 0..TURNS {
            for place in 0..states.len() {
                let state = (turn + place) % states.len();
                sums[state] += packets_with(bench, &a, states[state])?;
            }
        }
        empty.0.push(sums[1] / sums[0]);
        with.0.push(sums[2] / sums[0]);
    }
    for (what, sextant, goal) in [
        ("with ÷ without", with, Some(Goal::AtLeast(0.95))),
        ("with an empty program ÷ without", empty, None),
    ] {
        bench.report.add(Figure {
            scenario: "network",
            what: format!("64-byte UDP over veth, {what}"),
            unit: "",
            sextant,
            hubble: None,
            goal,
        });
    }
    Ok(())
}

fn packets_with(bench: &Bench, a: &Netns, attached: Attached) -> anyhow::Result<f64> {
    let run = || traffic(a, "10.9.1.2", "", TURN_SECONDS);
    match attached {
        Attached::Nothing => run(),
        Attached::Empty => {
            attach_empty(a, "va", &bench.options.empty_program);
            let packets = run();
            a.run("tc qdisc del dev va clsact");
            packets
        }
        Attached::Daemon => {
            let _daemon = daemon(bench, a);
            run()
        }
    }
}

/// HTTP over veth with the daemon and without, in turns.
fn latency(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _web = Web::start(&a, &b)?;
    let mut added = Samples::default();
    for _ in 0..bench.runs() {
        let without = p99(&a)?;
        let daemon = daemon(bench, &a);
        let with = p99(&a)?;
        drop(daemon);
        added.0.push(with - without);
    }
    bench.report.add(Figure {
        scenario: "network",
        what: "HTTP over veth (wrk), added p99".into(),
        unit: "ms",
        sextant: added,
        hubble: None,
        goal: Some(Goal::AtMost(0.3)),
    });
    Ok(())
}

/// Milliseconds of 16 connections that ask without pause.
fn p99(from: &Netns) -> anyhow::Result<f64> {
    let text = from.run(&format!(
        "wrk -t1 -c16 -d{SECONDS}s --latency http://10.9.1.2:8080/"
    ));
    ensure!(!text.contains("Socket errors"), "wrk: {text}");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("99%"));
    let value = line
        .with_context(|| format!("no p99 of wrk: {text}"))?
        .trim();
    for (unit, milliseconds) in [("us", 1e-3), ("ms", 1.0), ("s", 1e3)] {
        if let Some(number) = value.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * milliseconds);
        }
    }
    anyhow::bail!("p99 of wrk: {value:?}")
}

/// Every packet of a flood is in a flow or counted by cause.
fn flood(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let daemon = daemon(bench, &a);
    quiet(&a, "va");
    let before = netns::with_packets(&a, "va", || Some(seen(&daemon).0));
    traffic(&a, "10.9.1.2", "", SECONDS)?;
    quiet(&a, "va");
    let after = netns::with_packets(&a, "va", || {
        let (seen, difference) = seen(&daemon);
        (difference == 0).then_some(seen)
    });
    let passed = after.0 - before.0;
    let share = (after.1 - before.1) as f64 / passed as f64 * 100.0;
    bench.report.add(Figure {
        scenario: "network",
        what: format!("packets accounted for under a flood of {passed}"),
        unit: "%",
        sextant: Samples(vec![share]),
        hubble: None,
        goal: Some(Goal::AtLeast(100.0)),
    });
    Ok(())
}

/// Packets seen, and those in no sum of the ledger.
fn seen(daemon: &Daemon) -> (u64, i64) {
    let status = daemon.own_status().unwrap_or_default();
    let packets = status
        .ledger
        .and_then(|ledger| ledger.packets)
        .unwrap_or_default();
    (packets.seen.unwrap_or_default().packets, packets.difference)
}

/// What programs and daemon take of a core at a rate of packets.
fn by_rate(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let daemon = daemon(bench, &a);
    let mut points = Vec::new();
    for rate in RATES {
        let mut samples = Samples::default();
        for _ in 0..bench.runs() {
            samples.0.push(core_share(&a, &daemon, rate)?);
        }
        points.push((f64::from(rate), samples));
    }
    bench.report.add_series(Series {
        name: "cpu-by-packets",
        title: "CPU of programs and daemon by packets a second",
        x: "packets/s",
        y: "% of a core",
        curves: vec![("64-byte UDP over veth", points)],
    });
    Ok(())
}

/// Percent of a core; the kernel's own statistics of programs are in it.
fn core_share(from: &Netns, daemon: &Daemon, rate: u32) -> anyhow::Result<f64> {
    let _stats = Statistics::on()?;
    let used = || -> anyhow::Result<Duration> {
        let programs = run_time("sextant_out")?.0 + run_time("sextant_in")?.0;
        Ok(cpu_of_threads(daemon.pid())? + Duration::from_nanos(programs as u64))
    };
    let (before, start) = (used()?, Instant::now());
    let bits = u64::from(rate) * 64 * 8;
    from.run(&format!(
        "iperf3 -c 10.9.1.2 -u -l 64 -b {bits} -t {SECONDS} --json >/dev/null"
    ));
    let used = used()?.saturating_sub(before);
    Ok(used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0)
}
