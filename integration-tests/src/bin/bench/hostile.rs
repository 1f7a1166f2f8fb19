//! What others wait for, and what the server takes, while one client does its
//! worst: the dearest requests, and connections that say nothing.

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use sextant_integration_tests::{dear, root};
use sextant_proto::observer::GetFlowsRequest;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    Bench, RING,
    client::Client,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport, most_rss, rss},
};

const MIB: f64 = 1_048_576.0;
/// Time between two questions of the other client.
const PAUSE: Duration = Duration::from_millis(10);
/// How long scans that never find anything are let go on, and how many at once.
const SCAN: Duration = Duration::from_secs(3);
const SCANS: usize = 8;
/// After which memory must have been given back.
const REST: Duration = Duration::from_secs(5);
/// Connections that say nothing, how many of one address, and how long they are
/// watched.
const SILENT: usize = 10_000;
const SILENT_OF_ONE: usize = 250;
const WATCHED: Duration = Duration::from_secs(10);

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: 1,
        capacity: RING,
        transport: Transport::Tcp,
    };
    let mut all = Costs::default();
    for _ in 0..bench.runs() {
        // A new one each time, so that the most that it ever had is of this round.
        let server = Server::sextant(&bench.options.sextantd, &load).await?;
        all.add(&dear_requests(&server).await?);
    }
    all.report(bench);
    silent_connections(bench, &load).await
}

/// One sample a round.
#[derive(Default)]
struct Costs {
    slowest: Samples,
    more: Samples,
    kept: Samples,
}

/// Of one round: time in ms, memory in MiB.
struct Cost {
    slowest: f64,
    more: f64,
    kept: f64,
}

impl Costs {
    fn add(&mut self, cost: &Cost) {
        self.slowest.0.push(cost.slowest);
        self.more.0.push(cost.more);
        self.kept.0.push(cost.kept);
    }

    fn report(self, bench: &mut Bench) {
        for (what, unit, sextant, goal) in [
            (
                "slowest ServerStatus of another client",
                "ms",
                self.slowest,
                1000.0,
            ),
            ("most memory beside that at rest", "MiB", self.more, 100.0),
            ("memory that is kept after 5 s", "MiB", self.kept, 20.0),
        ] {
            add(
                bench,
                format!("the dearest requests: {what}"),
                unit,
                sextant,
                goal,
            );
        }
    }
}

/// Each of the dearest requests, as often as there are cores and once more.
async fn dear_requests(server: &Server) -> anyhow::Result<Cost> {
    let at_rest = rss(server.pid())?;
    let mut slowest = Duration::ZERO;
    for request in [
        dear::empty_filters(200_000),
        dear::patterns(),
        dear::loops(),
        dear::doubled(),
        dear::doubled_types(),
        dear::many_names(),
        dear::slow_scan(),
    ] {
        let worst = slowest_beside(server, ask(server, Arc::new(request))).await?;
        slowest = slowest.max(worst);
    }
    let most = most_rss(server.pid())?;
    tokio::time::sleep(REST).await;
    let more = |bytes: u64| bytes.saturating_sub(at_rest) as f64 / MIB;
    Ok(Cost {
        slowest: slowest.as_secs_f64() * 1000.0,
        more: more(most),
        kept: more(rss(server.pid())?),
    })
}

/// Asks several times at once, until all are answered or long enough.
async fn ask(server: &Server, request: Arc<GetFlowsRequest>) -> anyhow::Result<()> {
    let mut calls = JoinSet::new();
    for _ in 0..SCANS {
        let (client, request) = (server.client().await?, Arc::clone(&request));
        // That it is refused is as good as that it is answered.
        calls.spawn(async move { drop(client.drain(&request).await) });
    }
    let _ = tokio::time::timeout(SCAN, calls.join_all()).await;
    Ok(())
}

/// The slowest answer to another client while `work` goes on.
async fn slowest_beside(
    server: &Server,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let other = server.client().await?;
    let mut slowest = Duration::ZERO;
    let mut work = std::pin::pin!(work);
    loop {
        slowest = slowest.max(answer(&other).await?);
        if let Ok(done) = tokio::time::timeout(PAUSE, &mut work).await {
            return done.map(|()| slowest);
        }
    }
}

async fn answer(client: &Client) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    client.status().await?;
    Ok(begin.elapsed())
}

async fn silent_connections(bench: &mut Bench, load: &Load) -> anyhow::Result<()> {
    if !root() {
        bench
            .report
            .skip("10,000 silent connections: needs root for so many descriptors");
        return Ok(());
    }
    raise_descriptors()?;
    let (mut slowest, mut cpu) = (Samples::default(), Samples::default());
    for _ in 0..bench.runs() {
        let server = Server::sextant(&bench.options.sextantd, load).await?;
        let (before, begin) = (server.cpu()?, Instant::now());
        let mut held = Vec::new();
        let hold = async {
            held = connections(&server.address).await?;
            tokio::time::sleep(WATCHED).await;
            Ok(())
        };
        // Each question by a connection of its own too: places are what is scarce.
        let worst = slowest_beside_new(&server, hold).await?;
        let used = server.cpu()?.saturating_sub(before);
        slowest.0.push(worst.as_secs_f64() * 1000.0);
        cpu.0
            .push(used.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0);
        ensure!(held.len() == SILENT, "{} connections were made", held.len());
    }
    for (what, unit, sextant, goal) in [
        (
            "slowest ServerStatus over a new connection",
            "ms",
            slowest,
            1000.0,
        ),
        (
            "CPU of the server, answers included",
            "% of a core",
            cpu,
            5.0,
        ),
    ] {
        let what = format!("{SILENT} silent connections: {what}");
        add(bench, what, unit, sextant, goal);
    }
    Ok(())
}

fn add(bench: &mut Bench, what: String, unit: &'static str, sextant: Samples, most: f64) {
    bench.report.add(Figure {
        scenario: "hostile",
        what,
        unit,
        sextant,
        hubble: None,
        goal: Some(Goal::AtMost(most)),
    });
}

/// The slowest answer over a new connection, ten a second, while `work` goes on.
async fn slowest_beside_new(
    server: &Server,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    let mut work = std::pin::pin!(work);
    loop {
        let begin = Instant::now();
        server.client().await?.status().await?;
        slowest = slowest.max(begin.elapsed());
        if let Ok(done) = tokio::time::timeout(PAUSE * 10, &mut work).await {
            return done.map(|()| slowest);
        }
    }
}

/// From as many addresses of the loopback as it takes.
async fn connections(address: &str) -> anyhow::Result<Vec<TcpStream>> {
    let server = address.trim_start_matches("http://").parse()?;
    let mut made = Vec::with_capacity(SILENT);
    for index in 0..SILENT {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 1, (1 + index / SILENT_OF_ONE) as u8);
        socket.bind((source, 0).into())?;
        made.push(socket.connect(server).await.context("connecting")?);
    }
    Ok(made)
}

/// Of this process, and of the servers that it starts.
fn raise_descriptors() -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    let most = (2 * SILENT).to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={most}:{most}")])
        .status()?;
    ensure!(raised.success(), "prlimit: {raised}");
    Ok(())
}
