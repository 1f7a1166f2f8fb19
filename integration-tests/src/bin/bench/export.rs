//! What exporters cost the daemon, beside the real one of Hubble; whether a server gets all
//! and how late; what one costs that is away; how long a page of many series takes.
//!
//! Flows are offered at a rate, and CPU time is that of the whole process: what an exporter
//! costs is what it is more than without one, in the same round.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use sextant_proto::sextant::status::v1::{
    Exporter, GetStatusRequest, status_service_client::StatusServiceClient,
};
use tempfile::TempDir;

use crate::{
    Bench, RING,
    collector::Collector,
    feed,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport, free_port, until_quiet},
};

const RATE: u64 = 20_000;
/// At which nothing may be lost; not with the others, since there is no room for two servers.
const FAST: u64 = 50_000;
/// Of Hubble's metrics, as its dashboards want them.
const CONTEXT: &str =
    "sourceContext=pod;destinationContext=pod;labelsContext=source_namespace,destination_namespace";
const SECONDS: u64 = 5;
/// Of the page that is scraped.
const SERIES: u32 = 10_000;
const SCRAPES: usize = 5;

/// What a round takes, in µs of CPU a flow but for `late_ms`.
#[derive(Debug, Default)]
struct Costs {
    file: Samples,
    file_of_hubble: Samples,
    http: Samples,
    otlp: Samples,
    all: Samples,
    metrics: Samples,
    metrics_of_hubble: Samples,
    late_ms: Samples,
    fast_late_ms: Samples,
    fast_lost: Samples,
    /// Cores, of the whole daemon.
    fast_cores: Samples,
    lost: Samples,
    /// With a server that is away ÷ without one.
    away: Samples,
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: 1,
        capacity: RING,
        transport: Transport::Unix,
    };
    let bodies = feed::bodies(&Server::sextant(&bench.options.sextantd, &load).await?).await?;
    let mut costs = Costs::default();
    for _ in 0..bench.runs() {
        round(bench, &load, &bodies, &mut costs).await?;
    }
    report(bench, costs);
    scrapes(bench, &load).await
}

async fn round(
    bench: &Bench,
    load: &Load,
    bodies: &[Bytes],
    costs: &mut Costs,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("flows.log");
    let collector = Collector::start().await?;
    let address = collector.address;
    let file = format!(
        "[[export.file]]\npath = '{}'\nmax_size_mb = 4000\n",
        log.display()
    );
    let http = format!("[[export.http]]\nurl = 'http://{address}/flows'\n");
    let otlp = |signals: &str| {
        format!(
            "[[export.otlp]]\nendpoint = 'http://{address}'\nprotocol = 'http'\nsignals = [{signals}]\nmetrics_interval = '1s'\n"
        )
    };
    let away = format!(
        "[[export.http]]\nurl = 'http://127.0.0.1:{}/flows'\n",
        free_port()?
    );
    let all = [file.as_str(), &http, &otlp("'logs', 'metrics'")].concat();

    let none = fed(bench, load, bodies, "", RATE).await?.cpu_us;
    let of = async |config: &str| fed(bench, load, bodies, config, RATE).await;
    costs.file.0.push(of(&file).await?.cpu_us - none);
    costs.http.0.push(of(&http).await?.cpu_us - none);
    costs.otlp.0.push(of(&otlp("'logs'")).await?.cpu_us - none);
    costs.away.0.push(of(&away).await?.cpu_us / none);
    collector.forget();
    let together = of(&all).await?;
    costs.all.0.push(together.cpu_us - none);
    costs.lost.0.push(together.lost as f64);
    costs.late_ms.0.push(collector.p99_late_ms());
    collector.forget();
    let fast = fed(bench, load, bodies, &all, FAST).await?;
    costs.fast_cores.0.push(fast.cpu_us * FAST as f64 / 1e6);
    costs.fast_lost.0.push(fast.lost as f64);
    costs.fast_late_ms.0.push(collector.p99_late_ms());
    let counted = counted();
    let metrics = format!("[metrics]\nhubble = ['{counted}']\n");
    costs.metrics.0.push(of(&metrics).await?.cpu_us - none);

    let plain = hubble_fed(bench, load, &[]).await?;
    let path = folder.path().join("hubble.log");
    let path = path.to_str().context("a folder whose name is no text")?;
    costs
        .file_of_hubble
        .0
        .push(hubble_fed(bench, load, &["-export", path]).await? - plain);
    costs
        .metrics_of_hubble
        .0
        .push(hubble_fed(bench, load, &["-metrics", &counted]).await? - plain);
    Ok(())
}

/// Hubble's metrics, each with the context that its dashboards want.
fn counted() -> String {
    let metrics = [
        "flow:",
        "drop:",
        "tcp:",
        "icmp:",
        "port-distribution:",
        "http:",
        "dns:query;",
    ];
    metrics.map(|name| format!("{name}{CONTEXT}")).join(" ")
}

/// What was measured of a server that flows were offered to.
struct Fed {
    cpu_us: f64,
    /// Events that an exporter did not write.
    lost: u64,
}

async fn fed(
    bench: &Bench,
    load: &Load,
    bodies: &[Bytes],
    config: &str,
    rate: u64,
) -> anyhow::Result<Fed> {
    let (_folder, server) = with_config(bench, load, config).await?;
    until_quiet(&server).await?;
    let before = server.cpu()?;
    let offered = feed::record(server.address.clone(), bodies.to_vec(), rate, SECONDS).await?;
    until_quiet(&server).await?;
    let cpu = server.cpu()?.saturating_sub(before);
    let lost = exporters(&server).await?.iter().map(not_written).sum();
    Ok(Fed {
        cpu_us: cpu.as_secs_f64() * 1e6 / offered as f64,
        lost,
    })
}

