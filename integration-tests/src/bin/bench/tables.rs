//! The kernel's table of flows: memory of a flow, the walk over it, and what a
//! packet costs by the flows in it, when each packet is of another one.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use sextant_integration_tests::{Daemon, Netns, eventually, netns::Process, root};

use crate::{
    Bench,
    attached::{EMPTY, Statistics, attach_empty, run_time},
    report::{Figure, Goal, Samples, Series},
};

/// No flow ends and none is told again: a packet's event is not in its cost.
const STILL: &str = "[datapath]\nother_idle = \"1h\"\nactive_interval = \"1h\"\n";
/// A million flows are below the fill level from which room is made.
const LARGE: &str = "flows_ipv4 = 1400000\n";
const FLOWS: [u32; 5] = [100, 1000, 10_000, 100_000, 1_000_000];
/// Packets of one pass over the flows.
const PASS: u32 = 200_000;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("tables: needs root");
        return Ok(());
    }
    packets(bench)?;
    sweeps(bench)
}

/// In a table for a million flows.
fn packets(bench: &mut Bench) -> anyhow::Result<()> {
    let namespace = Netns::new();
    let config = format!("{STILL}{LARGE}");
    let _daemon = Daemon::start_binary(&bench.options.sextantd, &namespace, &config, &[]);
    let mut sender = Sender::start(&namespace)?;
    attach_empty(&namespace, "lo", &bench.options.empty_program);
    let (mut busy, mut packets, mut net) = (Vec::new(), Vec::new(), Samples::default());
    for flows in FLOWS {
        sender.spread(flows, flows)?;
        let [of_one, _] = packet(bench.runs(), &mut sender, 1)?;
        busy.push((f64::from(flows), of_one));
        let [of_each, less_empty] = packet(bench.runs(), &mut sender, flows)?;
        packets.push((f64::from(flows), of_each));
        net = less_empty;
    }
    let of = |end: Option<&(f64, Samples)>| end.map_or(f64::NAN, |(_, samples)| samples.median());
    let growth = of(busy.last()) / of(busy.first());
    let text = "packet of one flow, with 1,000,000 ÷ with 100";
    add(bench, text, "", Samples(vec![growth]), 2.0);
    if let Some((_, missed)) = packets.last() {
        let text = "packet, each of another flow, of 1,000,000";
        add(bench, text, "ns", missed.clone(), 250.0);
        let text = "packet, each of another flow, of 1,000,000, less an empty program's";
        add(bench, text, "ns", net, 250.0);
    }
    bench.report.add_series(Series {
        name: "packet-by-flows",
        title: "Cost of a packet by flows in the table",
        x: "flows",
        y: "ns",
        curves: vec![
            ("IPv4 egress, live, all packets of one flow", busy),
            ("each packet of another flow", packets),
        ],
    });
    Ok(())
}

/// The walk over a table, and what it takes of memory.
fn sweeps(bench: &mut Bench) -> anyhow::Result<()> {
    let namespace = Netns::new();
    let config = format!("{STILL}{LARGE}");
    let daemon = Daemon::start_binary(&bench.options.sextantd, &namespace, &config, &[]);
    let mut sender = Sender::start(&namespace)?;
    let mut sweeps = Vec::new();
    for flows in FLOWS {
        sender.spread(flows, flows)?;
        sweeps.push((f64::from(flows), sweep(bench.runs(), &daemon, flows)?));
    }
    memory(bench, &daemon)?;
    let swept = sweeps
        .last()
        .map_or_else(Samples::default, |(_, samples)| samples.clone());
    add(
        bench,
        "walk over a table of 1,000,000 flows",
        "ms",
        swept,
        20.0,
    );
    bench.report.add_series(Series {
        name: "sweep-by-flows",
        title: "Time of a walk over the kernel's table by flows in it",
        x: "flows",
        y: "ms",
        curves: vec![("Sextant", sweeps)],
    });
    Ok(())
}

fn add(bench: &mut Bench, what: &str, unit: &'static str, sextant: Samples, at_most: f64) {
    bench.report.add(Figure {
        scenario: "tables",
        what: what.into(),
        unit,
        sextant,
        hubble: None,
        goal: Some(Goal::AtMost(at_most)),
    });
}

fn memory(bench: &mut Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let status = daemon.own_status().unwrap_or_default();
    let cost = status.cost.context("no cost in the status")?;
    for (table, map, family) in [("ipv4", "FLOWS4", "IPv4"), ("ipv6", "FLOWS6", "IPv6")] {
        let table = status.tables.iter().find(|found| found.name == table);
        let capacity = table.context("no such table")?.capacity;
        let map = cost.maps.iter().find(|found| found.name == map);
        let bytes = map.context("no such map")?.bytes;
        let each = Samples(vec![bytes as f64 / capacity as f64]);
        let text = format!("kernel memory of an {family} flow");
        add(bench, &text, "bytes", each, 256.0);
    }
    Ok(())
}

/// Nanoseconds of a packet, as the programs' statistics have it, and less those of a program
/// that does nothing for the same packets.
fn packet(runs: usize, sender: &mut Sender, flows: u32) -> anyhow::Result<[Samples; 2]> {
    let _stats = Statistics::on()?;
    let [mut whole, mut net] = [Samples::default(), Samples::default()];
    for _ in 0..runs {
        let before = [run_time("sextant_out")?, run_time(EMPTY)?];
        sender.spread(flows, PASS)?;
        let after = [run_time("sextant_out")?, run_time(EMPTY)?];
        let [ours, empty] = [0, 1].map(|n| (after[n].0 - before[n].0) / (after[n].1 - before[n].1));
        whole.0.push(ours);
        net.0.push(ours - empty);
    }
    Ok([whole, net])
}

/// Milliseconds of walks over the tables, each another one.
fn sweep(runs: usize, daemon: &Daemon, flows: u32) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    let mut last = None;
    for _ in 0..runs {
        let took = eventually("another walk over the flows", || {
            let status = daemon.own_status()?;
            let table = status.tables.iter().find(|table| table.name == "ipv4")?;
            let took = status.cost?.sweep_time?;
            (table.entries >= u64::from(flows) && last != Some(took)).then_some(took)
        });
        last = Some(took);
        samples
            .0
            .push(took.seconds as f64 * 1e3 + f64::from(took.nanos) / 1e6);
    }
    Ok(samples)
}

/// Sends datagrams on the loopback, each to the next of so many addresses: all from one
/// process, since flows of another one that has the port begin anew.
struct Sender {
    process: Process,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Answers a line with a line, when the datagrams of it are sent.
const SENDER: &str = "import socket, struct\n\
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(('', 5201))\n\
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 40000))\n\
    while True:\n \
    flows, packets = map(int, input().split())\n \
    for n in range(packets):\n  \
    s.sendto(b'x', (socket.inet_ntoa(struct.pack('!I', 0x7f100000 + n % flows)), 5201)); r.recv(1)\n \
    print('sent', flush=True)\n";

impl Sender {
    fn start(namespace: &Netns) -> anyhow::Result<Self> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &namespace.name, "python3", "-c", SENDER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3")?;
        let asks = child.stdin.take().context("no way to ask the sender")?;
        let answers = child.stdout.take().context("no answers of the sender")?;
        Ok(Self {
            process: Process(child),
            asks,
            answers: BufReader::new(answers),
        })
    }

    fn spread(&mut self, flows: u32, packets: u32) -> anyhow::Result<()> {
        writeln!(self.asks, "{flows} {packets}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let ended = self.process.0.try_wait()?;
        ensure!(answer.trim() == "sent", "the sender ended: {ended:?}");
        Ok(())
    }
}
