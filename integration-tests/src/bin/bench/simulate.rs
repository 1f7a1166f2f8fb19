//! `Simulate`: what a policy of each service would do to a full ring of 131,071 flows, as its
//! caller waits for it.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use sextant_integration_tests::daemon::connect;
use sextant_proto::sextant::policy::v1::{
    Document, SimulateRequest, SimulationSummary, policy_service_client::PolicyServiceClient,
};
use tonic::transport::Channel;

use crate::{
    Bench, RING,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport},
};

const FLOWS: u64 = 131_071;
/// Those of the corpus.
const NAMESPACES: [&str; 8] = [
    "search",
    "batch",
    "kube-system",
    "logging",
    "frontend",
    "payments",
    "shop",
    "monitoring",
];
const SERVICES: usize = 10;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: 3,
        capacity: FLOWS,
        transport: Transport::Unix,
    };
    let server = Server::sextant(&bench.options.sextantd, &load).await?;
    let channel = connect(&server.address).await.context("connecting")?;
    let client = PolicyServiceClient::new(channel);
    let mut took = Samples::default();
    for _ in 0..bench.runs() {
        let began = Instant::now();
        let summary = simulate(client.clone()).await?;
        took.0.push(began.elapsed().as_secs_f64());
        let not_judged: u64 = summary.not_judged.iter().map(|one| one.flows).sum();
        ensure!(
            summary.judged + not_judged >= FLOWS - 1 && summary.denied > FLOWS / 100,
            "not what it is about: {summary:?}"
        );
    }
    bench.report.add(Figure {
        scenario: "simulate",
        what: format!(
            "Simulate of {} policies over {FLOWS} flows",
            NAMESPACES.len() * SERVICES
        ),
        unit: "s",
        sextant: took,
        hubble: None,
        goal: Some(Goal::AtMost(1.0)),
    });
    Ok(())
}

/// A policy of each service: who gets in, at which ports, and where it may go.
fn documents() -> Vec<Document> {
    let document = |at: usize, namespace: &str, service: usize| {
        let from = NAMESPACES[(at + 1) % NAMESPACES.len()];
        Document {
            name: String::new(),
            text: format!(
                "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
                 metadata: {{name: s{service}, namespace: {namespace}}}\n\
                 spec:\n  endpointSelector: {{matchLabels: {{app: {namespace}-service-{service}}}}}\n  ingress:\n  \
                 - fromEndpoints: [{{matchLabels: {{k8s:io.kubernetes.pod.namespace: {from}}}}}]\n    \
                 toPorts: [{{ports: [{{port: \"443\", protocol: TCP}}, {{port: \"8080\", protocol: TCP}}]}}]\n  \
                 - fromCIDR: [10.0.0.0/16]\n  egress:\n  - toEntities: [cluster]\n  - toCIDR: [192.0.2.0/24]\n"
            ),
        }
    };
    let of = |(at, namespace)| (0..SERVICES).map(move |service| document(at, namespace, service));
    NAMESPACES.into_iter().enumerate().flat_map(of).collect()
}

async fn simulate(mut client: PolicyServiceClient<Channel>) -> anyhow::Result<SimulationSummary> {
    let request = SimulateRequest {
        documents: documents(),
        prune: true,
        ..SimulateRequest::default()
    };
    let mut answers = client.simulate(request).await?.into_inner();
    let mut summary = None;
    while let Some(answer) = answers.message().await? {
        summary = answer.summary.or(summary);
    }
    summary.context("no summary came")
}
