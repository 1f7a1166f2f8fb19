//! The transport as clients use it: gRPC over TCP, gRPC-web over HTTP/1.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use prost::Message as _;
use sextant_integration_tests::{daemon::connect_for_ever, rootless::Rootless};
use sextant_proto::{
    flow::FlowFilter,
    observer::{GetFlowsRequest, observer_client::ObserverClient},
};

/// Looks at all flows, so that headers leave before the end is known.
fn nothing() -> GetFlowsRequest {
    GetFlowsRequest {
        whitelist: vec![FlowFilter {
            source_label: vec!["k8s:app=other".into()],
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    }
}

#[test]
fn an_answer_over_tcp_waits_for_no_acknowledgement() {
    let daemon = Rootless::start(2_000, "");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for server in &daemon.servers {
        let fastest = runtime.block_on(async {
            let channel = connect_for_ever(&format!("http://{server}")).await.unwrap();
            let mut client = ObserverClient::new(channel);
            let mut times = Vec::new();
            for _ in 0..120 {
                let begin = Instant::now();
                let mut flows = client.get_flows(nothing()).await.unwrap().into_inner();
                assert_eq!(flows.message().await.unwrap(), None);
                times.push(begin.elapsed());
            }
            times.split_off(20).into_iter().min().unwrap()
        });
        // The kernel delays an acknowledgement by 40 ms. The fastest of many is
        // not slowed by a busy machine.
        assert!(fastest < Duration::from_millis(30), "{server}: {fastest:?}");
    }
}

/// Reads a chunked response of HTTP/1 to its end.
fn response(connection: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n0\r\n\r\n") {
        let count = connection.read(&mut byte).unwrap();
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_request_of_http_1_whose_last_chunk_is_late_leaves_the_connection_open() {
    let daemon = Rootless::start(2_000, "");
    let mut connection = TcpStream::connect(&daemon.servers[0]).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let message = nothing().encode_to_vec();
    let prefix = [&[0][..], &(message.len() as u32).to_be_bytes()].concat();
    for call in [
        "GetFlows",
        "ServerStatus",
        "GetFlows",
        "GetNamespaces",
        "GetFlows",
    ] {
        let message = if call == "GetFlows" {
            &message[..]
        } else {
            &[]
        };
        let prefix = if call == "GetFlows" {
            &prefix[..]
        } else {
            &[0; 5]
        };
        let head = format!(
            "POST /observer.Observer/{call} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/grpc-web+proto\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            prefix.len() + message.len()
        );
        for part in [
            &[head.as_bytes(), prefix, message, b"\r\n"].concat()[..],
            b"0\r\n\r\n",
        ] {
            connection.write_all(part).unwrap();
            // Long enough for an answer that does not wait.
            std::thread::sleep(Duration::from_millis(200));
        }
        let response = response(&mut connection);
        assert!(response.starts_with("HTTP/1.1 200"), "{call}: {response}");
        assert!(response.contains("grpc-status:0"), "{call}: {response}");
    }
}
