//! Subscribers that follow while flows come at a rate: what reaches them, how
//! late, and what it costs the server. Hubble is fed within its own process,
//! sextantd by RecordFlows, whose decoding is in its cost.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message as _;
use prost_types::Timestamp;
use sextant_proto::observer::GetFlowsRequest;
use tokio::task::JoinSet;

use crate::{
    Bench, RING,
    client::{Client, Skimmed},
    feed::{self, now_ns},
    report::{Figure, Goal, Samples},
    server::Server,
};

const SUBSCRIBERS: usize = 8;
const RATE: u64 = 50_000;
const SECONDS: u64 = 5;
/// Flows by which all subscribers are known to be there.
const WARM_UP: u64 = 1000;
/// Silence after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(500);
/// Of `GetFlowsResponse`.
const FLOW: u32 = 1;
const TIME: u32 = 1001;

/// Microseconds from offer to arrival, of flows offered since `from_ns`.
#[derive(Debug, Default)]
struct Arrivals {
    from_ns: u64,
    late_us: Vec<u32>,
}

struct Followed {
    offered: u64,
    delivered: u64,
    p99_ms: f64,
    cpu_us: f64,
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (mut sextant, mut hubble) = bench.pair(1, RING).await?;
    let bodies = feed::bodies(&sextant).await?;
    let mut rounds: [Vec<Followed>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..bench.runs() {
        match round(&mut sextant, &bodies).await {
            Ok(followed) => rounds[0].push(followed),
            Err(error) => {
                let what = format!("follow, Sextant: {error:#}");
                if !bench.report.skipped.contains(&what) {
                    bench.report.skip(what);
                }
            }
        }
        rounds[1].push(round(&mut hubble, &bodies).await?);
    }
    add(bench, &rounds);
    Ok(())
}

fn add(bench: &mut Bench, rounds: &[Vec<Followed>; 2]) {
    let everyone = SUBSCRIBERS as f64;
    type Value = fn(&Followed) -> f64;
    let lines: [(&str, &'static str, Value, Goal); 5] = [
        (
            "offered",
            "flows/s",
            |f| f.offered as f64 / SECONDS as f64,
            Goal::AtLeast(RATE as f64 * 0.99),
        ),
        (
            "delivered to each",
            "flows/s",
            |f| f.delivered as f64 / SECONDS as f64 / SUBSCRIBERS as f64,
            Goal::AtLeast(RATE as f64 * 0.99),
        ),
        (
            "lost of each million",
            "flows",
            |f| {
                let all = f.offered as f64 * SUBSCRIBERS as f64;
                (all - f.delivered as f64) / all * 1e6
            },
            Goal::AtMost(0.0),
        ),
        (
            "p99 from offer to arrival",
            "ms",
            |f| f.p99_ms,
            Goal::AtMost(20.0),
        ),
        (
            "server CPU for each delivered flow",
            "µs",
            |f| f.cpu_us,
            Goal::RatioAtMost(0.25),
        ),
    ];
    for (what, unit, value, goal) in lines {
        let [sextant, hubble] = rounds
            .each_ref()
            .map(|rounds| rounds.iter().map(value).collect::<Samples>());
        bench.report.add(Figure {
            scenario: "follow",
            what: format!("follow, {everyone} subscribers, {RATE} flows/s: {what}"),
            unit,
            sextant,
            hubble: Some(hubble),
            goal: Some(goal),
        });
    }
}

async fn round(server: &mut Server, bodies: &[Bytes]) -> anyhow::Result<Followed> {
    let mut followers = JoinSet::new();
    let mut arrivals = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let own = Arc::new(Mutex::new(Arrivals::default()));
        followers.spawn(follow(server.client().await?, Arc::clone(&own)));
        arrivals.push(own);
    }
    while !arrivals.iter().all(|own| count(own) > 0) {
        offer(server, bodies, WARM_UP, 1).await?;
        until_quiet(&arrivals).await;
    }
    let from_ns = now_ns();
    for own in &arrivals {
        *own.lock().unwrap_or_else(PoisonError::into_inner) = Arrivals {
            from_ns,
            late_us: Vec::new(),
        };
    }
    let cpu = server.cpu()?;
    let offered = offer(server, bodies, RATE, SECONDS).await?;
    until_quiet(&arrivals).await;
    let cpu = server.cpu()? - cpu;
    followers.shutdown().await;
    let mut late: Vec<u32> = Vec::new();
    for own in arrivals {
        let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
        late.append(&mut own.late_us);
    }
    late.sort_unstable();
    let delivered = late.len() as u64;
    let p99 = late.get(late.len() * 99 / 100).copied().unwrap_or(0);
    Ok(Followed {
        offered,
        delivered,
        p99_ms: f64::from(p99) / 1e3,
        cpu_us: cpu.as_secs_f64() * 1e6 / delivered as f64,
    })
}

fn count(own: &Mutex<Arrivals>) -> usize {
    own.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .late_us
        .len()
}

async fn until_quiet(arrivals: &[Arc<Mutex<Arrivals>>]) {
    let total = || arrivals.iter().map(|own| count(own)).sum::<usize>();
    let mut last = (total(), Instant::now());
    while last.1.elapsed() < QUIET {
        tokio::time::sleep(QUIET / 10).await;
        if total() != last.0 {
            last = (total(), Instant::now());
        }
    }
}

async fn offer(server: &mut Server, bodies: &[Bytes], rate: u64, s: u64) -> anyhow::Result<u64> {
    if server.name == "sextant" {
        return feed::record(server.address.clone(), bodies.to_vec(), rate, s).await;
    }
    // The answer comes after seconds, in which subscribers must be read.
    let answer = tokio::task::block_in_place(|| server.ask(&format!("feed {rate} {s}")))?;
    let mut words = answer.split_whitespace().skip(1);
    Ok(words.next().unwrap_or_default().parse()?)
}

async fn follow(client: Client, own: Arc<Mutex<Arrivals>>) -> anyhow::Result<()> {
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut stream = client.flows(&request, true).await?;
    while let Some(message) = stream.message().await? {
        let Some(offered) = offered_at(&message) else {
            continue;
        };
        let late = now_ns().saturating_sub(offered) / 1000;
        let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
        if offered >= own.from_ns {
            own.late_us.push(u32::try_from(late).unwrap_or(u32::MAX));
        }
    }
    Ok(())
}

/// The time of a flow; `None` for what is no flow.
fn offered_at(message: &Skimmed) -> Option<u64> {
    message.field(FLOW)?;
    let time = Timestamp::decode(message.field(TIME)?).ok()?;
    Some(time.seconds as u64 * 1_000_000_000 + time.nanos as u64)
}
