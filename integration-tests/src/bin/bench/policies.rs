//! `PolicyService` without a kernel: verdicts for a second of the server's CPU, and how
//! long it takes until a thousand policies are checked and on the disk. They are disabled,
//! since nothing enforces here; what many rules cost is in the micro-benchmarks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sextant_integration_tests::daemon::connect;
use sextant_proto::sextant::policy::v1::{
    ApplyRequest, Connection, Document, End, EvaluateRequest, PolicyMode,
    policy_service_client::PolicyServiceClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    Bench,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport},
};

const ROUND: Duration = Duration::from_secs(2);
/// Calls under way.
const CONCURRENT: usize = 64;
const POLICIES: usize = 1000;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(1)?,
        times: 1,
        capacity: 1,
        transport: Transport::Unix,
    };
    let server = Server::sextant(&bench.options.sextantd, &load).await?;
    let channel = connect(&server.address).await.context("connecting")?;
    let client = PolicyServiceClient::new(channel);
    let (mut applied, mut rates) = (Samples::default(), Samples::default());
    for round in 0..bench.runs() {
        applied
            .0
            .push(apply(client.clone(), round).await?.as_secs_f64());
        rates.0.push(evaluate(&server, &client).await?);
    }
    for (what, unit, sextant, goal) in [
        (
            format!("Apply of {POLICIES} policies, without the kernel"),
            "s",
            applied,
            Goal::AtMost(1.0),
        ),
        (
            "Evaluate, for a second of the server's CPU".to_owned(),
            "calls",
            rates,
            Goal::AtLeast(20_000.0),
        ),
    ] {
        bench.report.add(Figure {
            scenario: "policies",
            what,
            unit,
            sextant,
            hubble: None,
            goal: Some(goal),
        });
    }
    Ok(())
}

/// Changes all of them.
async fn apply(mut client: PolicyServiceClient<Channel>, round: usize) -> anyhow::Result<Duration> {
    let port = 1000 + round;
    let document = |number| Document {
        name: String::new(),
        text: format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{number}, namespace: shop}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{app: a{number}}}}}\n  ingress:\n  \
             - fromEndpoints: [{{matchLabels: {{app: b{number}}}}}]\n    \
             toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]\n  egress:\n  - toCIDR: [10.0.0.0/8]\n"
        ),
    };
    let request = ApplyRequest {
        documents: (0..POLICIES).map(document).collect(),
        mode: PolicyMode::Disabled.into(),
        ..ApplyRequest::default()
    };
    let start = Instant::now();
    let answer = client.apply(request).await?.into_inner();
    let took = start.elapsed();
    anyhow::ensure!(answer.changes.len() == POLICIES, "not all were changed");
    Ok(took)
}

async fn evaluate(server: &Server, client: &PolicyServiceClient<Channel>) -> anyhow::Result<f64> {
    let end = |app: &str| {
        Some(End {
            labels: vec![format!("k8s:app={app}")],
            namespace: "shop".into(),
            ..End::default()
        })
    };
    let request = Arc::new(EvaluateRequest {
        connection: Some(Connection {
            source: end("b7"),
            destination: end("a7"),
            destination_port: 1000,
            ..Connection::default()
        }),
        direction: 0,
    });
    let before = server.cpu()?;
    let end = Instant::now() + ROUND;
    let mut callers = JoinSet::new();
    for _ in 0..CONCURRENT {
        let (mut client, request) = (client.clone(), Arc::clone(&request));
        callers.spawn(async move {
            let mut calls = 0_u64;
            while Instant::now() < end {
                client.evaluate(EvaluateRequest::clone(&request)).await?;
                calls += 1;
            }
            Ok::<_, tonic::Status>(calls)
        });
    }
    let mut calls = 0;
    while let Some(caller) = callers.join_next().await {
        calls += caller??;
    }
    Ok(calls as f64 / (server.cpu()? - before).as_secs_f64())
}
