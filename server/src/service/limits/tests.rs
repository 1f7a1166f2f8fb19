use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, channel::mpsc};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::{Code, server::NamedService, service::Routes};
use tower::ServiceExt as _;

use super::*;
use crate::listener::Origin;

const TIMEOUT: Duration = Duration::from_millis(300);

/// Reads a request whole; answers with as many bytes as its path ends with, or never.
#[derive(Clone)]
struct Reader;

impl NamedService for Reader {
    const NAME: &'static str = "observer.Observer";
}

impl tower::Service<Request<tonic::body::Body>> for Reader {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let length = request.uri().query().and_then(|text| text.parse().ok());
        let is_endless = request.uri().query() == Some("endless");
        Box::pin(async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                if let Err(status) = frame {
                    return Ok(status.into_http());
                }
            }
            if is_endless {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(Body::from(vec![0; length.unwrap_or(0)])))
        })
    }
}

struct Server {
    limits: Limits,
    routes: Routes,
    _end: watch::Sender<bool>,
}

impl Server {
    fn new(config: &crate::config::Server) -> Self {
        let (end, draining) = watch::channel(false);
        let config = crate::config::Server {
            message_timeout: TIMEOUT,
            ..config.clone()
        };
        let limits = Limits::new(&config, draining);
        Self {
            routes: limited(Routes::new(Reader), limits.clone()),
            limits,
            _end: end,
        }
    }

    async fn call(&self, peer: u8, path: &str, body: Body) -> Response<tonic::body::Body> {
        let mut request = Request::new(body);
        *request.uri_mut() = path.parse().unwrap();
        let caller = Caller::from(Origin::Tcp(([192, 0, 2, peer], 1).into()));
        request.extensions_mut().insert(caller);
        self.routes.clone().oneshot(request).await.unwrap()
    }

    fn refused(&self, cause: &str) -> u64 {
        let mut refused = self.limits.refused();
        refused.find(|(name, _)| *name == cause).unwrap().1
    }
}

fn status<B>(response: &Response<B>) -> Option<Status> {
    Status::from_header_map(response.headers())
}

/// A body that goes on for as long as its sender lives.
fn open_body() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(0);
    let frames = receiver.map(|data| Ok::<_, Infallible>(Frame::data(data)));
    (sender, Body::new(StreamBody::new(frames)))
}

fn message(length: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend((length as u32).to_be_bytes());
    bytes.resize(5 + length, 7);
    bytes.into()
}

const FLOWS: &str = "/observer.Observer/GetFlows?1";
const NODES: &str = "/observer.Observer/GetNodes?1";

#[tokio::test]
async fn a_call_has_its_place_until_its_answer_is_over_and_others_have_theirs() {
    let config = crate::config::Server {
        max_streams: 80,
        max_calls: 80,
        ..crate::config::Server::default()
    };
    let server = Server::new(&config);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(server.call(1, FLOWS, Body::empty()).await);
        held.push(server.call(1, NODES, Body::empty()).await);
    }
    assert!(held.iter().all(|response| status(response).is_none()));
    for (path, cause, name) in [
        (FLOWS, "streams_of_peer", "server.max_streams"),
        (NODES, "calls_of_peer", "server.max_calls"),
    ] {
        let refused = server.call(1, path, Body::empty()).await;
        let refused = status(&refused).unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("for 192.0.2.1"), "{refused}");
        assert!(refused.message().contains(name), "{refused}");
        assert_eq!(server.refused(cause), 1);
        assert!(status(&server.call(2, path, Body::empty()).await).is_none());
    }
    assert_eq!(server.limits.used().streams, (20, 80));
    drop(held);
    assert_eq!(server.limits.used().streams, (0, 80));
    assert!(status(&server.call(1, FLOWS, Body::empty()).await).is_none());
}

#[tokio::test]
async fn a_message_that_does_not_come_ends_the_call() {
    let server = Server::new(&crate::config::Server::default());
    // Nothing, a part, all but the end of the call.
    for bytes in [Bytes::new(), message(100).slice(..50), message(100)] {
        let (mut sender, body) = open_body();
        let send = async {
            sender.send(bytes).await.unwrap();
            std::future::pending::<()>().await;
        };
        let response = tokio::select! {
            response = server.call(1, FLOWS, body) => response,
            () = send => unreachable!(),
        };
        let late = status(&response).unwrap();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        assert!(late.message().contains("server.message_timeout"), "{late}");
    }
    assert_eq!(server.refused("message_timeout"), 3);
}