fn not_written(exporter: &Exporter) -> u64 {
    exporter.dropped.iter().map(|dropped| dropped.events).sum()
}

async fn with_config(
    bench: &Bench,
    load: &Load,
    config: &str,
) -> anyhow::Result<(TempDir, Server)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sextant.toml");
    std::fs::write(&path, config)?;
    let path = path.to_str().context("a folder whose name is no text")?;
    let more = ["--config", path];
    let server = Server::sextant_with(&bench.options.sextantd, load, &more).await?;
    Ok((folder, server))
}

async fn exporters(server: &Server) -> anyhow::Result<Vec<Exporter>> {
    let channel = tonic::transport::Endpoint::from_shared(server.address.clone())?;
    let mut client = StatusServiceClient::new(channel.connect().await?);
    let status = client.get_status(GetStatusRequest {}).await?.into_inner();
    Ok(status.status.context("no status")?.exporters)
}

/// CPU time a flow of the real observer, in µs.
async fn hubble_fed(bench: &Bench, load: &Load, more: &[&str]) -> anyhow::Result<f64> {
    let mut server = Server::hubble_with(&bench.options.hubble_observer, load, more).await?;
    until_quiet(&server).await?;
    let before = server.cpu()?;
    let answer = tokio::task::block_in_place(|| server.ask(&format!("feed {RATE} {SECONDS}")))?;
    until_quiet(&server).await?;
    let cpu = server.cpu()?.saturating_sub(before);
    let offered = answer.split_whitespace().nth(1).context("no answer")?;
    Ok(cpu.as_secs_f64() * 1e6 / offered.parse::<f64>()?)
}

fn report(bench: &mut Bench, costs: Costs) {
    let cpu = "µs";
    let one_core = Goal::AtMost(20.0);
    for (what, unit, sextant, hubble, goal) in [
        (
            "file, CPU a flow",
            cpu,
            costs.file,
            Some(costs.file_of_hubble),
            Some(Goal::RatioAtMost(0.25)),
        ),
        (
            "Hubble's metrics, CPU a flow",
            cpu,
            costs.metrics,
            Some(costs.metrics_of_hubble),
            Some(Goal::RatioAtMost(0.25)),
        ),
        ("HTTP, CPU a flow", cpu, costs.http, None, None),
        ("OTLP logs, CPU a flow", cpu, costs.otlp, None, None),
        (
            "file, HTTP, OTLP logs and metrics together, CPU a flow (20 are a core at 50,000/s)",
            cpu,
            costs.all,
            None,
            Some(one_core),
        ),
        (
            "the same, events that were not written",
            "events",
            costs.lost,
            None,
            Some(Goal::AtMost(0.0)),
        ),
        (
            "the same, p99 of a request's oldest flow at the server",
            "ms",
            costs.late_ms,
            None,
            Some(Goal::AtMost(2000.0)),
        ),
        (
            "all four at 50,000 flows/s, cores of the whole daemon with taking flows in",
            "",
            costs.fast_cores,
            None,
            None,
        ),
        (
            "the same, events that were not written",
            "events",
            costs.fast_lost,
            None,
            Some(Goal::AtMost(0.0)),
        ),
        (
            "the same, p99 of a request's oldest flow at the server",
            "ms",
            costs.fast_late_ms,
            None,
            Some(Goal::AtMost(2000.0)),
        ),
        (
            "a server that is away, CPU of the daemon ÷ without",
            "",
            costs.away,
            None,
            Some(Goal::AtMost(1.02)),
        ),
    ] {
        bench.report.add(Figure {
            scenario: "export",
            what: format!("export, {RATE} flows/s: {what}"),
            unit,
            sextant,
            hubble,
            goal,
        });
    }
}

/// The page of metrics with a series for each address and port.
async fn scrapes(bench: &mut Bench, load: &Load) -> anyhow::Result<()> {
    let port = free_port()?;
    let config = format!(
        "[[metrics.custom]]\nname = 'bench'\nhelp = 'Flows'\ntype = 'counter'\nvalue = 'flows'\n\
         labels = {{ source = 'IP.source', port = 'source_port' }}\nmax_series = {SERIES}\n"
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sextant.toml");
    std::fs::write(&path, config)?;
    let path = path.to_str().context("a folder whose name is no text")?;
    let listen = format!("127.0.0.1:{port}");
    let more = ["--config", path, "--metrics-listen", listen.as_str()];
    let server = Server::sextant_with(&bench.options.sextantd, load, &more).await?;
    until_quiet(&server).await?;
    let mut took = Samples::default();
    for _ in 0..bench.runs() * SCRAPES {
        let (millis, page) = tokio::task::block_in_place(|| scrape(port))?;
        let series = page.lines().filter(|line| line.starts_with("bench_total{"));
        ensure!(series.count() >= SERIES as usize, "too few series");
        took.0.push(millis);
    }
    bench.report.add(Figure {
        scenario: "export",
        what: format!("a page of metrics with {SERIES} series"),
        unit: "ms",
        sextant: took,
        hubble: None,
        goal: Some(Goal::AtMost(20.0)),
    });
    Ok(())
}

fn scrape(port: u16) -> anyhow::Result<(f64, String)> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok((begin.elapsed().as_secs_f64() * 1000.0, page))
}
