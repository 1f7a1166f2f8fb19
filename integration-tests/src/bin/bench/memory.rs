//! What the store weighs, and whether its size slows it down.

use anyhow::ensure;

use crate::{
    Bench, RING,
    drain::round,
    report::{Figure, Goal, Samples},
    server::{Load, Server},
};

pub(crate) const MEBIBYTE: f64 = (1_u64 << 20) as f64;
/// Loads of the corpus that make more than a million flows.
const MANY: usize = 16;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (sextant, hubble) = bench.pair(1, RING).await?;
    let mut drained = [Samples::default(), Samples::default()];
    let clients = [sextant.client().await?, hubble.client().await?];
    for _ in 0..bench.runs() {
        for (index, server) in [&sextant, &hubble].into_iter().enumerate() {
            let round = round(server, &clients[index], 1).await?;
            drained[index].0.push(round.per_second);
        }
    }
    let weigh =
        |server: &Server| Ok::<_, anyhow::Error>(Samples(vec![server.rss()? as f64 / MEBIBYTE]));
    bench.report.add(Figure {
        scenario: "memory",
        what: format!("resident with {RING} flows, after drains"),
        unit: "MiB",
        sextant: weigh(&sextant)?,
        hubble: Some(weigh(&hubble)?),
        goal: Some(Goal::AtMost(60.0)),
    });
    drop((sextant, hubble));
    many(bench, &drained[0]).await
}

/// A million flows, beside the drain rate of few.
async fn many(bench: &mut Bench, few: &Samples) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: MANY,
        capacity: 1_000_000,
    };
    let server = Server::sextant(&bench.options.sextantd, &load).await?;
    let client = server.client().await?;
    let mut rates = Samples::default();
    for _ in 0..bench.runs() {
        let round = round(&server, &client, 1).await?;
        ensure!(round.counted.messages == 1_000_000, "{round:?}");
        rates.0.push(round.per_second);
    }
    bench.report.add(Figure {
        scenario: "memory",
        what: "resident with 1,000,000 flows, after drains".into(),
        unit: "MiB",
        sextant: Samples(vec![server.rss()? as f64 / MEBIBYTE]),
        hubble: None,
        goal: Some(Goal::AtMost(400.0)),
    });
    bench.report.add(Figure {
        scenario: "memory",
        what: format!("drain rate with 1,000,000 flows ÷ with {RING}"),
        unit: "",
        sextant: rates.over(few),
        hubble: None,
        goal: Some(Goal::AtLeast(0.9)),
    });
    Ok(())
}