#[tokio::test]
async fn a_client_that_streams_may_rest_between_messages_but_not_within_one() {
    let server = Server::new(&crate::config::Server::default());
    let path = "/sextant.flow.v1.FlowService/RecordFlows";
    let method = Method {
        is_stream: true,
        is_client_stream: true,
    };
    assert_eq!(methods::Methods::new().of(path), method);
    let (mut sender, body) = open_body();
    let caller = Caller::from(Origin::Unknown);
    let held = request::Held::default();
    let mut body = request::Request::new(body, server.limits.clone(), caller, method, held);
    let send = async {
        sender.send(message(10)).await.unwrap();
        tokio::time::sleep(2 * TIMEOUT).await;
        sender.send(message(20)).await.unwrap();
        tokio::time::sleep(2 * TIMEOUT).await;
        sender.send(message(20).slice(..10)).await.unwrap();
        std::future::pending::<()>().await;
    };
    let read = async {
        for length in [15, 25, 10] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.data_ref().unwrap().len(), length);
        }
        body.frame().await.unwrap().unwrap_err()
    };
    let late = tokio::select! {
        late = read => late,
        () = send => unreachable!(),
    };
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn half_messages_are_bounded_over_all_calls_and_small_ones_always_get_in() {
    let config = crate::config::Server {
        max_pending_bytes: 16 << 20,
        ..crate::config::Server::default()
    };
    let server = Server::new(&config);
    let half = message(4 << 20).slice(..2 << 20);
    let mut senders = Vec::new();
    let calls = (0..8).map(|_| {
        let (sender, body) = open_body();
        senders.push((sender, half.clone()));
        server.call(1, NODES, body)
    });
    let calls: Vec<_> = calls.collect();
    let send = async {
        for (sender, half) in &mut senders {
            for part in 0..128 {
                let part = half.slice(part << 14..(part + 1) << 14);
                if sender.send(part).await.is_err() {
                    break;
                }
            }
        }
        // Others are served meanwhile, and this peer's small questions.
        assert!(server.limits.used().bytes.0 <= 4 << 20);
        for peer in [1, 2] {
            let small = server.call(peer, NODES, Body::from(message(1000))).await;
            assert!(status(&small).is_none());
        }
        let large = server.call(2, NODES, Body::from(message(3 << 20))).await;
        assert!(status(&large).is_none());
    };
    let (responses, ()) = tokio::join!(futures::future::join_all(calls), send);
    let codes: Vec<_> = responses.iter().map(|one| status(one).unwrap()).collect();
    let refused = codes
        .iter()
        .filter(|one| one.code() == Code::ResourceExhausted);
    assert_eq!(refused.count(), 6);
    assert!(
        codes
            .iter()
            .any(|one| one.message().contains("server.max_pending_bytes"))
    );
    assert_eq!(server.refused("bytes_of_peer"), 6);
    // The other two were late; nothing is held any more.
    assert_eq!(
        (
            server.refused("message_timeout"),
            server.limits.used().bytes.0
        ),
        (2, 0)
    );
}

#[tokio::test]
async fn a_large_question_is_counted_until_it_is_answered() {
    let server = Server::new(&crate::config::Server::default());
    let ask = || {
        server.call(
            1,
            "/observer.Observer/GetNodes?endless",
            message(5 << 20).into(),
        )
    };
    let soon = Duration::from_millis(20);
    // 16 MiB are one peer's.
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(ask())).collect();
    for question in &mut waiting {
        assert!(tokio::time::timeout(soon, question).await.is_err());
    }
    let held = server.limits.used().bytes.0;
    assert!(held > 3 * (5 << 20) - (64 << 10), "{held}");
    let refused = tokio::time::timeout(soon, ask()).await.unwrap();
    assert_eq!(status(&refused).unwrap().code(), Code::ResourceExhausted);
    waiting.clear();
    assert_eq!(server.limits.used().bytes.0, 0);
}

#[tokio::test]
async fn large_answers_that_are_not_read_are_bounded_too() {
    let config = crate::config::Server {
        max_pending_bytes: 16 << 20,
        ..crate::config::Server::default()
    };
    let server = Server::new(&config);
    let mut held = Vec::new();
    for place in 0..4 {
        let mut response = server
            .call(1, "/observer.Observer/GetNodes?2000000", Body::empty())
            .await;
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        match place {
            0 | 1 => assert_eq!(frame.data_ref().unwrap().len(), 2_000_000),
            _ => {
                let status = Status::from_header_map(frame.trailers_ref().unwrap()).unwrap();
                assert_eq!(status.code(), Code::ResourceExhausted);
            }
        }
        held.push((response, frame));
    }
    assert_eq!(server.limits.used().bytes.0, 4_000_000);
    // What is sent is given back.
    let (mut response, frame) = held.remove(0);
    drop(frame);
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(server.limits.used().bytes.0, 2_000_000);
}

#[tokio::test]
async fn streams_are_refused_while_the_server_stops_and_questions_are_answered() {
    let server = Server::new(&crate::config::Server::default());
    server._end.send_replace(true);
    let refused = server.call(1, FLOWS, Body::empty()).await;
    assert_eq!(status(&refused).unwrap().code(), Code::Unavailable);
    assert!(status(&server.call(1, NODES, Body::empty()).await).is_none());
}
