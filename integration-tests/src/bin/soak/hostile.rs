//! Clients that mean harm: the soak runs itself once more for them, as nobody, in
//! the daemon's namespace.
//!
//! Each kind comes again and again until the process is killed. Whether the daemon
//! holds is seen by the others: their streams go on, memory and descriptors are flat.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use prost::Message as _;
use sextant_integration_tests::{
    Netns, Process, dear,
    raw::{Call, Raw, message, message_of},
};
use sextant_proto::{
    observer::GetFlowsRequest,
    sextant::{
        flow::v1::{FlowField, SummarizeFlowsRequest},
        policy::v1::WatchRequest,
    },
};
use tokio::net::TcpStream;

/// The argument that makes the soak this.
pub(crate) const WORD: &str = "hostile";

const FLOWS: &str = "/observer.Observer/GetFlows";
const SIMULATE: &str = "/sextant.policy.v1.PolicyService/Simulate";
const EVALUATE: &str = "/sextant.policy.v1.PolicyService/Evaluate";
const WATCH: &str = "/sextant.policy.v1.PolicyService/Watch";
const SUMMARY: &str = "/sextant.flow.v1.FlowService/SummarizeFlows";
/// Rest between two rounds of one kind.
const REST: Duration = Duration::from_millis(500);
/// How long one round holds on.
const HOLD: Duration = Duration::from_secs(8);

/// Starts them against a port of the daemon's loopback.
pub(crate) fn start(namespace: &Netns, port: u16) -> Process {
    let child = Command::new("ip")
        .args(["netns", "exec", &namespace.name])
        .args([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([WORD, &format!("127.0.0.1:{port}")])
        .stdin(Stdio::null())
        .spawn();
    Process(child.unwrap())
}

/// What the other process does, until it is killed.
pub(crate) fn run(server: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::join!(
            for_ever(|| silent_connections(server)),
            for_ever(|| calls(server, 2, 200, FLOWS, Bytes::new(), false)),
            for_ever(|| calls(server, 3, 32, FLOWS, half(), false)),
            for_ever(|| calls(server, 4, 300, FLOWS, follower(), true)),
            for_ever(|| calls(server, 5, 4, FLOWS, encoded(&dear::loops()), true)),
            for_ever(|| calls(
                server,
                6,
                4,
                FLOWS,
                encoded(&dear::empty_filters(1_000_000)),
                true
            )),
            for_ever(|| calls(server, 7, 200, SUMMARY, summary(), true)),
            for_ever(|| calls(
                server,
                8,
                200,
                "/observer.Observer/GetNodes",
                message(b""),
                true
            )),
            for_ever(|| resets(server)),
            for_ever(|| policy_questions(server)),
            for_ever(|| calls(server, 11, 200, EVALUATE, of_strangers(), true)),
            for_ever(|| calls(server, 12, 200, WATCH, watch(), true)),
        );
    });
}

async fn for_ever<F: Future<Output = ()>>(round: impl Fn() -> F) {
    loop {
        round().await;
        tokio::time::sleep(REST).await;
    }
}

fn source(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Connections that say nothing.
async fn silent_connections(server: &str) {
    let connections = join_all((0..200).map(|_| TcpStream::connect(server))).await;
    tokio::time::sleep(HOLD).await;
    drop(connections);
}

/// So many calls of one client with the same body, whose answers are not read.
/// The server may refuse any of it.
async fn calls(server: &str, last: u8, count: usize, path: &str, body: Bytes, is_all: bool) {
    let Ok(mut raw) = Raw::connect(server, source(last)).await else {
        return;
    };
    let mut open: Vec<Call> = Vec::new();
    let all = async {
        for _ in 0..count {
            match raw.call(path, &[], body.clone(), is_all).await {
                Ok(call) => open.push(call),
                Err(_) => break,
            }
        }
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(HOLD, all).await;
}

/// Calls that are taken back at once.
async fn resets(server: &str) {
    let Ok(mut raw) = Raw::connect(server, source(9)).await else {
        return;
    };
    for _ in 0..2000 {
        if raw.call(FLOWS, &[], follower(), true).await.is_err() {
            return;
        }
    }
}

/// The dearest ones, four at once each.
async fn policy_questions(server: &str) {
    for (_, request) in dear::policies::all() {
        let request = message(&request.encode_to_vec());
        calls(server, 10, 4, SIMULATE, request, true).await;
    }
}

fn of_strangers() -> Bytes {
    message(&dear::policies::of_strangers(1).encode_to_vec())
}

/// From the first change on.
fn watch() -> Bytes {
    let request = WatchRequest {
        from_revision: Some(0),
    };
    message(&request.encode_to_vec())
}

fn half() -> Bytes {
    message_of(4 << 20, &vec![7; 2 << 20])
}

fn follower() -> Bytes {
    encoded(&GetFlowsRequest {
        number: 10_000,
        follow: true,
        ..GetFlowsRequest::default()
    })
}

fn encoded(request: &GetFlowsRequest) -> Bytes {
    message(&request.encode_to_vec())
}

fn summary() -> Bytes {
    let fields = [FlowField::SourceIp, FlowField::DestinationIp];
    let request = SummarizeFlowsRequest {
        group_by: fields.map(Into::into).to_vec(),
        limit: 10_000,
        ..SummarizeFlowsRequest::default()
    };
    message(&request.encode_to_vec())
}
