//! What a packet costs in the kernel, in network namespaces of the benchmark.
//!
//! Two measures of one program: BPF_PROG_TEST_RUN repeats one packet of a known
//! flow and has warm caches; bpf_stats measures live traffic, its own reading of
//! the clock included, which a program that does nothing shows beside it.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use serde_json::Value;
use sextant_integration_tests::{
    Daemon, Netns, Process, daemon::connect, eventually, netns, netns::quiet, root, veth,
};
use sextant_proto::sextant::status::v1::{
    GetStatusRequest, status_service_client::StatusServiceClient,
};

use crate::{
    Bench,
    report::{Figure, Goal, Samples, Series},
};

/// Runs of one packet.
const REPEAT: u32 = 2_000_000;
/// Seconds of each run of traffic.
const SECONDS: u32 = 4;

/// The release build in a namespace.
fn daemon(bench: &Bench, namespace: &Netns) -> Daemon {
    // The crate's guard starts what this names.
    Daemon::start_binary(&bench.options.sextantd, namespace, "", &[])
}

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("kernel: needs root");
        return Ok(());
    }
    repeated(bench)?;
    live(bench)?;
    throughput(bench)?;
    flood(bench)?;
    tables(bench)
}

/// One packet again and again.
fn repeated(bench: &mut Bench) -> anyhow::Result<()> {
    let namespace = Netns::new();
    let _daemon = daemon(bench, &namespace);
    let folder = tempfile::tempdir()?;
    for (family, frame, goal) in [("IPv4", frame4(40_000), 90.0), ("IPv6", frame6(), 110.0)] {
        let file = folder.path().join(family);
        std::fs::write(&file, frame)?;
        for (direction, program) in [("egress", "sextant_out"), ("ingress", "sextant_in")] {
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

fn programs() -> anyhow::Result<Vec<Value>> {
    let output = Command::new("bpftool")
        .args(["-j", "prog", "show"])
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Run time and runs of all programs of this name.
fn run_time(program: &str) -> anyhow::Result<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    for found in programs()?.iter().filter(|found| found["name"] == program) {
        sum.0 += found["run_time_ns"].as_f64().unwrap_or(0.0);
        sum.1 += found["run_cnt"].as_f64().unwrap_or(0.0);
    }
    Ok(sum)
}

/// Live traffic with the kernel's statistics of programs.
fn live(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let _daemon = daemon(bench, &a);
    let _stats = Statistics::on()?;
    for (family, to) in [("IPv4", "10.9.1.2"), ("IPv6", "fd09:1::2")] {
        for (direction, program, reverse) in [
            ("egress", "sextant_out", ""),
            ("ingress", "sextant_in", "-R"),
        ] {
            let mut samples = Samples::default();
            for _ in 0..bench.runs() {
                let before = run_time(program)?;
                traffic(&a, to, reverse)?;
                let after = run_time(program)?;
                samples.0.push((after.0 - before.0) / (after.1 - before.1));
            }
            bench.report.add(Figure {
                scenario: "kernel",
                what: format!("packet, {family} {direction}, live with bpf_stats and its own cost"),
                unit: "ns",
                sextant: samples,
                hubble: None,
                goal: None,
            });
        }
    }
    Ok(())
}

/// The kernel's run-time statistics, off again when dropped.
struct Statistics;

impl Statistics {
    fn on() -> anyhow::Result<Self> {
        set_statistics("1")?;
        Ok(Self)
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = set_statistics("0");
    }
}

fn set_statistics(value: &str) -> anyhow::Result<()> {
    Ok(std::fs::write("/proc/sys/kernel/bpf_stats_enabled", value)?)
}

fn pair() -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    (a, b)
}

fn iperf_server(a: &Netns, b: &Netns) -> anyhow::Result<Process> {
    let server = b.spawn("iperf3 -s");
    eventually("iperf3", || {
        a.try_run("iperf3 -c 10.9.1.2 -n 1 --connect-timeout 1000")
            .0
            .then_some(())
    });
    Ok(server)
}

/// 64-byte UDP as fast as it goes; packets a second at the receiver.
fn traffic(from: &Netns, to: &str, reverse: &str) -> anyhow::Result<f64> {
    let json = from.run(&format!(
        "iperf3 -c {to} -u -l 64 -b 0 -P 2 -t {SECONDS} {reverse} --json"
    ));
    let result: Value = serde_json::from_str(&json)?;
    let sum = &result["end"]["sum"];
    let sent = sum["packets"].as_f64().context("no packets")?;
    let lost = sum["lost_packets"].as_f64().unwrap_or(0.0);
    Ok((sent - lost) / f64::from(SECONDS))
}

/// With the daemon and without, in turns.
fn throughput(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let (mut with, mut without) = (Samples::default(), Samples::default());
    for _ in 0..bench.runs() {
        without.0.push(traffic(&a, "10.9.1.2", "")?);
        let daemon = daemon(bench, &a);
        with.0.push(traffic(&a, "10.9.1.2", "")?);
        drop(daemon);
    }
    bench.report.add(Figure {
        scenario: "kernel",
        what: "64-byte UDP over veth, with ÷ without".into(),
        unit: "",
        sextant: with.over(&without),
        hubble: None,
        goal: Some(Goal::AtLeast(0.95)),
    });
    Ok(())
}

/// Every packet of a flood is in a flow or counted by cause.
fn flood(bench: &mut Bench) -> anyhow::Result<()> {
    let (a, b) = pair();
    let _server = iperf_server(&a, &b)?;
    let daemon = daemon(bench, &a);
    quiet(&a, "va");
    let before = (netns::packets(&a, "va"), seen(&daemon).0);
    traffic(&a, "10.9.1.2", "")?;
    quiet(&a, "va");
    let accounted = eventually("balance", || {
        let (seen, difference) = seen(&daemon);
        (difference == 0).then_some(seen)
    });
    let passed = netns::packets(&a, "va") - before.0;
    let share = (accounted - before.1) as f64 / passed as f64 * 100.0;
    bench.report.add(Figure {
        scenario: "kernel",
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
    let status = status(daemon);
    let packets = status
        .ledger
        .and_then(|ledger| ledger.packets)
        .unwrap_or_default();
    (packets.seen.unwrap_or_default().packets, packets.difference)
}

fn status(daemon: &Daemon) -> sextant_proto::sextant::status::v1::Status {
    let asked = daemon.block_on(async {
        let channel = connect(&daemon.server()).await?;
        let mut client = StatusServiceClient::new(channel);
        let response = client.get_status(GetStatusRequest {}).await;
        response.ok()?.into_inner().status
    });
    asked.unwrap_or_default()
}

/// Memory of a flow, and what a packet costs in a table of many flows, when each
/// packet is of another one.
fn tables(bench: &mut Bench) -> anyhow::Result<()> {
    let namespace = Netns::new();
    let config = "[datapath]\nflows_ipv4 = 1048576\nother_idle = \"1h\"\n";
    let daemon = Daemon::start_binary(&bench.options.sextantd, &namespace, config, &[]);
    let mut points = Vec::new();
    for flows in [100_u32, 1000, 10_000, 100_000, 1_000_000] {
        spread(&namespace, flows, flows);
        let _stats = Statistics::on()?;
        let mut samples = Samples::default();
        for _ in 0..bench.runs() {
            let before = run_time("sextant_out")?;
            spread(&namespace, flows, PASS);
            let after = run_time("sextant_out")?;
            samples.0.push((after.0 - before.0) / (after.1 - before.1));
        }
        points.push((f64::from(flows), samples));
    }
    let table = eventually("a sweep that counted the flows", || {
        let table = status(&daemon)
            .tables
            .into_iter()
            .find(|table| table.name == "ipv4")?;
        (table.entries >= 1_000_000).then_some(table)
    });
    let cost = status(&daemon).cost.context("no cost in the status")?;
    let map = cost.maps.iter().find(|map| map.name == "FLOWS4");
    let bytes = map.context("no IPv4 table in the status")?.bytes as f64;
    let only = |value| Samples(vec![value]);
    let of = |at: usize| {
        points
            .get(at)
            .map_or(f64::NAN, |(_, samples)| samples.median())
    };
    let growth = of(points.len() - 1) / of(0);
    for (what, unit, value, goal) in [
        (
            "kernel memory of an IPv4 flow",
            "bytes",
            bytes / table.capacity as f64,
            200.0,
        ),
        (
            "packet, each of another flow, of 1,000,000 ÷ of 100",
            "",
            growth,
            2.0,
        ),
    ] {
        bench.report.add(Figure {
            scenario: "kernel",
            what: what.into(),
            unit,
            sextant: only(value),
            hubble: None,
            goal: Some(Goal::AtMost(goal)),
        });
    }
    bench.report.series.push(Series {
        name: "packet-by-flows",
        title: "Cost of a packet by flows in the table",
        x: "flows",
        y: "ns",
        curves: vec![("IPv4 egress, live, each packet of another flow", points)],
    });
    Ok(())
}

/// Packets of one pass over the flows.
const PASS: u32 = 200_000;

/// Sends datagrams on the loopback, each to the next of so many addresses.
fn spread(namespace: &Netns, flows: u32, packets: u32) {
    namespace.run(&format!(
        "python3 -c 'import socket,struct\n\
         r=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); r.bind((\"\",5201))\n\
         s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((\"127.0.0.1\",40000))\n\
         for n in range({packets}):\n \
         s.sendto(b\"x\",(socket.inet_ntoa(struct.pack(\"!I\",0x7f100000+n%{flows})),5201)); r.recv(1)'"
    ));
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

fn frame6() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 30, 17, 64]);
    for last in [1, 2] {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[0xfd, 0x09, 0, 1]);
        address[15] = last;
        frame.extend(address);
    }
    udp(&mut frame, 40_000);
    frame
}

/// Ports, length, no checksum, 22 bytes.
fn udp(frame: &mut Vec<u8>, source_port: u16) {
    frame.extend(source_port.to_be_bytes());
    frame.extend([0x14, 0x51, 0, 30, 0, 0]);
    frame.extend([b'x'; 22]);
}
