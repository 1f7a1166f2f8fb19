//! GetFlows over a full ring, as fast as it goes.

use std::time::Instant;

use anyhow::ensure;
use sextant_proto::observer::GetFlowsRequest;

use crate::{
    Bench, RING,
    client::{Client, Counted},
    report::{Figure, Goal, Samples},
    server::Server,
};

/// Drains in a round, so that CPU time in steps of 10 ms is exact enough.
const DRAINS: u32 = 4;

/// From the oldest flow to the newest.
pub(crate) fn everything() -> GetFlowsRequest {
    GetFlowsRequest {
        first: true,
        ..GetFlowsRequest::default()
    }
}

/// What one round of drains was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    /// Messages of one drain.
    pub(crate) counted: Counted,
    /// Flows a second.
    pub(crate) per_second: f64,
    /// CPU time of the server for each flow, in µs.
    pub(crate) cpu_us: f64,
}

/// One round.
pub(crate) async fn round(
    server: &Server,
    client: &Client,
    drains: u32,
) -> anyhow::Result<Drained> {
    let (cpu, start) = (server.cpu()?, Instant::now());
    let mut counted = Counted::default();
    for _ in 0..drains {
        counted = client.drain(&everything()).await?;
    }
    let (wall, cpu) = (start.elapsed(), server.cpu()? - cpu);
    let flows = counted.messages as f64 * f64::from(drains);
    Ok(Drained {
        counted,
        per_second: flows / wall.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / flows,
    })
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (sextant, hubble) = bench.pair(1, RING).await?;
    let mut rounds = [Vec::new(), Vec::new()];
    let clients = [sextant.client().await?, hubble.client().await?];
    for _ in 0..bench.runs() {
        for (index, server) in [&sextant, &hubble].into_iter().enumerate() {
            rounds[index].push(round(server, &clients[index], DRAINS).await?);
        }
    }
    // The newest slot of upstream's ring is never readable.
    let counts = rounds.each_ref().map(|rounds| rounds[0].counted.messages);
    ensure!(
        counts[0] == RING && counts[0].abs_diff(counts[1]) <= 1,
        "the servers do not give the same flows: {counts:?}"
    );
    let pick = |value: fn(&Drained) -> f64| {
        rounds
            .each_ref()
            .map(|rounds| rounds.iter().map(value).collect::<Samples>())
    };
    let lines = [
        (
            "flows drained",
            "flows/s",
            pick(|r| r.per_second),
            Some(Goal::RatioAtLeast(5.0)),
        ),
        (
            "server CPU for each flow",
            "µs",
            pick(|r| r.cpu_us),
            Some(Goal::RatioAtMost(0.2)),
        ),
        (
            "size of a flow",
            "bytes",
            pick(|r| r.counted.bytes as f64 / r.counted.messages as f64),
            None,
        ),
    ];
    for (what, unit, [sextant, hubble], goal) in lines {
        bench.report.add(Figure {
            scenario: "drain",
            what: format!("{what}, ring of {RING}"),
            unit,
            sextant,
            hubble: Some(hubble),
            goal,
        });
    }
    Ok(())
}
