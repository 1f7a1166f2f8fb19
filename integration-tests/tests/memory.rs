//! What a peak of work takes is given back to the system once it is over.
//!
//! Each peak is tried again, so that none leaves a bit of itself each time.
//! `SEXTANT_FULL=1` takes the full sizes, for a release build.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{future::join_all, stream};
use h2::RecvStream;
use prost::Message as _;
use sextant_integration_tests::{
    daemon::connect,
    raw::{Raw, message, message_of},
    rootless::Rootless,
};
use sextant_proto::{
    flow::{Endpoint, Flow, FlowFilter, Verdict},
    observer::GetFlowsRequest,
    sextant::flow::v1::{RecordFlowsRequest, flow_service_client::FlowServiceClient},
};

const FLOWS: &str = "/observer.Observer/GetFlows";
const STATUS: &str = "/observer.Observer/ServerStatus";
const MIB: u64 = 1 << 20;
/// What may stay of a peak, and how long it may take to go.
const STAYS: u64 = 16 * MIB;
const WITHIN: Duration = Duration::from_secs(10);

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
struct Size {
    flows: usize,
    drains: usize,
    filters: usize,
    rounds: usize,
}

impl Size {
    fn of_run() -> Self {
        match std::env::var_os("SEXTANT_FULL").is_some() {
            true => Self {
                flows: 131_071,
                drains: 200,
                filters: 64,
                rounds: 2,
            },
            false => Self {
                flows: 10_000,
                drains: 32,
                filters: 16,
                rounds: 2,
            },
        }
    }
}

struct Daemon(Rootless);

impl Daemon {
    fn start(lines: &str) -> Self {
        let config = "[server]\npeer_share = 100\nmessage_timeout = \"3s\"\n";
        Self(Rootless::replaying(lines, config))
    }

    /// Does the work; what it took at most has to be gone soon after.
    async fn peak(&self, what: &str, work: impl Future<Output = ()>) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = self.0.resident_bytes();
        // From here on the most is that of the work.
        fs::write(self.0.proc_file("clear_refs"), "5").unwrap();
        let begin = Instant::now();
        work.await;
        let (took, most) = (begin.elapsed(), self.0.most_resident_bytes());
        let end = Instant::now();
        let mut after = self.0.resident_bytes();
        while after >= before + STAYS && end.elapsed() < WITHIN {
            tokio::time::sleep(Duration::from_millis(200)).await;
            after = self.0.resident_bytes();
        }
        println!(
            "{what}: {} MiB before, {} at most, {} after {:.1} s; took {:.2} s",
            before / MIB,
            most / MIB,
            after / MIB,
            end.elapsed().as_secs_f32(),
            took.as_secs_f32(),
        );
        if std::env::var_os("SEXTANT_FULL").is_none() {
            assert!(after < before + STAYS, "{what}: it is not given back");
        }
    }
}

/// A flow of a line, with names and an address of its own.
fn line(text: &mut String, n: usize) {
    let (a, b, c) = (n >> 16 & 255, n >> 8 & 255, n & 255);
    let second = n / 1000 % 60;
    let nanos = n % 1000;
    writeln!(
        text,
        "{{\"flow\":{{\"uuid\":\"{n}\",\"verdict\":\"FORWARDED\",\"Type\":\"L3_L4\",\
         \"time\":\"2026-01-02T03:04:{second:02}.{nanos:03}Z\",\
         \"IP\":{{\"source\":\"10.{a}.{b}.{c}\",\"destination\":\"10.0.0.1\",\"ipVersion\":\"IPv4\"}},\
         \"l4\":{{\"TCP\":{{\"source_port\":{},\"destination_port\":443}}}},\
         \"source\":{{\"namespace\":\"shop\",\"pod_name\":\"web-{}\",\"labels\":[\"k8s:app=web\"]}},\
         \"destination\":{{\"namespace\":\"shop\",\"pod_name\":\"db\",\"labels\":[\"k8s:app=db\"]}}}}}}",
        1024 + n % 60_000,
        n % 500,
    )
    .unwrap();
}

async fn connections(daemon: &Daemon, count: u8) -> Vec<Raw> {
    let one = |last| {
        Raw::connect(
            &daemon.0.servers[0],
            IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)),
        )
    };
    let all = join_all((1..=count).map(one)).await;
    all.into_iter().map(Result::unwrap).collect()
}

