//! The time to an answer as a client sees it: by wall clock, over TCP, one call
//! after the other, from the request to the end of the answer.

use std::time::{Duration, Instant};

use sextant_proto::{flow::FlowFilter, observer::GetFlowsRequest};

use crate::{
    Bench, RING,
    client::Client,
    drain::everything,
    report::{Figure, Goal, Samples},
    server::{Load, Transport},
};

/// How long one thing is asked of one server in a round, and how often at most.
const ROUND: Duration = Duration::from_secs(2);
const CALLS: usize = 500;
/// Calls before those that count.
const WARM_UP: usize = 5;

/// What is asked.
enum Question {
    Flows(GetFlowsRequest),
    Status,
}

fn questions() -> Vec<(&'static str, Question)> {
    let only = |filter| {
        Question::Flows(GetFlowsRequest {
            whitelist: vec![filter],
            ..everything()
        })
    };
    vec![
        (
            "--last 20",
            Question::Flows(GetFlowsRequest {
                number: 20,
                ..GetFlowsRequest::default()
            }),
        ),
        (
            "a port without matches",
            only(FlowFilter {
                destination_port: vec!["7".into()],
                ..FlowFilter::default()
            }),
        ),
        (
            "a label without matches",
            only(FlowFilter {
                source_label: vec!["k8s:app=nobody".into()],
                ..FlowFilter::default()
            }),
        ),
        ("ServerStatus", Question::Status),
    ]
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: 1,
        capacity: RING,
        transport: Transport::Tcp,
    };
    let (sextant, hubble) = bench.pair_with(&load).await?;
    let clients = [sextant.client().await?, hubble.client().await?];
    for (name, question) in questions() {
        let mut middle = [Samples::default(), Samples::default()];
        let mut slow = middle.clone();
        for _ in 0..bench.runs() {
            for (index, client) in clients.iter().enumerate() {
                let times = ask(client, &question).await?;
                middle[index].0.push(percentile(&times, 50));
                slow[index].0.push(percentile(&times, 99));
            }
        }
        for (percent, [sextant, hubble]) in [("p50", middle), ("p99", slow)] {
            bench.report.add(Figure {
                scenario: "answer",
                what: format!("{percent} of the time to answer {name} over TCP"),
                unit: "ms",
                sextant,
                hubble: Some(hubble),
                goal: Some(Goal::RatioOrAtMost(0.1, 1.0)),
            });
        }
    }
    Ok(())
}

/// Milliseconds of each call, the shortest first.
async fn ask(client: &Client, question: &Question) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    let deadline = Instant::now() + ROUND;
    for call in 0..CALLS + WARM_UP {
        let begin = Instant::now();
        match question {
            Question::Flows(request) => drop(client.drain(request).await?),
            Question::Status => client.status().await?,
        }
        if call >= WARM_UP {
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        if call > WARM_UP && Instant::now() > deadline {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
