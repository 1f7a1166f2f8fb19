//! What one client may take, and that others are served meanwhile.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use nix::unistd::{Uid, setfsuid};
use prost::Message as _;
use sextant_integration_tests::{
    daemon::connect,
    raw::{Call, Raw, message, message_of},
    root,
    rootless::Rootless,
};
use sextant_proto::{
    observer::{GetFlowsRequest, ServerStatusRequest, observer_client::ObserverClient},
    sextant::status::v1::{GetStatusRequest, Streams, status_service_client::StatusServiceClient},
};
use tokio::net::TcpSocket;

const FLOWS: &str = "/observer.Observer/GetFlows";
const STATUS: &str = "/observer.Observer/ServerStatus";
const SUMMARY: &str = "/sextant.flow.v1.FlowService/SummarizeFlows";
/// The client that takes what it can; others are at 127.0.0.1.
const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Users that nothing else is of here.
const GREEDY: u32 = 54_321;
const MODEST: u32 = 54_322;
/// `grpc-status`.
const DEADLINE: u16 = 4;
const EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;

/// A call that goes on, and the beginning of its answer.
type Held = (Call, http::Response<h2::RecvStream>);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Whether each address here is another client: root alone has more than one.
fn has_peers() -> bool {
    root()
}

/// Nobody else waits, whatever one client does. The time is what a busy machine
/// takes for an honest call, not what users see.
async fn others_are_served(daemon: &Rootless) {
    let begin = Instant::now();
    let channel = connect(&format!("http://{}", daemon.servers[0]))
        .await
        .unwrap();
    let mut client = ObserverClient::new(channel);
    client.server_status(ServerStatusRequest {}).await.unwrap();
    let request = GetFlowsRequest {
        number: 1,
        ..GetFlowsRequest::default()
    };
    let mut flows = client.get_flows(request).await.unwrap().into_inner();
    assert!(flows.message().await.unwrap().is_some());
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
}

async fn streams(daemon: &Rootless) -> Streams {
    let socket = format!("unix://{}", daemon.socket().display());
    let mut client = StatusServiceClient::new(connect(&socket).await.unwrap());
    let status = client.get_status(GetStatusRequest {}).await.unwrap();
    status.into_inner().status.unwrap().streams.unwrap()
}

fn refused(streams: &Streams, cause: &str) -> u64 {
    let mut causes = streams.refused.iter();
    causes.find(|refused| refused.cause == cause).unwrap().calls
}

fn follow() -> Bytes {
    let request = GetFlowsRequest {
        number: 2000,
        follow: true,
        ..GetFlowsRequest::default()
    };
    message(&request.encode_to_vec())
}

