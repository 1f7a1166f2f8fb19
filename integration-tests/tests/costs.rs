//! The dearest requests that are known: others are answered meanwhile, the memory
//! of it is bounded, and nothing goes on for a client that left.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::Duration;

use sextant_integration_tests::{
    Daemon,
    cost::{replaying, resident_kib, slowest, ticks},
    daemon::connect_for_ever,
    dear, eventually, root,
};
use sextant_proto::observer::{GetFlowsRequest, observer_client::ObserverClient};
use tonic::{Code, Status};

const FLOWS: usize = 5000;

fn line(n: usize) -> String {
    let nanos = n % 1000;
    format!(
        "{{\"flow\":{{\"uuid\":\"{n}\",\"verdict\":\"FORWARDED\",\"time\":\"2026-01-02T03:04:05.{nanos:03}Z\",\
         \"l7\":{{\"type\":\"REQUEST\",\"http\":{{\"url\":\"http://shop/api/v1/users/{n}\"}}}}}}}}\n"
    )
}

/// Requests with the code and the beginning of what they are answered.
fn refused() -> Vec<(GetFlowsRequest, Code, &'static str)> {
    use Code::{InvalidArgument, ResourceExhausted};
    let cel_field = "whitelist[0].experimental.cel_expression[0]: ";
    let patterns = "whitelist[0].http_url[0]: ";
    vec![
        (
            dear::empty_filters(200_000),
            InvalidArgument,
            "whitelist[1024]: ",
        ),
        (dear::patterns(), InvalidArgument, patterns),
        (dear::loops(), ResourceExhausted, cel_field),
        (dear::doubled(), ResourceExhausted, cel_field),
        (dear::doubled_types(), InvalidArgument, cel_field),
        (
            dear::cel(dear::nested(33, "true")),
            InvalidArgument,
            cel_field,
        ),
    ]
}

/// What the request is answered; how long it took.
async fn ask(server: &str, request: GetFlowsRequest) -> Result<usize, Status> {
    let mut client = ObserverClient::new(connect_for_ever(server).await.unwrap());
    let mut flows = client.get_flows(request).await?.into_inner();
    let mut count = 0;
    while flows.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Requests of which each takes some milliseconds to compile, all at once.
fn many_at_once(daemon: &Daemon) {
    let server = daemon.server();
    let deep = dear::cel(format!("{}1{} == []", "[".repeat(240), "]".repeat(240)));
    let work = async {
        let all = (0..200).map(|_| ask(&server, deep.clone()));
        let _ = tokio::time::timeout(Duration::from_secs(3), futures::future::join_all(all)).await;
    };
    let waited = daemon.block_on(slowest(&server, work, || {}));
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    println!("slowest beside 200 that are compiled {waited:?}");
}

/// Streams that stay open, each with as many filters as there may be: beyond a share of the
/// bytes of all they are refused.
fn many_followers(daemon: &Daemon, before: u64, request: GetFlowsRequest) {
    let server = daemon.server();
    let follow = GetFlowsRequest {
        follow: true,
        ..request
    };
    let (mut open, mut refused) = (Vec::new(), 0);
    let work = async {
        let mut client = ObserverClient::new(connect_for_ever(&server).await.unwrap());
        for _ in 0..200 {
            match client.get_flows(follow.clone()).await {
                Ok(stream) => open.push(stream),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    assert!(status.message().contains("filters"), "{status}");
                    refused += 1;
                }
            }
        }
    };
    let waited = daemon.block_on(slowest(&server, work, || {}));
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    assert!(!open.is_empty() && refused > 0, "{} are open", open.len());
    let grown = resident_kib(daemon.pid()).saturating_sub(before);
    assert!(
        grown < 100 << 10,
        "{} are open, grown by {grown} KiB",
        open.len()
    );
}

#[test]
fn the_dearest_requests_hold_nobody_up_and_end_with_their_clients() {
    if !root() {
        return;
    }
    let (daemon, _namespace, _folder) = replaying(FLOWS, line);
    let (server, before) = (daemon.server(), resident_kib(daemon.pid()));
    for (request, code, text) in refused() {
        let mut answer = Ok(0);
        let work = async { answer = ask(&server, request).await };
        let waited = daemon.block_on(slowest(&server, work, || {}));
        let status = answer.expect_err(text);
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().starts_with(text), "{status}");
        assert!(waited <= Duration::from_secs(1), "{text}: {waited:?}");
        let grown = resident_kib(daemon.pid()).saturating_sub(before);
        assert!(grown < 100 << 10, "{text}: grew by {grown} KiB");
    }
    many_followers(&daemon, before, dear::many_names());
    many_followers(&daemon, before, dear::many_requirements());
    many_at_once(&daemon);
    // Some thousand turns of loops for each flow, and no flow passes.
    let slow = dear::slow_scan();
    let work = async {
        let all = (0..8).map(|_| ask(&server, slow.clone()));
        let left = tokio::time::timeout(Duration::from_secs(3), futures::future::join_all(all));
        assert!(left.await.is_err(), "they take longer than that");
    };
    let waited = daemon.block_on(slowest(&server, work, || {}));
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    eventually("the scans have ended with their clients", || {
        let begin = ticks(daemon.pid());
        std::thread::sleep(Duration::from_millis(500));
        (ticks(daemon.pid()) - begin < 10).then_some(())
    });
    let grown = resident_kib(daemon.pid()).saturating_sub(before);
    assert!(grown < 100 << 10, "grew by {grown} KiB");
    println!("slowest beside eight slow scans {waited:?}, grown by {grown} KiB");
}
