//! What a packet of a known flow costs in the kernel.
//!
//! Two measures of one program: BPF_PROG_TEST_RUN repeats one packet of a known
//! flow and has warm caches; bpf_stats measures live traffic, its own reading of
//! the clock included, which a program that does nothing shows beside it.

use std::{path::Path, process::Command, time::Instant};

use anyhow::Context as _;
use sextant_integration_tests::{Netns, netns::pair, root};
use socket2::{Domain, Socket, Type};

use crate::{
    Bench,
    attached::{EMPTY, Statistics, attach_empty, daemon, programs, run_time},
    report::{Figure, Goal, Samples},
    traffic::{SECONDS, Web, iperf_server, traffic},
};

/// Runs of one packet.
const REPEAT: u32 = 2_000_000;
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("kernel: needs root");
        return Ok(());
    }
    repeated(bench)?;
    live(bench)?;
    connections(bench)?;
    sockets(bench)
}

/// Sockets of one turn, and turns of a sample.
const SOCKETS: u32 = 100_000;
const TURNS: usize = 5;

/// What a socket costs its process more, while it is told who made it: the least of some turns
/// with the daemon less the least without.
fn sockets(bench: &mut Bench) -> anyhow::Result<()> {
    let namespace = Netns::new();
    let mut added = Samples::default();
    for _ in 0..bench.runs() {
        let without = socket_and_close()?;
        let daemon = daemon(bench, &namespace);
        added.0.push(socket_and_close()? - without);
        drop(daemon);
    }
    bench.report.add(Figure {
        scenario: "kernel",
        what: "socket() and close(), added".into(),
        unit: "ns",
        sextant: added,
        hubble: None,
        goal: Some(Goal::AtMost(1500.0)),
    });
    Ok(())
}

fn socket_and_close() -> anyhow::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..TURNS {
        let began = Instant::now();
        for _ in 0..SOCKETS {
            drop(Socket::new(Domain::IPV4, Type::STREAM, None)?);
        }
        let each = began.elapsed().as_nanos() as f64 / f64::from(SOCKETS);
        least = least.min(each);
    }
    Ok(least)
}

/// One packet again and again.
fn repeated(bench: &mut Bench) -> anyhow::Result<()> {
    let namespace = Netns::new();
    let _daemon = daemon(bench, &namespace);
    let folder = tempfile::tempdir()?;
    type Frame = fn(u16) -> Vec<u8>;
    let families: [(&str, Frame, f64); 2] = [("IPv4", frame4, 90.0), ("IPv6", frame6, 110.0)];
    for (family, frame, goal) in families {
        // A flow of its own for each direction: counted where it is met first.
        for (direction, program, port) in [
            ("egress", "sextant_out", 40_000),
            ("ingress", "sextant_in", 40_001),
        ] {
            let file = folder.path().join(family);
            std::fs::write(&file, frame(port))?;
            let samples = (0..bench.runs())
                .map(|_| test_run(program, &file))
                .collect::<anyhow::Result<Samples>>()?;
            bench.report.add(Figure {
                scenario: "kernel",
                what: format!("packet of a known flow, {family} {direction}, test run"),
                unit: "ns",
                sextant: samples,
                hubble: None,
                goal: Some(Goal::AtMost(goal)),
            });
        }
    }
    Ok(())
}

/// Nanoseconds a run.
fn test_run(program: &str, packet: &Path) -> anyhow::Result<f64> {
    let id = programs()?
        .iter()
        .rev()
        .find(|found| found["name"] == program)
        .and_then(|found| found["id"].as_u64())
        .context("the program is not loaded")?;
    let output = Command::new("bpftool")
        .args(["prog", "run", "id", &id.to_string(), "data_in"])
        .arg(packet)
        .args(["data_out", "/dev/null", "repeat", &REPEAT.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, after) = text
        .split_once("(average): ")
        .with_context(|| text.clone())?;
    Ok(after.trim().trim_end_matches("ns").parse()?)
}

/// Live traffic with the kernel's statistics of programs. The same packets pass
/// a program that does nothing: its figure is what the statistics cost.
fn live(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let _daemon = daemon(bench, &a);
    attach_empty(&a, "va", &bench.options.empty_program);
    let _stats = Statistics::on()?;
    for (family, to, goal) in [("IPv4", "10.9.1.2", 90.0), ("IPv6", "fd09:1::2", 110.0)] {
        for (direction, program, reverse) in [
            ("egress", "sextant_out", ""),
            ("ingress", "sextant_in", "-R"),
        ] {
            let (mut whole, mut net) = (Samples::default(), Samples::default());
            for _ in 0..bench.runs() {
                let before = [run_time(program)?, run_time(EMPTY)?];
                traffic(&a, to, reverse, SECONDS)?;
                let after = [run_time(program)?, run_time(EMPTY)?];
                let [ours, empty] =
                    [0, 1].map(|n| (after[n].0 - before[n].0) / (after[n].1 - before[n].1));
                whole.0.push(ours);
                net.0.push(ours - empty);
            }
            let what = format!("packet, {family} {direction}, live by bpf_stats");
            add_live(bench, what.clone(), whole, None);
            add_live(bench, what + ", less an empty program's", net, Some(goal));
        }
    }
    Ok(())
}

/// Packets of connections that last for one request: a part of them raises events.
fn connections(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _web = Web::start(&a, &b)?;
    let _daemon = daemon(bench, &a);
    attach_empty(&a, "va", &bench.options.empty_program);
    let _stats = Statistics::on()?;
    for (direction, program) in [("egress", "sextant_out"), ("ingress", "sextant_in")] {
        let mut net = Samples::default();
        for _ in 0..bench.runs() {
            let before = [run_time(program)?, run_time(EMPTY)?];
            a.run(&format!(
                "wrk -t1 -c1 -d{SECONDS}s -H 'Connection: close' http://10.9.1.2:8080/"
            ));
            let after = [run_time(program)?, run_time(EMPTY)?];
            let [ours, empty] =
                [0, 1].map(|n| (after[n].0 - before[n].0) / (after[n].1 - before[n].1));
            net.0.push(ours - empty);
        }
        let what = format!(
            "packet of a new connection, {direction}, live by bpf_stats, less an empty program's"
        );
        add_live(bench, what, net, None);
    }
    Ok(())
}

fn add_live(bench: &mut Bench, what: String, sextant: Samples, goal: Option<f64>) {
    bench.report.add(Figure {
        scenario: "kernel",
        what,
        unit: "ns",
        sextant,
        hubble: None,
        goal: goal.map(Goal::AtMost),
    });
}

/// A UDP packet from 10.9.1.1 to 10.9.1.2:5201, in Ethernet.
fn frame4(source_port: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend([
        0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 1, 1, 10, 9, 1, 2,
    ]);
    udp(&mut frame, source_port);
    frame
}

fn frame6(source_port: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 30, 17, 64]);
    for last in [1, 2] {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[0xfd, 0x09, 0, 1]);
        address[15] = last;
        frame.extend(address);
    }
    udp(&mut frame, source_port);
    frame
}

/// Ports, length, no checksum, 22 bytes.
fn udp(frame: &mut Vec<u8>, source_port: u16) {
    frame.extend(source_port.to_be_bytes());
    frame.extend([0x14, 0x51, 0, 30, 0, 0]);
    frame.extend([b'x'; 22]);
}