#[test]
fn one_client_gets_its_share_of_streams_and_others_theirs() {
    if !has_peers() {
        return;
    }
    let daemon = Rootless::start(2_000, "[server]\nmax_streams = 128\n");
    run(async {
        let (mut followers, mut connections, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2 {
            let mut raw = Raw::connect(&daemon.servers[0], ONE).await.unwrap();
            for _ in 0..64 {
                let mut call = raw.call(FLOWS, &[], follow(), true).await.unwrap();
                let response = call.begin().await.unwrap();
                match response.headers().get("grpc-status") {
                    None => followers.push((call, response)),
                    Some(code) => refusals.push((code.clone(), response)),
                }
            }
            connections.push(raw);
        }
        assert_eq!((followers.len(), refusals.len()), (32, 96));
        for (code, response) in &refusals {
            assert_eq!(code, "8");
            let text = response.headers()["grpc-message"].to_str().unwrap();
            assert!(
                text.contains("127.0.0.2") && text.contains("server.peer_share"),
                "{text}"
            );
        }
        others_are_served(&daemon).await;
        let now = streams(&daemon).await;
        assert_eq!(
            (now.open, now.limit, refused(&now, "streams_of_peer")),
            (32, 128, 96)
        );
        drop((followers, refusals, connections));
        // All are free again once it left.
        while streams(&daemon).await.open > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Followers that it gets of `calls` over a connection of `user` from `source`, and
/// the text of the first refusal.
async fn followers_of(
    user: u32,
    daemon: &Rootless,
    source: IpAddr,
    calls: usize,
) -> (Vec<(Raw, Vec<Held>)>, Option<String>) {
    // Of this thread alone: what sockets that it makes are owned by.
    setfsuid(Uid::from_raw(user));
    let server = &daemon.servers[usize::from(source.is_ipv6())];
    let mut raw = Raw::connect(server, source).await.unwrap();
    let (mut held, mut refusal) = (Vec::new(), None);
    for _ in 0..calls {
        let mut call = raw.call(FLOWS, &[], follow(), true).await.unwrap();
        let response = call.begin().await.unwrap();
        match response.headers().get("grpc-message") {
            None => held.push((call, response)),
            Some(text) => refusal = Some(text.to_str().unwrap().to_owned()),
        }
    }
    (vec![(raw, held)], refusal)
}

#[test]
fn a_user_of_this_host_is_one_peer_from_whatever_address() {
    if !root() {
        return;
    }
    let daemon = Rootless::start(2_000, "[server]\nmax_streams = 128\n");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let v4 = (1..=15).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        let (mut connections, mut refusals) = (Vec::new(), Vec::new());
        for source in [v6].into_iter().chain(v4) {
            let (held, refusal) = followers_of(GREEDY, &daemon, source, 8).await;
            connections.extend(held);
            refusals.extend(refusal);
        }
        let held: usize = connections.iter().map(|(_, held)| held.len()).sum();
        assert_eq!(held, 32);
        let text = refusals.first().unwrap();
        assert!(text.contains(&format!("user%20{GREEDY}")), "{text}");
        // From an address that the greedy one has used.
        let (held, refusal) = followers_of(MODEST, &daemon, ONE, 8).await;
        assert_eq!((held[0].1.len(), refusal), (8, None));
        others_are_served(&daemon).await;
    });
}

#[test]
fn a_request_that_does_not_come_is_ended_and_others_are_served_meanwhile() {
    let daemon = Rootless::start(10, "[server]\nmessage_timeout = \"2s\"\n");
    run(async {
        let mut raw = Raw::connect(&daemon.servers[0], ONE).await.unwrap();
        let mut calls = Vec::new();
        for body in [
            Bytes::new(),
            Bytes::from_static(&[0, 0]),
            message_of(100, b"part"),
            // All of it, but not the end of the call.
            message(b""),
        ] {
            for path in [
                FLOWS,
                STATUS,
                SUMMARY,
                "/sextant.flow.v1.FlowService/RecordFlows",
            ] {
                let is_whole = path.ends_with("RecordFlows") && body.len() == 5;
                if !is_whole {
                    calls.push(raw.call(path, &[], body.clone(), false).await.unwrap());
                }
            }
        }
        others_are_served(&daemon).await;
        for call in calls {
            let end = call.end().await.unwrap();
            // Who may not record is told so first.
            assert!([DEADLINE, 7].contains(&end.code), "{end:?}");
        }
        let now = streams(&daemon).await;
        assert_eq!((now.open, refused(&now, "message_timeout")), (0, 12));
    });
}

#[test]
fn half_messages_hold_no_more_than_a_share_and_it_comes_back() {
    if !has_peers() {
        return;
    }
    let config = "[server]\nmax_pending_bytes = 33554432\nmessage_timeout = \"20s\"\n";
    let daemon = Rootless::start(10, config);
    run(async {
        let before = daemon.resident_bytes();
        let half = message_of(4 << 20, &vec![7; 3 << 20]);
        let mut connections = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..4 {
            let mut raw = Raw::connect(&daemon.servers[0], ONE).await.unwrap();
            for _ in 0..16 {
                calls.push(raw.call(STATUS, &[], half.clone(), false).await.unwrap());
            }
            connections.push(raw);
        }
        // 192 MiB are offered; two halves fit into the share of 8 MiB.
        let ends = join_all(calls.into_iter().map(Call::end));
        let served = async {
            for _ in 0..10 {
                others_are_served(&daemon).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (ends, ()) = tokio::join!(ends, served);
        let codes: Vec<u16> = ends.into_iter().map(|end| end.unwrap().code).collect();
        let count = |code| codes.iter().filter(|one| **one == code).count();
        assert!(count(DEADLINE) <= 2, "{codes:?}");
        assert_eq!(count(DEADLINE) + count(EXHAUSTED), codes.len(), "{codes:?}");
        let most = daemon.most_resident_bytes() - before;
        assert!(most < 64 << 20, "{most}");
        let now = streams(&daemon).await;
        assert_eq!((now.pending_bytes, now.pending_byte_limit), (0, 32 << 20));
    });
}

#[test]
fn compressed_requests_are_not_read() {
    let daemon = Rootless::start(10, "");
    run(async {
        let mut raw = Raw::connect(&daemon.servers[0], ONE).await.unwrap();
        for path in [FLOWS, STATUS, SUMMARY] {
            for encoding in ["gzip", "deflate", "zstd"] {
                let headers = [("grpc-encoding", encoding.to_owned())];
                let mut body = vec![1];
                body.extend(4_u32.to_be_bytes());
                body.extend(b"bomb");
                let call = raw.call(path, &headers, body.into(), true).await.unwrap();
                let end = call.end().await.unwrap();
                assert_eq!(end.code, UNIMPLEMENTED, "{path} {encoding}: {end:?}");
            }
        }
    });
}

#[test]
fn headers_beyond_all_measure_cost_one_call_and_others_are_served() {
    let daemon = Rootless::start(10, "");
    run(async {
        let before = daemon.resident_bytes();
        for size in [20_000, 200_000, 4_000_000] {
            let Ok(mut raw) = Raw::connect(&daemon.servers[0], ONE).await else {
                continue;
            };
            let headers = [("x", "y".repeat(size))];
            if let Ok(call) = raw.call(STATUS, &headers, message(b""), true).await
                && let Ok(end) = call.end().await
            {
                assert_ne!(end.code, 0, "{size}");
            }
            others_are_served(&daemon).await;
        }
        let most = daemon.most_resident_bytes() - before;
        assert!(most < 32 << 20, "{most}");
    });
}

#[test]
fn calls_that_are_reset_at_once_cost_little_and_others_are_served() {
    let daemon = Rootless::start(10, "");
    run(async {
        for _ in 0..4 {
            let mut raw = Raw::connect(&daemon.servers[0], ONE).await.unwrap();
            for _ in 0..20_000 {
                let Ok(call) = raw.call(FLOWS, &[], follow(), true).await else {
                    break;
                };
                drop(call);
            }
        }
        others_are_served(&daemon).await;
        while streams(&daemon).await.open > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn silent_connections_go_for_new_ones_and_others_are_served() {
    const SILENT: usize = 200;
    const PLACES: usize = 64;
    let config = format!("[server]\nmax_connections = {PLACES}\nmax_connections_per_peer = 32\n");
    let daemon = Rootless::start(10, &config);
    run(async {
        let server = daemon.servers[0].parse().unwrap();
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((ONE, 0).into()).unwrap();
            silent.push(socket.connect(server).await.unwrap());
            if silent.len().is_multiple_of(50) {
                others_are_served(&daemon).await;
            }
        }
        // One that has to go is closed, or reset.
        let mut closed = 0;
        while closed < SILENT - PLACES {
            closed = 0;
            for connection in &silent {
                let mut byte = [0];
                let read = connection.try_read(&mut byte);
                let waits = matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock);
                closed += usize::from(!waits);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        others_are_served(&daemon).await;
    });
}

/// A client that allows a gigabyte to be on its way, begins some streams of flows, and reads
/// no more of its socket.
async fn deaf(server: &str) -> impl Sized + use<> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.parse().unwrap()).await.unwrap();
    let handshake = h2::client::Builder::new()
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30)
        .handshake(stream);
    let (requests, mut connection) = handshake.await.unwrap();
    let follow = GetFlowsRequest {
        number: 1_000_000_000,
        follow: true,
        ..GetFlowsRequest::default()
    };
    let begun = async {
        let mut begun = Vec::new();
        for _ in 0..4 {
            let mut requests = requests.clone().ready().await.unwrap();
            let request = http::Request::post(format!("http://127.0.0.1{FLOWS}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let (response, mut body) = requests
                .send_request(request.body(()).unwrap(), false)
                .unwrap();
            body.send_data(message(&follow.encode_to_vec()), true)
                .unwrap();
            begun.push(response.await.unwrap());
        }
        begun
    };
    let begun = tokio::select! {
        begun = begun => begun,
        ended = &mut connection => panic!("{ended:?}"),
    };
    // Kept, and asked for nothing any more.
    (connection, requests, begun)
}

#[test]
fn clients_that_allow_much_and_read_nothing_hold_little() {
    const CLIENTS: usize = 40;
    // More than sockets take.
    let line = |n: usize| {
        let node = "n".repeat(200);
        format!(
            "{{\"flow\":{{\"uuid\":\"{n}\",\"node_name\":\"{node}\",\"verdict\":\"FORWARDED\"}}}}\n"
        )
    };
    let lines: String = (0..20_000).map(line).collect();
    let daemon = Rootless::replaying(&lines, "");
    run(async {
        let before = daemon.resident_bytes();
        let mut held = Vec::new();
        for _ in 0..CLIENTS {
            held.push(deaf(&daemon.servers[0]).await);
        }
        let mut most = 0;
        for _ in 0..15 {
            others_are_served(&daemon).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            most = most.max(daemon.resident_bytes());
        }
        let streams = 4 * CLIENTS as u64;
        let each = most.saturating_sub(before) / streams;
        println!("{each} bytes of each of {streams} streams");
        assert!(
            each < 300 << 10,
            "{each} bytes of each of {streams} streams"
        );
    });
}
