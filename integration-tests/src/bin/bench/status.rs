//! ServerStatus while the ring is full, with flows that are old and with flows
//! of the last minute, which Hubble counts one by one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    Bench, RING,
    client::Client,
    generate,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport},
};

const ROUND: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 4;
/// Calls under way on each connection.
const CONCURRENT: usize = 16;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let old = Load {
        corpus: bench.corpus(RING)?,
        times: 1,
        capacity: RING,
        transport: Transport::Unix,
    };
    measure(bench, &old, "old flows", None).await?;
    let corpus = bench.options.out.join("corpus-young.jsonl");
    generate(&bench.options.hubble_observer, &corpus, RING, &["-young"])?;
    let young = Load { corpus, ..old };
    measure(bench, &young, "young flows", Some(Goal::AtLeast(20_000.0))).await
}

async fn measure(
    bench: &mut Bench,
    load: &Load,
    name: &str,
    goal: Option<Goal>,
) -> anyhow::Result<()> {
    let (sextant, hubble) = bench.pair_with(load).await?;
    let mut rates = [Samples::default(), Samples::default()];
    for _ in 0..bench.runs() {
        for (index, server) in [&sextant, &hubble].into_iter().enumerate() {
            rates[index].0.push(calls_per_second(server).await?);
        }
    }
    let [sextant, hubble] = rates;
    bench.report.add(Figure {
        scenario: "status",
        what: format!("ServerStatus, ring of {RING} {name}"),
        unit: "calls/s",
        sextant,
        hubble: Some(hubble),
        goal,
    });
    Ok(())
}

async fn calls_per_second(server: &Server) -> anyhow::Result<f64> {
    let mut callers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        let client = Arc::new(server.client().await?);
        for _ in 0..CONCURRENT {
            callers.spawn(call_until(Arc::clone(&client), start + ROUND));
        }
    }
    let mut calls = 0;
    while let Some(made) = callers.join_next().await {
        calls += made??;
    }
    Ok(calls as f64 / start.elapsed().as_secs_f64())
}

async fn call_until(client: Arc<Client>, deadline: Instant) -> anyhow::Result<u64> {
    let mut calls = 0;
    while Instant::now() < deadline {
        client.status().await?;
        calls += 1;
    }
    Ok(calls)
}