/// 64 MiB, of which no message comes to its end.
async fn half_messages(daemon: &Daemon) {
    let half = message_of(4 << 20, &vec![7; 3 << 20]);
    let (mut raws, mut calls) = (connections(daemon, 32).await, Vec::new());
    for raw in &mut raws {
        calls.push(raw.call(STATUS, &[], half.clone(), false).await.unwrap());
    }
    for call in calls {
        let _ = call.end().await;
    }
}

async fn skim(mut body: RecvStream) -> usize {
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
        bytes += length;
    }
    bytes
}

fn everything() -> Bytes {
    let request = GetFlowsRequest {
        first: true,
        ..GetFlowsRequest::default()
    };
    message(&request.encode_to_vec())
}

async fn drains(daemon: &Daemon, size: Size) {
    let (mut raws, mut calls) = (connections(daemon, 8).await, Vec::new());
    for n in 0..size.drains {
        let raw = &mut raws[n % 8];
        calls.push(raw.call(FLOWS, &[], everything(), true).await.unwrap());
    }
    let skimmed = calls.into_iter().map(|mut call| async move {
        let response = call.begin().await.unwrap();
        skim(response.into_body()).await
    });
    for bytes in join_all(skimmed).await {
        assert!(bytes > size.flows * 100, "{bytes} bytes");
    }
}

/// Patterns that are about as dear as one request may have.
async fn compiles(daemon: &Daemon, size: Size, round: usize) {
    let (mut raws, mut calls) = (connections(daemon, 8).await, Vec::new());
    for n in 0..size.filters {
        let http_url = (0..30)
            .map(|at| format!("\\pL{{1}}{round}-{n}-{at}"))
            .collect();
        let request = GetFlowsRequest {
            number: 1,
            whitelist: vec![FlowFilter {
                http_url,
                ..FlowFilter::default()
            }],
            ..GetFlowsRequest::default()
        };
        let body = message(&request.encode_to_vec());
        calls.push(raws[n % 8].call(FLOWS, &[], body, true).await.unwrap());
    }
    for end in join_all(calls.into_iter().map(|call| call.end())).await {
        let end = end.unwrap();
        assert_eq!(end.code, 0, "{}", end.message);
    }
}

/// Each burst with names of its own, which no store keeps for long.
async fn recordings(daemon: &Daemon, size: Size, round: usize) {
    let socket = format!("unix://{}", daemon.0.socket().display());
    let bursts = (0..4).map(|burst| {
        let socket = socket.clone();
        async move {
            let mut client = FlowServiceClient::new(connect(&socket).await.unwrap());
            let flow = move |n: usize| Flow {
                verdict: Verdict::Forwarded.into(),
                source: Some(Endpoint {
                    namespace: "shop".into(),
                    pod_name: format!("pod-{round}-{burst}-{n}"),
                    labels: vec![format!("k8s:run={round}-{burst}-{n}")],
                    ..Endpoint::default()
                }),
                ..Flow::default()
            };
            let count = size.flows / 4;
            let requests = (0..count / 500).map(move |part| RecordFlowsRequest {
                flows: (0..500).map(|n| flow(part * 500 + n)).collect(),
            });
            client.record_flows(stream::iter(requests)).await.unwrap();
        }
    });
    join_all(bursts).await;
}

#[test]
fn a_peak_is_given_back() {
    let size = Size::of_run();
    let mut lines = String::new();
    for n in 0..size.flows * 4 {
        line(&mut lines, n);
    }
    let begin = Instant::now();
    let daemon = Daemon::start(&lines);
    println!(
        "loaded in {:.2} s: {} MiB at most, {} now",
        begin.elapsed().as_secs_f32(),
        daemon.0.most_resident_bytes() / MIB,
        daemon.0.resident_bytes() / MIB
    );
    drop(lines);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::sleep(WITHIN).await;
        let (most, later) = (daemon.0.most_resident_bytes(), daemon.0.resident_bytes());
        println!("later: {} MiB", later / MIB);
        // Four stores full were read, and one is kept.
        assert!(most < later + 128 * MIB, "{most} at most, {later} kept");
        for round in 0..size.rounds {
            daemon.peak("half messages", half_messages(&daemon)).await;
            daemon.peak("drains", drains(&daemon, size)).await;
            daemon.peak("filters", compiles(&daemon, size, round)).await;
            // The first fills the names of the store.
            if round == 0 {
                recordings(&daemon, size, usize::MAX).await;
            }
            daemon
                .peak("recordings", recordings(&daemon, size, round))
                .await;
        }
    });
}
