//! A flood of SYNs from random sources: whether each is accounted for, how soon after it a
//! new connection is seen, and how long others wait meanwhile.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use sextant_integration_tests::{
    Daemon, Netns,
    netns::{packets, quiet, with_packets},
    root,
    seen::seen_after,
    veth,
};
use sextant_proto::sextant::status::v1::PacketBalance;

use crate::{
    Bench,
    report::{Figure, Goal, Samples},
};

const SYNS: u64 = 1_000_000;
const RATE: u64 = 100_000;
/// The flooded host, whose answers go back whatever source comes.
const HOST: &str = "10.9.1.2";
/// Between two questions of another client.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Rounds {
    took: Samples,
    slowest: Samples,
    seen: Samples,
    missing: Samples,
    without_flow: Samples,
}

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("flood: needs root");
        return Ok(());
    }
    let mut rounds = Rounds::default();
    for _ in 0..bench.runs() {
        round(bench, &mut rounds)?;
    }
    for (what, unit, sextant, goal) in [
        ("sent in", "s", rounds.took, None),
        (
            "missing in flows, causes and the kernel's counter",
            "packets",
            rounds.missing,
            Some(0.0),
        ),
        (
            "counted by cause, since no table had room",
            "packets",
            rounds.without_flow,
            None,
        ),
        ("new connection seen after", "s", rounds.seen, Some(10.0)),
        (
            "slowest ServerStatus meanwhile",
            "ms",
            rounds.slowest,
            Some(1000.0),
        ),
    ] {
        bench.report.add(Figure {
            scenario: "flood",
            what: format!("{SYNS} SYNs of random sources: {what}"),
            unit,
            sextant,
            hubble: None,
            goal: goal.map(Goal::AtMost),
        });
    }
    Ok(())
}

fn round(bench: &Bench, rounds: &mut Rounds) -> anyhow::Result<()> {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    a.run(&format!("ping -c 1 {HOST}"));
    b.run("ip link set vb down");
    let before = packets(&b, "vb");
    let daemon = Daemon::start_binary(
        &bench.options.sextantd,
        &b,
        "[datapath]\ndrops = false\n",
        &["--interface", "vb"],
    );
    b.run("ip link set vb up && ip route replace default via 10.9.1.1");
    let began = Instant::now();
    let mut flood = flood(&a)?
        .args(["syn", HOST, &SYNS.to_string(), "--rate", &RATE.to_string()])
        .stdout(Stdio::null())
        .spawn()?;
    let mut slowest = Duration::ZERO;
    while flood.try_wait()?.is_none() {
        let asked = Instant::now();
        ensure!(daemon.status().is_some(), "no answer during the flood");
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(PAUSE);
    }
    ensure!(flood.wait()?.success(), "the flood failed");
    rounds.took.0.push(began.elapsed().as_secs_f64());
    rounds.slowest.0.push(slowest.as_secs_f64() * 1000.0);
    rounds
        .seen
        .0
        .push(seen_after(&a, &daemon, Instant::now(), HOST, 2000).as_secs_f64());
    quiet(&b, "vb");
    let (counted, balance) = with_packets(&b, "vb", || {
        let packets = daemon.own_status()?.ledger?.packets?;
        (packets.difference == 0).then_some(packets)
    });
    let seen = balance.seen.as_ref().map_or(0, |seen| seen.packets);
    rounds
        .missing
        .0
        .push((counted - before).abs_diff(seen) as f64);
    rounds.without_flow.0.push(without_flow(&balance) as f64);
    Ok(())
}

/// The program that floods, which is beside this one.
pub(crate) fn flood(from: &Netns) -> anyhow::Result<Command> {
    let program = std::env::current_exe()?.with_file_name("flood");
    ensure!(program.exists(), "{} is to be built", program.display());
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &from.name]).arg(program);
    Ok(command)
}

fn without_flow(balance: &PacketBalance) -> u64 {
    let volumes = balance.without_flow.iter().filter_map(|one| one.volume);
    volumes.map(|volume| volume.packets).sum()
}
