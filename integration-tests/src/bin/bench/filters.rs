//! Filters that find few flows in a full ring: how fast it is scanned.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sextant_proto::{
    flow::{FlowFilter, Verdict},
    observer::GetFlowsRequest,
};

use crate::{
    Bench, RING,
    client::Client,
    drain::everything,
    report::{Figure, Goal, Samples},
};

/// How long a filter is asked again and again in a round.
const ROUND: Duration = Duration::from_millis(300);

fn list(value: &str) -> Vec<String> {
    vec![value.into()]
}

/// Name and filter of each field; each finds the corpus' rare flows.
pub(crate) fn fields(uuid: &str) -> Vec<(&'static str, FlowFilter)> {
    let none = FlowFilter::default;
    vec![
        (
            "uuid",
            FlowFilter {
                uuid: list(uuid),
                ..none()
            },
        ),
        (
            "verdict",
            FlowFilter {
                verdict: vec![Verdict::Audit.into()],
                ..none()
            },
        ),
        (
            "port",
            FlowFilter {
                destination_port: list("7777"),
                ..none()
            },
        ),
        (
            "pod",
            FlowFilter {
                destination_pod: list("haystack/needle"),
                ..none()
            },
        ),
        (
            "CIDR",
            FlowFilter {
                destination_ip: list("172.31.0.0/16"),
                ..none()
            },
        ),
        (
            "node name",
            FlowFilter {
                node_name: list("node-needle"),
                ..none()
            },
        ),
        (
            "FQDN",
            FlowFilter {
                destination_fqdn: list("*.example.org"),
                ..none()
            },
        ),
        (
            "URL",
            FlowFilter {
                http_url: list("http://needle[.].*"),
                ..none()
            },
        ),
        (
            "label",
            FlowFilter {
                destination_label: list("k8s:app=needle"),
                ..none()
            },
        ),
    ]
}

/// As above, in CEL.
fn cel() -> FlowFilter {
    FlowFilter {
        experimental: Some(sextant_proto::flow::flow_filter::Experimental {
            cel_expression: list(
                "_flow.verdict == Verdict.AUDIT && _flow.destination.pod_name == 'needle-0'",
            ),
        }),
        ..FlowFilter::default()
    }
}

/// The request for flows that match one of the filters.
pub(crate) fn request(filters: Vec<FlowFilter>) -> GetFlowsRequest {
    GetFlowsRequest {
        whitelist: filters,
        ..everything()
    }
}

/// Flows scanned a second, and how many match.
pub(crate) async fn scan(
    client: &Client,
    request: &GetFlowsRequest,
    ring: u64,
) -> anyhow::Result<(f64, u64)> {
    let (start, mut calls) = (Instant::now(), 0_u32);
    loop {
        let found = client.drain(request).await?.messages;
        calls += 1;
        if start.elapsed() >= ROUND {
            let scanned = ring as f64 * f64::from(calls);
            return Ok((scanned / start.elapsed().as_secs_f64(), found));
        }
    }
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (sextant, hubble) = bench.pair(1, RING).await?;
    let clients = [sextant.client().await?, hubble.client().await?];
    let uuid = rare_uuid(&clients[0]).await?;
    let fields = fields(&uuid);
    let all = fields.iter().map(|(_, filter)| filter.clone()).collect();
    let mut cases: Vec<(String, Vec<FlowFilter>, f64)> = fields
        .into_iter()
        .map(|(name, filter)| (name.into(), vec![filter], 10.0))
        .collect();
    cases.push(("any of all these".into(), all, 10.0));
    cases.push(("CEL".into(), vec![cel()], 3.0));
    for (name, filters, goal) in cases {
        let request = request(filters);
        let mut rates = [Samples::default(), Samples::default()];
        let mut found = [0, 0];
        for _ in 0..bench.runs() {
            for (index, client) in clients.iter().enumerate() {
                let (rate, matches) = scan(client, &request, RING).await?;
                rates[index].0.push(rate);
                found[index] = matches;
            }
        }
        ensure!(
            found[0] == found[1] && found[0] > 0,
            "{name}: the servers do not find the same flows: {found:?}"
        );
        let [sextant, hubble] = rates;
        bench.report.add(Figure {
            scenario: "filters",
            what: format!("scanned by {name}, {} of {RING} match", found[0]),
            unit: "flows/s",
            sextant,
            hubble: Some(hubble),
            goal: Some(Goal::RatioAtLeast(goal)),
        });
    }
    Ok(())
}

/// The uuid of one of the rare flows.
pub(crate) async fn rare_uuid(client: &Client) -> anyhow::Result<String> {
    const FLOW: u32 = 1;
    const UUID: u32 = 34;
    let rare = FlowFilter {
        destination_port: list("7777"),
        ..FlowFilter::default()
    };
    let mut stream = client.flows(&request(vec![rare]), true).await?;
    let message = stream
        .message()
        .await?
        .context("no rare flow in the corpus")?;
    let flow = message.field(FLOW).context("no flow in the message")?;
    let uuid = crate::client::fields(&flow)
        .find_map(|(number, content, _)| (number == UUID).then(|| content.to_vec()))
        .context("no uuid in the flow")?;
    Ok(String::from_utf8(uuid)?)
}
