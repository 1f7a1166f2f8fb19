//! Resident memory of both servers with full stores of two sizes, soon after they
//! were drained: what the drain itself took is given back by then. Hubble has no ring of a million flows: there Sextant is alone,
//! and must drain as fast as with few.

use std::time::Duration;

use anyhow::ensure;

use crate::{
    Bench, RING,
    drain::round,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport},
};

const MIB: f64 = 1_048_576.0;
/// 16 times the corpus, of which the newest are kept.
const TIMES: usize = 16;
const MILLION: u64 = 1_000_000;
/// In which allocators give back what a drain took.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (sextant, hubble) = bench.pair(1, RING).await?;
    let rounds = measure(bench, &[&sextant, &hubble], RING).await?;
    drop((sextant, hubble));
    let [small, of_hubble] = <[Rounds; 2]>::try_from(rounds).expect("one for each server");
    let both = (small.memory, Some(of_hubble.memory));
    add(bench, resident(RING), both, Some(60.0));
    let both = (small.own, Some(of_hubble.own));
    add(bench, anonymous(RING), both, None);

    let load = Load {
        corpus: bench.corpus(RING)?,
        times: TIMES,
        capacity: MILLION,
        transport: Transport::Unix,
    };
    let sextant = Server::sextant(&bench.options.sextantd, &load).await?;
    let large = measure(bench, &[&sextant], MILLION).await?.remove(0);
    add(bench, resident(MILLION), (large.memory, None), Some(400.0));
    add(bench, anonymous(MILLION), (large.own, None), None);
    bench.report.add(Figure {
        scenario: "memory",
        what: format!("drain rate with {MILLION} flows ÷ with {RING}"),
        unit: "",
        sextant: large.rate.over(&small.rate),
        hubble: None,
        goal: Some(Goal::AtLeast(0.9)),
    });
    Ok(())
}

/// Resident MiB after each drain, what of it is no page of a file, and its flows a second.
#[derive(Debug, Default)]
struct Rounds {
    memory: Samples,
    own: Samples,
    rate: Samples,
}

/// Drains the servers in turns.
async fn measure(bench: &Bench, servers: &[&Server], capacity: u64) -> anyhow::Result<Vec<Rounds>> {
    let mut all: Vec<Rounds> = servers.iter().map(|_| Rounds::default()).collect();
    for _ in 0..bench.runs() {
        for (server, rounds) in servers.iter().zip(&mut all) {
            let drained = round(server, &server.client().await?, 1).await?;
            ensure!(
                drained.counted.messages.abs_diff(capacity) <= 1,
                "{} gives {} of {capacity} flows",
                server.name,
                drained.counted.messages
            );
            rounds.rate.0.push(drained.per_second);
            tokio::time::sleep(REST).await;
            rounds.memory.0.push(server.rss()? as f64 / MIB);
            rounds.own.0.push(server.own_rss()? as f64 / MIB);
        }
    }
    Ok(all)
}

/// Of what is resident, pages of the program's file are shared and can go; what is anonymous
/// cannot.
fn add(bench: &mut Bench, what: String, servers: (Samples, Option<Samples>), goal: Option<f64>) {
    let (sextant, hubble) = servers;
    bench.report.add(Figure {
        scenario: "memory",
        what,
        unit: "MiB",
        sextant,
        hubble,
        goal: goal.map(Goal::AtMost),
    });
}

fn resident(flows: u64) -> String {
    format!("resident memory, {flows} flows, after drains")
}

fn anonymous(flows: u64) -> String {
    format!("of it anonymous, {flows} flows")
}
