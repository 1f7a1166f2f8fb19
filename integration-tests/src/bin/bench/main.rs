//! `make bench`: Sextant beside the real Hubble observer, on the same machine,
//! in the same run, with the same flows and the same client; measured in
//! turns. And what Sextant's kernel side costs, beside no program at all.
//!
//! Not a test: it asserts only that both servers gave the same answers, never a
//! time. Goals that are missed are marked in the table.

mod answer;
mod attached;
mod client;
mod collector;
mod drain;
mod endpoints;
mod enforced;
mod export;
mod feed;
mod felt;
mod filters;
mod flood;
mod follow;
mod growth;
mod hostile;
mod idle;
mod interfaces;
mod kernel;
mod kubernetes;
mod memory;
mod network;
mod plot;
mod policies;
mod report;
mod rules;
mod server;
mod simulate;
mod status;
mod tables;
mod tls;
mod traffic;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;

use report::Report;
use server::{Load, Server, Transport};

/// Capacity of both rings; a power of two minus one, as Hubble wants it.
const RING: u64 = 65_535;

/// The benchmark's arguments.
#[derive(Debug, Parser)]
struct Options {
    /// Scenarios to run; all when none is named.
    scenarios: Vec<String>,
    /// Rounds of each measurement, Sextant and Hubble in turns.
    #[arg(long, env = "BENCH_RUNS", default_value_t = 5)]
    runs: usize,
    /// The release build of sextantd.
    #[arg(long, env = "SEXTANTD")]
    sextantd: PathBuf,
    /// The real observer, built from the Go module.
    #[arg(long, env = "HUBBLE_OBSERVER")]
    hubble_observer: PathBuf,
    /// The program that does nothing, linked from `empty.ll`.
    #[arg(long, env = "EMPTY_PROGRAM")]
    empty_program: PathBuf,
    /// Where results and the corpus go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// What scenarios share.
#[derive(Debug)]
struct Bench {
    options: Options,
    report: Report,
}

const SCENARIOS: [&str; 22] = [
    "drain",
    "tls",
    "answer",
    "filters",
    "follow",
    "status",
    "memory",
    "growth",
    "idle",
    "hostile",
    "flood",
    "interfaces",
    "kernel",
    "network",
    "tables",
    "policies",
    "simulate",
    "enforced",
    "felt",
    "endpoints",
    "export",
    "kubernetes",
];

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let chosen: Vec<&str> = if options.scenarios.is_empty() {
        SCENARIOS.to_vec()
    } else {
        options.scenarios.iter().map(String::as_str).collect()
    };
    if let Some(unknown) = chosen.iter().find(|name| !SCENARIOS.contains(name)) {
        bail!("no scenario {unknown:?}; there are {}", SCENARIOS.join(" "));
    }
    let chosen: Vec<String> = chosen.into_iter().map(String::from).collect();
    std::fs::create_dir_all(&options.out)?;
    let report = Report {
        machine: machine(),
        command: format!(
            "make bench BENCH='{}' BENCH_RUNS={}",
            chosen.join(" "),
            options.runs
        ),
        ..Report::default()
    };
    let mut bench = Bench { options, report };
    // One may wait for a server that is asked for something while the other reads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    for name in chosen {
        println!("\n== {name}");
        match name.as_str() {
            "drain" => runtime.block_on(drain::run(&mut bench)),
            "tls" => runtime.block_on(tls::run(&mut bench)),
            "answer" => runtime.block_on(answer::run(&mut bench)),
            "filters" => runtime.block_on(filters::run(&mut bench)),
            "follow" => runtime.block_on(follow::run(&mut bench)),
            "status" => runtime.block_on(status::run(&mut bench)),
            "memory" => runtime.block_on(memory::run(&mut bench)),
            "growth" => runtime.block_on(growth::run(&mut bench)),
            "idle" => runtime.block_on(idle::run(&mut bench)),
            "hostile" => runtime.block_on(hostile::run(&mut bench)),
            "flood" => flood::run(&mut bench),
            // The guard of the daemon has a runtime of its own.
            "interfaces" => interfaces::run(&mut bench),
            "kernel" => kernel::run(&mut bench),
            "network" => network::run(&mut bench),
            "tables" => tables::run(&mut bench),
            "policies" => runtime.block_on(policies::run(&mut bench)),
            "simulate" => runtime.block_on(simulate::run(&mut bench)),
            "enforced" => enforced::run(&mut bench),
            "felt" => felt::run(&mut bench),
            "endpoints" => endpoints::run(&mut bench),
            "export" => runtime.block_on(export::run(&mut bench)),
            "kubernetes" => runtime.block_on(kubernetes::run(&mut bench)),
            _ => unreachable!("checked above"),
        }
        .with_context(|| format!("scenario {name}"))?;
        // After each, so that what was measured is there if a later one fails.
        bench.report.write(&bench.options.out)?;
        for series in &bench.report.series {
            plot::write(series, &bench.options.out)?;
        }
    }
    println!("\n{}", bench.report.markdown());
    Ok(())
}

impl Bench {
    fn runs(&self) -> usize {
        self.options.runs
    }

    /// The corpus of `flows` flows; made once for each build of its maker.
    fn corpus(&self, flows: u64) -> anyhow::Result<PathBuf> {
        let path = self.options.out.join(format!("corpus-{flows}.jsonl"));
        let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        if changed(&path) < changed(&self.options.hubble_observer) {
            generate(&self.options.hubble_observer, &path, flows, &[])?;
        }
        Ok(path)
    }

    /// Both servers with a full ring of `times` times the corpus.
    async fn pair(&self, times: usize, capacity: u64) -> anyhow::Result<(Server, Server)> {
        let load = Load {
            corpus: self.corpus(RING)?,
            times,
            capacity,
            transport: Transport::Unix,
        };
        self.pair_with(&load).await
    }

    async fn pair_with(&self, load: &Load) -> anyhow::Result<(Server, Server)> {
        Ok((
            Server::sextant(&self.options.sextantd, load).await?,
            Server::hubble(&self.options.hubble_observer, load).await?,
        ))
    }
}

/// Writes a corpus beside its place and moves it there when it is whole.
fn generate(program: &Path, path: &Path, flows: u64, more: &[&str]) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let status = Command::new(program)
        .args(["generate", "-flows", &flows.to_string()])
        .args(more)
        .stdout(std::fs::File::create(&part)?)
        .status()
        .with_context(|| format!("running {}; `make bench` builds it", program.display()))?;
    ensure!(status.success(), "generating the corpus failed: {status}");
    Ok(std::fs::rename(&part, path)?)
}

/// CPU, number of CPUs, kernel.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown CPU", |(_, name)| name.trim());
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cpus} × {model}, Linux {}",
        read("/proc/sys/kernel/osrelease").trim()
    )
}
