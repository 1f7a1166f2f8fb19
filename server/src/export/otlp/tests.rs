//! Against servers that answer as they are told: what was taken, refused, and is sent again.

use std::{
    future::{Ready, ready},
    sync::Mutex,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest},
    metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Response, Status, server::UnaryService};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::{
    config::Outgoing,
    export::{
        Setting,
        counts::State as Told,
        setting::{Compression, Remote, Selected, Target},
        signal::SpansOf,
    },
    store::{Ring, Room},
};

const EVENTS: usize = 8;

type Answered = Result<Bytes, Status>;

/// A server of gRPC that gives one answer, and how many records it was sent.
#[derive(Clone)]
struct Scripted {
    answer: Answered,
    got: std::sync::Arc<Mutex<Vec<usize>>>,
}

impl UnaryService<Bytes> for Scripted {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let request = ExportLogsServiceRequest::decode(request.into_inner()).unwrap();
        let scopes = request.resource_logs.iter().flat_map(|one| &one.scope_logs);
        let records = scopes.map(|scope| scope.log_records.len()).sum();
        self.got.lock().unwrap().push(records);
        ready(self.answer.clone().map(Response::new))
    }
}

async fn call(
    State(server): State<Scripted>,
    request: Request,
) -> http::Response<tonic::body::Body> {
    let mut grpc = tonic::server::Grpc::new(grpc::Raw);
    grpc.unary(server, request).await
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// An exporter to this server.
fn sink(url: String, protocol: Protocol, signal: Signal) -> OtlpSink {
    let target = OtlpTarget {
        remote: Remote {
            url,
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(30),
            interval: Duration::from_secs(1),
            max_events: EVENTS,
            spool: None,
            tls_server_name: None,
            outgoing: Outgoing::default(),
        },
        protocol,
        signal,
        spans: SpansOf::default(),
        resource: Vec::new(),
    };
    let setting = Setting {
        name: "scripted".into(),
        selected: Selected::default(),
        target: Target::Otlp(target.clone()),
    };
    let (ring, _writer) = Ring::new(Room {
        events: 1023,
        bytes: 1 << 20,
    });
    OtlpSink::new(&target, Counts::new(&setting, ring, 0)).unwrap()
}

/// Records without anything.
fn batch() -> Batch {
    let mut batch = Batch::default();
    for _ in 0..EVENTS {
        let Ok(()) = batch.add(|out| {
            put::set_bytes(ITEM, &[], out);
            Ok::<_, Infallible>(())
        });
    }
    batch
}

/// What came of a batch, what is told of it, and the records of each request.
async fn by_grpc(signal: Signal, answer: Answered) -> (Written<PostError>, Told, Vec<usize>) {
    let (listener, url) = listen().await;
    let got = std::sync::Arc::default();
    let scripted = Scripted {
        answer,
        got: std::sync::Arc::clone(&got),
    };
    let routes = Router::new().fallback(call).with_state(scripted);
    let server = tonic::transport::Server::builder().add_routes(routes.into());
    let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut sink = sink(url, Protocol::Grpc, signal);
    let written = sink.write(&batch()).await;
    server.abort();
    let got = got.lock().unwrap().clone();
    (written, sink.counts.state(), got)
}

/// The same by HTTP.
async fn by_http(
    status: u16,
    retry_after: Option<&str>,
    body: Vec<u8>,
) -> (Written<PostError>, Told) {
    let (listener, url) = listen().await;
    let retry_after = retry_after.map(str::to_owned);
    let answer = move || async move {
        let mut response = http::Response::builder().status(status);
        if let Some(after) = retry_after {
            response = response.header("retry-after", after);
        }
        response.body(Body::from(body)).unwrap()
    };
    let routes = Router::new().fallback(answer);
    let server = tokio::spawn(axum::serve(listener, routes).into_future());
    let mut sink = sink(url, Protocol::Http, Signal::Logs);
    let written = sink.write(&batch()).await;
    server.abort();
    (written, sink.counts.state())
}

fn partly(rejected: i64, why: &str) -> Vec<u8> {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: rejected,
        error_message: why.into(),
    };
    let answer = ExportLogsServiceResponse {
        partial_success: Some(partial),
    };
    answer.encode_to_vec()
}

fn complaint(told: &Told) -> &str {
    told.last_error.as_ref().map_or("", |(_, error)| error)
}

