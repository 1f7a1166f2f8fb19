//! How cost grows with the size of the store, the number of filters and the
//! number of subscribers, each tenfold and more.

use std::time::Instant;

use anyhow::ensure;
use sextant_proto::{flow::FlowFilter, observer::GetFlowsRequest};

use crate::{
    Bench, RING,
    drain::{everything, round},
    report::{Samples, Series},
    server::{Load, Server, Transport},
};

/// What the filters of a request look for: ports that no flow has.
const FIRST_PORT: usize = 100;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    store(bench).await?;
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: 1,
        capacity: RING,
        transport: Transport::Unix,
    };
    let server = Server::sextant(&bench.options.sextantd, &load).await?;
    filters(bench, &server).await?;
    subscribers(bench, &server).await
}

async fn store(bench: &mut Bench) -> anyhow::Result<()> {
    let mut points = Vec::new();
    for (capacity, times) in [(10_000, 1), (100_000, 2), (1_000_000, 16)] {
        let load = Load {
            corpus: bench.corpus(RING)?,
            times,
            capacity,
            transport: Transport::Unix,
        };
        let server = Server::sextant(&bench.options.sextantd, &load).await?;
        let client = server.client().await?;
        // As many flows in a round, whatever the size.
        let drains = (1_000_000 / capacity) as u32;
        let mut cost = Samples::default();
        for _ in 0..bench.runs() {
            cost.0.push(round(&server, &client, drains).await?.cpu_us);
        }
        points.push((capacity as f64, cost));
    }
    bench.report.add_series(Series {
        name: "drain-by-store",
        title: "Server CPU for each drained flow by size of the store",
        x: "flows stored",
        y: "µs",
        curves: vec![("Sextant", points)],
    });
    Ok(())
}

async fn filters(bench: &mut Bench, server: &Server) -> anyhow::Result<()> {
    let client = server.client().await?;
    let mut points = Vec::new();
    for count in [1, 10, 100] {
        let request = GetFlowsRequest {
            whitelist: (FIRST_PORT..FIRST_PORT + count)
                .map(|port| FlowFilter {
                    destination_port: vec![port.to_string()],
                    ..FlowFilter::default()
                })
                .collect(),
            ..everything()
        };
        let mut cost = Samples::default();
        for _ in 0..bench.runs() {
            let start = Instant::now();
            let counted = client.drain(&request).await?;
            ensure!(counted.messages < RING / 10, "{counted:?}");
            cost.0.push(start.elapsed().as_nanos() as f64 / RING as f64);
        }
        points.push((count as f64, cost));
    }
    bench.report.add_series(Series {
        name: "scan-by-filters",
        title: "Time for each scanned flow by number of filters",
        x: "filters",
        y: "ns",
        curves: vec![("Sextant", points)],
    });
    Ok(())
}

async fn subscribers(bench: &mut Bench, server: &Server) -> anyhow::Result<()> {
    let mut points = Vec::new();
    for count in [1_u32, 8, 64] {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(server.client().await?);
        }
        let mut cost = Samples::default();
        for _ in 0..bench.runs() {
            let before = server.cpu()?;
            let request = everything();
            let drains = clients.iter().map(|client| client.drain(&request));
            let drained = futures::future::try_join_all(drains).await?;
            let flows: u64 = drained.iter().map(|counted| counted.messages).sum();
            let cpu = server.cpu()?.saturating_sub(before);
            cost.0.push(cpu.as_secs_f64() * 1e6 / flows as f64);
        }
        points.push((f64::from(count), cost));
    }
    bench.report.add_series(Series {
        name: "drain-by-subscribers",
        title: "Server CPU for each delivered flow by subscribers at one time",
        x: "subscribers",
        y: "µs",
        curves: vec![("Sextant", points)],
    });
    Ok(())
}