#[tokio::test]
async fn what_a_collector_rejects_of_a_request_is_refused_and_the_rest_is_sent() {
    for (rejected, refused) in [(3, 3), (i64::MAX, EVENTS)] {
        let body = partly(rejected, "too old");
        let (written, told, got) = by_grpc(Signal::Logs, Ok(body.clone().into())).await;
        assert_eq!((written.events, written.refused), (EVENTS, refused));
        assert!(written.result.is_ok() && complaint(&told).ends_with(": too old"));
        assert_eq!(got, [EVENTS]);
        let (written, told) = by_http(200, None, body).await;
        assert_eq!((written.events, written.refused), (EVENTS, refused));
        assert!(written.result.is_ok() && complaint(&told).ends_with(": too old"));
    }
    // Of metrics it is points that are rejected.
    let partial = ExportMetricsPartialSuccess {
        rejected_data_points: 5,
        error_message: "stale".into(),
    };
    let answer = ExportMetricsServiceResponse {
        partial_success: Some(partial),
    };
    let answer = Ok(answer.encode_to_vec().into());
    let (written, ..) = by_grpc(Signal::Metrics, answer).await;
    let counted = (written.events, written.refused, written.refused_parts);
    assert_eq!(counted, (EVENTS, 0, 5));
}

#[tokio::test]
async fn a_warning_of_a_collector_that_takes_all_is_told_and_costs_nothing() {
    let body = partly(0, "use version 2");
    let (written, told, _) = by_grpc(Signal::Logs, Ok(body.clone().into())).await;
    assert_eq!((written.events, written.refused), (EVENTS, 0));
    assert!(complaint(&told).ends_with("says: use version 2"));
    // An answer that is none is a success, as its status says.
    for body in [body, b"thanks!".to_vec(), Vec::new()] {
        let (written, _) = by_http(202, None, body).await;
        assert_eq!((written.events, written.refused), (EVENTS, 0));
    }
}

#[tokio::test]
async fn what_a_collector_cannot_take_now_is_kept_for_the_time_that_it_says() {
    let busy = |code, wait: Option<u64>| {
        let wait = wait.map(Duration::from_secs);
        Status::with_error_details(code, "slowly", ErrorDetails::with_retry_info(wait))
    };
    for (status, wait) in [
        (busy(Code::ResourceExhausted, Some(7)), Some(7)),
        (busy(Code::Unavailable, Some(2)), Some(2)),
        (Status::unavailable("slowly"), None),
        (Status::aborted("slowly"), None),
        (Status::data_loss("slowly"), None),
        (Status::deadline_exceeded("slowly"), None),
    ] {
        let (written, _, got) = by_grpc(Signal::Logs, Err(status)).await;
        let error = written.result.unwrap_err();
        assert_eq!((written.events, written.refused, got), (0, 0, vec![EVENTS]));
        assert_eq!(
            error.retry_after(),
            wait.map(Duration::from_secs),
            "{error}"
        );
        assert!(error.to_string().contains("slowly"), "{error}");
    }
    for (status, after, wait) in [
        (429, Some("7"), Some(7)),
        (503, None, None),
        (502, None, None),
    ] {
        let (written, _) = by_http(status, after, b"slowly".to_vec()).await;
        let error = written.result.unwrap_err();
        assert_eq!((written.events, written.refused), (0, 0));
        assert_eq!(
            error.retry_after(),
            wait.map(Duration::from_secs),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_a_collector_will_never_take_is_not_sent_again() {
    for status in [
        Status::resource_exhausted("a quota without an end"),
        Status::invalid_argument("no"),
        Status::unauthenticated("no"),
        Status::permission_denied("no"),
        Status::unimplemented("no"),
        Status::internal("no"),
    ] {
        let why = status.message().to_owned();
        let (written, told, _) = by_grpc(Signal::Logs, Err(status)).await;
        assert_eq!((written.events, written.refused), (EVENTS, EVENTS));
        assert!(written.result.is_ok() && complaint(&told).ends_with(&why));
    }
    for status in [400, 401, 404, 500] {
        let (written, _) = by_http(status, None, Vec::new()).await;
        assert_eq!((written.events, written.refused), (EVENTS, EVENTS));
        assert!(written.result.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let too_large = Status::resource_exhausted("message larger than max (9 vs. 8)");
    let (listener, url) = listen().await;
    let got = std::sync::Arc::default();
    let scripted = Scripted {
        answer: Err(too_large),
        got: std::sync::Arc::clone(&got),
    };
    let routes = Router::new().fallback(call).with_state(scripted);
    let server = tonic::transport::Server::builder().add_routes(routes.into());
    let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut sink = sink(url, Protocol::Grpc, Signal::Logs);
    let mut done = Vec::new();
    for _ in 0..4 {
        let written = sink.write(&batch()).await;
        done.push((written.events, written.refused));
    }
    server.abort();
    assert_eq!(*got.lock().unwrap(), [EVENTS, 4, 2, 1]);
    assert_eq!(done, [(0, 0), (0, 0), (0, 0), (1, 1)]);
}
